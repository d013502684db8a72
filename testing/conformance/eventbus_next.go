package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var busNextChecks = []busCheck{
	{"waits for an event", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		s := r.subscribe(id, ports.Position{})
		for n := range 5 {
			ch := r.nextLater(r.ctx, s)
			r.publishMany(newID(), n, n) // another topic's
			want := r.publishMany(id, n, n)[0]
			got := receive(t, ch, "Next")
			require.NoError(t, got.err)
			require.Equal(t, canonicalEvent(want), canonicalEvent(got.event))
		}
	}},
	{"wakes every reader that waits", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		var waits []<-chan next
		for range 50 {
			s := r.subscribe(id, ports.Position{})
			waits = append(waits, inBackground(func() next {
				e, err := s.Next(r.ctx)
				return next{e, err}
			}))
		}
		r.roundTrip()
		want := r.publishMany(id, 1, 1)[0]
		for _, ch := range waits {
			got := receive(t, ch, "Next")
			require.NoError(t, got.err)
			require.Equal(t, want.ID, got.event.ID)
		}
	}},
	{"loses no event when its context ends", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		s := r.subscribe(id, ports.Position{})
		for n := range 5 {
			ctx, cancel := context.WithCancel(r.ctx)
			ch := r.nextLater(ctx, s)
			cancel()
			requireContextError(t, ctx, receive(t, ch, "Next").err)
			want := r.publishMany(id, n, n)[0]
			_, err := s.Next(ctx)
			requireContextError(t, ctx, err)
			r.requireEvents(s, want)
		}
	}},
	{"loses no event to a context that ends while it comes", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		s := r.subscribe(id, ports.Position{})
		var got []ports.EventID
		for n := range 20 {
			ctx, cancel := context.WithCancel(r.ctx)
			ch := r.nextLater(ctx, s)
			var want []ports.Event
			concurrently(2, func(i int) {
				if i == 0 {
					cancel()
					return
				}
				e := newEvent(id, n)
				var err error
				e.ID, err = r.Publish(r.ctx, e)
				assert.NoError(t, err)
				want = append(want, e)
			})
			if first := receive(t, ch, "Next"); first.err == nil {
				got = append(got, first.event.ID)
			} else {
				requireContextError(t, ctx, first.err)
				r.requireEvents(s, want...)
				got = append(got, want[0].ID)
			}
			require.Equal(t, want[0].ID, got[n])
			cancel()
		}
	}},
	{"ends at a deadline", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		ctx, cancel := context.WithTimeout(r.ctx, 20*time.Millisecond)
		defer cancel()
		_, err := r.subscribe(newID(), ports.Position{}).Next(ctx)
		requireContextError(t, ctx, err)
	}},
	{"holds nobody up when nobody calls it", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		const n = 500
		slow, stuck, fast := r.subscribe(id, ports.Position{}), r.subscribe(id, ports.Position{}), r.subscribe(id, ports.Position{})
		first := r.publishMany(id, 1, 1)
		r.requireEvents(stuck, first...) // and never reads again
		published := first
		r.requireEvents(fast, first...)
		for i := 2; i <= n; i++ {
			e := r.publishMany(id, i, i)
			r.requireEvents(fast, e...)
			published = append(published, e...)
		}
		r.requireEvents(slow, published...)
	}},
}

var busCloseChecks = []busCheck{
	{"can be called again", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		s := r.subscribe(newID(), ports.Position{})
		for range 3 {
			require.NoError(t, s.Close())
		}
	}},
	{"ends the subscription, whatever is left to read", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		published := r.publishMany(id, 1, 3)
		s, other := r.subscribe(id, ports.Position{}), r.subscribe(id, ports.Position{})
		r.requireEvents(s, published[0])
		require.NoError(t, s.Close())
		for range 2 {
			_, err := s.Next(r.ctx)
			requireSentinel(t, err, ports.ErrClosed)
		}
		r.requireEvents(other, published...)
		r.requireEvents(other, r.publishMany(id, 4, 4)...)
	}},
	{"wakes a Next that waits", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		s := r.subscribe(newID(), ports.Position{})
		ch := r.nextLater(r.ctx, s)
		require.NoError(t, s.Close())
		requireSentinel(t, receive(t, ch, "Next").err, ports.ErrClosed)
	}},
	{"may come from many at once", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		for range 10 {
			s := r.subscribe(newID(), ports.Position{})
			concurrently(5, func(i int) {
				if i == 0 {
					_, err := s.Next(r.ctx)
					assert.ErrorIs(t, err, ports.ErrClosed)
				} else {
					assert.NoError(t, s.Close())
				}
			})
		}
	}},
}

var busConcurrencyChecks = []busCheck{
	{"has one order for all readers, and keeps that of every publisher", func(t *testing.T, h EventBusHarness) {
		const publishers, readers, each = 4, 4, 40
		r := newBusRig(t, h)
		id := newID()
		seen := make([][]ports.Event, readers)
		concurrently(publishers+readers, func(i int) {
			if i < publishers {
				for n := range each {
					e := newEvent(id, n)
					e.Attempt = i + 1
					_, err := r.Publish(r.ctx, e)
					assert.NoError(t, err)
				}
				return
			}
			// Every other reader comes anew for each event.
			seen[i-publishers] = r.follow(id, publishers*each, i%2 == 0)
		})
		for _, events := range seen {
			requireIDs(t, events...)
			require.Equal(t, seen[0], events)
		}
		last := map[int]int64{}
		for _, e := range seen[0] {
			require.Equal(t, last[e.Attempt], e.Offset, "publisher %d", e.Attempt)
			last[e.Attempt]++
		}
	}},
	{"serves many topics at once", func(t *testing.T, h EventBusHarness) {
		const topics, each = 8, 20
		r := newBusRig(t, h)
		ids := make([]ports.TaskID, topics)
		for i := range ids {
			ids[i] = newID()
		}
		concurrently(2*topics, func(i int) {
			id := ids[i/2]
			if i%2 == 0 {
				for n := range each {
					_, err := r.Publish(r.ctx, newEvent(id, n))
					assert.NoError(t, err)
				}
				return
			}
			for n, e := range r.follow(id, each, false) {
				assert.EqualValues(t, n, e.Offset)
			}
		})
	}},
	{"misses nothing that comes while it subscribes", func(t *testing.T, h EventBusHarness) {
		const n, readers = 60, 6
		r := newBusRig(t, h)
		id := newID()
		subscribed := make(chan struct{}, readers)
		concurrently(1+readers, func(i int) {
			if i == 0 {
				for n := range n {
					_, err := r.Publish(r.ctx, newEvent(id, n))
					assert.NoError(t, err)
				}
				for range readers {
					<-subscribed
				}
				_, err := r.Publish(r.ctx, newEvent(id, n))
				assert.NoError(t, err)
				return
			}
			fromStart := i%2 == 0
			s, err := r.Subscribe(r.ctx, id, ports.Position{Now: !fromStart})
			subscribed <- struct{}{}
			if !assert.NoError(t, err) {
				return
			}
			// From wherever it starts, every number follows the one before.
			for want := int64(0); want <= n; want++ {
				e, err := s.Next(r.ctx)
				if !assert.NoError(t, err) {
					return
				}
				if want == 0 && !fromStart {
					want = e.Offset
				}
				assert.Equal(t, want, e.Offset)
			}
			assert.NoError(t, s.Close())
		})
	}},
}

// follow reads n events of a topic from its start. If it resumes, it does so with
// a new subscription for every event.
func (r *busRig) follow(id ports.TaskID, n int, resume bool) []ports.Event {
	var events []ports.Event
	var from ports.Position
	for len(events) < n {
		s, err := r.Subscribe(r.ctx, id, from)
		if !assert.NoError(r.t, err) {
			return events
		}
		for len(events) < n {
			e, err := s.Next(r.ctx)
			if !assert.NoError(r.t, err) {
				return events
			}
			events = append(events, canonicalEvent(e))
			from.After = e.ID
			if resume {
				break
			}
		}
		assert.NoError(r.t, s.Close())
	}
	return events
}

var busContextChecks = []busCheck{
	{"does nothing in a context that is done", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		published := r.publishMany(id, 1, 2)
		s := r.subscribe(id, ports.Position{})
		for what, ctx := range doneContexts(t) {
			_, err := r.Publish(ctx, newEvent(id, 3))
			requireContextError(t, ctx, err, what)
			_, err = r.Subscribe(ctx, id, ports.Position{})
			requireContextError(t, ctx, err, what)
			requireContextError(t, ctx, r.Delete(ctx, id), what)
			_, err = s.Next(ctx)
			requireContextError(t, ctx, err, what)
		}
		r.requireEvents(s, published...)
		r.requireNoMore(s, id)
	}},
	{"goes on with a subscription whose Subscribe had a context that ended", func(t *testing.T, h EventBusHarness) {
		r := newBusRig(t, h)
		id := newID()
		ctx, cancel := context.WithCancel(r.ctx)
		s, err := r.Subscribe(ctx, id, ports.Position{})
		require.NoError(t, err)
		defer s.Close()
		cancel()
		r.requireEvents(s, r.publishMany(id, 1, 3)...)
	}},
}
