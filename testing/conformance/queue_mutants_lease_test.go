package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
)

var queueLeaseMutants = []mutant[ports.Queue]{
	queueMutant("an extension of nothing gets a default", "Lease/stays as it was when it is told a time that is none", func(b *bentQueue) {
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			if ttl <= 0 {
				ttl = time.Minute
			}
			return b.Queue.Extend(ctx, l, ttl)
		}
	}),
	queueMutant("a negative delay is none", "Lease/stays as it was when it is told a time that is none", func(b *bentQueue) {
		b.nack = func(ctx context.Context, l ports.Lease, d time.Duration) error {
			return b.Queue.Nack(ctx, l, max(d, 0))
		}
	}),
	queueMutant("fences stand still", "Claim/gives every claim a higher fence", func(b *bentQueue) {
		b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
			l, err := b.Queue.Claim(ctx, req)
			l.Fence = int64(l.Deliveries)
			return l, err
		}
	}),
	queueMutant("deliveries are not counted", "Lease/ends by itself, and the task comes back", func(b *bentQueue) {
		b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
			l, err := b.Queue.Claim(ctx, req)
			l.Deliveries = 1
			return l, err
		}
	}),
	queueMutant("a lease never ends", "Lease/ends by itself, and the task comes back", func(b *bentQueue) {
		b.bendRequest(func(req *ports.ClaimRequest) { req.TTL = 24 * time.Hour })
	}),
	queueMutant("a lease ends at once", "Lease/keeps the task from everybody else", func(b *bentQueue) {
		b.claim = func(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
			l, err := b.Queue.Claim(ctx, req)
			_ = b.Queue.Nack(ctx, l, 0)
			return l, err
		}
	}),
	queueMutant("a ghost acknowledges", "Lease/is worth nothing once the task is somebody else's, whose lease stays good", func(b *bentQueue) {
		b.ack = func(ctx context.Context, l ports.Lease) error { return b.Queue.Ack(ctx, b.latest(l)) }
	}),
	queueMutant("a ghost extends", "Lease/is worth nothing once the task is somebody else's, whose lease stays good", func(b *bentQueue) {
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			return b.Queue.Extend(ctx, b.latest(l), ttl)
		}
	}),
	queueMutant("a ghost gives back", "Lease/is worth nothing once the task is somebody else's, whose lease stays good", func(b *bentQueue) {
		b.nack = func(ctx context.Context, l ports.Lease, d time.Duration) error {
			return b.Queue.Nack(ctx, b.latest(l), d)
		}
	}),
	queueMutant("a ghost acknowledges what nobody has", "Lease/is worth nothing once it has expired, though nobody has the task", func(b *bentQueue) {
		b.ack = func(ctx context.Context, l ports.Lease) error {
			if found, _ := b.Queue.Cancel(ctx, l.Task); found == ports.CancelledWaiting {
				return nil
			}
			return b.Queue.Ack(ctx, l)
		}
	}),
	queueMutant("an Ack can be repeated", "Lease/is worth nothing once it was acknowledged", func(b *bentQueue) {
		b.ack = func(ctx context.Context, l ports.Lease) error {
			if err := b.Queue.Ack(ctx, l); !errors.Is(err, ports.ErrLeaseLost) {
				return err
			}
			return nil
		}
	}),
	queueMutant("a refused Nack delays the task", "Lease/is worth nothing once it was given back", func(b *bentQueue) {
		b.nack = func(ctx context.Context, l ports.Lease, d time.Duration) error {
			err := b.Queue.Nack(ctx, l, d)
			if found, _ := b.Queue.Cancel(ctx, l.Task); err != nil && found == ports.CancelledWaiting {
				_ = b.Queue.Enqueue(ctx, ports.Entry{Task: l.Task, Queue: l.Queue, Delay: d})
			}
			return err
		}
	}),
	queueMutant("only the fence is looked at", "Lease/is worth nothing when it is made up", func(b *bentQueue) {
		b.ack = func(ctx context.Context, l ports.Lease) error {
			for _, known := range b.leases {
				if known.Fence == l.Fence {
					return b.Queue.Ack(ctx, known)
				}
			}
			return b.Queue.Ack(ctx, l)
		}
	}),
	queueMutant("Extend does nothing", "Lease/lasts longer when it is extended", func(b *bentQueue) {
		b.extend = func(_ context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			l.ExpiresAt = time.Now().Add(ttl)
			return l, nil
		}
	}),
	queueMutant("Extend adds to what is left", "Lease/counts its time from the moment it was extended", func(b *bentQueue) {
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			return b.Queue.Extend(ctx, l, time.Until(l.ExpiresAt)+ttl)
		}
	}),
	queueMutant("Extend changes the lease", "Lease/stays the same when it is extended but for its expiry", func(b *bentQueue) {
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			l, err := b.Queue.Extend(ctx, l, ttl)
			l.Deliveries++
			return l, err
		}
	}),
	queueMutant("a very long lease overflows", "Lease/can be held for the longest time there is", func(b *bentQueue) {
		b.bendRequest(func(req *ports.ClaimRequest) {
			if req.TTL > 1<<62 {
				req.TTL = time.Nanosecond
			}
		})
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			return b.Queue.Extend(ctx, l, min(ttl, time.Nanosecond))
		}
	}),
	queueMutant("what is given back loses its priority", "Lease/gives back into the queue it came from, at the priority it had", (*bentQueue).giveBackAnew),
	queueMutant("two can end one lease", "Concurrency/lets one of many end a lease", func(b *bentQueue) {
		b.ack = func(ctx context.Context, l ports.Lease) error {
			_ = b.Queue.Ack(ctx, l)
			return nil
		}
	}),
	queueMutant("a lost lease is told as a missing task", "Lease/is worth nothing once it was acknowledged", func(b *bentQueue) {
		b.bendErrors(func(err error) error {
			if errors.Is(err, ports.ErrLeaseLost) {
				return fmt.Errorf("no such task: %w", ports.ErrNotFound)
			}
			return err
		})
	}),
	queueMutant("an error is two things", "Lease/is worth nothing once it was acknowledged", func(b *bentQueue) {
		b.bendErrors(func(err error) error {
			if errors.Is(err, ports.ErrLeaseLost) {
				return errors.Join(err, ports.ErrNotFound)
			}
			return err
		})
	}),
	queueMutant("an error does not say what was being done", "Lease/is worth nothing once it was acknowledged", func(b *bentQueue) {
		b.bendErrors(func(err error) error {
			if errors.Is(err, ports.ErrLeaseLost) {
				return ports.ErrLeaseLost
			}
			return err
		})
	}),
	queueMutant("the context's error is hidden", "Context/does nothing in a context that is done", func(b *bentQueue) {
		b.bendErrors(func(err error) error {
			if errors.Is(err, context.Canceled) {
				return errors.New("the call was interrupted")
			}
			return err
		})
	}),
}

var queueCancelMutants = []mutant[ports.Queue]{
	queueMutant("a holder is not told", "Cancel/tells the holder of a lease, who can go on to the end", func(b *bentQueue) {
		b.bendErrors(func(err error) error {
			if errors.Is(err, ports.ErrCancelled) {
				return nil
			}
			return err
		})
	}),
	queueMutant("a holder is told once", "Cancel/tells the holder of a lease, who can go on to the end", func(b *bentQueue) {
		told := map[ports.TaskID]bool{}
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			l, err := b.Queue.Extend(ctx, l, ttl)
			if errors.Is(err, ports.ErrCancelled) && told[l.Task] {
				err = nil
			}
			told[l.Task] = true
			return l, err
		}
	}),
	queueMutant("a cancelled lease comes back empty", "Cancel/tells the holder of a lease, who can go on to the end", func(b *bentQueue) {
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			l, err := b.Queue.Extend(ctx, l, ttl)
			if err != nil {
				return ports.Lease{}, err
			}
			return l, nil
		}
	}),
	queueMutant("a cancelled lease is not extended", "Cancel/extends the lease of a cancelled task all the same", func(b *bentQueue) {
		cancelled := map[ports.TaskID]bool{}
		b.cancel = func(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
			cancelled[id] = true
			return b.Queue.Cancel(ctx, id)
		}
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			if cancelled[l.Task] {
				return l, fmt.Errorf("extending: %w", ports.ErrCancelled)
			}
			return b.Queue.Extend(ctx, l, ttl)
		}
	}),
	queueMutant("a cancelled task can not be acknowledged", "Cancel/tells the holder of a lease, who can go on to the end", func(b *bentQueue) {
		b.ack = func(ctx context.Context, l ports.Lease) error {
			if _, err := b.Queue.Extend(ctx, l, time.Minute); err != nil {
				return err
			}
			return b.Queue.Ack(ctx, l)
		}
	}),
	queueMutant("Cancel takes the task from its holder", "Cancel/tells the holder of a lease, who can go on to the end", func(b *bentQueue) {
		b.cancel = func(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
			found, err := b.Queue.Cancel(ctx, id)
			if found == ports.CancelledLeased {
				_ = b.Queue.Ack(ctx, b.latest(ports.Lease{Task: id}))
			}
			return found, err
		}
	}),
	queueMutant("Cancel leaves a delayed entry", "Cancel/removes an entry that is delayed", func(b *bentQueue) {
		b.cancel = func(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
			if s, _ := b.Queue.Stats(ctx, "q"); s.Delayed > 0 {
				return ports.CancelledWaiting, nil
			}
			return b.Queue.Cancel(ctx, id)
		}
	}),
	queueMutant("the flag is lost when the task is given back", "Cancel/stays on an entry that is given back", (*bentQueue).giveBackAnew),
	queueMutant("the flag is lost when the lease ends", "Cancel/lets the lease of a cancelled task end", func(b *bentQueue) {
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			extended, err := b.Queue.Extend(ctx, l, ttl)
			if errors.Is(err, ports.ErrCancelled) && l.Deliveries > 1 {
				err = nil
			}
			return extended, err
		}
	}),
	queueMutant("the flag outlives the entry", "Enqueue/starts anew after the task was acknowledged", func(b *bentQueue) {
		cancelled := map[ports.TaskID]bool{}
		b.cancel = func(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
			cancelled[id] = true
			return b.Queue.Cancel(ctx, id)
		}
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			l, err := b.Queue.Extend(ctx, l, ttl)
			if err == nil && cancelled[l.Task] {
				err = fmt.Errorf("extending: %w", ports.ErrCancelled)
			}
			return l, err
		}
	}),
	queueMutant("a ghost is told of the cancel", "Cancel/tells a ghost that its lease is lost and nothing else", func(b *bentQueue) {
		b.bendErrors(func(err error) error {
			if errors.Is(err, ports.ErrLeaseLost) {
				return errors.Join(err, ports.ErrCancelled)
			}
			return err
		})
	}),
	queueMutant("Cancel takes an ID for a prefix", "Cancel/touches no other task", func(b *bentQueue) {
		b.cancel = func(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
			for other := range b.leases {
				if strings.HasPrefix(string(other), string(id)) && other != id {
					_, _ = b.Queue.Cancel(ctx, other)
				}
			}
			return b.Queue.Cancel(ctx, id)
		}
	}),
	queueMutant("the flag is forgotten after two lost attempts", "Model/does what a simple queue does, whatever is done to it", func(b *bentQueue) {
		b.extend = func(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
			extended, err := b.Queue.Extend(ctx, l, ttl)
			if errors.Is(err, ports.ErrCancelled) && l.Deliveries > 2 {
				err = nil
			}
			return extended, err
		}
	}),
	queueMutant("Cancel finds what is not there", "Cancel/finds no entry that is not there", func(b *bentQueue) {
		b.cancel = func(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
			found, err := b.Queue.Cancel(ctx, id)
			if errors.Is(err, ports.ErrNotFound) {
				return ports.CancelledWaiting, nil
			}
			return found, err
		}
	}),
	queueMutant("Cancel says that it removed what it flagged", "Concurrency/either removes or flags what is cancelled while it is claimed", func(b *bentQueue) {
		b.cancel = func(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
			found, err := b.Queue.Cancel(ctx, id)
			if found == ports.CancelledWaiting {
				found = ports.CancelledLeased
			} else if found == ports.CancelledLeased {
				found = ports.CancelledWaiting
			}
			return found, err
		}
	}),
}
