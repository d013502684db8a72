package testenv

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestOfUpdatesAtOnceThatGoFromOneVersionOneWins(t *testing.T) {
	t.Parallel()
	server := OwnMongo(t, MongoOptions{})
	name := Unique(t)
	const clients, rounds = 8, 10
	var collections []func(version int) bool
	for range clients {
		c := server.Client(t).Database(name).Collection("c")
		collections = append(collections, func(version int) bool {
			answer, err := c.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "version", Value: version}},
				bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: version + 1}}}})
			return assert.NoError(t, err) && answer.MatchedCount == 1
		})
	}
	_, err := server.Client(t).Database(name).Collection("c").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "version", Value: 0}})
	require.NoError(t, err)
	for version := range rounds {
		var won atomic.Int32
		var all sync.WaitGroup
		for _, update := range collections {
			all.Go(func() {
				if update(version) {
					won.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, won.Load(), "winners from version %d", version)
	}
}

func TestTheNameOfACommandIsRead(t *testing.T) {
	t.Parallel()
	message := func(kind byte, document string) []byte {
		return append(append(make([]byte, 12), 0xdd, 0x07, 0, 0, 0, 0, 0, 0, kind), document...)
	}
	assert.Equal(t, "update", command(message(0, "\x20\x00\x00\x00\x02update\x00rest")))
	assert.Empty(t, command(message(1, "\x20\x00\x00\x00\x02update\x00rest")), "a section of another kind")
	assert.Empty(t, command(make([]byte, 64)), "another kind of message")
	assert.Empty(t, command(nil))
}
