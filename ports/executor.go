package ports

import (
	"context"
	"io"
)

// Executor runs programs that nobody trusts, each in a fresh sandbox that is used
// once.
type Executor interface {
	// Check reports whether the executor can run tasks and enforce every limit
	// here and now. Its error says what to mend.
	Check(ctx context.Context) error

	// Run runs the job and blocks until all output has been delivered and no
	// process of the task is left, whatever it forked. What remains of the
	// sandbox is then empty, and may be taken down later; Close waits for that.
	//
	// A program that fails, is killed or exceeds a limit is an Outcome and not
	// an error. An error means that this attempt is lost and another one may
	// succeed, unless it matches ErrInvalid: then no attempt can.
	//
	// When ctx is done, Run kills everything, cleans up and returns what is known
	// as an Outcome with CauseCancelled, together with an error matching
	// ctx.Err(). ErrClosed: the executor was closed.
	Run(ctx context.Context, job Job) (Outcome, error)

	// Close waits for running jobs, takes down every sandbox and frees all that
	// the executor holds. When ctx is done it kills the jobs that still run and
	// takes everything down all the same. It may be called again.
	Close(ctx context.Context) error
}

// Job is one attempt of a task, ready to run.
type Job struct {
	Task    TaskID
	Attempt int
	// Language is the resolved language of Spec.
	Language Language
	// Spec is a Spec that the core accepted: complete, every limit set.
	Spec Spec
	// Stdout and Stderr get the program's output as it comes, at most
	// Spec.Limits.Output bytes each. Run calls them from one goroutine at a time,
	// never after it returned, and passes slices that they must not keep. A
	// write error does not stop the program; output is dropped from then on.
	Stdout, Stderr io.Writer
	// Started is called once, when the first step of the program starts.
	// It may be nil.
	Started func()
	// Sample is called about every SampleInterval while the program runs, from
	// the goroutine that calls Stdout and Stderr. It may be nil. The Outcome has
	// no Usage.Samples: whoever wants the course keeps what comes here.
	Sample func(Sample)
}
