package redisqueue_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// deafness makes connections lose answers.
type deafness struct {
	mu   sync.Mutex
	next string // the answer to the next command with this in it is lost
	lost bool
}

// lose makes the answer to the next command that holds text be lost.
func (d *deafness) lose(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next, d.lost = text, false
}

func (d *deafness) requireLost(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.True(t, d.lost, "no answer was lost")
}

// deafConn reads the answer, so that the server has done what it was told, and
// breaks.
type deafConn struct {
	net.Conn
	d    *deafness
	deaf bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	c.d.mu.Lock()
	if c.d.next != "" && strings.Contains(string(b), c.d.next) {
		c.deaf, c.d.next, c.d.lost = true, "", true
	}
	c.d.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.deaf {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

// newDeafQueue returns a queue whose answers can be lost.
func newDeafQueue(t *testing.T) (*redisqueue.Queue, *deafness) {
	d := &deafness{}
	opts := *testenv.Redis(t).Options()
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &deafConn{Conn: c, d: d}, err
	}
	client := redis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	q := newQueue(t, client)
	// Now no script is unknown to the server any more.
	use(t, q)
	return q, d
}

// use does everything once.
func use(t testing.TB, q *redisqueue.Queue) {
	t.Helper()
	enqueue(t, q, "used")
	l := claim(t, q, time.Minute)
	require.NoError(t, q.Nack(t.Context(), l, 0))
	l, err := q.Extend(t.Context(), claim(t, q, time.Minute), time.Hour)
	require.NoError(t, err)
	_, err = q.Cancel(t.Context(), "used")
	require.NoError(t, err)
	require.NoError(t, q.Ack(t.Context(), l))
	requireStats(t, q, ports.QueueStats{})
}

func enqueue(t testing.TB, q *redisqueue.Queue, ids ...ports.TaskID) {
	t.Helper()
	for _, id := range ids {
		require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: id, Queue: "q"}))
	}
}

func claim(t testing.TB, q *redisqueue.Queue, ttl time.Duration) ports.Lease {
	t.Helper()
	l, err := q.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: ttl})
	require.NoError(t, err)
	return l
}

// requireStats compares all but the wait of the oldest.
func requireStats(t testing.TB, q *redisqueue.Queue, want ports.QueueStats) {
	t.Helper()
	got, err := q.Stats(t.Context(), "q")
	require.NoError(t, err)
	got.OldestWait = 0
	require.Equal(t, want, got)
}

func TestALostAnswerChangesNothing(t *testing.T) {
	t.Parallel()
	t.Run("to an enqueue, which is sent again", func(t *testing.T) {
		t.Parallel()
		q, d := newDeafQueue(t)
		d.lose("evalsha")
		enqueue(t, q, "task")
		d.requireLost(t)
		requireStats(t, q, ports.QueueStats{Waiting: 1})
		require.Equal(t, ports.TaskID("task"), claim(t, q, time.Minute).Task)
	})
	t.Run("to a claim, which is sent again and gets the same lease", func(t *testing.T) {
		t.Parallel()
		q, d := newDeafQueue(t)
		enqueue(t, q, "task", "another")
		d.lose("evalsha")
		l := claim(t, q, time.Minute)
		d.requireLost(t)
		require.Equal(t, ports.TaskID("task"), l.Task)
		require.Equal(t, 1, l.Deliveries)
		requireStats(t, q, ports.QueueStats{Waiting: 1, Leased: 1})
		require.NoError(t, q.Ack(t.Context(), l))
	})
	t.Run("to an extension, which is sent again", func(t *testing.T) {
		t.Parallel()
		q, d := newDeafQueue(t)
		enqueue(t, q, "task")
		l := claim(t, q, time.Minute)
		d.lose("evalsha")
		l, err := q.Extend(t.Context(), l, time.Hour)
		require.NoError(t, err)
		d.requireLost(t)
		require.NoError(t, q.Ack(t.Context(), l))
	})
	for what, c := range map[string]struct {
		call func(*testing.T, *redisqueue.Queue, ports.Lease) error
		want ports.QueueStats
	}{
		"an ack": {func(t *testing.T, q *redisqueue.Queue, l ports.Lease) error {
			return q.Ack(t.Context(), l)
		}, ports.QueueStats{}},
		"a nack": {func(t *testing.T, q *redisqueue.Queue, l ports.Lease) error {
			return q.Nack(t.Context(), l, time.Hour)
		}, ports.QueueStats{Delayed: 1}},
	} {
		t.Run("to "+what+", which is done and is not denied", func(t *testing.T) {
			t.Parallel()
			q, d := newDeafQueue(t)
			enqueue(t, q, "task")
			l := claim(t, q, time.Minute)
			d.lose("evalsha")
			err := c.call(t, q, l)
			d.requireLost(t)
			require.ErrorIs(t, err, io.EOF)
			require.NotErrorIs(t, err, ports.ErrLeaseLost)
			requireStats(t, q, c.want)
			require.ErrorIs(t, c.call(t, q, l), ports.ErrLeaseLost)
		})
	}
	t.Run("to a cancel, which is done and is not denied", func(t *testing.T) {
		t.Parallel()
		q, d := newDeafQueue(t)
		enqueue(t, q, "task")
		d.lose("\r\nq\r\n") // in the call that knows the queue
		_, err := q.Cancel(t.Context(), "task")
		d.requireLost(t)
		require.ErrorIs(t, err, io.EOF)
		require.NotErrorIs(t, err, ports.ErrNotFound)
		requireStats(t, q, ports.QueueStats{})
	})
	t.Run("to the pop of a marker, after which the one who waits looks all the same", func(t *testing.T) {
		t.Parallel()
		q, d := newDeafQueue(t)
		d.lose("bzpopmin")
		leases := make(chan ports.Lease, 1)
		go func() {
			l, err := q.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
			assert.NoError(t, err)
			leases <- l
		}()
		enqueue(t, q, "task")
		require.Equal(t, ports.TaskID("task"), (<-leases).Task)
	})
}

func TestScriptsThatTheServerForgotAreSentAgain(t *testing.T) {
	t.Parallel()
	client := testenv.Redis(t)
	q := newQueue(t, client)
	use(t, q)
	require.NoError(t, client.ScriptFlush(t.Context()).Err())
	use(t, q)
}

// newQueueBehindProxy returns a queue that the proxy can cut off. Nothing is tried
// again, and an answer is waited for longer than a test freezes the proxy.
func newQueueBehindProxy(t *testing.T) (*redisqueue.Queue, *testenv.NetProxy) {
	opts := *testenv.Redis(t).Options()
	proxy := testenv.TCPProxy(t, opts.Addr)
	opts.Addr, opts.MaxRetries, opts.ReadTimeout = proxy.Addr(), -1, time.Minute
	client := redis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	return newQueue(t, client), proxy
}

func TestWhileRedisIsAwayClaimsFailAndDoNotHang(t *testing.T) {
	t.Parallel()
	q, proxy := newQueueBehindProxy(t)
	const waiting = 4
	errs := make(chan error, waiting)
	for range waiting {
		go func() {
			_, err := q.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
			errs <- err
		}()
	}
	// All of them wait at last.
	require.Eventually(t, func() bool { return q.Waiting() == waiting }, time.Minute, time.Millisecond)
	proxy.Refuse()
	proxy.Cut()
	for range waiting {
		require.ErrorContains(t, <-errs, `claiming from ["q"]: `)
	}
	_, err := q.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
	require.Error(t, err)
	proxy.Accept(t)
	enqueue(t, q, "task")
	require.Equal(t, ports.TaskID("task"), claim(t, q, time.Minute).Task)
}

func TestWhileRedisIsSilentEveryCallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	q, proxy := newQueueBehindProxy(t)
	enqueue(t, q, "task")
	l := claim(t, q, time.Minute)
	proxy.Freeze()
	defer proxy.Thaw()
	for what, call := range map[string]func(context.Context) error{
		"enqueue": func(ctx context.Context) error { return q.Enqueue(ctx, ports.Entry{Task: "b", Queue: "q"}) },
		"claim": func(ctx context.Context) error {
			_, err := q.Claim(ctx, ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
			return err
		},
		"extend": func(ctx context.Context) error { _, err := q.Extend(ctx, l, time.Minute); return err },
		"ack":    func(ctx context.Context) error { return q.Ack(ctx, l) },
		"nack":   func(ctx context.Context) error { return q.Nack(ctx, l, 0) },
		"cancel": func(ctx context.Context) error { _, err := q.Cancel(ctx, "task"); return err },
		"stats":  func(ctx context.Context) error { _, err := q.Stats(ctx, "q"); return err },
		"pause":  func(ctx context.Context) error { return q.Pause(ctx, "q") },
		"resume": func(ctx context.Context) error { return q.Resume(ctx, "q") },
		"paused": func(ctx context.Context) error { _, err := q.Paused(ctx); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		require.ErrorIs(t, call(ctx), context.Canceled, what)
	}
}

// An entry that a Claim took whose caller has gone is given back.
func TestALeaseThatComesTooLateIsGivenBack(t *testing.T) {
	t.Parallel()
	q, proxy := newQueueBehindProxy(t)
	other := newQueueLike(t, q)
	use(t, q)
	proxy.Freeze()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := q.Claim(ctx, ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Hour})
	require.ErrorIs(t, err, context.Canceled)
	enqueue(t, other, "task")
	proxy.Thaw()
	// The belated claim and its undoing may come before or after this one.
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		l, err := other.Claim(ctx, ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Hour})
		return err == nil && l.Task == "task"
	}, time.Minute, time.Millisecond)
}
