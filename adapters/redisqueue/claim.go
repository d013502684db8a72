package redisqueue

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"time"

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

// claim is a look at some queues, which are sorted.
type claim struct {
	queues []string
	ttl    time.Duration
}

// found is what a look brought.
type found struct {
	leased bool
	lease  ports.Lease
	// next is how long from now the next entry of them becomes due, as far as is
	// known; negative: none does.
	next time.Duration
}

// look claims what is due, if anything is, together with others who look at the
// same queues.
func (q *Queue) look(ctx context.Context, queues []string, ttl time.Duration) (found, error) {
	return q.claims.do(ctx, keyOf(queues), claim{queues, ttl})
}

// keyOf returns a text that no other queues have.
func keyOf(queues []string) string {
	var key []byte
	for _, name := range queues {
		key = append(key, byte(len(name))) // no name is longer than ports.MaxQueueName
		key = append(key, name...)
	}
	return string(key)
}

// claimAll makes claims of the same queues.
func (q *Queue) claimAll(ctx context.Context, claims []claim) ([]found, error) {
	queues := claims[0].queues
	args := make([]any, 0, len(queues)+2*len(claims))
	for _, name := range queues {
		args = append(args, name)
	}
	for range claims {
		args = append(args, rand.Text()) // the same ones if it is sent again
	}
	for _, c := range claims {
		args = append(args, millis(c.ttl))
	}
	reply, err := q.run(ctx, claimScript, queues, args...)
	if err != nil {
		return nil, err
	}
	return parseFound(reply, len(claims))
}

// giveBack undoes a claim whose caller has gone. If it fails too, the entry comes
// back when the lease expires.
func (q *Queue) giveBack(f found) {
	if !f.leased {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	_ = q.Nack(ctx, f.lease, 0)
}

// parseFound reads the reply of the claim script to n claims.
func parseFound(reply []any, n int) ([]found, error) {
	next, ok := reply[0].(int64)
	if !ok {
		return nil, badReply(reply)
	}
	all := make([]found, n)
	for i := range all {
		all[i].next = time.Duration(next) * time.Microsecond
	}
	for _, lease := range reply[1:] {
		i, l, ok := parseLease(lease)
		if !ok || i < 1 || i > int64(n) || all[i-1].leased {
			return nil, badReply(reply)
		}
		all[i-1] = found{leased: true, lease: l}
	}
	return all, nil
}

// parseLease reads a lease and the number of its claim.
func parseLease(reply any) (claim int64, l ports.Lease, ok bool) {
	words, _ := reply.([]any)
	if len(words) != 6 {
		return 0, l, false
	}
	claim, ok1 := words[0].(int64)
	task, ok2 := words[1].(string)
	queue, ok3 := words[2].(string)
	fence, ok4 := words[3].(string)
	deliveries, ok5 := words[4].(int64)
	at, ok6 := words[5].(int64)
	number, err := strconv.ParseInt(fence, 10, 64)
	return claim, ports.Lease{
		Task: ports.TaskID(task), Queue: queue, Fence: number, Deliveries: int(deliveries), ExpiresAt: time.UnixMilli(at),
	}, ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && err == nil
}
