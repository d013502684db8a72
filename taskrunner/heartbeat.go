package taskrunner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// hold is a worker's hold on one task: the lease, and the knowledge of how long
// it is good for. All that is written about a task while it runs goes through
// contexts made from ctx, so that nothing is written once the hold is lost.
//
// Time is this process's own monotonic clock, counted from before each call to
// the queue: the queue's count begins later, so that the holder always gives up
// first.
type hold struct {
	queue Queue
	ttl   time.Duration

	ctx    context.Context // done when the hold is lost or was let go
	lose   context.CancelCauseFunc
	expiry *time.Timer

	mu    sync.Mutex
	lease ports.Lease
	// asked says that the queue has told of a cancel.
	asked bool
}

// newHold returns the hold of a lease just claimed. How old that lease is nobody
// knows, as the claim may have waited: until the first extend, nothing may be
// done in trust of it that a compare-and-swap does not fence.
func newHold(queue Queue, lease ports.Lease, ttl time.Duration) *hold {
	h := &hold{queue: queue, ttl: ttl, lease: lease}
	h.ctx, h.lose = context.WithCancelCause(context.Background())
	h.expiry = time.AfterFunc(ttl, func() { h.lose(ErrLeaseLost) })
	return h
}

// letGo ends the hold without a word to the queue.
func (h *hold) letGo() {
	h.expiry.Stop()
	h.lose(nil)
}

// lost reports whether the lease can no more be relied on.
func (h *hold) lost() bool { return h.ctx.Err() != nil }

// cancelled reports whether the queue has told of a cancel.
func (h *hold) cancelled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// extend makes the lease last for ttl from now. A cancel that was asked for is
// noted and no error. When the lease is lost, so is the hold.
func (h *hold) extend(ctx context.Context) error {
	h.mu.Lock()
	lease := h.lease
	h.mu.Unlock()

	before := time.Now()
	extended, err := h.queue.Extend(ctx, lease, h.ttl)
	asked := errors.Is(err, ErrCancelled)
	switch {
	case errors.Is(err, ErrLeaseLost):
		h.lose(ErrLeaseLost)
		return err
	case err != nil && !asked:
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease = extended
	h.asked = h.asked || asked
	if !h.lost() {
		h.expiry.Reset(h.ttl - time.Since(before))
	}
	return nil
}

// verify extends the lease, trying until that is known to have worked, or the
// hold is lost.
func (h *hold) verify() error {
	return retry(h.ctx, h.ttl/3, h.extend)
}

// keep extends the lease every third of its life, and every second at least,
// until stop is called or the hold is lost. It calls onCancel when the queue tells
// of a cancel: how soon a cancel is heard is what the second is for.
func (h *hold) keep(onCancel func()) (stop func()) {
	ctx, cancel := context.WithCancel(h.ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() {
		beat := min(h.ttl/3, time.Second)
		for wait := beat; sleep(ctx, wait); {
			wait = beat
			if err := guard(func() error { return bounded(ctx, h.ttl/3, h.extend) }); err != nil {
				wait = h.ttl / 20
			}
			if h.cancelled() {
				onCancel()
			}
		}
	})
	return func() {
		cancel()
		keeping.Wait()
	}
}

// ack tells the queue that the task is done.
func (h *hold) ack() error {
	return retry(h.ctx, h.ttl/3, func(ctx context.Context) error {
		return h.queue.Ack(ctx, h.current())
	})
}

// nack gives the task back to the queue.
func (h *hold) nack(delay time.Duration) error {
	return retry(h.ctx, h.ttl/3, func(ctx context.Context) error {
		return h.queue.Nack(ctx, h.current(), delay)
	})
}

func (h *hold) current() ports.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease
}
