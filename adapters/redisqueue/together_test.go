package redisqueue_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// together makes calls for queue q one after the other, and returns when all have
// returned. They share a run, in their order. Meanwhile, unless nil, is called once
// all are there, before the run.
func together(t *testing.T, q *redisqueue.Queue, meanwhile func(), calls ...func()) {
	t.Helper()
	gathered, release := q.Hold("q")
	var wg sync.WaitGroup
	for i, call := range calls {
		wg.Go(call)
		require.Eventually(t, func() bool { return gathered() == i+1 }, time.Minute, 100*time.Microsecond)
	}
	if meanwhile != nil {
		meanwhile()
	}
	release()
	wg.Wait()
}

// claims returns n calls that claim, and what they will have brought. The i-th
// lease is to last i+1 hours.
func claims(ctx context.Context, q *redisqueue.Queue, n int) (calls []func(), leases []ports.Lease, errs []error) {
	leases, errs = make([]ports.Lease, n), make([]error, n)
	for i := range n {
		calls = append(calls, func() {
			leases[i], errs[i] = q.Claim(ctx, ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Duration(i+1) * time.Hour})
		})
	}
	return calls, leases, errs
}

func acks(t *testing.T, q *redisqueue.Queue, leases ...ports.Lease) (calls []func(), errs []error) {
	errs = make([]error, len(leases))
	for i, l := range leases {
		calls = append(calls, func() { errs[i] = q.Ack(t.Context(), l) })
	}
	return calls, errs
}

func TestCallsTogether(t *testing.T) {
	t.Parallel()
	q := newQueue(t, testenv.Redis(t))
	const n = 5
	var enqueues []func()
	for i := range n {
		enqueues = append(enqueues, func() {
			assert.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: "q"}))
		})
	}
	enqueues = append(enqueues, enqueues[0]) // the same task again
	together(t, q, nil, enqueues...)
	together(t, q, nil, enqueues[1])
	requireStats(t, q, ports.QueueStats{Waiting: n})

	calls, leases, errs := claims(t.Context(), q, n)
	together(t, q, nil, calls...)
	var fence int64
	for i, l := range leases {
		require.NoError(t, errs[i])
		require.Equal(t, ports.TaskID(fmt.Sprint(i)), l.Task, "who came first gets what came first")
		require.Equal(t, 1, l.Deliveries)
		require.Greater(t, l.Fence, fence)
		fence = l.Fence
		require.Equal(t, time.Duration(i)*time.Hour, l.ExpiresAt.Sub(leases[0].ExpiresAt), "each has its own time")
	}
	requireStats(t, q, ports.QueueStats{Leased: n})

	// Of two who acknowledge the same lease one has lost it.
	ghost := leases[2]
	ghost.Fence--
	calls, errs = acks(t, q, leases[0], leases[1], leases[1], ghost, leases[3])
	together(t, q, nil, calls...)
	for i, lost := range []bool{false, false, true, true, false} {
		if lost {
			require.ErrorIs(t, errs[i], ports.ErrLeaseLost, i)
		} else {
			require.NoError(t, errs[i], i)
		}
	}
	require.NoError(t, q.Ack(t.Context(), leases[2]), "its ghost has changed nothing")
	require.NoError(t, q.Ack(t.Context(), leases[4]))
	requireStats(t, q, ports.QueueStats{})
}

// Those for whom there is nothing wait, and are woken as ever.
func TestMoreClaimsTogetherThanThereAreEntries(t *testing.T) {
	t.Parallel()
	q := newQueue(t, testenv.Redis(t))
	enqueue(t, q, "first")
	require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "second", Queue: "q", Delay: 50 * time.Millisecond}))
	calls, leases, errs := claims(t.Context(), q, 3)
	var later sync.WaitGroup
	later.Go(func() {
		assert.Eventually(t, func() bool {
			s, err := q.Stats(t.Context(), "q")
			return err == nil && s.Leased == 2
		}, time.Minute, time.Millisecond)
		assert.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "third", Queue: "q"}))
	})
	together(t, q, nil, calls...)
	later.Wait()
	tasks := map[ports.TaskID]bool{}
	for i, l := range leases {
		require.NoError(t, errs[i])
		tasks[l.Task] = true
	}
	require.Equal(t, ports.TaskID("first"), leases[0].Task)
	require.Len(t, tasks, 3)
}

// A batch of the greatest size, from queues whose names hold every byte that there is.
func TestAsManyCallsTogetherAsThereCanBe(t *testing.T) {
	t.Parallel()
	q := newQueue(t, testenv.Redis(t))
	var names []string
	for first := 0; first < 256; first += ports.MaxQueueName {
		var name []byte
		for i := range ports.MaxQueueName {
			name = append(name, byte(first+i))
		}
		names = append(names, string(name))
	}
	const n = 64
	ttls := make([]time.Duration, n)
	var want []ports.TaskID
	for i, name := range names {
		var entries []ports.Entry
		for j := range n {
			e := ports.Entry{Task: ports.TaskID(fmt.Sprintf("%0*d", ports.MaxIDLen, n*i+j)), Queue: name}
			entries, want = append(entries, e), append(want, e.Task)
			ttls[j] = time.Hour
		}
		require.NoError(t, q.EnqueueAll(entries...))
	}
	for i, name := range names {
		leases, _, err := q.ClaimAll(names, ttls...)
		require.NoError(t, err)
		for j, l := range leases {
			require.Equal(t, name, l.Queue)
			require.Equal(t, want[n*i+j], l.Task)
		}
		verdicts, err := q.AckAll(leases...)
		require.NoError(t, err)
		require.Equal(t, make([]error, n), verdicts)
	}
}

// What somebody's hand removed is passed over.
func TestClaimsTogetherOfATaskWithoutARecord(t *testing.T) {
	t.Parallel()
	client := testenv.Redis(t)
	q := newQueue(t, client)
	enqueue(t, q, "a", "b", "c")
	require.NoError(t, client.HDel(t.Context(), "{"+q.Prefix()+"}:tasks", "a").Err())
	calls, leases, errs := claims(t.Context(), q, 2)
	together(t, q, nil, calls...)
	require.Equal(t, make([]error, 2), errs)
	require.Equal(t, []ports.TaskID{"b", "c"}, []ports.TaskID{leases[0].Task, leases[1].Task})
}

func TestClaimsTogetherFromAPausedQueue(t *testing.T) {
	t.Parallel()
	q := newQueue(t, testenv.Redis(t))
	enqueue(t, q, "a", "b")
	require.NoError(t, q.Pause(t.Context(), "q"))
	leases, next, err := q.ClaimAll([]string{"q"}, time.Hour, time.Hour)
	require.NoError(t, err)
	require.Equal(t, make([]ports.Lease, 2), leases)
	require.Equal(t, []time.Duration{-time.Microsecond, -time.Microsecond}, next, "nothing of it becomes due")
	require.NoError(t, q.Resume(t.Context(), "q"))
	calls, leases, _ := claims(t.Context(), q, 2)
	together(t, q, nil, calls...)
	require.Equal(t, []ports.TaskID{"a", "b"}, []ports.TaskID{leases[0].Task, leases[1].Task})
}

// The others have theirs; what it would have got is given back or never taken.
func TestOneOfThoseTogetherLeaves(t *testing.T) {
	t.Parallel()
	t.Run("before the run", func(t *testing.T) {
		t.Parallel()
		q := newQueue(t, testenv.Redis(t))
		enqueue(t, q, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		leaving, _, left := claims(ctx, q, 1)
		staying, leases, errs := claims(t.Context(), q, 1)
		together(t, q, cancel, leaving[0], staying[0])
		require.ErrorIs(t, left[0], context.Canceled)
		require.NoError(t, errs[0])
		require.Equal(t, ports.TaskID("a"), leases[0].Task)
		requireStats(t, q, ports.QueueStats{Waiting: 1, Leased: 1})
	})
	t.Run("during the run", func(t *testing.T) {
		t.Parallel()
		q, proxy := newQueueBehindProxy(t)
		other := newQueueLike(t, q)
		enqueue(t, q, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		leaving, _, left := claims(ctx, q, 1)
		staying, leases, errs := claims(t.Context(), q, 1)
		gathered, release := q.Hold("q")
		reach := func(n int) {
			require.Eventually(t, func() bool { return gathered() == n }, time.Minute, 100*time.Microsecond)
		}
		var leaver, stayer sync.WaitGroup
		leaver.Go(leaving[0])
		reach(1)
		stayer.Go(staying[0])
		reach(2)
		proxy.Freeze()
		release()
		reach(0)
		cancel()
		leaver.Wait()
		proxy.Thaw()
		stayer.Wait()
		require.ErrorIs(t, left[0], context.Canceled)
		require.NoError(t, errs[0])
		require.Equal(t, ports.TaskID("b"), leases[0].Task)
		l := claim(t, other, time.Hour)
		require.Equal(t, ports.TaskID("a"), l.Task, "it was given back")
		require.Equal(t, 2, l.Deliveries)
	})
}

func TestALostAnswerToCallsTogether(t *testing.T) {
	t.Parallel()
	t.Run("of enqueues changes nothing", func(t *testing.T) {
		t.Parallel()
		q, d := newDeafQueue(t)
		d.lose("evalsha")
		a, b := ports.Entry{Task: "a", Queue: "q"}, ports.Entry{Task: "b", Queue: "q", Delay: time.Hour}
		require.NoError(t, q.EnqueueAll(a, b, a))
		d.requireLost(t)
		requireStats(t, q, ports.QueueStats{Waiting: 1, Delayed: 1})
	})
	t.Run("of claims gives each the lease that it had", func(t *testing.T) {
		t.Parallel()
		q, d := newDeafQueue(t)
		enqueue(t, q, "a", "b", "c")
		calls, leases, errs := claims(t.Context(), q, 2)
		together(t, q, func() { d.lose("evalsha") }, calls...)
		d.requireLost(t)
		for i, task := range []ports.TaskID{"a", "b"} {
			require.NoError(t, errs[i])
			require.Equal(t, task, leases[i].Task)
			require.Equal(t, 1, leases[i].Deliveries)
		}
		requireStats(t, q, ports.QueueStats{Waiting: 1, Leased: 2})
		require.Equal(t, time.Hour, leases[1].ExpiresAt.Sub(leases[0].ExpiresAt))
		for _, l := range leases {
			require.NoError(t, q.Ack(t.Context(), l))
		}
	})
	t.Run("of acks is everybody's, and nothing is denied", func(t *testing.T) {
		t.Parallel()
		q, d := newDeafQueue(t)
		enqueue(t, q, "a", "b")
		calls, errs := acks(t, q, claim(t, q, time.Hour), claim(t, q, time.Hour))
		together(t, q, func() { d.lose("evalsha") }, calls...)
		d.requireLost(t)
		for _, err := range errs {
			require.ErrorIs(t, err, io.EOF)
			require.NotErrorIs(t, err, ports.ErrLeaseLost)
		}
		requireStats(t, q, ports.QueueStats{})
	})
}

func TestCallsTogetherOnAFullServer(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, testenv.RedisOptions{Args: []string{"--maxmemory-policy", "noeviction"}})
	client := server.Client(t)
	q := newQueue(t, client)
	enqueue(t, q, "a", "b")
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())

	var enqueues []func()
	errs := make([]error, 2)
	for i := range errs {
		enqueues = append(enqueues, func() {
			errs[i] = q.Enqueue(t.Context(), ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: "q"})
		})
	}
	together(t, q, nil, enqueues...)
	for _, err := range errs {
		require.ErrorIs(t, err, ports.ErrFull)
	}
	requireStats(t, q, ports.QueueStats{Waiting: 2})
	enqueue(t, q, "a") // is there

	calls, leases, claimErrs := claims(t.Context(), q, 2)
	together(t, q, nil, calls...)
	require.Equal(t, make([]error, 2), claimErrs)
	calls, errs = acks(t, q, leases...)
	together(t, q, nil, calls...)
	require.Equal(t, make([]error, 2), errs)
	requireStats(t, q, ports.QueueStats{})
}
