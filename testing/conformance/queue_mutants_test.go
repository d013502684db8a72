package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// bentQueue is a queue some of whose methods are replaced.
type bentQueue struct {
	ports.Queue
	enqueue func(context.Context, ports.Entry) error
	claim   func(context.Context, ports.ClaimRequest) (ports.Lease, error)
	extend  func(context.Context, ports.Lease, time.Duration) (ports.Lease, error)
	ack     func(context.Context, ports.Lease) error
	nack    func(context.Context, ports.Lease, time.Duration) error
	cancel  func(context.Context, ports.TaskID) (ports.Cancelled, error)
	stats   func(context.Context, string) (ports.QueueStats, error)

	mu     sync.Mutex
	leases map[ports.TaskID]ports.Lease // the latest lease of each task
	count  int
}

// queueMutant returns a mutant that bends a queue.
func queueMutant(name, noticedBy string, bend func(b *bentQueue)) mutant[ports.Queue] {
	return mutant[ports.Queue]{name, noticedBy, func(q ports.Queue) ports.Queue {
		b := &bentQueue{
			Queue:   q,
			enqueue: q.Enqueue, claim: q.Claim, extend: q.Extend, ack: q.Ack, nack: q.Nack, cancel: q.Cancel, stats: q.Stats,
			leases: map[ports.TaskID]ports.Lease{},
		}
		bend(b)
		return b
	}}
}

func (b *bentQueue) Enqueue(ctx context.Context, e ports.Entry) error { return b.enqueue(ctx, e) }

func (b *bentQueue) Claim(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
	l, err := b.claim(ctx, req)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.leases[l.Task] = l
		b.count++
	}
	return l, err
}

func (b *bentQueue) Extend(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
	return b.extend(ctx, l, ttl)
}

func (b *bentQueue) Ack(ctx context.Context, l ports.Lease) error { return b.ack(ctx, l) }

func (b *bentQueue) Nack(ctx context.Context, l ports.Lease, d time.Duration) error {
	return b.nack(ctx, l, d)
}

func (b *bentQueue) Cancel(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
	return b.cancel(ctx, id)
}

func (b *bentQueue) Stats(ctx context.Context, name string) (ports.QueueStats, error) {
	return b.stats(ctx, name)
}

// latest returns the lease that is good for l's task now, whatever l is.
func (b *bentQueue) latest(l ports.Lease) ports.Lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	if latest, ok := b.leases[l.Task]; ok {
		return latest
	}
	return l
}

// bendErrors passes every error of a lease's methods through f.
func (b *bentQueue) bendErrors(f func(error) error) {
	b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
		l, err := b.Queue.Extend(ctx, l, ttl)
		return l, f(err)
	}
	b.ack = func(ctx context.Context, l ports.Lease) error { return f(b.Queue.Ack(ctx, l)) }
	b.nack = func(ctx context.Context, l ports.Lease, d time.Duration) error { return f(b.Queue.Nack(ctx, l, d)) }
}

// bendEntry passes every entry through f.
func (b *bentQueue) bendEntry(f func(*ports.Entry)) {
	b.enqueue = func(ctx context.Context, e ports.Entry) error {
		f(&e)
		return b.Queue.Enqueue(ctx, e)
	}
}

// bendRequest passes every request through f.
func (b *bentQueue) bendRequest(f func(*ports.ClaimRequest)) {
	b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
		f(&req)
		return b.Queue.Claim(ctx, req)
	}
}

// giveBackAnew replaces Nack by an Ack and a new entry.
func (b *bentQueue) giveBackAnew() {
	b.nack = func(ctx context.Context, l ports.Lease, d time.Duration) error {
		if err := b.Queue.Ack(ctx, l); err != nil {
			return err
		}
		return b.Queue.Enqueue(ctx, ports.Entry{Task: l.Task, Queue: l.Queue, Delay: d})
	}
}

var queueMutants = slices.Concat(queueEntryMutants, queueClaimMutants, queueLeaseMutants, queueCancelMutants)

var queueEntryMutants = []mutant[ports.Queue]{
	queueMutant("a repeated Enqueue replaces the entry", "Enqueue/changes nothing when the task waits already", func(b *bentQueue) {
		b.enqueue = func(ctx context.Context, e ports.Entry) error {
			_, _ = b.Queue.Cancel(ctx, e.Task)
			return b.Queue.Enqueue(ctx, e)
		}
	}),
	queueMutant("a repeated Enqueue makes a delayed entry due", "Enqueue/changes nothing when the task is delayed", func(b *bentQueue) {
		b.enqueue = func(ctx context.Context, e ports.Entry) error {
			if e.Delay == 0 {
				_, _ = b.Queue.Cancel(ctx, e.Task)
			}
			return b.Queue.Enqueue(ctx, e)
		}
	}),
	queueMutant("an Enqueue of a leased task takes it from its holder", "Enqueue/changes nothing when the task is leased", func(b *bentQueue) {
		b.enqueue = func(ctx context.Context, e ports.Entry) error {
			_ = b.Queue.Nack(ctx, b.latest(ports.Lease{Task: e.Task}), 0)
			return b.Queue.Enqueue(ctx, e)
		}
	}),
	queueMutant("an acknowledged task cannot come again", "Enqueue/starts anew after the task was acknowledged", func(b *bentQueue) {
		b.enqueue = func(ctx context.Context, e ports.Entry) error {
			if b.latest(ports.Lease{Task: e.Task}).Fence > 0 {
				return nil
			}
			return b.Queue.Enqueue(ctx, e)
		}
	}),
	queueMutant("bad priorities are accepted", "Enqueue/refuses what is no entry and keeps nothing of it", func(b *bentQueue) {
		b.bendEntry(func(e *ports.Entry) { e.Priority = max(-100, min(e.Priority, 100)) })
	}),
	queueMutant("IDs are folded", "Enqueue/takes every valid ID, each for itself", func(b *bentQueue) {
		b.bendEntry(func(e *ports.Entry) { e.Task = ports.TaskID(strings.ToLower(string(e.Task))) })
	}),
	queueMutant("a full queue refuses what it has", "Full/refuses what it has no room for and stays usable", func(b *bentQueue) {
		b.enqueue = func(ctx context.Context, e ports.Entry) error {
			if s, _ := b.Queue.Stats(ctx, "q"); s.Waiting == 10 {
				return fmt.Errorf("enqueueing: %w", ports.ErrFull)
			}
			return b.Queue.Enqueue(ctx, e)
		}
	}),
	queueMutant("a full queue drops what comes", "Full/refuses what it has no room for and stays usable", func(b *bentQueue) {
		b.enqueue = func(ctx context.Context, e ports.Entry) error {
			if err := b.Queue.Enqueue(ctx, e); !errors.Is(err, ports.ErrFull) {
				return err
			}
			return nil
		}
	}),
	queueMutant("leases do not count for the bound", "Full/counts what is leased and what is delayed", func(b *bentQueue) {
		b.enqueue = func(ctx context.Context, e ports.Entry) error {
			err := b.Queue.Enqueue(ctx, e)
			if s, _ := b.Queue.Stats(ctx, "q"); err != nil && s.Leased > 0 {
				return nil
			}
			return err
		}
	}),
	queueMutant("a full queue refuses the system's own", "Full/has room for the system's own, which take none", func(b *bentQueue) {
		b.enqueue = func(ctx context.Context, e ports.Entry) error {
			if s, _ := b.Queue.Stats(ctx, "q"); s.Waiting == 10 {
				e.Queue = "q"
			}
			return b.Queue.Enqueue(ctx, e)
		}
	}),
	queueMutant("leased entries count as waiting", "Stats/counts entries by what they are", func(b *bentQueue) {
		b.stats = func(ctx context.Context, name string) (ports.QueueStats, error) {
			s, err := b.Queue.Stats(ctx, name)
			s.Waiting += s.Leased
			return s, err
		}
	}),
	queueMutant("nobody knows how long the oldest has waited", "Stats/knows how long the oldest has waited", func(b *bentQueue) {
		b.stats = func(ctx context.Context, name string) (ports.QueueStats, error) {
			s, err := b.Queue.Stats(ctx, name)
			s.OldestWait = 0
			return s, err
		}
	}),
}

var queueClaimMutants = []mutant[ports.Queue]{
	queueMutant("priorities are ignored", "Claim/gives higher priorities first", func(b *bentQueue) {
		b.bendEntry(func(e *ports.Entry) { e.Priority = 0 })
	}),
	queueMutant("the last to come is the first to go", "Claim/gives equal priorities in the order in which they came", func(b *bentQueue) {
		n := 0
		b.bendEntry(func(e *ports.Entry) {
			n++
			e.Priority = n
		})
	}),
	queueMutant("the order of the names matters", "Claim/gives the best of all queues named, in whatever order they are", func(b *bentQueue) {
		b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
			for i, name := range req.Queues {
				if s, _ := b.Queue.Stats(ctx, name); s.Waiting > 0 {
					req.Queues = req.Queues[i : i+1]
					break
				}
			}
			return b.Queue.Claim(ctx, req)
		}
	}),
	queueMutant("queue names are folded", "Claim/keeps queues apart, whatever their names", func(b *bentQueue) {
		b.bendEntry(func(e *ports.Entry) { e.Queue = strings.TrimSpace(e.Queue) + "x" })
		b.bendRequest(func(req *ports.ClaimRequest) { req.Queues = []string{strings.TrimSpace(req.Queues[0]) + "x"} })
	}),
	queueMutant("the request is changed", "Claim/needs no worker's name and changes nothing of the request", func(b *bentQueue) {
		b.bendRequest(func(req *ports.ClaimRequest) { slices.Sort(req.Queues) })
	}),
	queueMutant("a TTL of nothing gets a default", "Claim/refuses what is no request", func(b *bentQueue) {
		b.bendRequest(func(req *ports.ClaimRequest) { req.TTL = max(req.TTL, time.Minute) })
	}),
	queueMutant("no name means every queue", "Claim/refuses what is no request", func(b *bentQueue) {
		b.bendRequest(func(req *ports.ClaimRequest) {
			if len(req.Queues) == 0 {
				req.Queues = []string{"q"}
			}
		})
	}),
	queueMutant("a Claim that waits is never woken", "Waiting/ends when an entry comes", neverWoken),
	queueMutant("a Claim that waits for a lease to expire is never woken", "Waiting/ends when another one's lease expires", neverWoken),
	queueMutant("a Claim looks at one queue while it waits", "Waiting/ends when an entry comes to any of the queues named", func(b *bentQueue) {
		b.bendRequest(func(req *ports.ClaimRequest) { req.Queues = req.Queues[:1] })
	}),
	queueMutant("a Claim ignores its context", "Context/ends a Claim that waits", func(b *bentQueue) {
		b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
			return b.Queue.Claim(context.WithoutCancel(ctx), req)
		}
	}),
	queueMutant("a Claim in a done context takes an entry all the same", "Context/does nothing in a context that is done", func(b *bentQueue) {
		b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
			l, err := b.Queue.Claim(context.WithoutCancel(ctx), req)
			if ctx.Err() != nil {
				return ports.Lease{}, fmt.Errorf("claiming: %w", ctx.Err())
			}
			return l, err
		}
	}),
	queueMutant("an entry that a Claim took while its context ended is lost", "Concurrency/loses no task to those who stop waiting", func(b *bentQueue) {
		b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
			l, err := b.Queue.Claim(ctx, req)
			if err != nil {
				// What comes next goes to nobody.
				go func() {
					req.TTL = time.Hour
					_, _ = b.Queue.Claim(stopLater(ctx), req)
				}()
			}
			return l, err
		}
	}),
	queueMutant("a task goes to two", "Concurrency/gives every task to one of many who claim", func(b *bentQueue) {
		b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
			l, err := b.Queue.Claim(ctx, req)
			if err == nil && l.Deliveries == 1 {
				_ = b.Queue.Nack(ctx, l, 0)
			}
			return l, err
		}
	}),
	queueMutant("a delay is ignored", "Delay/keeps an entry back until its time", func(b *bentQueue) {
		b.bendEntry(func(e *ports.Entry) {
			if e.Queue == "q" { // the suite's own clock stays right
				e.Delay = 0
			}
		})
	}),
	queueMutant("the delay of what is given back is ignored", "Delay/keeps back what was given back with a delay", func(b *bentQueue) {
		b.nack = func(ctx context.Context, l ports.Lease, _ time.Duration) error { return b.Queue.Nack(ctx, l, 0) }
	}),
	queueMutant("a very long delay overflows", "Delay/takes the longest delay there is", func(b *bentQueue) {
		b.bendEntry(func(e *ports.Entry) {
			if e.Delay > 1<<62 {
				e.Delay = 0
			}
		})
	}),
}

// neverWoken makes a Claim look once and then wait for its context alone.
func neverWoken(b *bentQueue) {
	b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
		for _, name := range req.Queues {
			if s, _ := b.Queue.Stats(ctx, name); s.Waiting > 0 {
				return b.Queue.Claim(ctx, req)
			}
		}
		<-ctx.Done()
		return ports.Lease{}, fmt.Errorf("claiming: %w", ctx.Err())
	}
}

// stopLater returns a context for what goes on behind ctx, which ends a minute
// later so that the process of the mutant ends as well.
func stopLater(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	time.AfterFunc(time.Minute, cancel)
	return ctx
}
