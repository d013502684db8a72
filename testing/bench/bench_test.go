package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Not the figures count here, but that every measurement still comes to one.
func TestATinyRound(t *testing.T) {
	addr := testRedis(t)
	var out bytes.Buffer
	tiny := plan{rounds: 1, tasks: 64, idleRounds: 1, idleTasks: 64}
	require.NoError(t, measureOn(t.Context(), &out, tiny, &redis.Options{Addr: addr}, "tiny"))
	t.Log(out.String())
	for _, what := range []string{"enqueue/s, 8 at", "claim+ack/s, 32 at", "idle, p50 (asynq asks every 1s)", "idle, p99 (asynq asks every 1ms)"} {
		assert.Contains(t, out.String(), what)
	}
}

func TestADatabaseInUseIsLeftAlone(t *testing.T) {
	addr := testRedis(t)
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	require.NoError(t, client.Set(t.Context(), "somebody's", "value", 0).Err())
	assert.ErrorContains(t, run(t.Context(), &bytes.Buffer{}, true, "redis://"+addr), "not empty")
	assert.Equal(t, "value", client.Get(t.Context(), "somebody's").Val())
}

func TestFiguresAreSummedUp(t *testing.T) {
	f := figures{5, 1, 4, 2, 3}
	assert.Equal(t, 3.0, f.quantile(0.5))
	assert.Equal(t, 5.0, f.quantile(0.99))
	assert.Equal(t, 2.0, row{ours: figures{4}, rival: figures{2}}.ratio(), "twice the rate")
	assert.Equal(t, 2.0, row{ours: figures{2}, rival: figures{4}, latency: true}.ratio(), "half the time")
}

// testRedis returns the address of a Redis of the test's own.
func testRedis(t *testing.T) string {
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("TASKRUNNER_REQUIRE_SERVICES") != "1" {
		t.Skip(err)
	}
	server, err := startRedis(t.Context(), persistences[0].args...)
	require.NoError(t, err)
	t.Cleanup(server.stop)
	return server.addr
}

// Readers of the bare server are measured as those of a backend are, but need nothing
// beside Redis.
func TestReadersOfABareServer(t *testing.T) {
	redisAddr := testRedis(t)
	addr, err := freeAddr(t.Context())
	require.NoError(t, err)
	go func() { _ = serveBare(t.Context(), addr, redisAddr) }()
	require.NoError(t, answers(t.Context(), nil, func(ctx context.Context) error { return connects(ctx, addr) }))
	client := redis.NewClient(&redis.Options{Addr: redisAddr})
	defer client.Close()

	paths := []string{"/a", "/b"}
	c, err := connect(t.Context(), addr, paths, 6)
	require.NoError(t, err)
	defer c.close()
	c.begin(0)
	require.NoError(t, flood(t.Context(), paths, publishBare(client), 100, 5))
	took, err := c.end(t.Context(), 5*6)
	require.NoError(t, err)
	assert.Len(t, took, 30)
	assert.Positive(t, took.quantile(0))
}

func TestReadersAreSpreadEvenly(t *testing.T) {
	p := newReadersPlan(10_100)
	assert.ErrorContains(t, measureReaders(t.Context(), &bytes.Buffer{}, p, ""), "multiple of 200")
}
