package serve

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/apps/internal/settings"
)

// Servers are HTTP servers that begin and end together.
type Servers struct {
	log  *slog.Logger
	all  []*http.Server
	wg   sync.WaitGroup
	stop context.CancelFunc

	mu     sync.Mutex
	failed error
}

// NewServers returns none yet, and a context that ends with ctx or when one of them fails.
func NewServers(ctx context.Context, log *slog.Logger) (*Servers, context.Context) {
	ctx, stop := context.WithCancel(ctx)
	return &Servers{log: log, stop: stop}, ctx
}

// probeConnections bounds the connections of those who ask how a process is.
const probeConnections = 256

// Add starts a server of handler on l, which it closes in the end. The flag is
// the one that l's address came from. Connections are bounded as by
// httpapi.LimitConnections.
func (s *Servers) Add(flag string, l net.Listener, handler http.Handler, connections int) {
	if !IsLoopback(l.Addr()) {
		s.log.Warn("THERE IS NO ACCESS CONTROL: whoever can reach this address can run code on this machine",
			"address", l.Addr().String(), "flag", "--"+flag)
	}
	s.start(flag, l, handler, connections)
}

// AddProbes is Add for a handler that tells how the process is, and runs no code.
func (s *Servers) AddProbes(flag string, l net.Listener, handler http.Handler) {
	s.start(flag, l, handler, probeConnections)
}

func (s *Servers) start(flag string, l net.Listener, handler http.Handler, connections int) {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		// No WriteTimeout: it would cut streams. The API bounds each write.
	}
	httpapi.LimitConnections(srv, connections)
	s.all = append(s.all, srv)
	s.wg.Go(func() {
		err := srv.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			return
		}
		s.mu.Lock()
		s.failed = cmp.Or(s.failed, settings.Errorf(flag, "serving on %s: %v", l.Addr(), err))
		s.mu.Unlock()
		s.stop()
	})
}

// Err returns how the first one failed, if any has.
func (s *Servers) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Shutdown stops accepting connections and returns a channel that is closed when
// the requests that are under way have ended.
func (s *Servers) Shutdown() <-chan struct{} {
	s.stop()
	var all sync.WaitGroup
	for _, srv := range s.all {
		all.Go(func() { _ = srv.Shutdown(context.Background()) }) // Close ends it
	}
	closed := make(chan struct{})
	go func() {
		all.Wait()
		s.wg.Wait()
		close(closed)
	}()
	return closed
}

// Close gives the requests that are under way some time to end, as the channel of
// Shutdown tells, and then closes every connection.
func (s *Servers) Close(closed <-chan struct{}, patience time.Duration) {
	if Within(patience, closed) {
		return
	}
	for _, srv := range s.all {
		_ = srv.Close()
	}
	<-closed
}

// Within reports whether done is closed before d has passed.
func Within(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
