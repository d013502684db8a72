package testenv

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports below those that systems give to outgoing connections (from 32768 on by
// default), since one of these might take the port of a server that is down for a
// moment.
const firstPort, lastPort = 20000, 32000

// freeAddr returns an address of this machine alone where nobody listens now.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		if listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr); err == nil {
			_ = listener.Close()
			return addr
		}
	}
	t.Fatalf("found no free port from %d to %d", firstPort, lastPort)
	return ""
}
