package conformance

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var busTrimChecks = []busCheck{
	{"tells who resumes behind an event that too much was trimmed", func(t *testing.T, h EventBusHarness) {
		r, id, published := trimmedTopic(t, h)
		_, err := r.Subscribe(r.ctx, id, ports.Position{After: published[0].ID})
		requireSentinel(t, err, ports.ErrGone)
		last := len(published) - 1
		r.requireEvents(r.subscribe(id, ports.Position{After: published[last-1].ID}), published[last])
		r.requireEvents(r.subscribe(id, ports.Position{After: published[last].ID}), r.publishMany(id, last+1, last+1)...)
	}},
	{"starts at the oldest event kept and leaves none out", func(t *testing.T, h EventBusHarness) {
		r, id, published := trimmedTopic(t, h)
		s := r.subscribe(id, ports.Position{})
		first, err := s.Next(r.ctx)
		require.NoError(t, err)
		for i, e := range published {
			if e.ID == first.ID {
				require.Positive(t, i, "nothing was trimmed")
				r.requireEvents(s, published[i+1:]...)
				return
			}
		}
		require.FailNow(t, "the oldest event kept was never published")
	}},
	{"tells a reader that was too slow, and leaves it no gap", func(t *testing.T, h EventBusHarness) {
		h.New = h.Trimming
		r := newBusRig(t, h)
		id := newID()
		first := r.publishMany(id, 1, 2)
		s := r.subscribe(id, ports.Position{})
		r.requireEvents(s, first[0])
		r.trim(id, first)
		for range 2 {
			_, err := s.Next(r.ctx)
			requireSentinel(t, err, ports.ErrGone)
		}
	}},
	{"keeps a reader going that keeps up", func(t *testing.T, h EventBusHarness) {
		r, id, published := trimmedTopic(t, h)
		s := r.subscribe(id, ports.Position{Now: true})
		for n := range published {
			r.requireEvents(s, r.publishMany(id, n, n)...)
		}
	}},
}

// trimmedTopic returns a bus with a topic of which at least the first two events
// were trimmed, and all that were published.
func trimmedTopic(t *testing.T, h EventBusHarness) (*busRig, ports.TaskID, []ports.Event) {
	t.Helper()
	h.New = h.Trimming
	r := newBusRig(t, h)
	id := newID()
	return r, id, r.trim(id, r.publishMany(id, 1, 2))
}

// trim publishes until nobody can resume behind the first of the events, the
// second of which is trimmed then. It returns all that were published.
func (r *busRig) trim(id ports.TaskID, published []ports.Event) []ports.Event {
	r.t.Helper()
	for len(published) <= 2000 {
		s, err := r.Subscribe(r.ctx, id, ports.Position{After: published[0].ID})
		if err != nil {
			requireSentinel(r.t, err, ports.ErrGone)
			return published
		}
		require.NoError(r.t, s.Close())
		published = append(published, r.publishMany(id, len(published), len(published)+9)...)
	}
	require.FailNow(r.t, "2,000 events were published and none was trimmed")
	return nil
}

var busFullChecks = []busCheck{
	{"refuses an event for which it has no room and stays usable", func(t *testing.T, h EventBusHarness) {
		h.New = h.Full
		r := newBusRig(t, h)
		event := func() ports.Event { return ports.Event{Task: newID(), Data: make([]byte, 1024)} }
		var published []ports.Event
		var refused ports.Event
		for refused.Task == "" {
			require.Less(t, len(published), 1000, "the bus took 1,000 topics and is not full")
			e := event()
			id, err := r.Publish(r.ctx, e)
			if err != nil {
				requireSentinel(t, err, ports.ErrFull)
				refused = e
			} else {
				e.ID = id
				published = append(published, e)
			}
		}
		s := r.subscribe(refused.Task, ports.Position{})
		for _, e := range published {
			kept := r.subscribe(e.Task, ports.Position{})
			r.requireEvents(kept, e)
			require.NoError(t, kept.Close())
		}
		// A bus may need some room to serve readers.
		for _, e := range published[:(len(published)+1)/2] {
			require.NoError(t, r.Delete(r.ctx, e.Task))
		}
		r.requireEvents(s, r.publish(refused)...)
		assert.NoError(t, s.Close())
	}},
}
