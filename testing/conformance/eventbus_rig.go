package conformance

import (
	"context"
	"fmt"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// busRig is a bus under test with what the cases do to it.
type busRig struct {
	ports.EventBus
	t   *testing.T
	h   EventBusHarness
	ctx context.Context
}

func newBusRig(t *testing.T, h EventBusHarness) *busRig {
	return &busRig{EventBus: h.New(t), t: t, h: h, ctx: patientContext(t)}
}

// newEvent returns a small event of the task, numbered.
func newEvent(id ports.TaskID, n int) ports.Event {
	return ports.Event{
		Task: id, Attempt: 1, Type: ports.EventStdout, Time: epoch.Add(time.Duration(n) * time.Millisecond),
		Data: fmt.Appendf(nil, "event %d", n), Offset: int64(n),
	}
}

// fullEvent returns an event with every field set.
func fullEvent(id ports.TaskID) ports.Event {
	return ports.Event{
		ID: "given-by-the-bus", Task: id, Attempt: 3, Type: ports.EventEnd, Time: epoch, Status: ports.StatusFailed,
		Cause: ports.CauseSignal, ExitCode: -1, Signal: "SIGSEGV", Data: allBytes(), Offset: 1<<40 + 1, Truncated: true,
		Sample: ports.Sample{At: time.Hour + 1, CPU: 1.0 / 3, Memory: 1<<50 + 1},
	}
}

// publish publishes the events and returns them with the IDs that they were given.
func (r *busRig) publish(events ...ports.Event) []ports.Event {
	r.t.Helper()
	published := make([]ports.Event, len(events))
	for i, e := range events {
		id, err := r.Publish(r.ctx, e)
		require.NoError(r.t, err)
		published[i] = e
		published[i].ID = id
	}
	return published
}

// publishMany publishes events with the numbers from first to last.
func (r *busRig) publishMany(id ports.TaskID, first, last int) []ports.Event {
	r.t.Helper()
	var published []ports.Event
	for n := first; n <= last; n++ {
		published = append(published, r.publish(newEvent(id, n))...)
	}
	return published
}

// subscribe subscribes and closes the subscription when the case ends.
func (r *busRig) subscribe(id ports.TaskID, from ports.Position) ports.Subscription {
	r.t.Helper()
	s, err := r.Subscribe(r.ctx, id, from)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = s.Close() })
	return s
}

// requireEvents demands that these events come next.
func (r *busRig) requireEvents(s ports.Subscription, want ...ports.Event) {
	r.t.Helper()
	for _, w := range want {
		got, err := s.Next(r.ctx)
		require.NoError(r.t, err, "waiting for event %q", w.ID)
		require.Equal(r.t, canonicalEvent(w), canonicalEvent(got))
	}
}

// requireNoMore demands that nothing more has been published than the
// subscription gave: what is published now comes next.
func (r *busRig) requireNoMore(s ports.Subscription, id ports.TaskID) {
	r.t.Helper()
	r.requireEvents(s, r.publish(newEvent(id, 1<<20))...)
}

// canonicalEvent drops what may differ: a time's location and what is below a
// millisecond, and whether empty data is nil.
func canonicalEvent(e ports.Event) ports.Event {
	e.Time = e.Time.UTC().Truncate(time.Millisecond).Round(0)
	e.Data = canonicalSlice(e.Data)
	return e
}

// next is what a Next returned.
type next struct {
	event ports.Event
	err   error
}

// nextLater calls Next in the background, and returns once that waits where this
// can be known.
func (r *busRig) nextLater(ctx context.Context, s ports.Subscription) <-chan next {
	r.t.Helper()
	ch := inBackground(func() next {
		e, err := s.Next(ctx)
		return next{e, err}
	})
	if r.h.Bubble {
		synctest.Wait()
	} else {
		r.roundTrip()
	}
	return ch
}

// roundTrip sends something over the bus and back, which is the time that it
// takes to get something to wait.
func (r *busRig) roundTrip() {
	r.t.Helper()
	id := newID()
	s, err := r.Subscribe(r.ctx, id, ports.Position{Now: true})
	require.NoError(r.t, err)
	r.requireEvents(s, r.publish(newEvent(id, 0))...)
	require.NoError(r.t, s.Close())
}

var eventIDPattern = regexp.MustCompile(`^[0-9a-z-]{1,64}$`)

// requireIDs demands IDs that are valid and differ.
func requireIDs(t *testing.T, events ...ports.Event) {
	t.Helper()
	seen := map[ports.EventID]bool{}
	for _, e := range events {
		require.Regexp(t, eventIDPattern, string(e.ID))
		require.False(t, seen[e.ID], "the ID %q was given twice", e.ID)
		seen[e.ID] = true
	}
}
