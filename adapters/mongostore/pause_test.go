package mongostore

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func TestPausesGrowToABound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for round, around := range map[int]time.Duration{
			0: 0, 1: time.Millisecond, 2: 2 * time.Millisecond, 5: 16 * time.Millisecond,
			9: 256 * time.Millisecond, 10: 256 * time.Millisecond, 1 << 40: 256 * time.Millisecond,
		} {
			begin := time.Now()
			require.NoError(t, pause(t.Context(), round))
			assert.InDelta(t, around, time.Since(begin), float64(around/2), "round %d", round)
		}
	})
}

func TestPauseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, pause(ctx, 100), context.DeadlineExceeded)
		assert.Equal(t, time.Millisecond, time.Since(begin))
	})
}

// A call that never wins costs the server a few rounds and not all its time. Here it is a
// document without its creation, which nothing that is looked for by it ever finds.
func TestCallsThatNeverWinAskSeldom(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := newStoreThrough(t, func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if e.CommandName == "find" {
				asked.Add(1)
			}
		}})
	})
	spoil := func(t *testing.T, c *mongo.Collection, id string) {
		t.Helper()
		answer, err := c.UpdateByID(t.Context(), id, bson.D{{Key: "$unset", Value: bson.D{{Key: "creation", Value: ""}}}})
		require.NoError(t, err)
		require.EqualValues(t, 1, answer.ModifiedCount)
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T)
		call  func(context.Context) error
		asks  int32 // in a round
	}{
		"a delete": {
			func(t *testing.T) {
				task := keyed("deleted")
				task.Spec.IdempotencyKey = ""
				_, err := s.Create(t.Context(), task)
				require.NoError(t, err)
				spoil(t, s.tasks, "deleted")
			},
			func(ctx context.Context) error { return s.Delete(ctx, "deleted", 1) },
			1,
		},
		"a create whose ID another one has, who never ends": {
			func(t *testing.T) {
				_, err := s.insert(t.Context(), newDocument(keyed("pending")))
				require.NoError(t, err)
				spoil(t, s.tasks, "pending")
			},
			func(ctx context.Context) error { _, err := s.Create(ctx, keyed("pending")); return err },
			1,
		},
		"a create whose key another one has, who is no more": {
			func(t *testing.T) {
				d := newDocument(keyed("gone"))
				d.Record.Spec.IdempotencyKey = "key of one that is gone"
				_, err := s.claim(t.Context(), d)
				require.NoError(t, err)
				spoil(t, s.keys, keyOf(d).ID)
			},
			func(ctx context.Context) error {
				task := keyed("next")
				task.Spec.IdempotencyKey = "key of one that is gone"
				_, err := s.Create(ctx, task)
				return err
			},
			2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.spoil(t)
			asked.Store(0)
			ctx, cancel := context.WithTimeout(t.Context(), 500*firstPause)
			defer cancel()
			require.ErrorIs(t, c.call(ctx), context.DeadlineExceeded)
			// The shortest pauses are 0.5, 1, 2, 4, 8, 16, 32, 64, 128 and 128 ms, and
			// the next one is too long.
			assert.LessOrEqual(t, asked.Load(), 11*c.asks)
		})
	}
}
