package ports

import (
	"context"
	"io"
	"time"
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
	// succeed, unless it matches ErrInvalid: then no attempt can. An executor
	// trusts no Spec that it is given, and starts nothing of one with a limit that
	// is not positive (zero is never "none"), a path that ValidatePath refuses,
	// files that exclude each other (one path twice, or a file where another one
	// needs a folder), a NUL in an argument or a variable, a variable's name that
	// is empty or contains "=", or a network where the executor has none: each is
	// ErrInvalid.
	//
	// When ctx is done, Run kills everything, cleans up and returns what is known
	// as an Outcome with CauseCancelled, together with an error matching
	// ctx.Err(). ErrClosed: the executor was closed, also while the job ran and by
	// a Close that killed it.
	//
	// A panic of a writer or a callback of the job is the caller's: Run kills
	// everything, cleans up and panics with it, or returns it as an error.
	Run(ctx context.Context, job Job) (Outcome, error)

	// Close waits for running jobs, takes down every sandbox and frees all that
	// the executor holds. When ctx is done it kills the jobs that still run and
	// takes everything down all the same. It may be called again.
	Close(ctx context.Context) error
}

// Job is one attempt of a task, ready to run.
//
// The program starts in a fresh work folder with the files of Spec and nothing
// else. Its environment is Language.Env, over that Spec.Env, and below both what
// an executor may add: PATH, HOME, TMPDIR and LANG, nothing else and nothing of
// its host's. Whatever a compile step left running is killed before the program
// starts.
type Job struct {
	Task    TaskID
	Attempt int
	// Language is the resolved language of Spec.
	Language Language
	// Spec is a Spec that the core accepted: complete, every limit set.
	Spec Spec
	// CreatedAt is when the task was accepted, and TraceParent the trace of its
	// submission: the Task's. Both are for whoever watches; the program runs the same
	// without them.
	CreatedAt   time.Time
	TraceParent string
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
