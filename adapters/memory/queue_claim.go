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
	if err := req.Validate(); err != nil {
		return ports.Lease{}, err
	}
	if err := ctx.Err(); err != nil {
		return ports.Lease{}, fmt.Errorf("claiming from %q: %w", req.Queues, err)
	}
	l, c := q.enter(req)
	if c == nil {
		return l, nil
	}
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

// enter serves the request, or else returns the claim as which it waits now.
func (q *Queue) enter(req ports.ClaimRequest) (ports.Lease, *claim) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.catchUp()
	lines := make([]*line, 0, len(req.Queues))
	for _, name := range req.Queues {
		if l := q.line(name); !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
	}
	if e := best(lines); e != nil {
		lease := q.lease(e, now, req.TTL)
		q.setAlarm(now)
		for _, l := range lines {
			q.tidy(l)
		}
		return lease, nil
	}
	c := &claim{lines: lines, ttl: req.TTL, lease: make(chan ports.Lease, 1)}
	for _, l := range c.lines {
		c.places = append(c.places, l.claims.PushBack(c))
	}
	q.waiters++
	q.setAlarm(now)
	return ports.Lease{}, c
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
