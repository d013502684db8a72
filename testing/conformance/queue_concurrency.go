package conformance

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var queueConcurrencyChecks = []queueCheck{
	{"gives every task to one of many who claim", func(t *testing.T, h QueueHarness) {
		newQueueRig(t, h).workOff(160, func(r *queueRig, l ports.Lease) (done bool) {
			assert.Equal(t, 1, l.Deliveries)
			return assert.NoError(t, r.Ack(r.ctx, l))
		})
	}},
	{"loses none of the tasks that are given back", func(t *testing.T, h QueueHarness) {
		newQueueRig(t, h).workOff(80, func(r *queueRig, l ports.Lease) (done bool) {
			if l.Deliveries < 3 {
				assert.NoError(t, r.Nack(r.ctx, l, 0))
				return false
			}
			return assert.NoError(t, r.Ack(r.ctx, l))
		})
	}},
	{"keeps one entry however many enqueue the task at once", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := newID()
		concurrently(16, func(i int) {
			assert.NoError(t, r.Enqueue(r.ctx, ports.Entry{Task: id, Queue: "q", Priority: i}))
		})
		assert.Equal(t, 1, r.stats("q").Waiting)
		r.ack(r.claimTask(id, long))
		r.requireNothingDue("q")
	}},
	{"lets one of many end a lease", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		for range 10 {
			id := r.enqueueNew()
			l := r.claimTask(id, long)
			errs := make([]error, 8)
			concurrently(len(errs), func(i int) {
				if i%2 == 0 {
					errs[i] = r.Ack(r.ctx, l)
				} else {
					errs[i] = r.Nack(r.ctx, l, time.Hour)
				}
			})
			winner := -1
			for i, err := range errs {
				if err == nil {
					require.Negative(t, winner, "two ended the lease")
					winner = i
				} else {
					requireSentinel(t, err, ports.ErrLeaseLost)
				}
			}
			require.GreaterOrEqual(t, winner, 0, "nobody ended the lease")
			if winner%2 == 0 {
				r.requireNotFound(id)
			} else {
				r.cancel(id, ports.CancelledWaiting)
			}
		}
	}},
	{"either removes or flags what is cancelled while it is claimed", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		for range 20 {
			id := r.enqueueNew()
			end := ports.Entry{Task: newID(), Queue: "q", Priority: -100}
			r.enqueue(end) // so that Claim returns in any case
			var l ports.Lease
			var found ports.Cancelled
			concurrently(2, func(i int) {
				var err error
				if i == 0 {
					l, err = r.Claim(r.ctx, claimRequest(long))
				} else {
					found, err = r.Cancel(r.ctx, id)
				}
				assert.NoError(t, err)
			})
			if l.Task == id {
				require.Equal(t, ports.CancelledLeased, found)
				r.ack(r.extendCancelled(l, long))
				l = r.claim(long)
			} else {
				require.Equal(t, ports.CancelledWaiting, found)
				r.requireNotFound(id)
			}
			require.Equal(t, end.Task, l.Task)
			r.ack(l)
		}
	}},
	{"loses no task to those who stop waiting", func(t *testing.T, h QueueHarness) {
		const n = 20
		r := newQueueRig(t, h)
		want, got := map[ports.TaskID]bool{}, map[ports.TaskID]bool{}
		for i := range n {
			ctx, giveUp := context.WithCancel(r.ctx)
			ch := r.claimLater(ctx, r.tick)
			id := newID()
			want[id] = true
			enqueue := func() { assert.NoError(t, r.Enqueue(r.ctx, ports.Entry{Task: id, Queue: "q"})) }
			var c claimed
			if i%2 == 0 {
				concurrently(2, func(i int) { []func(){giveUp, enqueue}[i]() })
				c = receive(t, ch, "a Claim")
			} else { // a scheduler may never let it come to this by itself
				giveUp()
				c = receive(t, ch, "a Claim")
				enqueue()
			}
			if c.err == nil {
				got[c.lease.Task] = true
				_ = r.Ack(r.ctx, c.lease) // unless it expired meanwhile
			} else {
				requireContextError(t, ctx, c.err)
			}
			giveUp()
		}
		r.pass(r.tick)
		for len(got) < n {
			l := r.claim(long)
			got[l.Task] = true
			r.ack(l)
		}
		assert.Equal(t, want, got)
	}},
}

// workOff enqueues n tasks from several goroutines while others claim them and
// call work, until it has reported each of them as done. None may be done twice.
func (r *queueRig) workOff(n int, work func(*queueRig, ports.Lease) (done bool)) {
	const producers, consumers = 4, 8
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	var mu sync.Mutex
	done := map[ports.TaskID]int{}
	concurrently(producers+consumers, func(i int) {
		if i < producers {
			for range n / producers {
				assert.NoError(r.t, r.Enqueue(r.ctx, ports.Entry{Task: newID(), Queue: "q", Priority: i % 2}))
			}
			return
		}
		for {
			l, err := r.Claim(ctx, claimRequest(long))
			if err != nil {
				assert.ErrorIs(r.t, err, context.Canceled)
				return
			}
			if !work(r, l) {
				continue
			}
			mu.Lock()
			done[l.Task]++
			if len(done) == n {
				stop()
			}
			mu.Unlock()
		}
	})
	require.Len(r.t, done, n)
	for id, times := range done {
		require.Equal(r.t, 1, times, "how often task %q was done", id)
	}
	require.Zero(r.t, r.stats("q"))
}

var queueContextChecks = []queueCheck{
	{"does nothing in a context that is done", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		held := r.enqueueNew()
		l := r.claimTask(held, long)
		waits := r.enqueueNew()
		for what, ctx := range doneContexts(t) {
			requireContextError(t, ctx, r.Enqueue(ctx, ports.Entry{Task: newID(), Queue: "q"}), what)
			_, err := r.Claim(ctx, claimRequest(long))
			requireContextError(t, ctx, err, what)
			_, err = r.Extend(ctx, l, 1)
			requireContextError(t, ctx, err, what)
			requireContextError(t, ctx, r.Ack(ctx, l), what)
			requireContextError(t, ctx, r.Nack(ctx, l, 0), what)
			for _, id := range []ports.TaskID{held, waits} {
				_, err = r.Cancel(ctx, id)
				requireContextError(t, ctx, err, what)
			}
			_, err = r.Stats(ctx, "q")
			requireContextError(t, ctx, err, what)
		}
		s := r.stats("q")
		assert.Equal(t, [3]int{1, 0, 1}, [3]int{s.Waiting, s.Delayed, s.Leased})
		r.ack(r.extend(l, long))
		r.ack(r.claimTask(waits, long))
	}},
	{"ends a Claim that waits", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		ctx, cancel := context.WithCancel(r.ctx)
		ch := r.claimLater(ctx, long)
		cancel()
		requireContextError(t, ctx, receive(t, ch, "the Claim").err)
	}},
	{"ends a Claim that waits at a deadline", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		ctx, cancel := context.WithTimeout(r.ctx, r.tick)
		defer cancel()
		requireContextError(t, ctx, receive(t, r.claimLater(ctx, long), "the Claim").err)
	}},
	{"ends a Claim that waits for a delay or a lease", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		r.claim(long)
		r.enqueue(ports.Entry{Task: newID(), Delay: time.Hour})
		ctx, cancel := context.WithCancel(r.ctx)
		ch := r.claimLater(ctx, long)
		cancel()
		requireContextError(t, ctx, receive(t, ch, "the Claim").err)
		s := r.stats("q")
		assert.Equal(t, [3]int{0, 1, 1}, [3]int{s.Waiting, s.Delayed, s.Leased})
	}},
}
