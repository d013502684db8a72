//go:build amd64 || arm64

package sandboxexec

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

// starvedGrace is how long past a step's timeout its processes may still be
// there before the host kills them: a program can starve its supervisor of CPU.
const starvedGrace = time.Second

// A run is one job in its sandbox, seen from the host. One goroutine uses it.
type run struct {
	attempt runner.Attempt
	sandbox *sandbox
	before  cgroup.Counters
	held    int64 // memory that is the supervisor's while the program runs
	overdue *time.Timer
	starved atomic.Bool
}

// watch has the step killed when it is overdue.
func (r *run) watch(step int) {
	if r.overdue != nil {
		r.overdue.Stop()
	}
	r.overdue = time.AfterFunc(r.attempt.Request.Steps[step].Timeout+starvedGrace, func() {
		// A supervisor that is alone has done its duty and only waits for its
		// output to be taken.
		if !r.sandbox.alone() {
			r.starved.Store(true)
			r.sandbox.kill()
		}
	})
}

// converse has the supervisor do the job, and leaves no process of it: not even
// where a handler panics.
func (r *run) converse(ctx context.Context) (report *runner.Report, err error) {
	over := false
	defer func() {
		if r.overdue != nil {
			r.overdue.Stop()
		}
		// Nothing is believed that can be looked up: unless the host sees the
		// supervisor alone, the sandbox ends here and now.
		if !over || err != nil || !r.sandbox.alone() {
			r.sandbox.kill()
		}
	}()
	report, err = r.sandbox.session.Run(ctx, r.attempt.Request, r.attempt.Handlers())
	over = true
	return report, err
}

// look is called at the supervisor's pace, and looks at the host's clock and
// counters.
func (r *run) look(runner.Sample) (at, cpu time.Duration, memory int64, ok bool) {
	at, now := time.Since(r.attempt.Start()), r.sandbox.counters.Read()
	if now.CPU == nil || now.Memory == nil {
		return 0, 0, 0, false
	}
	return at, *now.CPU - *r.before.CPU, *now.Memory - r.held, true
}

// outcome judges what the supervisor reports by what the host itself counted since
// the request. The supervisor's CPU time, about a millisecond, is part of it, and so
// is the moment before the program starts when its files are in memory twice.
func (r *run) outcome(ctx context.Context, report *runner.Report, err error) (ports.Outcome, error) {
	after := r.sandbox.counters.Read()
	known := runner.Evidence{
		OOM:     after.OOMKills != nil && *after.OOMKills > *r.before.OOMKills,
		Overdue: r.starved.Load(),
	}
	if after.CPU != nil {
		known.CPUTime = new(*after.CPU - *r.before.CPU)
	}
	if after.PeakMemory != nil {
		known.PeakMemory = new(max(0, *after.PeakMemory-r.held))
	}
	o, failure := r.attempt.Outcome(ctx, report, err, known)
	if failure != nil && o.Cause == "" && !errors.Is(failure, ports.ErrInvalid) {
		failure = r.sandbox.explain(failure)
	}
	return o, failure
}
