// Package signals is how every program of this project is told to stop.
package signals

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Error is the cause of a context that a signal ended.
type Error struct{ Signal syscall.Signal }

func (e Error) Error() string { return e.Signal.String() }

// Context returns a context that ends with an interrupt, a request to terminate
// or, unless that is ignored (nohup), the terminal. A second signal is not caught
// any more, and so kills the process at once.
func Context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(caught, syscall.SIGHUP)
	}
	go func() {
		select {
		case s := <-caught:
			signal.Stop(caught) // before anybody can know of the first one
			number, _ := s.(syscall.Signal)
			cancel(Error{number})
		case <-ctx.Done():
			signal.Stop(caught)
		}
	}()
	return ctx, func() { cancel(nil) }
}
