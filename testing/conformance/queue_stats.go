package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var queueStatsChecks = []queueCheck{
	{"counts nothing in a queue that was never used", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		assert.Zero(t, r.stats("never used"))
		r.enqueue(ports.Entry{Task: newID(), Queue: "used"})
		assert.Zero(t, r.stats("never used"))
		assert.Zero(t, r.stats("use"))
		assert.Zero(t, r.stats("*"))
	}},
	{"counts entries by what they are", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		counts := func() [3]int {
			s := r.stats("q")
			return [3]int{s.Waiting, s.Delayed, s.Leased}
		}
		for range 5 {
			r.enqueueNew()
		}
		r.enqueue(ports.Entry{Task: newID(), Queue: "another"})
		assert.Equal(t, [3]int{5, 0, 0}, counts())
		delayed := newID()
		r.enqueue(ports.Entry{Task: delayed, Delay: time.Hour})
		assert.Equal(t, [3]int{5, 1, 0}, counts())
		a, b, c := r.claim(long), r.claim(long), r.claim(long)
		assert.Equal(t, [3]int{2, 1, 3}, counts())
		r.extend(a, long)
		assert.Equal(t, [3]int{2, 1, 3}, counts())
		r.ack(a)
		assert.Equal(t, [3]int{2, 1, 2}, counts())
		r.nack(b, 0)
		assert.Equal(t, [3]int{3, 1, 1}, counts())
		r.nack(c, time.Hour)
		assert.Equal(t, [3]int{3, 2, 0}, counts())
		r.cancel(delayed, ports.CancelledWaiting)
		assert.Equal(t, [3]int{3, 1, 0}, counts())
		r.extend(r.claim(long), r.tick)
		r.pass(r.tick)
		assert.Equal(t, [3]int{3, 1, 0}, counts(), "after a lease expired")
		assert.Equal(t, 1, r.stats("another").Waiting)
	}},
	{"knows how long the oldest has waited", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		r.pass(3 * r.tick)
		r.enqueue(ports.Entry{Task: newID(), Priority: 100}) // which will come first and is not the oldest
		r.enqueueNew()
		r.requireOldest(3 * r.tick)
		r.claim(long)
		r.requireOldest(3 * r.tick)
		r.claim(long)
		if r.exact() {
			r.requireOldest(0)
		}
		r.claim(long)
		assert.Zero(t, r.stats("q").OldestWait)
	}},
	{"counts the wait of a delayed entry from when it was due", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueue(ports.Entry{Task: newID(), Delay: 2 * r.tick})
		assert.Zero(t, r.stats("q").OldestWait)
		r.pass(3 * r.tick)
		r.requireOldest(r.tick)
		r.nack(r.claim(long), 0)
		r.pass(r.tick)
		r.requireOldest(r.tick)
	}},
}

// requireOldest demands that the oldest entry has waited for d; for at least d,
// and a millisecond of tolerance, where time passes by itself.
func (r *queueRig) requireOldest(d time.Duration) {
	r.t.Helper()
	got := r.stats("q").OldestWait
	if r.exact() {
		require.Equal(r.t, d, got)
	} else {
		require.GreaterOrEqual(r.t, got, d-time.Millisecond)
	}
}
