package testenv

import (
	"bufio"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/client"
)

// FaultyProxy stands in front of an engine and passes everything on, until it is told
// to fail. Its methods may be used concurrently.
type FaultyProxy struct{ proxy }

// Proxy returns a proxy of the engine that listens at target, written as in
// DOCKER_HOST. It ends with the test, and cuts what is connected then.
func Proxy(t testing.TB, target string) *FaultyProxy {
	t.Helper()
	engine, err := client.ParseHostURL(target)
	if err != nil {
		t.Fatalf("reading the engine's address: %v", err)
	}
	p := &FaultyProxy{proxy{
		network: "unix", addr: filepath.Join(socketDir(t), "docker.sock"),
		dial:  dialer(engine.Scheme, engine.Host),
		relay: relayEngine,
	}}
	p.start(t)
	return p
}

// Host returns where the proxy listens, as DOCKER_HOST says it.
func (p *FaultyProxy) Host() string { return "unix://" + p.addr }

// Client returns a client that talks through the proxy. It is closed at the end of
// the test.
func (p *FaultyProxy) Client(t testing.TB) *client.Client {
	t.Helper()
	return newClient(t, client.WithHost(p.Host()))
}

// Stall holds back what the engine says on connections that were upgraded to streams,
// as attaching does, from the end of the answer to that on; everything else goes on.
// What arrives is passed on after Resume.
func (p *FaultyProxy) Stall() { p.stall() }

// Resume ends a stall.
func (p *FaultyProxy) Resume() { p.resume() }

// relayEngine passes on what both say. If the engine's first answer upgrades the
// connection, all that follows the answer can be stalled.
func relayEngine(l *link) {
	var both sync.WaitGroup
	both.Go(func() { l.pass(l.server, l.client) })
	both.Go(func() {
		engine := bufio.NewReader(l.server)
		upgraded, err := passHead(l.client, engine)
		switch {
		case err != nil:
			l.ended(l.client, err)
		case upgraded:
			l.pass(l.client, stallable{engine, l})
		default:
			l.pass(l.client, engine)
		}
	})
	both.Wait()
}

// passHead passes on the head of an answer that upgrades the connection, and of others
// the first line.
func passHead(to io.Writer, engine *bufio.Reader) (upgraded bool, err error) {
	for {
		line, err := engine.ReadString('\n')
		if _, failed := io.WriteString(to, line); failed != nil {
			return false, failed
		}
		upgraded = upgraded || strings.HasPrefix(line, "HTTP/1.1 101 ")
		if err != nil || !upgraded || line == "\r\n" {
			return upgraded, err
		}
	}
}
