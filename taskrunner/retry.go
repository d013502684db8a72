package taskrunner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Waits between tries double from the first to the last of these.
const (
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = time.Second
)

// backoff counts the waits of one loop.
type backoff struct{ next time.Duration }

// wait waits for the next, longer, while and reports whether ctx was still alive
// at its end.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(b.next*2, firstBackoff), lastBackoff)
	return sleep(ctx, b.next)
}

// outage is what a loop last failed with, which it logs once and not at each try.
type outage struct{ told string }

// isNews reports whether a try failed, and otherwise than the one before it.
func (o *outage) isNews(err error) bool {
	before := o.told
	o.told = ""
	if err != nil {
		o.told = err.Error()
	}
	return err != nil && o.told != before
}

// sleep waits for d and reports whether ctx was still alive at its end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// retry calls f until it succeeds, fails with an answer rather than a fault, or
// ctx is done. Each call gets at most perCall. It returns f's last error.
func retry(ctx context.Context, perCall time.Duration, f func(context.Context) error) error {
	var pause backoff
	for {
		err := bounded(ctx, perCall, f)
		if err == nil || isAnswer(err) || !pause.wait(ctx) {
			return err
		}
	}
}

// bounded calls f with a context that lasts at most d.
func bounded(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

// aside runs f in a context that outlives ctx, for at most d: for what has to be
// done even when the caller has given up.
func aside(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	return bounded(context.WithoutCancel(ctx), d, f)
}

// isAnswer reports whether err is an answer that trying again would not change.
func isAnswer(err error) bool {
	for _, answer := range []error{
		ErrNotFound, ErrExists, ErrConflict, ErrLeaseLost, ErrCancelled,
		ErrGone, ErrClosed, ErrInvalid, errors.ErrUnsupported,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// guard calls f and turns a panic into an error, so that a fault in an adapter
// costs one task or one round and not the process.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}
