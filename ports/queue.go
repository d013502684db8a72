package ports

import (
	"context"
	"fmt"
	"time"
)

// Queue hands task IDs to workers, each to one at a time and at least once.
//
// An entry is waiting (perhaps not yet due), or leased. A lease that is not
// extended in time expires and its entry waits again, so that a dead worker's
// tasks go to another one; this needs no call but somebody's Claim. The queue
// keeps time by one clock of its own, never by its callers'.
type Queue interface {
	// Enqueue adds a waiting entry. If the queue holds an entry for this task
	// already, waiting or leased, it changes nothing and returns nil, so that
	// repeating it is always safe.
	// ErrFull: the queue is bounded and full (see SystemQueue). ErrInvalid: see Entry.Validate.
	Enqueue(ctx context.Context, e Entry) error

	// Claim waits until one of the named queues has an entry that is due, leases
	// the best one (highest priority, then first come) and returns the lease. It
	// blocks until then or until ctx is done. An entry that a Claim whose ctx is
	// done took nevertheless comes back when its lease expires.
	// ErrInvalid: see ClaimRequest.Validate.
	Claim(ctx context.Context, req ClaimRequest) (Lease, error)

	// Extend is the heartbeat and the control channel. It makes the lease expire
	// ttl from now and returns it with the new expiry.
	//
	// ErrLeaseLost: it is not the holder's any more. ErrCancelled: a Cancel asked
	// for the task's end; the lease was extended all the same (the returned Lease
	// is good), so that the holder can finish the task as cancelled. ErrInvalid:
	// ttl is not positive; the lease stays as it was.
	Extend(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)

	// Ack removes the entry: the task is done. ErrLeaseLost: it is not the
	// holder's any more, and nothing changed.
	Ack(ctx context.Context, l Lease) error

	// Nack gives the entry back, to be due after delay (at once if 0). A
	// cancel flag stays on it. ErrLeaseLost as for Ack. ErrInvalid: delay is
	// negative; the lease stays as it was.
	Nack(ctx context.Context, l Lease, delay time.Duration) error

	// Cancel removes the task's entry if it waits, and flags it if it is leased.
	// It says which of the two it did. ErrNotFound: no entry.
	Cancel(ctx context.Context, id TaskID) (Cancelled, error)

	// Stats counts the entries of one queue; a queue never used has none.
	Stats(ctx context.Context, queue string) (QueueStats, error)
}

// Entry asks for a task to be handed out.
type Entry struct {
	Task TaskID
	// Queue is the name of the queue, 1 to MaxQueueName bytes. Required.
	Queue string
	// Priority: higher ones first, from -MaxPriority to MaxPriority.
	Priority int
	// Delay is how long from now the entry is not due; 0 or more.
	Delay time.Duration
}

// SystemQueue begins the name of each queue of the system's own. No task waits in
// one. Their entries are a handful, which no bound of a Queue counts or refuses.
const SystemQueue = "~"

// MaxQueueName is the greatest length of a queue's name, in bytes. A Queue takes
// any bytes for a name; which ones callers may use is the core's matter.
const MaxQueueName = 64

// MaxPriority bounds priorities, below as well as above 0.
const MaxPriority = 100

// Validate returns a *FieldError unless e is an entry that a Queue accepts.
func (e Entry) Validate() error {
	if err := e.Task.Validate(); err != nil {
		return err
	}
	if err := validateQueueName("queue", e.Queue); err != nil {
		return err
	}
	if e.Priority < -MaxPriority || e.Priority > MaxPriority {
		return Invalid("priority", "must be from %d to %d", -MaxPriority, MaxPriority)
	}
	if e.Delay < 0 {
		return Invalid("delay", "must not be negative")
	}
	return nil
}

func validateQueueName(field, name string) error {
	if name == "" || len(name) > MaxQueueName {
		return Invalid(field, "must have 1 to %d bytes", MaxQueueName)
	}
	return nil
}

// ClaimRequest says who claims what.
type ClaimRequest struct {
	// Queues are the names of the queues to claim from; their order has no
	// meaning: the highest priority of all of them comes first.
	Queues []string
	// Worker names the claimant, for people to read.
	Worker string
	// TTL is how long the lease lasts unless extended. Positive.
	TTL time.Duration
}

// Validate returns a *FieldError unless r is a request that a Queue accepts.
func (r ClaimRequest) Validate() error {
	if len(r.Queues) == 0 {
		return Invalid("queues", "must name at least one queue")
	}
	for i, name := range r.Queues {
		if err := validateQueueName(fmt.Sprintf("queues[%d]", i), name); err != nil {
			return err
		}
	}
	if r.TTL <= 0 {
		return Invalid("ttl", "must be positive")
	}
	return nil
}

// Lease is the right to work on a task until it expires. It is plain data: it
// can be copied and written down, and the queue checks it whenever it is used.
type Lease struct {
	Task  TaskID
	Queue string
	// Fence grows with every claim of any task of this queue instance: of two
	// leases of one task the one with the higher fence is the later one. A queue
	// that can lose what it holds and live on never gives a fence again, or else
	// a ghost from before the loss would hold the lease of somebody after it.
	Fence int64
	// Deliveries counts how often this entry has been claimed, from 1.
	Deliveries int
	// ExpiresAt is when the lease ends, by the queue's clock. A holder measures
	// by its own monotonic clock from before its call, and never compares this
	// one with its wall clock.
	ExpiresAt time.Time
}

// Cancelled says what Queue.Cancel found.
type Cancelled int

// What Cancel did.
const (
	// CancelledWaiting: the entry waited and was removed; nobody works on it.
	CancelledWaiting Cancelled = iota + 1
	// CancelledLeased: the entry is leased and was flagged; its holder will hear
	// of it at its next Extend.
	CancelledLeased
)

// QueueStats counts the entries of a queue.
type QueueStats struct {
	// Waiting are due, Delayed are not yet due, Leased are held by workers.
	Waiting, Delayed, Leased int
	// OldestWait is how long the entry that waits longest has been due; 0 if
	// none waits.
	OldestWait time.Duration
}
