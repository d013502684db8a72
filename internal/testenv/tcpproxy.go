package testenv

import (
	"sync"
	"testing"
)

// NetProxy stands between a server and those who connect to it over TCP, and passes
// everything on until it is told to fail. Its methods may be used concurrently.
type NetProxy struct{ proxy }

// TCPProxy returns a proxy of the server that listens at target, as host and port. It
// ends with the test, and cuts what is connected then.
func TCPProxy(t testing.TB, target string) *NetProxy {
	t.Helper()
	p := &NetProxy{proxy{network: "tcp", addr: newPlace(t).addr, dial: dialer("tcp", target), relay: relayBoth}}
	p.start(t)
	return p
}

// Addr returns where the proxy listens, as host and port.
func (p *NetProxy) Addr() string { return p.addr }

// Freeze makes the network fall silent: nothing that either side says arrives, not even
// that it closed the connection, and nothing is closed. Clients can connect, and get no
// answer. What was said arrives after Thaw.
func (p *NetProxy) Freeze() { p.stall() }

// Thaw ends a freeze.
func (p *NetProxy) Thaw() { p.resume() }

func relayBoth(l *link) {
	var both sync.WaitGroup
	both.Go(func() { l.pass(l.server, stallable{l.client, l}) })
	both.Go(func() { l.pass(l.client, stallable{l.server, l}) })
	both.Wait()
}
