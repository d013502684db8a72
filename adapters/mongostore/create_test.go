package mongostore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/task-runner/task-runner/ports"
)

// all is an age that every pending task has.
const all = -time.Hour

func keyed(id ports.TaskID) ports.Task {
	return ports.Task{
		ID: id, Owner: "owner", Status: ports.StatusQueued, CreatedAt: time.UnixMilli(1_741_964_966_535).UTC(),
		Spec: ports.Spec{Language: "python", Code: "of " + string(id), IdempotencyKey: "key"},
	}
}

// The table of crashes in create.go: each creator dies after so many steps.
func TestCreateThatDied(t *testing.T) {
	t.Parallel()
	insert := func(t *testing.T, s *Store, d *document) {
		there, err := s.insert(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, d.Creation, there.Creation)
	}
	claim := func(t *testing.T, s *Store, d *document) {
		winner, err := s.claim(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, d.Creation, winner.Creation)
	}
	type outcome struct {
		task ports.TaskID
		err  error
	}
	made := func(id ports.TaskID) outcome { return outcome{id, nil} }
	found := func(id ports.TaskID) outcome { return outcome{id, ports.ErrExists} }
	for name, c := range map[string]struct {
		die func(*testing.T, *Store) // leaves behind what it does of "dead"
		// sameID and sameKey are what the next Create of the ID "dead", or of its key as
		// "next", comes to; swept is what New leaves.
		sameID, sameKey outcome
		swept           []ports.TaskID
	}{
		"after its insert": {
			die:    func(t *testing.T, s *Store) { insert(t, s, newDocument(keyed("dead"))) },
			sameID: found("dead"), sameKey: made("next"),
		},
		"after it claimed the key": {
			die: func(t *testing.T, s *Store) {
				d := newDocument(keyed("dead"))
				insert(t, s, d)
				claim(t, s, d)
			},
			sameID: found("dead"), sameKey: found("dead"), swept: []ports.TaskID{"dead"},
		},
		"before it discarded its own": {
			die: func(t *testing.T, s *Store) {
				_, err := s.Create(t.Context(), keyed("winner"))
				require.NoError(t, err)
				insert(t, s, newDocument(keyed("dead")))
			},
			sameID: found("winner"), sameKey: found("winner"), swept: []ports.TaskID{"winner"},
		},
		"in a delete, before the key was free": {
			die: func(t *testing.T, s *Store) {
				task, err := s.Create(t.Context(), keyed("dead"))
				require.NoError(t, err)
				d, err := s.known(t.Context(), task.ID)
				require.NoError(t, err)
				gone, err := s.remove(t.Context(), d)
				require.NoError(t, err)
				require.True(t, gone)
			},
			sameID: made("dead"), sameKey: made("next"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			left := func(t *testing.T) *Store {
				s := newStore(t)
				c.die(t, s)
				_, err := s.Get(t.Context(), "dead")
				require.ErrorIs(t, err, ports.ErrNotFound, "nobody sees it")
				return s
			}
			one := func(t *testing.T, s *Store, id ports.TaskID, want outcome) {
				got, err := s.Create(t.Context(), keyed(id))
				require.ErrorIs(t, err, want.err)
				require.Equal(t, want.task, got.ID)
				require.Equal(t, []ports.TaskID{want.task}, listed(t, s))
				again, err := s.Create(t.Context(), keyed("later"))
				require.ErrorIs(t, err, ports.ErrExists, "the key is held")
				require.Equal(t, want.task, again.ID)
				require.NoError(t, s.Delete(t.Context(), want.task, 1))
				_, err = s.Create(t.Context(), keyed("after"))
				require.NoError(t, err, "the key is free")
			}
			t.Run("then the same ID comes", func(t *testing.T) { one(t, left(t), "dead", c.sameID) })
			t.Run("then the same key comes", func(t *testing.T) { one(t, left(t), "next", c.sameKey) })
			t.Run("then its creation is too old", func(t *testing.T) {
				s := left(t)
				require.NoError(t, s.sweep(t.Context(), leftAfter))
				require.Empty(t, diff(listed(t, s), "winner"), "it might still be at it")
				require.NoError(t, s.sweep(t.Context(), all))
				assert.Equal(t, c.swept, listed(t, s))
				n, err := s.tasks.CountDocuments(t.Context(), bson.D{{Key: "pending", Value: true}})
				require.NoError(t, err)
				assert.Zero(t, n)
			})
		})
	}
}

// Slow creators wake up in a world that went on without them.
func TestCreateThatWasSlow(t *testing.T) {
	t.Parallel()
	begun := func(t *testing.T) (*Store, *document) {
		s := newStore(t)
		d := newDocument(keyed("slow"))
		_, err := s.insert(t.Context(), d)
		require.NoError(t, err)
		return s, d
	}
	t.Run("finds its task swept and leaves no key", func(t *testing.T) {
		s, d := begun(t)
		require.NoError(t, s.sweep(t.Context(), all))
		_, err := s.settle(t.Context(), d)
		require.ErrorIs(t, err, errSwept)
		_, err = s.holder(t.Context(), keyOf(d).ID)
		require.ErrorIs(t, err, ports.ErrNotFound)
	})
	t.Run("finds its task finished by another and is still the one that made it", func(t *testing.T) {
		s, d := begun(t)
		_, err := s.Create(t.Context(), keyed("slow"))
		require.ErrorIs(t, err, ports.ErrExists)
		_, err = s.settle(t.Context(), d)
		require.NoError(t, err)
	})
	t.Run("does not touch a task of the same ID that came after its own", func(t *testing.T) {
		s, d := begun(t)
		require.NoError(t, s.sweep(t.Context(), all))
		next, err := s.Create(t.Context(), keyed("slow"))
		require.NoError(t, err)
		_, err = s.settle(t.Context(), d)
		require.ErrorIs(t, err, ports.ErrExists)
		require.NoError(t, s.free(t.Context(), d))
		got, err := s.Create(t.Context(), keyed("other"))
		require.ErrorIs(t, err, ports.ErrExists, "the key is still the next one's")
		require.Equal(t, next, got)
	})
}

func diff(ids []ports.TaskID, but ports.TaskID) (rest []ports.TaskID) {
	for _, id := range ids {
		if id != but {
			rest = append(rest, id)
		}
	}
	return rest
}
