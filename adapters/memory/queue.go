package memory

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Queue is a ports.Queue.
//
// Every entry is in one of two places: in its line while it is due, and in the
// deadlines while it is delayed or leased. Each call first moves what has become
// due meanwhile, so that an expired lease is lost at its instant whether or not
// anybody was looking.
type Queue struct {
	max   int
	start time.Time // the zero of the queue's own, monotonic clock

	mu        sync.Mutex
	entries   map[ports.TaskID]*entry
	counted   int // those of them that count for max
	lines     map[string]*line
	deadlines deadlines
	arrivals  int64 // counts the entries that were ever enqueued
	fence     int64
	waiters   int
	alarm     alarm
}

// entry is a task in the queue.
type entry struct {
	task       ports.TaskID
	line       *line
	priority   int
	arrival    int64
	deliveries int
	cancelled  bool
	state      state
	fence      int64 // of the lease, while leased
	// at is when it became due (waiting), will be due (delayed) or its lease
	// expires (leased).
	at         time.Duration
	deadline   int    // index in the deadlines, unless waiting
	prev, next *entry // neighbours in the line, while waiting
}

type state int

const (
	waiting state = iota
	delayed
	leased
)

// NewQueue returns an empty queue.
func NewQueue(opts ...Option) *Queue { return newQueue(configure(opts)) }

func newQueue(c config) *Queue {
	return &Queue{
		max:     c.queueEntries,
		start:   time.Now(),
		entries: map[ports.TaskID]*entry{},
		lines:   map[string]*line{},
	}
}

// Enqueue implements ports.Queue.
func (q *Queue) Enqueue(ctx context.Context, e ports.Entry) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("enqueueing task %q: %w", e.Task, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.catchUp()
	if _, ok := q.entries[e.Task]; ok {
		return nil
	}
	if !isSystem(e.Queue) {
		if q.counted >= q.max {
			return fmt.Errorf("enqueueing task %q: %w", e.Task, ports.ErrFull)
		}
		q.counted++
	}
	q.arrivals++
	added := &entry{task: e.Task, line: q.line(e.Queue), priority: e.Priority, arrival: q.arrivals}
	q.entries[e.Task] = added
	q.putBack(added, now, e.Delay)
	return nil
}

// Extend implements ports.Queue.
func (q *Queue) Extend(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
	if ttl <= 0 {
		return ports.Lease{}, ports.Invalid("ttl", "must be positive")
	}
	if err := ctx.Err(); err != nil {
		return ports.Lease{}, fmt.Errorf("extending the lease of task %q: %w", l.Task, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.catchUp()
	e := q.held(l)
	if e == nil {
		return ports.Lease{}, fmt.Errorf("extending the lease of task %q: %w", l.Task, ports.ErrLeaseLost)
	}
	e.at = later(now, ttl)
	q.deadlines.fix(e)
	q.setAlarm(now)
	if e.cancelled {
		return q.leaseOf(e), fmt.Errorf("extending the lease of task %q: %w", l.Task, ports.ErrCancelled)
	}
	return q.leaseOf(e), nil
}

// Ack implements ports.Queue.
func (q *Queue) Ack(ctx context.Context, l ports.Lease) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("acknowledging task %q: %w", l.Task, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.catchUp()
	e := q.held(l)
	if e == nil {
		return fmt.Errorf("acknowledging task %q: %w", l.Task, ports.ErrLeaseLost)
	}
	q.forget(e)
	return nil
}

// Nack implements ports.Queue.
func (q *Queue) Nack(ctx context.Context, l ports.Lease, delay time.Duration) error {
	if delay < 0 {
		return ports.Invalid("delay", "must not be negative")
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("giving back task %q: %w", l.Task, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.catchUp()
	e := q.held(l)
	if e == nil {
		return fmt.Errorf("giving back task %q: %w", l.Task, ports.ErrLeaseLost)
	}
	q.take(e)
	q.putBack(e, now, delay)
	return nil
}

// Cancel implements ports.Queue.
func (q *Queue) Cancel(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("cancelling task %q: %w", id, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.catchUp()
	e, ok := q.entries[id]
	switch {
	case !ok:
		return 0, fmt.Errorf("cancelling task %q: %w", id, ports.ErrNotFound)
	case e.state == leased:
		e.cancelled = true
		return ports.CancelledLeased, nil
	}
	q.forget(e)
	return ports.CancelledWaiting, nil
}

// Stats implements ports.Queue.
func (q *Queue) Stats(ctx context.Context, queue string) (ports.QueueStats, error) {
	if err := ctx.Err(); err != nil {
		return ports.QueueStats{}, fmt.Errorf("counting queue %q: %w", queue, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.catchUp()
	l, ok := q.lines[queue]
	if !ok {
		return ports.QueueStats{}, nil
	}
	stats := ports.QueueStats{Waiting: l.count[waiting], Delayed: l.count[delayed], Leased: l.count[leased]}
	if oldest := l.oldest(); oldest != nil {
		stats.OldestWait = now - oldest.at
	}
	return stats, nil
}

// isSystem reports whether the queue of this name is the system's own.
func isSystem(name string) bool { return strings.HasPrefix(name, ports.SystemQueue) }

// held returns the entry that l is the current lease of, or nil.
func (q *Queue) held(l ports.Lease) *entry {
	e, ok := q.entries[l.Task]
	if !ok || e.state != leased || e.fence != l.Fence {
		return nil
	}
	return e
}

// lease hands out e, which waits, until ttl from now.
func (q *Queue) lease(e *entry, now, ttl time.Duration) ports.Lease {
	q.take(e)
	q.fence++
	e.fence = q.fence
	e.deliveries++
	q.place(e, leased, later(now, ttl))
	return q.leaseOf(e)
}

func (q *Queue) leaseOf(e *entry) ports.Lease {
	return ports.Lease{
		Task:       e.task,
		Queue:      e.line.name,
		Fence:      e.fence,
		Deliveries: e.deliveries,
		ExpiresAt:  q.start.Add(e.at).Round(0),
	}
}

// later returns now+d, or the end of time where that overflows.
func later(now, d time.Duration) time.Duration {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}
