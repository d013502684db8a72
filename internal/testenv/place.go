package testenv

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports of places are below those that systems give to outgoing connections (from
// 32768 on by default), since one of these might take the port of a server that is down
// for a moment.
const firstPort, lastPort = 20000, 32000

// place is a TCP address of this machine alone, where nobody listened when it was taken
// and no other test will. The sign of that is a UDP socket of the same number: it
// works across processes, and ends with them however they do.
type place struct {
	addr string
	sign net.PacketConn
}

// newPlace takes a place until the end of the test.
func newPlace(t testing.TB) *place {
	t.Helper()
	var last error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		p, err := take(t.Context(), net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", p.addr)
		if err != nil {
			last = errors.Join(err, p.leave())
			continue
		}
		_ = listener.Close()
		t.Cleanup(func() { _ = p.leave() })
		return p
	}
	t.Fatalf("found no free port from %d to %d: %v", firstPort, lastPort, last)
	return nil
}

// take takes the place at an address if no test has it, whoever else listens there.
func take(ctx context.Context, addr string) (*place, error) {
	sign, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	return &place{addr: addr, sign: sign}, nil
}

func (p *place) port() string {
	_, port, _ := net.SplitHostPort(p.addr)
	return port
}

func (p *place) leave() error { return p.sign.Close() }
