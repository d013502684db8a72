package conformance

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var queueLeaseChecks = []queueCheck{
	{"keeps the task from everybody else", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		l := r.claim(long)
		r.requireNothingDue("q")
		r.ack(l)
		r.requireNothingDue("q")
	}},
	{"ends by itself, and the task comes back", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		last := r.claimTask(id, r.tick)
		for deliveries := 2; deliveries <= 4; deliveries++ {
			r.pass(r.tick)
			l := r.claimTask(id, r.tick)
			assert.Equal(t, deliveries, l.Deliveries)
			assert.Greater(t, l.Fence, last.Fence)
			last = l
		}
	}},
	{"is worth nothing once it has expired, though nobody has the task", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		ghost := r.claim(r.tick)
		r.pass(r.tick)
		r.requireGhost(ghost)
		assert.Equal(t, 2, r.claimTask(id, long).Deliveries)
	}},
	{"is worth nothing once the task is somebody else's, whose lease stays good", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		ghost := r.claim(r.tick)
		r.pass(r.tick)
		l := r.claimTask(id, long)
		r.requireGhost(ghost)
		r.requireNothingDue("q")
		assert.Equal(t, ports.QueueStats{Leased: 1}, r.stats("q"))
		r.ack(r.extend(l, long))
	}},
	{"is worth nothing once it was acknowledged", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		l := r.claim(long)
		r.ack(l)
		r.requireGhost(l)
		assert.Zero(t, r.stats("q"))
	}},
	{"is worth nothing once it was given back", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claim(long)
		r.nack(l, 0)
		r.requireGhost(l, "while the task waits")
		again := r.claimTask(id, long)
		assert.Equal(t, 2, again.Deliveries)
		r.requireGhost(l, "while the task is leased")
		r.nack(again, time.Hour)
		r.requireGhost(l, "while the task is delayed")
		r.requireGhost(again, "while the task is delayed")
		assert.Equal(t, ports.QueueStats{Delayed: 1}, r.stats("q"))
	}},
	{"is worth nothing once the waiting task was cancelled", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claim(long)
		r.nack(l, 0)
		_, err := r.Cancel(r.ctx, id)
		require.NoError(t, err)
		r.requireGhost(l)
	}},
	{"is worth nothing when it is made up", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		a, b := r.enqueueNew(), r.enqueueNew()
		la, lb := r.claimTask(a, long), r.claimTask(b, long)
		for what, forge := range map[string]func(*ports.Lease){
			"no fence":           func(l *ports.Lease) { l.Fence = 0 },
			"a lower fence":      func(l *ports.Lease) { l.Fence-- },
			"a higher fence":     func(l *ports.Lease) { l.Fence += 1000 },
			"a negative fence":   func(l *ports.Lease) { l.Fence = -l.Fence },
			"another's fence":    func(l *ports.Lease) { l.Fence = lb.Fence },
			"another's task":     func(l *ports.Lease) { l.Task = b },
			"an unknown task":    func(l *ports.Lease) { l.Task = newID() },
			"the task as prefix": func(l *ports.Lease) { l.Task += "1" },
			"a pattern":          func(l *ports.Lease) { l.Task = "*" },
			"nothing at all":     func(l *ports.Lease) { *l = ports.Lease{} },
		} {
			forged := la
			forge(&forged)
			r.requireGhost(forged, what)
		}
		r.ack(la)
		r.ack(lb)
	}},
	{"lasts longer when it is extended", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		l := r.extendedInTime(3*r.tick, long)
		r.pass(4 * r.tick)
		r.requireNothingDue("q")
		r.ack(l)
	}},
	{"lasts as long as somebody extends it", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		if !r.exact() {
			r.tick *= 10 // a slow machine may not miss a beat
		}
		r.enqueueNew()
		l := r.claim(2 * r.tick)
		for range 5 {
			r.pass(r.tick)
			l = r.extend(l, 2*r.tick)
		}
		r.ack(l)
	}},
	{"counts its time from the moment it was extended", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.extend(r.claim(long), r.tick)
		r.pass(r.tick)
		r.requireGhost(l)
		r.claimTask(id, long)
	}},
	{"stays the same when it is extended but for its expiry", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		l := r.claim(long)
		extended := r.extend(l, 2*long)
		assert.True(t, extended.ExpiresAt.After(l.ExpiresAt))
		extended.ExpiresAt = l.ExpiresAt
		assert.Equal(t, l, extended)
		r.ack(l) // which is the same lease still
	}},
	{"can be held for the longest time there is", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		l := r.extend(r.claim(1<<63-1), 1<<63-1)
		r.pass(r.tick)
		r.requireNothingDue("q")
		r.ack(l)
	}},
	{"stays as it was when it is told a time that is none", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		l := r.claim(long)
		for _, ttl := range []time.Duration{0, -1} {
			_, err := r.Extend(r.ctx, l, ttl)
			requireSentinel(t, err, ports.ErrInvalid)
		}
		requireSentinel(t, r.Nack(r.ctx, l, -1), ports.ErrInvalid)
		r.requireNothingDue("q")
		r.ack(l)
	}},
	{"gives back into the queue it came from, at the priority it had", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		high, low := newID(), newID()
		r.enqueue(ports.Entry{Task: high, Priority: 7}, ports.Entry{Task: low, Priority: 6})
		r.nack(r.claimTask(high, long), 0)
		expiring := r.claimTask(high, r.tick)
		r.pass(r.tick)
		r.requireGhost(expiring)
		r.claimTask(high, long)
		r.claimTask(low, long)
	}},
}

// extendedInTime claims the next entry for ttl and extends it. Where the machine
// was too slow for that and the lease expired, it tries again.
func (r *queueRig) extendedInTime(ttl, extension time.Duration) ports.Lease {
	r.t.Helper()
	for {
		start := time.Now()
		l, err := r.Extend(r.ctx, r.claim(ttl), extension)
		if errors.Is(err, ports.ErrLeaseLost) && time.Since(start) >= ttl {
			continue
		}
		require.NoError(r.t, err)
		return l
	}
}
