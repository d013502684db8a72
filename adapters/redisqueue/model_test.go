package redisqueue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

// stoppedClock gives the scripts of a client a time that moves only when told: they
// read it from a key.
type stoppedClock struct{ sources map[string]string } // by hash

func (c *stoppedClock) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *stoppedClock) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *stoppedClock) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); args[0] == "evalsha" {
			const stopped = `{math.floor(call('GET', clock .. ':test') / 1000), call('GET', clock .. ':test') % 1000 * 1000}`
			args[0], args[1] = "eval", strings.Replace(c.sources[args[1].(string)], "call('TIME')", stopped, 1)
		}
		return next(ctx, cmd)
	}
}

// stoppedClient returns a client whose queues have a clock that is moved by advance.
func stoppedClient(t *testing.T) *redis.Client {
	opts := *testenv.Redis(t).Options()
	client := redis.NewClient(&opts)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	client.AddHook(&stoppedClock{redisqueue.Sources()})
	return client
}

func advance(t *testing.T, client *redis.Client, q *redisqueue.Queue, d time.Duration) {
	t.Helper()
	key := "{" + q.Prefix() + "}:clock:test"
	require.NoError(t, client.IncrBy(t.Context(), key, d.Milliseconds()).Err())
}

// newStoppedQueue returns an empty queue at an instant that is always the same.
func newStoppedQueue(t *testing.T, client *redis.Client) *redisqueue.Queue {
	t.Helper()
	prefix := testenv.Unique(t)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	require.NoError(t, client.Set(t.Context(), "{"+prefix+"}:clock:test", start, time.Hour).Err())
	return openQueue(t, client, prefix)
}

func TestQueueConformsWithAClockThatIsMoved(t *testing.T) {
	client := stoppedClient(t)
	conformance.Queue(t, conformance.QueueHarness{
		New: func(t *testing.T) ports.Queue { return newStoppedQueue(t, client) },
		Advance: func(t *testing.T, q ports.Queue, d time.Duration) {
			advance(t, client, q.(*redisqueue.Queue), d)
		},
	})
}

// Of two queues at the same instant one is asked for several things at once and the
// other one for one after the other: that makes no difference to anybody.
func TestABatchDoesWhatItsCallsDoOneByOne(t *testing.T) {
	t.Parallel()
	client := stoppedClient(t)
	for seed := range uint64(10) {
		p := &pair{
			T: t, rnd: rand.New(rand.NewPCG(seed, 1)),
			atOnce: newStoppedQueue(t, client), oneByOne: newStoppedQueue(t, client),
		}
		for range 400 {
			p.step(client)
		}
	}
}

type pair struct {
	*testing.T
	rnd              *rand.Rand
	atOnce, oneByOne *redisqueue.Queue
	leases           []ports.Lease // all that ever were
}

var pairQueues = []string{"a", "b", "c"}

func (p *pair) step(client *redis.Client) {
	switch p.rnd.IntN(10) {
	case 0, 1:
		p.enqueue()
	case 2, 3:
		p.claim()
	case 4, 5:
		p.ack()
	case 6:
		l, ttl := p.lease(), p.ms(1, 4)
		same(p, func(q *redisqueue.Queue) (ports.Lease, error) { return q.Extend(p.Context(), l, ttl) })
	case 7:
		l, delay := p.lease(), p.ms(0, 3)
		same(p, func(q *redisqueue.Queue) (bool, error) { return true, q.Nack(p.Context(), l, delay) })
	case 8:
		id := p.task()
		same(p, func(q *redisqueue.Queue) (ports.Cancelled, error) { return q.Cancel(p.Context(), id) })
	case 9:
		for _, name := range pairQueues {
			same(p, func(q *redisqueue.Queue) (ports.QueueStats, error) { return q.Stats(p.Context(), name) })
		}
		d := p.ms(0, 2)
		advance(p.T, client, p.atOnce, d)
		advance(p.T, client, p.oneByOne, d)
	}
}

// same does the same to both queues.
func same[T any](p *pair, do func(*redisqueue.Queue) (T, error)) {
	p.Helper()
	want, wantErr := do(p.oneByOne)
	got, err := do(p.atOnce)
	require.Equal(p, wantErr, err)
	require.Equal(p, want, got)
}

func (p *pair) task() ports.TaskID { return ports.TaskID(fmt.Sprint(p.rnd.IntN(20))) }

func (p *pair) ms(from, to int) time.Duration {
	return time.Duration(from+p.rnd.IntN(to-from+1)) * time.Millisecond
}

// lease returns one of the last leases, which may be lost.
func (p *pair) lease() ports.Lease {
	if len(p.leases) == 0 {
		return ports.Lease{Task: p.task(), Queue: "a", Fence: 1}
	}
	return p.leases[max(0, len(p.leases)-1-p.rnd.IntN(8))]
}

// enqueue adds some entries, of which some may be there, or be the same.
func (p *pair) enqueue() {
	queue := pairQueues[p.rnd.IntN(3)]
	var entries []ports.Entry
	for range 1 + p.rnd.IntN(4) {
		e := ports.Entry{Task: p.task(), Queue: queue, Priority: p.rnd.IntN(5) - 2, Delay: p.ms(0, 3)}
		entries = append(entries, e)
		require.NoError(p, p.oneByOne.EnqueueAll(e))
	}
	require.NoError(p, p.atOnce.EnqueueAll(entries...))
}

// claim claims some times, perhaps more often than there are entries.
func (p *pair) claim() {
	names := pairQueues[p.rnd.IntN(3):]
	var ttls, wantNext []time.Duration
	var want []ports.Lease
	for range 1 + p.rnd.IntN(4) {
		ttl := p.ms(1, 4)
		l, next, err := p.oneByOne.ClaimAll(names, ttl)
		require.NoError(p, err)
		ttls, want, wantNext = append(ttls, ttl), append(want, l...), append(wantNext, next...)
	}
	got, next, err := p.atOnce.ClaimAll(names, ttls...)
	require.NoError(p, err)
	require.Equal(p, want, got)
	for i, l := range got {
		if l != (ports.Lease{}) {
			p.leases = append(p.leases, l)
		} else {
			require.Equal(p, wantNext[i], next[i])
		}
	}
}

// ack acknowledges some leases of one queue, among them ghosts' and the same one twice.
func (p *pair) ack() {
	leases := []ports.Lease{p.lease()}
	for range 3 {
		if l := p.lease(); l.Queue == leases[0].Queue {
			leases = append(leases, l)
		}
	}
	var want []error
	for _, l := range leases {
		verdict, err := p.oneByOne.AckAll(l)
		require.NoError(p, err)
		want = append(want, verdict...)
	}
	got, err := p.atOnce.AckAll(leases...)
	require.NoError(p, err)
	require.Equal(p, want, got)
}
