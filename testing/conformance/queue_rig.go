package conformance

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// long is the TTL of a lease that must not expire while a case runs.
const long = 10 * time.Minute

// queueRig is a queue under test with what the cases do to it.
type queueRig struct {
	ports.Queue
	t    *testing.T
	h    QueueHarness
	tick time.Duration
	ctx  context.Context
}

func newQueueRig(t *testing.T, h QueueHarness) *queueRig {
	return &queueRig{Queue: h.New(t), t: t, h: h, tick: h.Tick, ctx: patientContext(t)}
}

// enqueue adds entries, to the queue "q" where they name none.
func (r *queueRig) enqueue(entries ...ports.Entry) {
	r.t.Helper()
	for _, e := range entries {
		if e.Queue == "" {
			e.Queue = "q"
		}
		require.NoError(r.t, r.Enqueue(r.ctx, e), "enqueueing %+v", e)
	}
}

// enqueueNew adds an entry of a new task to the queue "q".
func (r *queueRig) enqueueNew() ports.TaskID {
	r.t.Helper()
	id := newID()
	r.enqueue(ports.Entry{Task: id})
	return id
}

// claim takes what comes next, from the queue "q" if none is named, for ttl.
func (r *queueRig) claim(ttl time.Duration, queues ...string) ports.Lease {
	r.t.Helper()
	l, err := r.Claim(r.ctx, claimRequest(ttl, queues...))
	require.NoError(r.t, err)
	return l
}

// claimTask takes what comes next from the queue "q", which must be this task.
func (r *queueRig) claimTask(id ports.TaskID, ttl time.Duration) ports.Lease {
	r.t.Helper()
	l := r.claim(ttl)
	require.Equal(r.t, id, l.Task)
	return l
}

func claimRequest(ttl time.Duration, queues ...string) ports.ClaimRequest {
	if len(queues) == 0 {
		queues = []string{"q"}
	}
	return ports.ClaimRequest{Queues: queues, Worker: "worker", TTL: ttl}
}

func (r *queueRig) ack(l ports.Lease) {
	r.t.Helper()
	require.NoError(r.t, r.Ack(r.ctx, l))
}

func (r *queueRig) nack(l ports.Lease, delay time.Duration) {
	r.t.Helper()
	require.NoError(r.t, r.Nack(r.ctx, l, delay))
}

func (r *queueRig) extend(l ports.Lease, ttl time.Duration) ports.Lease {
	r.t.Helper()
	l, err := r.Extend(r.ctx, l, ttl)
	require.NoError(r.t, err)
	return l
}

func (r *queueRig) stats(queue string) ports.QueueStats {
	r.t.Helper()
	s, err := r.Stats(r.ctx, queue)
	require.NoError(r.t, err)
	return s
}

// requireGhost demands that the lease is worth nothing any more.
func (r *queueRig) requireGhost(l ports.Lease, msg ...any) {
	r.t.Helper()
	_, err := r.Extend(r.ctx, l, long)
	requireSentinel(r.t, err, ports.ErrLeaseLost, msg...)
	requireSentinel(r.t, r.Ack(r.ctx, l), ports.ErrLeaseLost, msg...)
	requireSentinel(r.t, r.Nack(r.ctx, l, 0), ports.ErrLeaseLost, msg...)
	requireSentinel(r.t, r.Nack(r.ctx, l, time.Hour), ports.ErrLeaseLost, msg...)
}

// requireNothingDue demands that nothing can be claimed from the queue now. It
// does not wait for nothing to happen: it adds an entry that comes last and
// demands that it comes.
func (r *queueRig) requireNothingDue(queue string) {
	r.t.Helper()
	probe := ports.Entry{Task: newID(), Queue: queue, Priority: -100}
	r.enqueue(probe)
	l := r.claim(long, queue)
	require.Equal(r.t, probe.Task, l.Task, "what could be claimed although nothing should be due")
	r.ack(l)
}

// advance lets d pass where the queue's clock has to be moved. Elsewhere it does
// nothing at all: whoever waits must be woken by the queue, with no call to help.
func (r *queueRig) advance(d time.Duration) {
	r.t.Helper()
	if r.h.Advance != nil {
		r.h.Advance(r.t, r.Queue, d)
	}
}

// pass lets d pass by the queue's clock.
func (r *queueRig) pass(d time.Duration) {
	r.t.Helper()
	if r.h.Advance != nil {
		r.advance(d)
		return
	}
	timer := ports.Entry{Task: newID(), Queue: "clock " + string(newID()), Delay: d}
	r.enqueue(timer)
	r.ack(r.claim(long, timer.Queue))
}

// exact reports whether no time passes but by pass.
func (r *queueRig) exact() bool { return r.h.Bubble || r.h.Advance != nil }

// claimed is what a Claim returned.
type claimed struct {
	lease ports.Lease
	err   error
}

// claimLater claims in the background and returns once that probably waits.
func (r *queueRig) claimLater(ctx context.Context, ttl time.Duration, queues ...string) <-chan claimed {
	r.t.Helper()
	ch := inBackground(func() claimed {
		l, err := r.Claim(ctx, claimRequest(ttl, queues...))
		return claimed{l, err}
	})
	switch {
	case r.h.Bubble:
		synctest.Wait()
	case r.h.Advance == nil:
		r.pass(r.tick / 10)
	}
	return ch
}

// receiveLease returns the lease of a claim in the background.
func (r *queueRig) receiveLease(ch <-chan claimed) ports.Lease {
	r.t.Helper()
	c := receive(r.t, ch, "a Claim")
	require.NoError(r.t, c.err)
	return c.lease
}
