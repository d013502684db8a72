package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
)

// spareConnections are those beyond the bound that are still answered.
const spareConnections = 1024

type spareKey struct{}

// LimitConnections bounds the connections of srv, which has not begun to serve. On
// those beyond the bound, an API, Probes and what AllowHosts returns answer one request,
// with 503 unless it is for health or metrics: whoever watches the service gets in when
// nobody else does. Other handlers know no bound. Far beyond it, connections are closed
// unheard. It sets ConnContext and ConnState.
//
// A connection takes a file descriptor: the process has to be allowed more than
// bound and 1024 of them.
func LimitConnections(srv *http.Server, bound int) {
	var open atomic.Int64
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		n := open.Add(1)
		switch {
		case n > int64(bound)+spareConnections:
			_ = c.Close()
		case n > int64(bound):
			return context.WithValue(ctx, spareKey{}, true)
		}
		return ctx
	}
	srv.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			open.Add(-1)
		}
	}
}

// isSpare reports whether a request came on a connection beyond the bound.
func isSpare(r *http.Request) bool { return r.Context().Value(spareKey{}) != nil }

// forOperators reports whether a request is of those who watch the service.
func forOperators(r *http.Request) bool {
	return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || r.URL.Path == metricsPath
}
