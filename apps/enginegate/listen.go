package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxConnections bounds how many connections there are at once: one for each container,
// and some for calls. More wait.
const maxConnections = 4096

// socketMode lets everybody connect who can enter the socket's folder. As root without
// capabilities, the gate cannot give the socket to a group; so its folder is mounted
// into the worker's container and no other.
const socketMode = 0o666

// listen opens the socket. One that a gate before left there is removed.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &limited{UnixListener: l.(*net.UnixListener), taken: make(chan struct{}, maxConnections), closed: make(chan struct{})}, nil
}

// removeStale removes a socket at which nobody listens.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket", path)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("another process listens at %s", path), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// limited is a listener that accepts no more while there are too many connections.
type limited struct {
	*net.UnixListener
	taken  chan struct{} // has an element for each connection
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.taken <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	free := sync.OnceFunc(func() { <-l.taken })
	c, err := l.AcceptUnix()
	if err != nil {
		free()
		return nil, err
	}
	return &connection{c, free}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.UnixListener.Close()
}

// connection is one of those that are counted. It can be closed in one direction.
type connection struct {
	*net.UnixConn
	free func()
}

// Close implements net.Conn.
func (c *connection) Close() error {
	defer c.free()
	return c.UnixConn.Close()
}
