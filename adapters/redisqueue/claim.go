package redisqueue

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/task-runner/task-runner/internal/redisserver"
	"github.com/task-runner/task-runner/ports"
)

// undoTimeout bounds what is done for a call that has returned.
const undoTimeout = 5 * time.Second

// Claim implements ports.Queue. Of those who wait in one process the one who
// came first is woken first.
func (q *Queue) Claim(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
	if err := req.Validate(); err != nil {
		return ports.Lease{}, err
	}
	queues := slices.Compact(slices.Sorted(slices.Values(req.Queues)))
	found, err := q.look(ctx, queues, req.TTL)
	if err == nil && !found.leased {
		found, err = q.wait(ctx, queues, req.TTL, found.next)
	}
	if err != nil {
		return ports.Lease{}, fmt.Errorf("claiming from %q: %w", req.Queues, err)
	}
	return found.lease, nil
}

// wait looks whenever it may be worth it, until there is something.
func (q *Queue) wait(ctx context.Context, queues []string, ttl, next time.Duration) (found, error) {
	w := q.enter(queues)
	for {
		if err := w.wait(ctx, next); err != nil {
			q.leave(w, ctx.Err() != nil)
			return found{}, err
		}
		f, err := q.look(ctx, queues, ttl)
		if err != nil || f.leased {
			q.leave(w, err != nil)
			return f, err
		}
		next = f.next
	}
}

// found is what a look at some queues brought.
type found struct {
	leased bool
	lease  ports.Lease
	// next is how long from now the next entry of them becomes due, as far as is
	// known; negative: none does.
	next time.Duration
}

// look claims what is due, if anything is.
func (q *Queue) look(ctx context.Context, queues []string, ttl time.Duration) (found, error) {
	args := make([]any, 0, 2+len(queues))
	args = append(args, rand.Text(), millis(ttl))
	for _, name := range queues {
		args = append(args, name)
	}
	return redisserver.DoOrUndo(ctx, func(ctx context.Context) (found, error) {
		reply, err := q.run(ctx, claimScript, queues, args...)
		if err != nil {
			return found{}, err
		}
		return parseFound(reply)
	}, func(f found) {
		if !f.leased {
			return
		}
		// If this fails too, the entry comes back when the lease expires.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		_ = q.Nack(ctx, f.lease, 0)
	})
}

// parseFound reads the reply of the claim script.
func parseFound(reply []string) (found, error) {
	if len(reply) == 2 && reply[0] == "none" {
		n, err := parseInts(reply[1:], 1)
		if err != nil {
			return found{}, err
		}
		return found{next: time.Duration(n[0]) * time.Microsecond}, nil
	}
	if len(reply) != 6 || reply[0] != "lease" {
		return found{}, badReply(reply)
	}
	n, err := parseInts(reply[3:], 3)
	if err != nil {
		return found{}, err
	}
	return found{leased: true, lease: ports.Lease{
		Task:       ports.TaskID(reply[1]),
		Queue:      reply[2],
		Fence:      n[0],
		Deliveries: int(n[1]),
		ExpiresAt:  time.UnixMilli(n[2]),
	}}, nil
}
