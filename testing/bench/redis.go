package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

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
	host, port, _ := net.SplitHostPort(addr)
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "redis-server", append([]string{
		"--bind", host, "--port", port, "--dir", dir, "--save", "", "--auto-aof-rewrite-percentage", "0",
	}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		os.RemoveAll(dir)
		return nil, fmt.Errorf("starting Redis: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // why it ended is in its log
		close(ended)
	}()
	s := &redisServer{addr: addr, stop: func() {
		cancel()
		<-ended
		os.RemoveAll(dir)
	}}
	if err := s.answers(ctx, ended); err != nil {
		s.stop()
		return nil, fmt.Errorf("starting Redis: %w\n%s", err, log.String())
	}
	return s, nil
}

// answers waits until the server does.
func (s *redisServer) answers(ctx context.Context, ended <-chan struct{}) error {
	client := redis.NewClient(&redis.Options{Addr: s.addr})
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ended:
			return fmt.Errorf("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		}
	}
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
