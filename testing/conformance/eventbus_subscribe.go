package conformance

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var busSubscribeChecks = []busCheck{
	{"starts at the beginning", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		published := r.publishMany(id, 1, 5)
		s := r.subscribe(id, ports.Position{})
		published = append(published, r.publishMany(id, 6, 10)...)
		r.requireEvents(s, published...)
		r.requireEvents(s, r.publishMany(id, 11, 12)...)
	}},
	{"needs no topic yet", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		start, now := r.subscribe(id, ports.Position{}), r.subscribe(id, ports.Position{Now: true})
		published := r.publishMany(id, 1, 3)
		r.requireEvents(start, published...)
		r.requireEvents(now, published...)
	}},
	{"starts now, at a place that is fixed when it returns", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		for n := range 10 {
			r.publish(newEvent(id, n))
			s := r.subscribe(id, ports.Position{Now: true})
			r.requireEvents(s, r.publishMany(id, 100, 103)...)
			require.NoError(t, s.Close())
		}
	}},
	{"starts just behind any event", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		published := r.publishMany(id, 1, 12)
		for i, e := range published {
			s := r.subscribe(id, ports.Position{After: e.ID})
			r.requireEvents(s, published[i+1:]...)
			require.NoError(t, s.Close())
		}
		s := r.subscribe(id, ports.Position{After: published[11].ID})
		r.requireEvents(s, r.publishMany(id, 13, 14)...)
	}},
	{"sees each event once when it resumes again and again", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		published := r.publishMany(id, 1, 10)
		var from ports.Position
		for i := range 20 {
			if i == 10 {
				published = append(published, r.publishMany(id, 11, 20)...)
			}
			s := r.subscribe(id, from)
			r.requireEvents(s, published[i])
			require.NoError(t, s.Close())
			from.After = published[i].ID
		}
	}},
	{"refuses a position that means two things", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		e := r.publishMany(id, 1, 1)[0]
		_, err := r.Subscribe(r.ctx, id, ports.Position{After: e.ID, Now: true})
		requireSentinel(t, err, ports.ErrInvalid)
	}},
	{"refuses an ID that is not one of its own", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		used := newID()
		e := r.publishMany(used, 1, 3)[1]
		for _, task := range []ports.TaskID{used, newID()} {
			for _, id := range []ports.EventID{
				"no ID", "ABC", "*", "$", "+", "-", "(", "é", " ", "\x00", "-1", "1 ", " 1", "1\n", "+1", "0x1", "1.0", "1e3",
				"zzzzzzzz", "null", ports.EventID(strings.Repeat("9", 64)), ports.EventID(strings.Repeat("1", 1000)),
				e.ID + "x", "x" + e.ID, e.ID + "\n",
			} {
				_, err := r.Subscribe(r.ctx, task, ports.Position{After: id})
				requireSentinel(t, err, ports.ErrInvalid, "after %.70q", id)
			}
		}
	}},
}
