package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
)

// persistences are the ways in which Redis may write to disk what it holds.
var persistences = []struct {
	name string
	args []string
}{
	{"AOF off", []string{"--appendonly", "no"}},
	{"AOF on, appendfsync everysec", []string{"--appendonly", "yes", "--appendfsync", "everysec"}},
	{"AOF on, appendfsync always", []string{"--appendonly", "yes", "--appendfsync", "always"}},
}

// redisServer is a redis-server of our own.
type redisServer struct {
	addr string
	stop func() // ends it and removes what it wrote
}

// startRedis starts a redis-server and waits until it answers. It makes no
// snapshots and rewrites no log, which would hit the rounds unequally.
func startRedis(ctx context.Context, args ...string) (*redisServer, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-redis-")
	if err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	host, port, _ := net.SplitHostPort(addr)
	p, err := startProcess(ctx, "Redis", nil, func(ctx context.Context) error { return client.Ping(ctx).Err() },
		"redis-server", append([]string{
			"--bind", host, "--port", port, "--dir", dir, "--save", "", "--auto-aof-rewrite-percentage", "0",
		}, args...)...)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &redisServer{addr: addr, stop: func() {
		p.stop()
		os.RemoveAll(dir)
	}}, nil
}

// freeAddr returns a loopback address at which nobody listens.
func freeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// redisVersion returns the version of the server, or "?".
func redisVersion(ctx context.Context, client *redis.Client) string {
	for line := range strings.Lines(client.Info(ctx, "server").Val()) {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return strings.TrimSpace(version)
		}
	}
	return "?"
}
