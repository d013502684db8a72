package runner

import (
	"context"
	"fmt"
	"sync"

	"github.com/task-runner/task-runner/ports"
)

// Jobs counts the jobs of an executor in and out, so that it can be closed as
// ports.Executor promises. It is safe for concurrent use.
type Jobs struct {
	name    string
	running sync.WaitGroup
	ctx     context.Context // of all jobs
	kill    context.CancelFunc

	mu     sync.Mutex
	closed bool
}

// NewJobs returns the jobs of the executor that errors name so.
func NewJobs(name string) *Jobs {
	j := &Jobs{name: name}
	j.ctx, j.kill = context.WithCancel(context.Background())
	return j
}

// Begin counts a job in. Its context ends with ctx, and when Close loses its
// patience. The caller calls the function when the job has ended. ErrClosed: there
// are no more jobs.
func (j *Jobs) Begin(ctx context.Context) (context.Context, func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, nil, j.errClosed()
	}
	j.running.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(j.ctx, cancel)
	return ctx, func() { stop(); cancel(); j.running.Done() }, nil
}

// Ended makes the error of a job say whose wish ended it: that of the caller, whose
// context ctx is, or that of Close. Only those errors come with an Outcome: o, or
// that of a job that never began, where o is zero because the wish came behind
// another error.
func (j *Jobs) Ended(ctx context.Context, o ports.Outcome, err error) (ports.Outcome, error) {
	if err == nil {
		return o, nil
	}
	if o.Cause == "" {
		o = ports.Outcome{Cause: ports.CauseCancelled, ExitCode: -1}
	}
	switch {
	case ctx.Err() != nil:
		return o, fmt.Errorf("%w: %w", ctx.Err(), err)
	case j.ctx.Err() != nil:
		return o, j.errClosed()
	}
	return ports.Outcome{}, err
}

// Close lets no more jobs begin and waits for those that run. Once ctx is done, it
// ends their contexts, and waits all the same. It may be called again.
func (j *Jobs) Close(ctx context.Context) {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	stop := context.AfterFunc(ctx, j.kill)
	j.running.Wait()
	stop()
	j.kill()
}

func (j *Jobs) errClosed() error { return fmt.Errorf("%s: %w", j.name, ports.ErrClosed) }
