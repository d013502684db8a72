package testenv

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/client"
)

// FaultyProxy stands in front of an engine and passes everything on, until it is told
// to fail. Its methods may be used concurrently.
type FaultyProxy struct {
	dial   func() (net.Conn, error) // connects to the engine
	socket string

	wg sync.WaitGroup // what accepts and what serves

	mu       sync.Mutex
	listener net.Listener
	links    map[*link]struct{}
	stalled  chan struct{} // closed when the stall is over; nil without one
}

// Proxy returns a proxy of the engine that listens at target, written as in
// DOCKER_HOST. It ends with the test, and cuts what is connected then.
func Proxy(t testing.TB, target string) *FaultyProxy {
	t.Helper()
	engine, err := client.ParseHostURL(target)
	if err != nil {
		t.Fatalf("reading the engine's address: %v", err)
	}
	p := &FaultyProxy{
		dial: func() (net.Conn, error) {
			return new(net.Dialer).DialContext(context.Background(), engine.Scheme, engine.Host)
		},
		socket: filepath.Join(socketDir(t), "docker.sock"),
		links:  map[*link]struct{}{},
	}
	t.Cleanup(func() {
		p.Refuse()
		p.Cut()
		p.wg.Wait()
	})
	p.Accept(t)
	return p
}

// Host returns where the proxy listens, as DOCKER_HOST says it.
func (p *FaultyProxy) Host() string { return "unix://" + p.socket }

// Client returns a client that talks through the proxy. It is closed at the end of
// the test.
func (p *FaultyProxy) Client(t testing.TB) *client.Client {
	t.Helper()
	return newClient(t, client.WithHost(p.Host()))
}

// Stall holds back what the engine says on connections that were upgraded to streams,
// as attaching does, from the end of the answer to that on; everything else goes on.
// What arrives is passed on after Resume.
func (p *FaultyProxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Resume ends a stall.
func (p *FaultyProxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// Cut closes all connections.
func (p *FaultyProxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// Refuse lets nobody connect any more. Connections that there are go on.
func (p *FaultyProxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// Accept lets clients connect, again if they were refused.
func (p *FaultyProxy) Accept(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", p.socket)
	if err != nil {
		t.Fatalf("listening for the engine's clients: %v", err)
	}
	p.listener = listener
	p.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(listener, conn) })
		}
	})
}

// serve connects a client to the engine, and passes on what both say until both have
// ended or the connection is cut.
func (p *FaultyProxy) serve(listener net.Listener, conn net.Conn) {
	engine, err := p.dial()
	if err != nil {
		_ = conn.Close()
		return
	}
	l := &link{proxy: p, client: conn, engine: engine, done: make(chan struct{})}
	defer l.cut()
	if !p.add(l, listener) {
		return
	}
	defer p.drop(l)
	var both sync.WaitGroup
	both.Go(l.forth)
	both.Go(l.back)
	both.Wait()
}

// add reports whether the link may be: clients may have been refused meanwhile.
func (p *FaultyProxy) add(l *link, listener net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != listener {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *FaultyProxy) drop(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// link is one client's connection.
type link struct {
	proxy          *FaultyProxy
	client, engine net.Conn
	once           sync.Once
	done           chan struct{} // closed when the link is cut
}

func (l *link) cut() {
	l.once.Do(func() {
		close(l.done)
		_ = l.client.Close()
		_ = l.engine.Close()
	})
}

// forth passes on what the client says.
func (l *link) forth() {
	_, err := io.Copy(l.engine, l.client)
	l.ended(l.engine, err)
}

// back passes on what the engine says. If its first answer upgrades the connection,
// all that follows the answer can be stalled.
func (l *link) back() {
	engine := bufio.NewReader(l.engine)
	upgraded, err := l.head(engine)
	switch {
	case err != nil:
	case upgraded:
		_, err = io.Copy(l.client, stallable{engine, l})
	default:
		_, err = io.Copy(l.client, engine)
	}
	l.ended(l.client, err)
}

// head passes on the head of an answer that upgrades the connection, and of others
// the first line.
func (l *link) head(engine *bufio.Reader) (upgraded bool, err error) {
	for {
		line, err := engine.ReadString('\n')
		if _, failed := io.WriteString(l.client, line); failed != nil {
			return false, failed
		}
		upgraded = upgraded || strings.HasPrefix(line, "HTTP/1.1 101 ")
		if err != nil || !upgraded || line == "\r\n" {
			return upgraded, err
		}
	}
}

// ended tells one side that the other one says no more, or ends both.
func (l *link) ended(side net.Conn, err error) {
	half, ok := side.(interface{ CloseWrite() error })
	if ok && (err == nil || errors.Is(err, io.EOF)) {
		_ = half.CloseWrite()
		return
	}
	l.cut()
}

// stallable reads what the engine says, and keeps it while there is a stall.
type stallable struct {
	from io.Reader
	link *link
}

func (s stallable) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	for {
		s.link.proxy.mu.Lock()
		stalled := s.link.proxy.stalled
		s.link.proxy.mu.Unlock()
		if stalled == nil {
			return n, err
		}
		select {
		case <-stalled:
		case <-s.link.done:
			return n, net.ErrClosed
		}
	}
}
