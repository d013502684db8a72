package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// crowd is many readers of streams, as cheap as they can be: one thread waits for all of
// them, and all that comes is read into one buffer. When an event has come is noted
// behind its read: what this thread has to do first counts as delivery.
type crowd struct {
	poll    int
	readers []reader
	closing sync.Once
	stop    chan struct{}
	done    chan struct{}

	mu       sync.Mutex
	attached int     // how many were told the task's status
	took     figures // in milliseconds, of each event that each reader got
	failed   error
}

// reader is one of them.
type reader struct {
	fd   int
	line []byte // the beginning of a line that is not whole yet
}

// perSource is how many readers come from one address: each has a port of its own.
const perSource = 20_000

// atOnce is how many connect together. Not the storm at a backend's start is measured.
const atOnce = 100

// connect has readers connect to addr and ask for these paths in turn.
func connect(ctx context.Context, addr string, paths []string, readers int) (*crowd, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	c := &crowd{poll: poll, readers: make([]reader, readers), stop: make(chan struct{}), done: make(chan struct{})}
	for i := range c.readers {
		c.readers[i].fd = -1
	}
	go c.run()
	for i := range c.readers {
		if i%atOnce == 0 && err == nil {
			err = c.await(ctx, time.Minute, func() bool { return c.attached == i })
		}
		if err == nil {
			err = c.dial(ctx, i, addr, paths[i%len(paths)])
		}
	}
	if err == nil {
		err = c.await(ctx, time.Minute, func() bool { return c.attached == readers })
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("connecting %d readers: %w", readers, err)
	}
	return c, nil
}

func (c *crowd) dial(ctx context.Context, i int, addr, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EMFILE) {
		err = fmt.Errorf("%w: allow this program and the backend some more than one for each reader (ulimit -n)", err)
	}
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	c.mu.Lock()
	c.readers[i].fd = fd
	c.mu.Unlock()
	// Closed by a reset, a connection leaves its port at once.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + i/perSource)}}
	if err := unix.Bind(fd, from); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if _, err := unix.Write(fd, []byte("GET "+path+" HTTP/1.1\r\nHost: "+addr+"\r\nAccept: text/event-stream\r\n\r\n")); err != nil {
		return os.NewSyscallError("write", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	err = unix.EpollCtl(c.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
	return os.NewSyscallError("epoll_ctl", err)
}

// run reads until close, or until a reader's stream is not as it should be.
func (c *crowd) run() {
	defer close(c.done)
	events, buf := make([]unix.EpollEvent, 512), make([]byte, 64<<10)
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		n, err := unix.EpollWait(c.poll, events, 100)
		if err != nil && err != unix.EINTR {
			c.fail(os.NewSyscallError("epoll_wait", err))
			return
		}
		for _, e := range events[:max(n, 0)] {
			if err := c.read(int(e.Fd), buf); err != nil {
				c.fail(fmt.Errorf("reader %d: %w", e.Fd, err))
				return
			}
		}
	}
}

func (c *crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = err
}

// read reads what has come for one reader.
func (c *crowd) read(i int, buf []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.readers[i]
	n, err := unix.Read(r.fd, buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return os.NewSyscallError("read", err)
	case n == 0:
		return errors.New("the stream ended")
	}
	came := clock()
	for rest := buf[:n]; len(rest) > 0; {
		line, more, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			r.line = append(r.line, line...)
			return nil
		}
		if len(r.line) > 0 {
			line = append(r.line, line...)
			r.line = nil
		}
		rest = more
		if err := c.line(line, came); err != nil {
			return err
		}
	}
	return nil
}

// line takes in one line of a stream.
func (c *crowd) line(line []byte, came time.Duration) error {
	switch s := string(line); {
	case strings.HasPrefix(s, "HTTP/1.1 ") && !strings.HasPrefix(s, "HTTP/1.1 200"):
		return fmt.Errorf("the answer is %q", s)
	case s == "event: status":
		c.attached++
	case strings.HasPrefix(s, textData):
		stamp, _, _ := strings.Cut(s[len(textData):], `\`)
		sent, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			return fmt.Errorf("reading when %q was sent: %w", s, err)
		}
		c.took = append(c.took, float64(came-time.Duration(sent))/1e6)
	}
	return nil
}

// begin forgets what was measured so far.
func (c *crowd) begin(room int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = make(figures, 0, room)
}

// end waits until so many deliveries were measured, and returns them.
func (c *crowd) end(ctx context.Context, deliveries int) (figures, error) {
	err := c.await(ctx, 30*time.Second, func() bool { return len(c.took) >= deliveries })
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && len(c.took) != deliveries {
		err = errors.New("more came than was sent")
	}
	if err != nil {
		return nil, fmt.Errorf("%d of %d deliveries: %w", len(c.took), deliveries, err)
	}
	return c.took, nil
}

// await waits until a condition holds.
func (c *crowd) await(ctx context.Context, patience time.Duration, condition func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		c.mu.Lock()
		holds, err := condition(), c.failed
		c.mu.Unlock()
		if holds || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close disconnects all readers. It may be called again.
func (c *crowd) close() { c.closing.Do(c.disconnect) }

func (c *crowd) disconnect() {
	close(c.stop)
	<-c.done
	for _, r := range c.readers {
		if r.fd >= 0 {
			_ = unix.Close(r.fd)
		}
	}
	_ = unix.Close(c.poll)
}

// ownCPU returns how much processor time this process has used.
func ownCPU() time.Duration {
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
