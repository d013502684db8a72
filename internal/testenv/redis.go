package testenv

import (
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis returns a client of a server that tests share, the one that
// TASKRUNNER_TEST_REDIS_URL names or else one in a container. Use keys of your own; see
// Unique. The client is closed at the end of the test.
func Redis(t testing.TB) *redis.Client {
	t.Helper()
	url := os.Getenv("TASKRUNNER_TEST_REDIS_URL")
	if url == "" {
		return sharedRedis.get(t).Client(t)
	}
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatalf("reading TASKRUNNER_TEST_REDIS_URL: it is not redis://HOST:PORT") // the cause may quote a password
	}
	c := newRedis(t, opts)
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("asking the Redis server that TASKRUNNER_TEST_REDIS_URL names: %v", err)
	}
	return c
}

// newRedis returns a client that is closed at the end of the test.
func newRedis(t testing.TB, opts *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// RedisOptions say how a Redis server of one's own is.
type RedisOptions struct {
	Secure bool          // TLS and a password
	Args   []string      // more settings, as on its command line
	Skew   time.Duration // how far its clock is ahead
}

// RedisServer is a Redis server of a test's own, with no password unless it is secure.
type RedisServer struct {
	*Server
	opts redis.Options
}

// OwnRedis starts a Redis server. It keeps nothing on disk unless its settings say so.
func OwnRedis(t testing.TB, o RedisOptions) *RedisServer {
	t.Helper()
	missing(t, "no container with Redis")
	return nil
}

// Options returns how to connect, to be changed and used for a client.
func (s *RedisServer) Options() *redis.Options {
	o := s.opts
	return &o
}

// Client returns a client that is closed at the end of the test.
func (s *RedisServer) Client(t testing.TB) *redis.Client {
	t.Helper()
	return newRedis(t, s.Options())
}

// RedisCluster starts a cluster of three masters and returns a client of it, which is
// closed at the end of the test.
func RedisCluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	missing(t, "no containers with Redis")
	return nil
}
