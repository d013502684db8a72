package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var queueCancelChecks = []queueCheck{
	{"removes an entry that waits", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		a, b, c := r.enqueueNew(), r.enqueueNew(), r.enqueueNew()
		r.cancel(b, ports.CancelledWaiting)
		r.requireNotFound(b)
		r.claimTask(a, long)
		r.claimTask(c, long)
		r.requireNothingDue("q")
	}},
	{"removes an entry that is delayed", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := newID()
		r.enqueue(ports.Entry{Task: id, Delay: r.tick})
		r.cancel(id, ports.CancelledWaiting)
		r.requireNotFound(id)
		r.pass(r.tick)
		r.requireNothingDue("q")
	}},
	{"leaves nothing behind of an entry that it removed", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		r.cancel(id, ports.CancelledWaiting)
		r.enqueue(ports.Entry{Task: id})
		l := r.claimTask(id, long)
		assert.Equal(t, 1, l.Deliveries)
		r.ack(r.extend(l, long))
	}},
	{"tells the holder of a lease, who can go on to the end", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claim(long)
		for range 2 {
			r.cancel(id, ports.CancelledLeased)
		}
		r.requireNothingDue("q")
		for range 2 {
			l = r.extendCancelled(l, long)
		}
		r.ack(l)
		r.requireNotFound(id)
		r.requireNothingDue("q")
	}},
	{"extends the lease of a cancelled task all the same", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		ttl := 3 * r.tick
		if !r.exact() {
			ttl *= 10 // a slow machine may take that long for two calls
		}
		l := r.claim(ttl)
		r.cancel(id, ports.CancelledLeased)
		r.extendCancelled(l, long)
		r.pass(ttl)
		r.requireNothingDue("q")
		r.cancel(id, ports.CancelledLeased)
	}},
	{"lets the lease of a cancelled task end", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claim(long)
		r.cancel(id, ports.CancelledLeased)
		l = r.extendCancelled(l, r.tick)
		r.pass(r.tick)
		r.requireGhost(l)
		again := r.claimTask(id, long)
		assert.Equal(t, 2, again.Deliveries)
		r.extendCancelled(again, long)
	}},
	{"stays on an entry that is given back", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claim(long)
		r.cancel(id, ports.CancelledLeased)
		for _, delay := range []time.Duration{0, r.tick} {
			r.nack(l, delay)
			r.enqueue(ports.Entry{Task: id}) // repeats are harmless
			r.pass(r.tick)
			l = r.claimTask(id, long)
			l = r.extendCancelled(l, long)
		}
	}},
	{"removes an entry that was given back, flagged or not", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		for _, delay := range []time.Duration{0, time.Hour} {
			for _, flagged := range []bool{true, false} {
				id := r.enqueueNew()
				l := r.claimTask(id, long)
				if flagged {
					r.cancel(id, ports.CancelledLeased)
				}
				r.nack(l, delay)
				r.cancel(id, ports.CancelledWaiting)
				r.requireNotFound(id)
				r.requireNothingDue("q")
			}
		}
	}},
	{"removes an entry whose lease expired", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		ghost := r.claim(r.tick)
		r.pass(r.tick)
		r.cancel(id, ports.CancelledWaiting)
		r.requireGhost(ghost)
		r.requireNothingDue("q")
	}},
	{"tells a ghost that its lease is lost and nothing else", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		ghost := r.claim(r.tick)
		r.pass(r.tick)
		l := r.claimTask(id, long)
		r.cancel(id, ports.CancelledLeased)
		r.requireGhost(ghost)
		r.extendCancelled(l, long)
	}},
	{"touches no other task", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		ids := []ports.TaskID{"a", "a1", "A", "a/1", "*"}
		var leases []ports.Lease
		for _, id := range ids {
			r.enqueue(ports.Entry{Task: id}, ports.Entry{Task: id + "-waits", Queue: "w"})
		}
		for _, id := range ids {
			leases = append(leases, r.claimTask(id, long))
		}
		r.cancel("a", ports.CancelledLeased)
		r.cancel("*", ports.CancelledLeased)
		for _, l := range leases {
			if l.Task == "a" || l.Task == "*" {
				r.extendCancelled(l, long)
			} else {
				r.extend(l, long)
			}
		}
		assert.Equal(t, len(ids), r.stats("w").Waiting)
	}},
	{"finds no entry that is not there", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.requireNotFound(newID())
		id := r.enqueueNew()
		r.requireNotFound(id + "1")
		r.requireNotFound("*")
		r.ack(r.claim(long))
		r.requireNotFound(id)
	}},
}

// cancel cancels the task and demands that it was found so.
func (r *queueRig) cancel(id ports.TaskID, want ports.Cancelled) {
	r.t.Helper()
	found, err := r.Cancel(r.ctx, id)
	require.NoError(r.t, err)
	require.Equal(r.t, want, found)
}

func (r *queueRig) requireNotFound(id ports.TaskID) {
	r.t.Helper()
	_, err := r.Cancel(r.ctx, id)
	requireSentinel(r.t, err, ports.ErrNotFound)
}

// extendCancelled extends a lease that must be told of a cancel, and be good.
func (r *queueRig) extendCancelled(l ports.Lease, ttl time.Duration) ports.Lease {
	r.t.Helper()
	extended, err := r.Extend(r.ctx, l, ttl)
	requireSentinel(r.t, err, ports.ErrCancelled)
	require.False(r.t, extended.ExpiresAt.IsZero())
	got := extended
	got.ExpiresAt = l.ExpiresAt
	require.Equal(r.t, l, got)
	return extended
}
