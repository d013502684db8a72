package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var busDeleteChecks = []busCheck{
	{"ends the subscriptions that are open", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		r.publishMany(id, 1, 5)
		unread, atEnd := r.subscribe(id, ports.Position{}), r.subscribe(id, ports.Position{Now: true})
		waits := r.nextLater(r.ctx, atEnd)
		require.NoError(t, r.Delete(r.ctx, id))
		requireSentinel(t, receive(t, waits, "Next").err, ports.ErrGone)
		id = newID()
		unborn := r.subscribe(id, ports.Position{})
		waits = r.nextLater(r.ctx, unborn)
		require.NoError(t, r.Delete(r.ctx, id))
		requireSentinel(t, receive(t, waits, "Next").err, ports.ErrGone)
		for _, s := range []ports.Subscription{unread, atEnd, unborn} {
			for range 2 {
				_, err := s.Next(r.ctx)
				requireSentinel(t, err, ports.ErrGone)
			}
			require.NoError(t, s.Close())
		}
	}},
	{"keeps an old subscription from the events of a new topic", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		r.publishMany(id, 1, 5)
		old := r.subscribe(id, ports.Position{Now: true})
		require.NoError(t, r.Delete(r.ctx, id))
		published := r.publishMany(id, 6, 16)
		_, err := old.Next(r.ctx)
		requireSentinel(t, err, ports.ErrGone)
		r.requireEvents(r.subscribe(id, ports.Position{}), published...)
	}},
	{"makes the old IDs worth nothing, for ever", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		old := r.publishMany(id, 1, 5)
		requireGone := func(when string) {
			for i, e := range old {
				_, err := r.Subscribe(r.ctx, id, ports.Position{After: e.ID})
				requireSentinel(t, err, ports.ErrGone, "after old event %d, %s", i, when)
			}
		}
		require.NoError(t, r.Delete(r.ctx, id))
		requireGone("while there is no topic")
		s := r.subscribe(id, ports.Position{})
		requireGone("while somebody waits for a new topic")
		published := r.publishMany(id, 6, 16)
		requireGone("while there is a new topic")
		requireIDs(t, append(old, published...)...)
		r.requireEvents(s, published...)
		old = append(old, published...)
		require.NoError(t, r.Delete(r.ctx, id))
		published = r.publishMany(id, 17, 18)
		requireGone("while there is a third topic")
		r.requireEvents(r.subscribe(id, ports.Position{After: published[0].ID}), published[1])
	}},
	{"removes no other topic", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		published := map[ports.TaskID][]ports.Event{}
		for _, id := range []ports.TaskID{"a", "a1", "A", "a/", "a/1", "*", "a*", "."} {
			published[id] = r.publishMany(id, 1, 2)
		}
		for _, id := range []ports.TaskID{"*", "a", "."} {
			require.NoError(t, r.Delete(r.ctx, id))
			delete(published, id)
			for id, events := range published {
				r.requireEvents(r.subscribe(id, ports.Position{}), events...)
			}
		}
	}},
	{"removes what is not there without an error", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		for _, id := range append(oddIDs(), newID()) {
			require.NoError(t, r.Delete(r.ctx, id))
		}
		for what, id := range badIDs() {
			require.NoError(t, r.Delete(r.ctx, id), what)
		}
		id := newID()
		r.publishMany(id, 1, 1)
		for range 2 {
			require.NoError(t, r.Delete(r.ctx, id))
		}
	}},
}
