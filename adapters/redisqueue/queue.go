package redisqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
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
	return q, nil
}

// Enqueue implements ports.Queue. It is ErrFull when the memory that Redis may
// use is full.
func (q *Queue) Enqueue(ctx context.Context, e ports.Entry) error {
	if err := e.Validate(); err != nil {
		return err
	}
	_, err := q.do(ctx, enqueueScript, e.Queue, string(e.Task), e.Queue, e.Priority, millis(e.Delay))
	if err != nil {
		if strings.Contains(err.Error(), "OOM command not allowed") {
			err = fmt.Errorf("%w: %w", ports.ErrFull, err)
		}
		return fmt.Errorf("enqueueing task %q: %w", e.Task, err)
	}
	return nil
}

// Extend implements ports.Queue.
func (q *Queue) Extend(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
	if ttl <= 0 {
		return ports.Lease{}, ports.Invalid("ttl", "must be positive")
	}
	reply, err := q.do(ctx, extendScript, l.Queue, string(l.Task), l.Queue, fence(l), millis(ttl))
	if err == nil {
		err = verdict(reply)
	}
	if err != nil && !errors.Is(err, ports.ErrCancelled) {
		return ports.Lease{}, fmt.Errorf("extending the lease of task %q: %w", l.Task, err)
	}
	at, badReply := parseTime(reply[1:])
	if badReply != nil {
		return ports.Lease{}, fmt.Errorf("extending the lease of task %q: %w", l.Task, badReply)
	}
	l.ExpiresAt = at
	if err != nil {
		return l, fmt.Errorf("extending the lease of task %q: %w", l.Task, err)
	}
	return l, nil
}

// Ack implements ports.Queue.
func (q *Queue) Ack(ctx context.Context, l ports.Lease) error {
	reply, err := q.do(ctx, ackScript, l.Queue, string(l.Task), l.Queue, fence(l))
	if err == nil {
		err = verdict(reply)
	}
	if err != nil {
		return fmt.Errorf("acknowledging task %q: %w", l.Task, err)
	}
	return nil
}

// Nack implements ports.Queue.
func (q *Queue) Nack(ctx context.Context, l ports.Lease, delay time.Duration) error {
	if delay < 0 {
		return ports.Invalid("delay", "must not be negative")
	}
	reply, err := q.do(ctx, nackScript, l.Queue, string(l.Task), l.Queue, fence(l), millis(delay))
	if err == nil {
		err = verdict(reply)
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
		reply, err := q.do(ctx, cancelScript, queue, string(id), queue)
		if err != nil {
			return 0, fmt.Errorf("cancelling task %q: %w", id, err)
		}
		switch {
		case reply[0] == "waiting":
			return ports.CancelledWaiting, nil
		case reply[0] == "leased":
			return ports.CancelledLeased, nil
		case reply[0] == "missing":
			return 0, fmt.Errorf("cancelling task %q: %w", id, ports.ErrNotFound)
		case reply[0] == "elsewhere" && len(reply) == 2:
			queue = reply[1]
		default:
			return 0, fmt.Errorf("cancelling task %q: %w", id, badReply(reply))
		}
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

// do runs s over one queue and returns as soon as ctx is done.
func (q *Queue) do(ctx context.Context, s *script, queue string, args ...any) ([]string, error) {
	return redisserver.Do(ctx, func(ctx context.Context) ([]string, error) {
		return q.run(ctx, s, []string{queue}, args...)
	})
}

// verdict returns what a script says of a lease.
func verdict(reply []string) error {
	switch reply[0] {
	case "ok":
		return nil
	case "lost":
		return ports.ErrLeaseLost
	case "cancelled":
		return ports.ErrCancelled
	}
	return badReply(reply)
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

func parseTime(reply []string) (time.Time, error) {
	n, err := parseInts(reply, 1)
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(n[0]), nil
}

// parseInts reads a reply of n numbers.
func parseInts(reply []string, n int) ([]int64, error) {
	if len(reply) != n {
		return nil, badReply(reply)
	}
	numbers := make([]int64, n)
	for i, s := range reply {
		var err error
		if numbers[i], err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, badReply(reply)
		}
	}
	return numbers, nil
}

func badReply(reply []string) error { return fmt.Errorf("the reply %q is not understood", reply) }
