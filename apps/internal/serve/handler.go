package serve

import (
	"net/http"
	"sync/atomic"
)

// Handler is a handler that is replaced while it serves: by an API, once all that it
// needs has been reached. It is safe for concurrent use.
type Handler struct{ current atomic.Pointer[http.Handler] }

// NewHandler returns one that serves h at first.
func NewHandler(h http.Handler) *Handler {
	s := &Handler{}
	s.Replace(h)
	return s
}

// Replace has h serve the requests from now on.
func (s *Handler) Replace(h http.Handler) { s.current.Store(&h) }

// ServeHTTP implements http.Handler.
func (s *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.current.Load()).ServeHTTP(w, r)
}
