package conformance

import (
	"testing"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// QueueHarness says how to test a ports.Queue.
type QueueHarness struct {
	// New returns an empty queue with room for at least 1,000 entries. Required.
	New func(t *testing.T) ports.Queue
	// Full returns an empty queue with room for some, but at most 1,000, entries.
	// Nil: the queue has no bound of its own.
	Full func(t *testing.T) ports.Queue
	// Bubble says that the queue lives in this process and keeps time by package
	// time alone.
	Bubble bool
	// Advance moves the clock of q on by d, for a queue whose clock can be moved
	// and else stands still. Nil: the queue's clock runs by itself.
	Advance func(t *testing.T, q ports.Queue, d time.Duration)
	// Tick is the time in which leases of the suite expire and delays pass, or a
	// small multiple of it. It is well above what the queue resolves. Default: 1 s
	// where waiting takes no time, else 100 ms.
	Tick time.Duration
}

// Queue runs the suite for ports.Queue.
func Queue(t *testing.T, h QueueHarness) {
	if h.Tick == 0 {
		h.Tick = 100 * time.Millisecond
		if h.Bubble || h.Advance != nil {
			h.Tick = time.Second
		}
	}
	topic := func(name string, checks []queueCheck) { runTopic(t, name, h.Bubble, h, checks) }
	topic("Enqueue", queueEnqueueChecks)
	topic("Claim", queueClaimChecks)
	topic("Waiting", queueWaitChecks)
	topic("Delay", queueDelayChecks)
	topic("Lease", queueLeaseChecks)
	topic("Cancel", queueCancelChecks)
	topic("Stats", queueStatsChecks)
	topic("Concurrency", queueConcurrencyChecks)
	topic("Context", queueContextChecks)
	if h.Bubble || h.Advance != nil {
		topic("Model", queueModelChecks)
	} else {
		leftOut(t, "Model", "the queue's clock runs by itself")
	}
	if h.Full == nil {
		leftOut(t, "Full", "the harness has no bounded queue")
		return
	}
	topic("Full", queueFullChecks)
}

type queueCheck = check[QueueHarness]
