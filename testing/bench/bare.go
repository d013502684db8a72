package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// textData begins the data of an event of output, whose text begins with the time at
// which it was published.
const textData = `data: {"text":"`

// barePrefix is what the channels of tasks begin with that the bare server serves.
const barePrefix = "bare:"

// serveBare is the least that a server of streams can be: it writes what Redis tells
// of a task to all connections of its readers, one after another, and knows of nothing
// else. What it takes is what the machine takes, and the readers.
func serveBare(ctx context.Context, addr, redisAddr string) error {
	client := redis.NewClient(&redis.Options{Addr: redisAddr})
	defer client.Close()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	b := &bare{conns: map[string][]net.Conn{}}
	go b.pass(client.PSubscribe(ctx, barePrefix+"*").Channel(redis.WithChannelSize(10_000)))
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		go b.greet(conn)
	}
}

type bare struct {
	mu    sync.Mutex
	conns map[string][]net.Conn // by path
}

// greet adds a reader to those of the path that it asks for.
func (b *bare) greet(conn net.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		_ = conn.Close()
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: status\ndata: {}\n\n")); err != nil {
		_ = conn.Close()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[r.URL.Path] = append(b.conns[r.URL.Path], conn)
}

func (b *bare) pass(messages <-chan *redis.Message) {
	for m := range messages {
		path := strings.TrimPrefix(m.Channel, barePrefix)
		event := []byte(m.Payload)
		b.mu.Lock()
		kept := b.conns[path][:0]
		for _, conn := range b.conns[path] {
			if _, err := conn.Write(event); err != nil {
				_ = conn.Close()
				continue
			}
			kept = append(kept, conn)
		}
		b.conns[path] = kept
		b.mu.Unlock()
	}
}

// startBare starts a bare server as a process of its own, and returns its address.
func startBare(ctx context.Context, redisAddr string) (*process, string, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, "", err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	p, err := startProcess(ctx, "the bare server", nil, func(ctx context.Context) error { return connects(ctx, addr) }, self, "bare", addr, redisAddr)
	return p, addr, err
}

// publishBare publishes to a path of the bare server an event as the backend would
// have written it.
func publishBare(client *redis.Client) publish {
	return func(ctx context.Context, path, text string, offset int) error {
		event := fmt.Sprintf("id: %d\nevent: stdout\n%s%s\\n\",\"offset\":%d,\"attempt\":1}\n\n", offset, textData, text, offset)
		return client.Publish(ctx, barePrefix+path, event).Err()
	}
}
