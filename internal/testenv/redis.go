package testenv

import (
	"cmp"
	"context"
	"crypto/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
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

// newRedis returns a client that is closed at the end of the test. It asks for no
// notifications of maintenance: those would make go-redis complain of every other
// client that is made from its Options, which share what handles them.
func newRedis(t testing.TB, opts *redis.Options) *redis.Client {
	t.Helper()
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// RedisOptions say how a Redis server of one's own is.
type RedisOptions struct {
	Secure bool          // TLS and a password
	Args   []string      // more settings, as on its command line
	Skew   time.Duration // how far its clock is ahead, in whole seconds; it may be negative
}

// RedisServer is a Redis server of a test's own, with no password unless it is secure.
type RedisServer struct {
	*Server
	opts redis.Options
}

// OwnRedis starts a Redis server. It keeps nothing on disk unless its settings say so.
func OwnRedis(t testing.TB, o RedisOptions) *RedisServer {
	t.Helper()
	place, cert := newPlace(t), newCertificate(t, o.Secure)
	opts := redis.Options{Addr: place.addr, TLSConfig: cert.config()}
	command := []string{"redis-server", "--bind", "127.0.0.1", "--dir", dataDir, "--save", ""}
	if o.Secure {
		opts.Password = rand.Text()
		command = append(command, "--port", "0", "--tls-port", place.port(), "--requirepass", opts.Password,
			"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile, "--tls-auth-clients", "no")
	} else {
		command = append(command, "--port", place.port())
	}
	ping := opts
	ping.MaxRetries, ping.ContextTimeoutEnabled = -1, true
	s := &RedisServer{opts: opts, Server: run(t, spec{
		kind:    "redis",
		place:   place,
		command: append(command, o.Args...),
		env:     skewed(o.Skew),
		cert:    cert,
		ping: func(ctx context.Context) error {
			c := redis.NewClient(&ping)
			defer func() { _ = c.Close() }()
			return c.Ping(ctx).Err()
		},
	})}
	if o.Skew != 0 {
		s.checkSkew(t, o.Skew)
	}
	return s
}

// skewed returns how a server with .ci/skew.c is told to have its clock so far ahead.
func skewed(skew time.Duration) map[string]string {
	if skew == 0 {
		return nil
	}
	return map[string]string{"LD_PRELOAD": "/usr/lib/skew.so", "SKEW": strconv.Itoa(int(skew / time.Second))}
}

// checkSkew makes sure of it: what cannot be preloaded is skipped without an error.
func (s *RedisServer) checkSkew(t testing.TB, skew time.Duration) {
	t.Helper()
	now, err := s.Client(t).Time(t.Context()).Result()
	if err != nil {
		t.Fatalf("asking the Redis server at %s for its time: %v", s.Addr(), err)
	}
	if off := time.Until(now) - skew; off.Abs() > time.Second+skew.Abs()/2 {
		missing(t, "the image of Redis has no /usr/lib/skew.so, as that of .ci/images has: its clock is %s off", off)
	}
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
	const slots = 1 << 14
	var addrs []string
	var nodes []*redis.Client
	var buses []*place
	for i := range 3 {
		bus := newPlace(t)
		node := OwnRedis(t, RedisOptions{Args: []string{"--cluster-enabled", "yes", "--cluster-port", bus.port()}})
		addrs, nodes, buses = append(addrs, node.Addr()), append(nodes, node.Client(t)), append(buses, bus)
		if err := nodes[i].ClusterAddSlotsRange(t.Context(), i*slots/3, (i+1)*slots/3-1).Err(); err != nil {
			t.Fatalf("giving a node of the cluster its slots: %v", err)
		}
	}
	for i, node := range nodes {
		for j := range i {
			host, port, _ := net.SplitHostPort(addrs[j])
			if err := node.Do(t.Context(), "CLUSTER", "MEET", host, port, buses[j].port()).Err(); err != nil {
				t.Fatalf("introducing the nodes of the cluster: %v", err)
			}
		}
	}
	for _, node := range nodes {
		awaitCluster(t, node)
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// awaitCluster waits until a node knows who has which slots.
func awaitCluster(t testing.TB, node *redis.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		info, err := node.ClusterInfo(ctx).Result()
		if strings.Contains(info, "cluster_state:ok") {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for the cluster: %v\n%s", cmp.Or(err, ctx.Err()), info)
		case <-poll.C:
		}
	}
}
