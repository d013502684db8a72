package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/task-runner/task-runner/apps/internal/settings"
)

// servers are HTTP servers that begin and end together.
type servers struct {
	log    *slog.Logger
	all    []*http.Server
	failed chan error
	wg     sync.WaitGroup
}

func newServers(log *slog.Logger) *servers { return &servers{log: log, failed: make(chan error, 1)} }

// add starts a server of handler on l, which it closes in the end. The flag is
// the one that l's address came from.
func (s *servers) add(flag string, l net.Listener, handler http.Handler) {
	if !isLoopback(l.Addr()) {
		s.log.Warn("THERE IS NO ACCESS CONTROL: whoever can reach this address can run code on this machine",
			"address", l.Addr().String(), "flag", "--"+flag)
	}
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		// No WriteTimeout: it would cut streams. The API bounds each write.
	}
	s.all = append(s.all, srv)
	s.wg.Go(func() {
		err := srv.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			return
		}
		select {
		case s.failed <- settings.Errorf(flag, "serving on %s: %v", l.Addr(), err):
		default: // the first failure ends the program
		}
	})
}

// wait waits until ctx is done, or until a server fails, which is the error.
func (s *servers) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// shutdown stops accepting connections and returns a channel that is closed when
// the requests that are under way have ended.
func (s *servers) shutdown() <-chan struct{} {
	var all sync.WaitGroup
	for _, srv := range s.all {
		all.Go(func() { _ = srv.Shutdown(context.Background()) }) // cutOff ends it
	}
	closed := make(chan struct{})
	go func() {
		all.Wait()
		s.wg.Wait()
		close(closed)
	}()
	return closed
}

// cutOff closes every connection.
func (s *servers) cutOff() {
	for _, srv := range s.all {
		_ = srv.Close()
	}
}
