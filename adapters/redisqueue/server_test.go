package redisqueue_test

import (
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// refusal opens a queue that must be refused.
func refusal(t *testing.T, client redis.UniversalClient) error {
	t.Helper()
	_, err := redisqueue.New(t.Context(), client, redisqueue.Config{})
	require.ErrorContains(t, err, "opening the queue: checking the Redis server at ")
	return err
}

func TestAQueueWorksOverTLSWithAPassword(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, testenv.RedisOptions{Secure: true})
	use(t, newQueue(t, server.Client(t)))

	wrong := server.Options()
	wrong.Password = rand.Text()
	client := redis.NewClient(wrong)
	defer func() { _ = client.Close() }()
	err := refusal(t, client)
	require.ErrorContains(t, err, "check the user and the password")
	require.NotContains(t, err.Error(), wrong.Password)
}

func TestAUserWithoutRightsIsRefused(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, testenv.RedisOptions{})
	admin := server.Client(t)
	for what, rules := range map[string][]any{
		"no scripts": {"~*", "+@all", "-@scripting"},
		"no keys":    {"~others:*", "+@all"},
	} {
		require.NoError(t, admin.Do(t.Context(), append([]any{"ACL", "SETUSER", what[3:], "on", ">password"}, rules...)...).Err())
		opts := server.Options()
		opts.Username, opts.Password = what[3:], "password"
		client := redis.NewClient(opts)
		_, err := redisqueue.New(t.Context(), client, redisqueue.Config{})
		require.NoError(t, client.Close())
		require.ErrorContains(t, err, "opening the queue: the user may not do this; see in docs/operations.md which rights it needs", what)
	}
}

func TestAClientWithoutATimeoutIsRefused(t *testing.T) {
	t.Parallel()
	opts := *testenv.Redis(t).Options()
	opts.ReadTimeout = -1
	client := redis.NewClient(&opts)
	defer func() { _ = client.Close() }()
	require.ErrorContains(t, refusal(t, client), "the client's ReadTimeout is off")
}

func TestAnAddressWhereNobodyIsIsRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	client := redis.NewClient(&redis.Options{Addr: listener.Addr().String(), MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = client.Close() }()
	require.ErrorContains(t, refusal(t, client), listener.Addr().String())
}

func TestAServerThatDropsKeysIsRefused(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, testenv.RedisOptions{Args: []string{"--maxmemory-policy", "allkeys-lru"}})
	client := server.Client(t)
	require.ErrorContains(t, refusal(t, client), "CONFIG SET maxmemory-policy noeviction")
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	use(t, newQueue(t, client))
}

func TestAReplicaIsRefused(t *testing.T) {
	t.Parallel()
	master := testenv.OwnRedis(t, testenv.RedisOptions{})
	host, port, err := net.SplitHostPort(master.Addr())
	require.NoError(t, err)
	replica := testenv.OwnRedis(t, testenv.RedisOptions{Args: []string{"--replicaof", host, port}})
	require.ErrorContains(t, refusal(t, replica.Client(t)), "give the address of its master")
}

func TestAPrefixHasToBeOne(t *testing.T) {
	t.Parallel()
	client := testenv.Redis(t)
	for _, prefix := range []string{"a{b", "a}b", strings.Repeat("a", 65)} {
		_, err := redisqueue.New(t.Context(), client, redisqueue.Config{Prefix: prefix})
		require.ErrorIs(t, err, ports.ErrInvalid)
	}
}

func TestPrefixesKeepQueuesApart(t *testing.T) {
	t.Parallel()
	client := testenv.Redis(t)
	a, b := newQueue(t, client), newQueue(t, client)
	enqueue(t, a, "task")
	requireStats(t, b, ports.QueueStats{})
	enqueue(t, b, "task")
	_, err := a.Cancel(t.Context(), "task")
	require.NoError(t, err)
	requireStats(t, b, ports.QueueStats{Waiting: 1})
}

func TestLeasesOutliveARestart(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, testenv.RedisOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	q := newQueue(t, server.Client(t))
	enqueue(t, q, "a", "b", "c")
	require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "d", Queue: "q", Delay: time.Hour}))
	require.NoError(t, q.Pause(t.Context(), "another"))
	l := claim(t, q, time.Hour)
	cancelled := claim(t, q, time.Hour)
	_, err := q.Cancel(t.Context(), cancelled.Task)
	require.NoError(t, err)

	server.Kill(t)
	server.Start(t)
	requireStats(t, q, ports.QueueStats{Waiting: 1, Delayed: 1, Leased: 2})
	extended, err := q.Extend(t.Context(), l, 2*time.Hour)
	require.NoError(t, err)
	require.NoError(t, q.Ack(t.Context(), extended))
	_, err = q.Extend(t.Context(), cancelled, time.Hour)
	require.ErrorIs(t, err, ports.ErrCancelled)
	later := claim(t, q, time.Hour)
	require.Equal(t, ports.TaskID("c"), later.Task)
	require.Greater(t, later.Fence, cancelled.Fence)
	paused, err := q.Paused(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"another"}, paused)
}

// A server that keeps nothing comes back empty. Whoever held a lease is a ghost.
func TestFencesGrowAlthoughTheServerLostEverything(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, testenv.RedisOptions{})
	q := newQueue(t, server.Client(t))
	var last int64
	for range 3 {
		enqueue(t, q, "task")
		l := claim(t, q, time.Hour)
		require.Greater(t, l.Fence, last)
		last = l.Fence
		server.Kill(t)
		server.Start(t)
		requireStats(t, q, ports.QueueStats{})

		enqueue(t, q, "task")
		again := claim(t, q, time.Hour)
		require.Greater(t, again.Fence, last)
		last = again.Fence
		require.ErrorIs(t, q.Ack(t.Context(), l), ports.ErrLeaseLost)
		require.NoError(t, q.Ack(t.Context(), again))
	}
}

func TestTheClockOfRedisMayBeWrong(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		q := newQueue(t, testenv.OwnRedis(t, testenv.RedisOptions{Skew: skew}).Client(t))
		use(t, q)
		enqueue(t, q, "task")
		ghost := claim(t, q, 10*time.Millisecond)
		l := claim(t, q, time.Minute) // when the first lease has expired
		require.Equal(t, ghost.Task, l.Task)
		require.ErrorIs(t, q.Ack(t.Context(), ghost), ports.ErrLeaseLost)
		require.NoError(t, q.Nack(t.Context(), l, 10*time.Millisecond))
		require.NoError(t, q.Ack(t.Context(), claim(t, q, time.Minute)))
	}
}

// A server with no memory left takes nothing more, but all that is in it can be
// worked off.
func TestAFullServerCanBeWorkedOff(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, testenv.RedisOptions{Args: []string{"--maxmemory-policy", "noeviction"}})
	client := server.Client(t)
	q := newQueue(t, client)
	enqueue(t, q, "extended", "given-back", "delayed", "cancelled", "removed")
	require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "due", Queue: "q", Delay: time.Millisecond}))
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())

	err := q.Enqueue(t.Context(), ports.Entry{Task: "refused", Queue: "q"})
	require.ErrorIs(t, err, ports.ErrFull)
	require.True(t, redis.IsOOMError(err) || strings.Contains(err.Error(), "OOM"), "the cause is kept")
	_, err = q.Cancel(t.Context(), "refused")
	require.ErrorIs(t, err, ports.ErrNotFound)

	l, err := q.Extend(t.Context(), claim(t, q, time.Minute), time.Hour)
	require.NoError(t, err)
	require.NoError(t, q.Ack(t.Context(), l))
	require.NoError(t, q.Nack(t.Context(), claim(t, q, time.Hour), 0))
	require.NoError(t, q.Nack(t.Context(), claimTask(t, q, "delayed"), time.Hour))
	l = claimTask(t, q, "cancelled")
	_, err = q.Cancel(t.Context(), l.Task)
	require.NoError(t, err)
	_, err = q.Extend(t.Context(), l, time.Hour)
	require.ErrorIs(t, err, ports.ErrCancelled)
	require.NoError(t, q.Ack(t.Context(), l))
	_, err = q.Cancel(t.Context(), "removed")
	require.NoError(t, err)
	for _, id := range []ports.TaskID{"due", "given-back"} {
		require.NoError(t, q.Ack(t.Context(), claimTask(t, q, id)))
	}
	requireStats(t, q, ports.QueueStats{Delayed: 1})

	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	enqueue(t, q, "refused")
	require.Equal(t, ports.TaskID("refused"), claim(t, q, time.Hour).Task)
}

// claimTask claims until it has this task, and gives back all others.
func claimTask(t testing.TB, q *redisqueue.Queue, id ports.TaskID) ports.Lease {
	t.Helper()
	var others []ports.Lease
	defer func() {
		for _, l := range others {
			require.NoError(t, q.Nack(t.Context(), l, 0))
		}
	}()
	for {
		l := claim(t, q, time.Hour)
		if l.Task == id {
			return l
		}
		others = append(others, l)
	}
}
