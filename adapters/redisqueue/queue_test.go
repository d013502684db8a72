package redisqueue_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
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

func TestAGhostCanChangeNothing(t *testing.T) {
	t.Parallel()
	client := testenv.Redis(t)
	q := newQueue(t, client)
	other := newQueueLike(t, q)
	enqueue(t, q, "task")
	ghost := claim(t, q, 10*time.Millisecond)
	l := claim(t, other, time.Hour) // once the first lease has expired
	before := dump(t, client, q)

	_, err := q.Extend(t.Context(), ghost, 2*time.Hour)
	require.ErrorIs(t, err, ports.ErrLeaseLost)
	require.ErrorIs(t, q.Ack(t.Context(), ghost), ports.ErrLeaseLost)
	require.ErrorIs(t, q.Nack(t.Context(), ghost, 0), ports.ErrLeaseLost)
	require.ErrorIs(t, q.Nack(t.Context(), ghost, time.Hour), ports.ErrLeaseLost)
	enqueue(t, q, ghost.Task)
	for what, forge := range map[string]func(*ports.Lease){
		"another queue": func(l *ports.Lease) { l.Queue = "another" },
		"no queue":      func(l *ports.Lease) { l.Queue = "" },
		"a long queue":  func(l *ports.Lease) { l.Queue = strings.Repeat("q", 1000) },
	} {
		forged := l
		forge(&forged)
		require.ErrorIs(t, q.Ack(t.Context(), forged), ports.ErrLeaseLost, what)
	}

	require.Equal(t, before, dump(t, client, q))
	require.NoError(t, other.Ack(t.Context(), l))
}

// dump returns all that the queue keeps but the markers.
func dump(t *testing.T, client *redis.Client, q *redisqueue.Queue) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range keysOf(t, client, q) {
		value, err := client.Dump(t.Context(), key).Result()
		require.NoError(t, err)
		all[key] = value
	}
	return all
}

// keysOf returns the names of the keys of q, without the prefix and the markers.
func keysOf(t *testing.T, client *redis.Client, q *redisqueue.Queue) []string {
	t.Helper()
	keys := []string{}
	iter := client.Scan(t.Context(), 0, "{"+q.Prefix()+"}:*", 1000).Iterator()
	for iter.Next(t.Context()) {
		key := iter.Val()
		if strings.Contains(key, "}:wake:") || strings.Contains(key, "}:poke:") {
			ttl, err := client.PTTL(t.Context(), key).Result()
			require.NoError(t, err)
			require.NotEqual(t, time.Duration(-1), ttl, "%s never expires", key)
			continue
		}
		keys = append(keys, key)
	}
	require.NoError(t, iter.Err())
	slices.Sort(keys)
	return slices.Compact(keys)
}

func TestNothingIsLeftOfWhatWasDone(t *testing.T) {
	t.Parallel()
	client := testenv.Redis(t)
	q := newQueue(t, client)
	workload(t, q)
	require.Equal(t, []string{"{" + q.Prefix() + "}:clock"}, keysOf(t, client, q))
}

// workload goes through everything that can happen to a task, to its end.
func workload(t *testing.T, q *redisqueue.Queue) {
	use(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		// Of queues that stay empty, since it may still look when it has returned.
		_, err := q.Claim(ctx, ports.ClaimRequest{Queues: []string{"another", "empty"}, TTL: time.Hour})
		assert.ErrorIs(t, err, context.Canceled)
	}()
	require.Eventually(t, func() bool { return q.Waiting() == 1 }, time.Minute, time.Millisecond)
	cancel()
	<-gone
	enqueue(t, q, "removed", "expires", "acked")
	require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "later", Queue: "q", Delay: time.Hour}))
	require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "soon", Queue: "q", Delay: 20 * time.Millisecond}))
	for _, id := range []ports.TaskID{"removed", "later"} {
		_, err := q.Cancel(t.Context(), id)
		require.NoError(t, err)
	}
	claim(t, q, 10*time.Millisecond)
	for range 3 {
		require.NoError(t, q.Ack(t.Context(), claim(t, q, time.Hour)))
	}
	require.NoError(t, q.Pause(t.Context(), "q"))
	require.NoError(t, q.Resume(t.Context(), "q"))
	requireStats(t, q, ports.QueueStats{})
}

// A cluster would forgive a script that touches a key it did not name, as long as
// that is on the same node; it is wrong all the same.
func TestScriptsTouchTheKeysAloneThatTheyNamed(t *testing.T) {
	t.Parallel()
	client := testenv.Redis(t)
	q := newQueue(t, client)
	marker := "{" + q.Prefix() + "}:"
	lines := monitor(t, client)
	workload(t, q)
	require.ErrorIs(t, client.Get(t.Context(), marker+"end").Err(), redis.Nil)

	word := regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	var named []string
	touched := 0
	for lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, marker+"end") {
			break
		}
		if !strings.Contains(line, marker) {
			continue
		}
		words := word.FindAllStringSubmatch(line, -1)
		if command := strings.ToLower(words[0][1]); command == "evalsha" || command == "eval" {
			named = nil
			for _, w := range words[3:] {
				if strings.HasPrefix(w[1], marker) {
					named = append(named, w[1])
				}
			}
		} else if strings.Contains(line, " lua] ") {
			touched++
			require.Contains(t, named, words[1][1], line)
		}
	}
	require.NoError(t, lines.Err())
	require.Greater(t, touched, 100)
}

// monitor returns what the server is told from now on, by whomever, a command a line.
func monitor(t *testing.T, client *redis.Client) *bufio.Scanner {
	t.Helper()
	opts := client.Options()
	conn, err := net.Dial("tcp", opts.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	lines := bufio.NewScanner(conn)
	if opts.Password != "" {
		_, err = fmt.Fprintf(conn, "AUTH %s\r\n", opts.Password)
		require.NoError(t, err)
		require.True(t, lines.Scan())
	}
	_, err = fmt.Fprint(conn, "MONITOR\r\n")
	require.NoError(t, err)
	require.True(t, lines.Scan())
	require.Equal(t, "+OK", lines.Text())
	return lines
}

func TestPaused(t *testing.T) {
	t.Parallel()
	q := newQueue(t, testenv.Redis(t))
	other := newQueueLike(t, q)
	require.NoError(t, q.Pause(t.Context(), "q"))
	enqueue(t, q, "task")
	require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "free", Queue: "another"}))
	requireStats(t, q, ports.QueueStats{Waiting: 1})

	l, err := other.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q", "another"}, TTL: time.Hour})
	require.NoError(t, err)
	require.Equal(t, ports.TaskID("free"), l.Task)
	leases := make(chan ports.Lease)
	go func() {
		l, err := other.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Hour})
		assert.NoError(t, err)
		leases <- l
	}()
	require.Eventually(t, func() bool { return other.Waiting() == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, q.Resume(t.Context(), "q"))
	l = <-leases
	require.Equal(t, ports.TaskID("task"), l.Task)

	// What is out stays good.
	require.NoError(t, q.Pause(t.Context(), "q"))
	l, err = q.Extend(t.Context(), l, time.Hour)
	require.NoError(t, err)
	require.NoError(t, q.Ack(t.Context(), l))
	require.NoError(t, q.Pause(t.Context(), "b\xff"))
	paused, err := other.Paused(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"b\xff", "q"}, paused)
	for _, name := range []string{"", strings.Repeat("q", 65)} {
		require.ErrorIs(t, q.Pause(t.Context(), name), ports.ErrInvalid)
		require.ErrorIs(t, q.Resume(t.Context(), name), ports.ErrInvalid)
	}
}

// More becomes due at once than one call moves.
func TestManyThatBecomeDueAtOnce(t *testing.T) {
	t.Parallel()
	const n = 350
	q := newQueue(t, testenv.Redis(t))
	for i := range n {
		e := ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: "q", Delay: time.Millisecond}
		require.NoError(t, q.Enqueue(t.Context(), e))
	}
	require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "last", Queue: "q", Delay: 5 * time.Millisecond, Priority: -1}))
	seen := map[ports.TaskID]bool{}
	var leases []ports.Lease
	for range n + 1 {
		l := claim(t, q, time.Hour)
		seen[l.Task] = true
		leases = append(leases, l)
	}
	require.Equal(t, ports.TaskID("last"), leases[n].Task)
	for _, l := range leases {
		_, err := q.Extend(t.Context(), l, time.Millisecond)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		s, err := q.Stats(t.Context(), "q")
		require.NoError(t, err)
		return s.Waiting == n+1 && s.Leased == 0 && s.Delayed == 0
	}, time.Minute, time.Millisecond)
	for range n + 1 {
		l := claim(t, q, time.Hour)
		require.Equal(t, 2, l.Deliveries)
		require.True(t, seen[l.Task])
		delete(seen, l.Task)
	}
	require.Empty(t, seen)
	requireStats(t, q, ports.QueueStats{Leased: n + 1})
}

// Several processes work off one queue, and some of their workers die.
func TestManyProcessesLoseNothing(t *testing.T) {
	t.Parallel()
	const n, processes, workers = 300, 3, 4
	first := newQueue(t, testenv.Redis(t))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	acked, claimed := map[ports.TaskID]bool{}, 0
	var wg sync.WaitGroup
	for range processes {
		q := newQueueLike(t, first)
		for range workers {
			wg.Go(func() {
				for {
					mu.Lock()
					claimed++
					dies := claimed%10 == 0
					mu.Unlock()
					ttl := time.Hour
					if dies {
						ttl = time.Millisecond
					}
					l, err := q.Claim(ctx, ports.ClaimRequest{Queues: []string{"q", "r"}, TTL: ttl})
					if err != nil {
						assert.ErrorIs(t, err, context.Canceled)
						return
					}
					if dies {
						continue // and never looks at its task
					}
					assert.NoError(t, q.Ack(context.WithoutCancel(ctx), l))
					mu.Lock()
					assert.False(t, acked[l.Task], "%q was acknowledged twice", l.Task)
					acked[l.Task] = true
					if len(acked) == n {
						stop()
					}
					mu.Unlock()
				}
			})
		}
	}
	for i := range n {
		e := ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: []string{"q", "r"}[i%2], Delay: time.Duration(i%3) * 5 * time.Millisecond}
		require.NoError(t, first.Enqueue(t.Context(), e))
	}
	wg.Wait()
	require.Len(t, acked, n)
}
