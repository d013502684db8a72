package memory

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// claim is a Claim that waits.
type claim struct {
	lines []*line
	// places are the claim's places among those who wait at each line; nil once
	// it was served or left.
	places []*list.Element
	ttl    time.Duration
	lease  chan ports.Lease // has room for the one lease it ever gets
}

// Claim implements ports.Queue. Those who wait are served in the order in which
// they came.
func (q *Queue) Claim(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
	if err := validateClaim(req); err != nil {
		return ports.Lease{}, err
	}
	if err := ctx.Err(); err != nil {
		return ports.Lease{}, fmt.Errorf("claiming from %q: %w", req.Queues, err)
	}
	c := q.enter(req)
	select {
	case l := <-c.lease:
		return l, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case l := <-c.lease: // served in this very moment; the entry must not be lost
		return l, nil
	default:
	}
	q.leave(c)
	q.setAlarm(time.Since(q.start)) // stops it, if nobody else waits
	return ports.Lease{}, fmt.Errorf("claiming from %q: %w", req.Queues, ctx.Err())
}

// enter serves the request, or makes it wait.
func (q *Queue) enter(req ports.ClaimRequest) *claim {
	names := slices.Compact(slices.Sorted(slices.Values(req.Queues)))
	c := &claim{ttl: req.TTL, lease: make(chan ports.Lease, 1)}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.catchUp()
	for _, name := range names {
		c.lines = append(c.lines, q.line(name))
	}
	if e := best(c.lines); e != nil {
		c.lease <- q.lease(e, now, c.ttl)
		q.setAlarm(now)
		for _, l := range c.lines {
			q.tidy(l)
		}
		return c
	}
	for _, l := range c.lines {
		c.places = append(c.places, l.claims.PushBack(c))
	}
	q.waiters++
	q.setAlarm(now)
	return c
}

// leave takes c out of the lines that it waits at.
func (q *Queue) leave(c *claim) {
	for i, l := range c.lines {
		l.claims.Remove(c.places[i])
		q.tidy(l)
	}
	c.places = nil
	q.waiters--
}

func validateClaim(req ports.ClaimRequest) error {
	if len(req.Queues) == 0 {
		return ports.Invalid("queues", "must name at least one queue")
	}
	for _, name := range req.Queues {
		if err := validateQueueName(name); err != nil {
			return err
		}
	}
	if req.TTL <= 0 {
		return ports.Invalid("ttl", "must be positive")
	}
	return nil
}
