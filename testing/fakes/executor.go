package fakes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Step is one thing that a scripted program does. A step that returns an outcome
// or an error ends the run with it.
type Step func(ctx context.Context, job ports.Job, count *Count) (*ports.Outcome, error)

// Count is what the run has written so far.
type Count struct{ Stdout, Stderr int64 }

// Stdout writes text to the standard output.
func Stdout(text string) Step {
	return func(_ context.Context, job ports.Job, count *Count) (*ports.Outcome, error) {
		_, _ = job.Stdout.Write([]byte(text)) // the contract: a write error stops nothing
		count.Stdout += int64(len(text))
		return nil, nil
	}
}

// Stderr writes text to the standard error.
func Stderr(text string) Step {
	return func(_ context.Context, job ports.Job, count *Count) (*ports.Outcome, error) {
		_, _ = job.Stderr.Write([]byte(text))
		count.Stderr += int64(len(text))
		return nil, nil
	}
}

// Sample reports a usage sample.
func Sample(s ports.Sample) Step {
	return func(_ context.Context, job ports.Job, _ *Count) (*ports.Outcome, error) {
		if job.Sample != nil {
			job.Sample(s)
		}
		return nil, nil
	}
}

// Sleep passes time, or ends with the job's context.
func Sleep(d time.Duration) Step {
	return func(ctx context.Context, _ ports.Job, _ *Count) (*ports.Outcome, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Until waits until release is closed, or ends with the job's context.
func Until(release <-chan struct{}) Step {
	return func(ctx context.Context, _ ports.Job, _ *Count) (*ports.Outcome, error) {
		select {
		case <-release:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Do calls f.
func Do(f func(job ports.Job)) Step {
	return func(_ context.Context, job ports.Job, _ *Count) (*ports.Outcome, error) {
		f(job)
		return nil, nil
	}
}

// Exit ends the program with an exit code.
func Exit(code int) Step { return End(ports.Outcome{Cause: ports.CauseExit, ExitCode: code}) }

// End ends the program with an outcome. Byte counts below what was written are
// raised to that.
func End(o ports.Outcome) Step {
	return func(context.Context, ports.Job, *Count) (*ports.Outcome, error) { return &o, nil }
}

// Fail loses the attempt with err.
func Fail(err error) Step {
	return func(context.Context, ports.Job, *Count) (*ports.Outcome, error) { return nil, err }
}

// Panic panics with v inside Run.
func Panic(v any) Step {
	return func(context.Context, ports.Job, *Count) (*ports.Outcome, error) { panic(v) }
}

// Executor is a ports.Executor that runs scripts in place of programs. It is
// safe for concurrent use.
type Executor struct {
	mu     sync.Mutex
	once   [][]Step
	always []Step
	check  error
	jobs   []ports.Job
	closed bool
	runs   sync.WaitGroup
	kill   context.CancelFunc
	killed context.Context
}

var _ ports.Executor = (*Executor)(nil)

// NewExecutor returns an executor that runs these steps for every job. A script
// that has no end of its own ends with exit code 0.
func NewExecutor(steps ...Step) *Executor {
	e := &Executor{always: steps}
	e.killed, e.kill = context.WithCancel(context.Background())
	return e
}

// Next makes the next job for which no script was given so run these steps
// instead, and returns e.
func (e *Executor) Next(steps ...Step) *Executor {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.once = append(e.once, steps)
	return e
}

// FailCheck makes Check return err from now on; nil makes it pass again.
func (e *Executor) FailCheck(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.check = err
}

// Jobs returns the jobs that were run so far, in the order of their start,
// without their writers and callbacks.
func (e *Executor) Jobs() []ports.Job {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.jobs)
}

// Check implements ports.Executor.
func (e *Executor) Check(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(ctx.Err(), e.check)
}

// Run implements ports.Executor.
func (e *Executor) Run(ctx context.Context, job ports.Job) (ports.Outcome, error) {
	steps, err := e.begin(job)
	if err != nil {
		return ports.Outcome{}, err
	}
	defer e.runs.Done()
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.killed, cancel)()

	begin := time.Now()
	if job.Started != nil {
		job.Started()
	}
	var count Count
	for _, step := range append(steps, Exit(0)) {
		var o *ports.Outcome
		err := alive.Err()
		if err == nil {
			o, err = step(alive, job, &count)
		}
		switch {
		case err != nil && alive.Err() != nil:
			if err = ctx.Err(); err == nil { // it was Close
				err = fmt.Errorf("running %s: %w", job.Task, ports.ErrClosed)
			}
			return outcome(ports.Outcome{Cause: ports.CauseCancelled, Signal: "SIGKILL"}, count, begin), err
		case err != nil:
			return ports.Outcome{}, fmt.Errorf("scripted: %w", err)
		case o != nil:
			return outcome(*o, count, begin), nil
		}
	}
	panic("unreachable: every script ends")
}

func (e *Executor) begin(job ports.Job) ([]Step, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fmt.Errorf("running %s: %w", job.Task, ports.ErrClosed)
	}
	e.runs.Add(1)
	kept := job
	kept.Spec, kept.Language = job.Spec.Clone(), job.Language.Clone()
	kept.Stdout, kept.Stderr, kept.Started, kept.Sample = nil, nil, nil, nil
	e.jobs = append(e.jobs, kept)
	steps := e.always
	if len(e.once) > 0 {
		steps, e.once = e.once[0], e.once[1:]
	}
	return slices.Clone(steps), nil
}

func outcome(o ports.Outcome, count Count, begin time.Time) ports.Outcome {
	if o.Cause != ports.CauseExit {
		o.ExitCode = -1
	}
	o.StdoutBytes = max(o.StdoutBytes, count.Stdout)
	o.StderrBytes = max(o.StderrBytes, count.Stderr)
	o.Usage = o.Usage.Clone()
	if o.Usage.WallTime == nil {
		o.Usage.WallTime = new(time.Since(begin))
	}
	return o
}

// Close implements ports.Executor.
func (e *Executor) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	done := make(chan struct{})
	go func() {
		e.runs.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		e.kill()
		<-done
		return ctx.Err()
	}
}
