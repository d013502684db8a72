package testenv

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands in front of a server and passes everything on, until it is told to fail.
// Its methods may be used concurrently.
type proxy struct {
	network, addr string                   // where it listens
	dial          func() (net.Conn, error) // connects to the server
	relay         func(*link)              // passes on what both ends of a link say, until both have ended

	wg sync.WaitGroup // what accepts and what serves

	mu       sync.Mutex
	listener net.Listener
	links    map[*link]struct{}
	stalled  chan struct{} // closed when the stall is over; nil without one
}

// start lets clients connect until the end of the test, and cuts what is connected then.
func (p *proxy) start(t testing.TB) {
	t.Helper()
	p.links = map[*link]struct{}{}
	t.Cleanup(func() {
		p.Refuse()
		p.Cut()
		p.wg.Wait()
	})
	p.Accept(t)
}

// dialer connects to an address.
func dialer(network, addr string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		return new(net.Dialer).DialContext(context.Background(), network, addr)
	}
}

// Cut closes all connections, also those whose other half, to the server, is still being
// made.
func (p *proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// Refuse lets nobody connect any more. Connections that there are go on.
func (p *proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// Accept lets clients connect, again if they were refused.
func (p *proxy) Accept(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), p.network, p.addr)
	if err != nil {
		t.Fatalf("listening for a server's clients: %v", err)
	}
	p.listener = listener
	p.wg.Go(func() { p.acceptFrom(listener) })
}

// acceptFrom serves whoever connects, until the listener is closed.
func (p *proxy) acceptFrom(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		if l := p.admit(listener, conn); l != nil {
			p.wg.Go(func() { p.serve(l) })
		}
	}
}

// stall holds back what stallable readers read, until resume.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// admit returns the link of a client, which can be cut from now on. It is nil if
// clients have been refused meanwhile.
func (p *proxy) admit(listener net.Listener, client net.Conn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != listener {
		_ = client.Close()
		return nil
	}
	l := &link{proxy: p, client: client, done: make(chan struct{})}
	p.links[l] = struct{}{}
	return l
}

// serve connects a client to the server, and passes on what both say until both have
// ended or the connection is cut.
func (p *proxy) serve(l *link) {
	defer p.drop(l)
	defer l.cut()
	if server, err := p.dial(); err == nil && l.connect(server) {
		p.relay(l)
	}
}

func (p *proxy) drop(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// link is one client's connection.
type link struct {
	proxy          *proxy
	client, server net.Conn // server is nil until it is connected

	mu   sync.Mutex    // makes connect and cut one step each
	done chan struct{} // closed when the link is cut
}

// connect gives the link its server. It reports false, and closes the connection, if the
// link has been cut meanwhile.
func (l *link) connect(server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut() {
		_ = server.Close()
		return false
	}
	l.server = server
	return true
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut() {
		return
	}
	close(l.done)
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

func (l *link) isCut() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// pass passes on what is read, to its end, which is one side's only, or an error, which
// is both sides'.
func (l *link) pass(to net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	l.ended(to, err)
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

// stallable reads what one side says, and keeps it, and its end, while there is a
// stall.
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
