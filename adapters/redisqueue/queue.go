package redisqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/task-runner/task-runner/internal/redisserver"
	"github.com/task-runner/task-runner/ports"
)

// Config configures a Queue.
type Config struct {
	// Prefix starts the name of every key, so that several queues can share a
	// server. 1 to 64 bytes without braces; default "taskrunner".
	Prefix string
}

// Queue is a ports.Queue on Redis. All that is in it is in Redis: any number of
// Queues in any number of processes that use one server and one prefix are one
// queue.
type Queue struct {
	client redis.UniversalClient
	base   string // what every key begins with
	shared [4]string
	poke   string // the key that interrupts this Queue's own watch
	line   line

	enqueues batches[ports.Entry, struct{}]
	claims   batches[claim, found]
	acks     batches[ports.Lease, any]
}

// New returns a Queue on a *redis.Client or a *redis.ClusterClient, which stays
// the caller's to close, after the last call has returned. It refuses a server
// that it cannot trust with tasks; the error says which setting has to change.
func New(ctx context.Context, client redis.UniversalClient, c Config) (*Queue, error) {
	if c.Prefix == "" {
		c.Prefix = "taskrunner"
	}
	if len(c.Prefix) > 64 || strings.ContainsAny(c.Prefix, "{}") {
		return nil, ports.Invalid("prefix", "must have 1 to 64 bytes and no braces")
	}
	if err := redisserver.Check(ctx, client); err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	q := &Queue{client: client, base: "{" + c.Prefix + "}:"}
	q.shared = [4]string{q.base + "tasks", q.base + "clock", q.base + "claims", q.base + "paused"}
	q.poke = q.base + "poke:" + rand.Text()
	q.enqueues.run = q.enqueueAll
	q.claims.run, q.claims.undo = q.claimAll, q.giveBack
	q.acks.run = q.ackAll
	if _, err := q.Stats(ctx, ports.DefaultQueue); err != nil { // all keys and scripts want the same rights
		return nil, fmt.Errorf("opening the queue: %w", redisserver.Advise(err))
	}
	return q, nil
}

// Enqueue implements ports.Queue. It is ErrFull when the memory that Redis may
// use is full.
func (q *Queue) Enqueue(ctx context.Context, e ports.Entry) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if _, err := q.enqueues.do(ctx, e.Queue, e); err != nil {
		if redisserver.IsFull(err) {
			err = fmt.Errorf("%w: %w", ports.ErrFull, err)
		}
		return fmt.Errorf("enqueueing task %q: %w", e.Task, err)
	}
	return nil
}

// enqueueAll adds entries of one queue.
func (q *Queue) enqueueAll(ctx context.Context, entries []ports.Entry) ([]struct{}, error) {
	queue := entries[0].Queue
	args := make([]any, 0, 1+3*len(entries))
	args = append(args, queue)
	for _, e := range entries {
		args = append(args, string(e.Task))
	}
	for _, e := range entries {
		args = append(args, e.Priority)
	}
	for _, e := range entries {
		args = append(args, millis(e.Delay))
	}
	_, err := q.run(ctx, enqueueScript, []string{queue}, args...)
	return make([]struct{}, len(entries)), err
}

// Extend implements ports.Queue.
func (q *Queue) Extend(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
	if ttl <= 0 {
		return ports.Lease{}, ports.Invalid("ttl", "must be positive")
	}
	reply, err := q.do(ctx, extendScript, l.Queue, string(l.Task), fence(l), millis(ttl))
	if err == nil {
		err = verdict(reply[0])
	}
	if err != nil && !errors.Is(err, ports.ErrCancelled) {
		return ports.Lease{}, fmt.Errorf("extending the lease of task %q: %w", l.Task, err)
	}
	n, badReply := parseInts(reply[1:], 1)
	if badReply != nil {
		return ports.Lease{}, fmt.Errorf("extending the lease of task %q: %w", l.Task, badReply)
	}
	l.ExpiresAt = time.UnixMilli(n[0])
	if err != nil {
		return l, fmt.Errorf("extending the lease of task %q: %w", l.Task, err)
	}
	return l, nil
}

// Ack implements ports.Queue.
func (q *Queue) Ack(ctx context.Context, l ports.Lease) error {
	word, err := q.acks.do(ctx, l.Queue, l)
	if err == nil {
		err = verdict(word)
	}
	if err != nil {
		return fmt.Errorf("acknowledging task %q: %w", l.Task, err)
	}
	return nil
}

// ackAll acknowledges leases of one queue, and returns the script's verdicts.
func (q *Queue) ackAll(ctx context.Context, leases []ports.Lease) ([]any, error) {
	queue := leases[0].Queue
	args := make([]any, 0, 1+2*len(leases))
	args = append(args, queue)
	for _, l := range leases {
		args = append(args, string(l.Task))
	}
	for _, l := range leases {
		args = append(args, fence(l))
	}
	reply, err := q.run(ctx, ackScript, []string{queue}, args...)
	if err == nil && len(reply) != len(leases) {
		err = badReply(reply)
	}
	return reply, err
}

// Nack implements ports.Queue.
func (q *Queue) Nack(ctx context.Context, l ports.Lease, delay time.Duration) error {
	if delay < 0 {
		return ports.Invalid("delay", "must not be negative")
	}
	reply, err := q.do(ctx, nackScript, l.Queue, string(l.Task), fence(l), millis(delay))
	if err == nil {
		err = verdict(reply[0])
	}
	if err != nil {
		return fmt.Errorf("giving back task %q: %w", l.Task, err)
	}
	return nil
}

// Cancel implements ports.Queue.
func (q *Queue) Cancel(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
	// A script names its keys before it runs, and which queue the task is in is
	// known only afterwards: the first run says so.
	for queue := ""; ; {
		reply, err := q.do(ctx, cancelScript, queue, string(id))
		if err != nil {
			return 0, fmt.Errorf("cancelling task %q: %w", id, err)
		}
		switch reply[0] {
		case "waiting":
			return ports.CancelledWaiting, nil
		case "leased":
			return ports.CancelledLeased, nil
		case "missing":
			return 0, fmt.Errorf("cancelling task %q: %w", id, ports.ErrNotFound)
		}
		name, ok := reply[len(reply)-1].(string)
		if !ok || len(reply) != 2 || reply[0] != "elsewhere" {
			return 0, fmt.Errorf("cancelling task %q: %w", id, badReply(reply))
		}
		queue = name
	}
}

// Stats implements ports.Queue.
func (q *Queue) Stats(ctx context.Context, queue string) (ports.QueueStats, error) {
	reply, err := q.do(ctx, statsScript, queue)
	var n []int64
	if err == nil {
		n, err = parseInts(reply, 4)
	}
	if err != nil {
		return ports.QueueStats{}, fmt.Errorf("counting queue %q: %w", queue, err)
	}
	return ports.QueueStats{
		Waiting:    int(n[0]),
		Delayed:    int(n[1]),
		Leased:     int(n[2]),
		OldestWait: time.Duration(max(n[3], 0)) * time.Millisecond,
	}, nil
}

// do runs s over one queue, whose name comes first, and returns as soon as ctx is
// done.
func (q *Queue) do(ctx context.Context, s *script, queue string, args ...any) ([]any, error) {
	return redisserver.Do(ctx, func(ctx context.Context) ([]any, error) {
		return q.run(ctx, s, []string{queue}, append([]any{queue}, args...)...)
	})
}

// verdict returns what a script says of a lease.
func verdict(word any) error {
	switch word {
	case "ok":
		return nil
	case "lost":
		return ports.ErrLeaseLost
	case "cancelled":
		return ports.ErrCancelled
	}
	return badReply(word)
}

// fence writes the fence of l as the scripts do.
func fence(l ports.Lease) string { return fmt.Sprintf("%016d", l.Fence) }

// millis returns d in milliseconds, rounded up.
func millis(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// parseInts reads a reply of n numbers.
func parseInts(reply []any, n int) ([]int64, error) {
	if len(reply) != n {
		return nil, badReply(reply)
	}
	numbers := make([]int64, n)
	for i, word := range reply {
		var ok bool
		if numbers[i], ok = word.(int64); !ok {
			return nil, badReply(reply)
		}
	}
	return numbers, nil
}

func badReply(reply any) error { return fmt.Errorf("the reply %v is not understood", reply) }
