package fakes

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
)

// ErrCrashed is what every call of a crashed process fails with.
var ErrCrashed = errors.New("process crashed")

// Op names a port's method, as "store.Update". The parts are store, queue, logs
// and events; the methods of what they return belong to them: "logs.Write" and
// "logs.Close" of a writer, "events.Next" of a subscription.
type Op string

// Phase says at which end of a call a fault strikes.
type Phase string

// The phases.
const (
	// Before: the call has had no effect.
	Before Phase = "before"
	// After: the call has had its effect, and the caller does not know yet.
	After Phase = "after"
)

// Call is one end of one call.
type Call struct {
	Op    Op
	Phase Phase
	// N counts the process's calls of any method, Nth those of this one; both
	// from 1.
	N, Nth int
	// Task is the task that the call is about, as far as its arguments say.
	Task ports.TaskID
}

// Hook is called at both ends of every call, by the goroutine that makes it. An
// error takes the place of the call's own result; Before, the call is not made.
// A hook may block, and must be safe for concurrent use.
type Hook func(ctx context.Context, call Call) error

// FailNth makes the nth call of op fail with err.
func FailNth(op Op, n int, phase Phase, err error) Hook {
	return func(_ context.Context, c Call) error {
		if c.Op == op && c.Nth == n && c.Phase == phase {
			return err
		}
		return nil
	}
}

// FailAt makes the process's nth call of any method fail with err.
func FailAt(n int, phase Phase, err error) Hook {
	return func(_ context.Context, c Call) error {
		if c.N == n && c.Phase == phase {
			return err
		}
		return nil
	}
}

// FailAll makes every call of op fail with err.
func FailAll(op Op, err error) Hook {
	return func(_ context.Context, c Call) error {
		if c.Op == op && c.Phase == Before {
			return err
		}
		return nil
	}
}

// Backend is one process's view of a backend.
type Backend struct {
	inner ports.Backend

	mu      sync.Mutex
	hooks   []Hook
	n       int
	nth     map[Op]int
	calls   []Op
	pause   pause
	crashed context.Context // done when the process has crashed
	crash   context.CancelFunc
}

// pause freezes a process: no call goes on between its begin and its end.
type pause struct {
	n      int
	phase  Phase
	length time.Duration
	until  chan struct{} // set once it has begun, closed when it ends
}

// NewBackend returns a process's view of a new backend in memory.
func NewBackend() *Backend { return Wrap(memory.New()) }

// Wrap returns a process's view of a backend.
func Wrap(inner ports.Backend) *Backend {
	b := &Backend{inner: inner, nth: make(map[Op]int)}
	b.crashed, b.crash = context.WithCancel(context.Background())
	return b
}

// Process returns another process's view of the same backend, with no faults.
func (b *Backend) Process() *Backend { return Wrap(b.inner) }

// Ports returns the backend for a taskrunner.Config.
func (b *Backend) Ports() ports.Backend {
	return ports.Backend{Store: store{b}, Queue: queue{b}, Logs: logs{b}, Events: events{b}}
}

// Use adds a hook. Hooks are called in the order in which they were added, up to
// the first error.
func (b *Backend) Use(h Hook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks = append(b.hooks, h)
}

// Crash ends the process: every later call fails with ErrCrashed, and so do those
// that are under way, whatever effect they have had.
func (b *Backend) Crash() { b.crash() }

// Crashed returns a channel that is closed when the process has crashed.
func (b *Backend) Crashed() <-chan struct{} { return b.crashed.Done() }

// CrashAt makes the process crash at its nth call.
func (b *Backend) CrashAt(n int, phase Phase) {
	b.Use(func(_ context.Context, c Call) error {
		if c.N == n && c.Phase == phase {
			b.Crash()
			return ErrCrashed
		}
		return nil
	})
}

// PauseAt makes the process a ghost: at its nth call it stands still for a while,
// and no other call of it begins or ends meanwhile. Then all go on as if nothing
// had happened; the one that was caught takes effect even though its context may
// be done by then, like a packet that was on its way.
func (b *Backend) PauseAt(n int, phase Phase, length time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pause = pause{n: n, phase: phase, length: length}
}

// Calls returns the calls that the process has begun so far.
func (b *Backend) Calls() []Op {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// do makes one call with all that is to happen at its ends.
func do[T any](ctx context.Context, b *Backend, op Op, task ports.TaskID, f func(context.Context) (T, error)) (T, error) {
	var zero T
	call := b.begin(op, task)
	ctx, err := b.end(ctx, call, Before)
	if err != nil {
		return zero, err
	}
	v, err := f(ctx)
	if _, fault := b.end(ctx, call, After); fault != nil {
		discard(v)
		return zero, fault
	}
	return v, err
}

// do0 is do for a method that returns an error alone.
func do0(ctx context.Context, b *Backend, op Op, task ports.TaskID, f func(context.Context) error) error {
	_, err := do(ctx, b, op, task, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// discard closes a result that its caller will never see. A log's writer stays as
// it is: whoever lost it does not complete the log.
func discard(v any) {
	switch v := v.(type) {
	case ports.Subscription:
		_ = v.Close()
	case io.ReadCloser:
		_ = v.Close()
	}
}

func (b *Backend) begin(op Op, task ports.TaskID) Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	b.nth[op]++
	b.calls = append(b.calls, op)
	return Call{Op: op, N: b.n, Nth: b.nth[op], Task: task}
}

// end passes one end of a call. It returns the context for what follows.
func (b *Backend) end(ctx context.Context, call Call, phase Phase) (context.Context, error) {
	call.Phase = phase
	if b.standStill(call) && call.Op != "queue.Claim" && call.Op != "events.Next" { // which wait
		ctx = context.WithoutCancel(ctx)
	}
	if b.crashed.Err() != nil {
		return ctx, ErrCrashed
	}
	b.mu.Lock()
	hooks := slices.Clone(b.hooks)
	b.mu.Unlock()
	for _, h := range hooks {
		if err := h(ctx, call); err != nil {
			return ctx, err
		}
	}
	if b.crashed.Err() != nil { // while a hook held the call
		return ctx, ErrCrashed
	}
	return ctx, nil
}

// mortal returns a context for a call that waits, which ends with the process.
func (b *Backend) mortal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.crashed, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// standStill waits while the process is paused, and reports whether it was this
// call that began it.
func (b *Backend) standStill(call Call) bool {
	b.mu.Lock()
	here := b.pause.n == call.N && b.pause.phase == call.Phase && b.pause.until == nil
	if here {
		until := make(chan struct{})
		b.pause.until = until
		time.AfterFunc(b.pause.length, func() { close(until) })
	}
	until := b.pause.until
	b.mu.Unlock()
	if until != nil {
		<-until
	}
	return here
}
