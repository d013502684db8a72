package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var queueEnqueueChecks = []queueCheck{
	{"takes every valid ID, each for itself", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		ids := oddIDs()
		for _, id := range ids {
			r.enqueue(ports.Entry{Task: id})
		}
		require.Equal(t, len(ids), r.stats("q").Waiting)
		for i, id := range ids {
			l := r.claimTask(id, long)
			l = r.extend(l, long)
			if i%2 == 0 {
				r.ack(l)
				continue
			}
			found, err := r.Cancel(r.ctx, id)
			require.NoError(t, err)
			require.Equal(t, ports.CancelledLeased, found)
			r.ack(l)
		}
		assert.Equal(t, ports.QueueStats{}, r.stats("q"))
	}},
	{"refuses what is no entry and keeps nothing of it", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		refused := map[string]ports.Entry{
			"no queue":                {Task: newID()},
			"a name that is too long": {Task: newID(), Queue: strings.Repeat("q", ports.MaxQueueName+1)},
			"a priority too high":     {Task: newID(), Queue: "q", Priority: 101},
			"a priority too low":      {Task: newID(), Queue: "q", Priority: -101},
			"a negative delay":        {Task: newID(), Queue: "q", Delay: -1},
		}
		for what, id := range badIDs() {
			refused["an ID that is "+what] = ports.Entry{Task: id, Queue: "q"}
		}
		for what, e := range refused {
			requireSentinel(t, r.Enqueue(r.ctx, e), ports.ErrInvalid, what)
			_, err := r.Cancel(r.ctx, e.Task)
			require.Error(t, err, what)
		}
		r.requireNothingDue("q")
	}},
	{"changes nothing when the task waits already", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		first, second := r.enqueueNew(), r.enqueueNew()
		r.enqueue(
			ports.Entry{Task: second, Priority: 100},
			ports.Entry{Task: first, Queue: "another"},
			ports.Entry{Task: first, Delay: time.Hour},
		)
		assert.Zero(t, r.stats("another"))
		l := r.claimTask(first, long)
		assert.Equal(t, 1, l.Deliveries)
		r.claimTask(second, long)
		r.requireNothingDue("q")
		r.requireNothingDue("another")
	}},
	{"changes nothing when the task is delayed", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := newID()
		r.enqueue(ports.Entry{Task: id, Delay: time.Hour}, ports.Entry{Task: id})
		r.requireNothingDue("q")
		assert.Equal(t, ports.QueueStats{Delayed: 1}, r.stats("q"))
	}},
	{"changes nothing when the task is leased", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claimTask(id, long)
		r.enqueue(ports.Entry{Task: id}, ports.Entry{Task: id, Queue: "another", Priority: 5})
		r.requireNothingDue("q")
		r.requireNothingDue("another")
		l = r.extend(l, long)
		r.ack(l)
		r.requireNothingDue("q")
	}},
	{"starts anew after the task was acknowledged", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		old := r.claimTask(id, long)
		_, err := r.Cancel(r.ctx, id)
		require.NoError(t, err)
		r.ack(old)

		r.enqueue(ports.Entry{Task: id, Queue: "another"})
		l := r.claim(long, "another")
		assert.Equal(t, id, l.Task)
		assert.Equal(t, "another", l.Queue)
		assert.Equal(t, 1, l.Deliveries)
		assert.Greater(t, l.Fence, old.Fence)
		r.requireGhost(old)
		r.ack(r.extend(l, long)) // no flag is left of the first life
	}},
}

var queueFullChecks = []queueCheck{
	{"refuses what it has no room for and stays usable", func(t *testing.T, h QueueHarness) {
		h.New = h.Full
		r := newQueueRig(t, h)
		ids, refused := r.fill()
		_, err := r.Cancel(r.ctx, refused)
		requireSentinel(t, err, ports.ErrNotFound)
		r.enqueue(ports.Entry{Task: ids[0]}) // it is there already
		r.ack(r.claimTask(ids[0], long))
		r.enqueue(ports.Entry{Task: refused})
		for _, id := range append(ids[1:], refused) {
			r.claimTask(id, long)
		}
	}},
	{"counts what is leased and what is delayed", func(t *testing.T, h QueueHarness) {
		h.New = h.Full
		r := newQueueRig(t, h)
		ids, refused := r.fill()
		l := r.claimTask(ids[0], long)
		requireSentinel(t, r.Enqueue(r.ctx, ports.Entry{Task: refused, Queue: "q"}), ports.ErrFull)
		r.enqueue(ports.Entry{Task: ids[0]}) // leased, so there already
		r.nack(l, time.Hour)
		requireSentinel(t, r.Enqueue(r.ctx, ports.Entry{Task: refused, Queue: "q"}), ports.ErrFull)
		_, err := r.Cancel(r.ctx, ids[0])
		require.NoError(t, err)
		r.enqueue(ports.Entry{Task: refused})
	}},
	{"has room for the system's own, which take none", func(t *testing.T, h QueueHarness) {
		h.New = h.Full
		own := func(name string) ports.Entry {
			return ports.Entry{Task: ports.TaskID(ports.SystemQueue + name), Queue: ports.SystemQueue + name}
		}
		r := newQueueRig(t, h)
		before, _ := r.fill()
		r = newQueueRig(t, h)
		r.enqueue(own("early"))
		after, _ := r.fill()
		assert.Len(t, after, len(before), "it takes nobody's room")
		r.enqueue(own("late"))
		for _, name := range []string{"early", "late"} {
			l := r.claim(long, own(name).Queue)
			assert.Equal(t, own(name).Task, l.Task)
			r.ack(l)
		}
		requireSentinel(t, r.Enqueue(r.ctx, ports.Entry{Task: newID(), Queue: "q"}), ports.ErrFull)
	}},
}

// fill enqueues tasks until the queue is full. It returns those and the one that
// was refused.
func (r *queueRig) fill() (ids []ports.TaskID, refused ports.TaskID) {
	r.t.Helper()
	for len(ids) <= 1000 {
		id := newID()
		err := r.Enqueue(r.ctx, ports.Entry{Task: id, Queue: "q"})
		if err == nil {
			ids = append(ids, id)
			continue
		}
		requireSentinel(r.t, err, ports.ErrFull)
		require.NotEmpty(r.t, ids)
		return ids, id
	}
	require.FailNow(r.t, "the queue took 1,000 entries and is not full")
	return nil, ""
}
