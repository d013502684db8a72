package redisqueue_test

import (
	"context"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQueueConforms(t *testing.T) {
	client := testenv.Redis(t)
	conformance.Queue(t, conformance.QueueHarness{
		New: func(t *testing.T) ports.Queue { return newQueue(t, client) },
	})
}

// A cluster lets a script touch no key that it did not name before and that is
// somewhere else.
func TestQueueConformsOnACluster(t *testing.T) {
	client := testenv.RedisCluster(t)
	conformance.Queue(t, conformance.QueueHarness{
		New: func(t *testing.T) ports.Queue { return newQueue(t, client) },
	})
}

// newQueue returns an empty queue with a prefix of its own.
func newQueue(t testing.TB, client redis.UniversalClient) *redisqueue.Queue {
	t.Helper()
	return openQueue(t, client, testenv.Unique(t))
}

func openQueue(t testing.TB, client redis.UniversalClient, prefix string) *redisqueue.Queue {
	t.Helper()
	q, err := redisqueue.New(t.Context(), client, redisqueue.Config{Prefix: prefix})
	require.NoError(t, err)
	if single, ok := client.(*redis.Client); ok {
		t.Cleanup(func() { removeKeys(single, prefix) })
	}
	return q
}

// inParallel calls f in n goroutines and returns when all have returned.
func inParallel(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

// newQueueLike returns the queue q as another process sees it, over a connection of
// its own.
func newQueueLike(t testing.TB, q *redisqueue.Queue) *redisqueue.Queue {
	t.Helper()
	return openQueue(t, testenv.Redis(t), q.Prefix())
}

// removeKeys leaves nothing on a server that may be somebody's. The server may be
// gone.
func removeKeys(client *redis.Client, prefix string) {
	ctx := context.Background()
	iter := client.Scan(ctx, 0, "{"+prefix+"}:*", 1000).Iterator()
	for iter.Next(ctx) {
		_ = client.Unlink(ctx, iter.Val()).Err()
	}
}
