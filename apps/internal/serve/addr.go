// Package serve is what the services of this project have in common as processes: how
// they listen, serve, tell how they are, and stop.
package serve

import (
	"context"
	"errors"
	"net"
	"strconv"

	"github.com/task-runner/task-runner/apps/internal/settings"
)

// Listen opens a listener, or says which flag's address it is that is no good.
func Listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, settings.Errorf(flag, "cannot listen on %s: %v; choose another address", addr, rootCause(err))
	}
	return l, nil
}

// rootCause is the innermost error, without the address that the others repeat.
func rootCause(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}

// IsLoopback reports whether only this machine reaches what listens on addr.
func IsLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// URL is where a browser on this machine finds what listens on addr.
func URL(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "http://" + addr.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// AllowedHosts are the host names that the API answers to: those given and
// loopback's, so that no web page can reach it under a name of its own (DNS
// rebinding). Somebody who listens elsewhere without saying under which names
// gets nil, which is any.
func AllowedHosts(given []string, addrs ...net.Addr) []string {
	if len(given) == 0 {
		for _, addr := range addrs {
			if !IsLoopback(addr) {
				return nil
			}
		}
	}
	return append([]string{"localhost", "127.0.0.1", "::1"}, given...)
}
