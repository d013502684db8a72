//go:build amd64 || arm64

package sandboxexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

// starvedGrace is how long past a step's timeout its processes may still be
// there before the host kills them: a program can starve its supervisor of CPU.
const starvedGrace = time.Second

// A run is one job in its sandbox, seen from the host. Its methods are the
// session's handlers and are called by one goroutine.
type run struct {
	sandbox *sandbox
	job     ports.Job
	req     *runner.Request
	before  cgroup.Counters
	held    int64 // memory that is the supervisor's while the program runs

	step    int
	start   time.Time
	overdue *time.Timer
	starved atomic.Bool
	bytes   [2]int64
	deaf    [2]bool // a writer that failed gets nothing more
	lastAt  time.Duration
	lastCPU time.Duration
}

func (r *run) started(step int) {
	r.step = step
	if r.start.IsZero() {
		r.start = time.Now()
		if r.job.Started != nil {
			r.job.Started()
		}
	} else {
		r.overdue.Stop()
	}
	r.overdue = time.AfterFunc(r.req.Steps[step].Timeout+starvedGrace, func() {
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
	report, err = r.sandbox.session.Run(ctx, r.req, runner.Handlers{
		Started: r.started, Stdout: r.stdout, Stderr: r.stderr, Sample: r.sample,
	})
	over = true
	return report, err
}

func (r *run) stdout(p []byte) { r.write(0, r.job.Stdout, p) }
func (r *run) stderr(p []byte) { r.write(1, r.job.Stderr, p) }

func (r *run) write(stream int, w io.Writer, p []byte) {
	r.bytes[stream] += int64(len(p))
	if w == nil || r.deaf[stream] {
		return
	}
	if _, err := w.Write(p); err != nil {
		r.deaf[stream] = true
	}
}

// sample is called at the supervisor's pace, and looks at the host's counters.
func (r *run) sample(runner.Sample) {
	at, now := time.Since(r.start), r.sandbox.counters.Read()
	if r.start.IsZero() || r.job.Sample == nil || now.CPU == nil || now.Memory == nil || at <= r.lastAt {
		return
	}
	r.job.Sample(ports.Sample{
		At:     at,
		CPU:    max(0, float64(*now.CPU-r.lastCPU)/float64(at-r.lastAt)),
		Memory: max(0, *now.Memory-r.held),
	})
	r.lastAt, r.lastCPU = at, *now.CPU
}

// outcome judges what the supervisor reports by what the host itself counted.
func (r *run) outcome(ctx context.Context, report *runner.Report, err error) (ports.Outcome, error) {
	after := r.sandbox.counters.Read()
	oom := after.OOMKills != nil && *after.OOMKills > *r.before.OOMKills
	if report == nil {
		// The supervisor is gone: say what the host knows, if that explains it.
		switch {
		case ctx.Err() != nil:
			report = r.unreported(runner.EndCancelled)
		case r.starved.Load() || errors.Is(err, runner.ErrUnresponsive):
			report, err = r.unreported(runner.EndTimeout), nil
		case oom:
			report, err = r.unreported(runner.EndSignal), nil
			report.Signal = int(syscall.SIGKILL)
		}
	}
	if report == nil || err != nil && ctx.Err() == nil {
		return ports.Outcome{}, r.sandbox.explain(err)
	}
	if report.End == runner.EndNotStarted && report.Step == 0 {
		return ports.Outcome{}, ports.Invalid("language", "%s cannot be run here: %s", r.job.Language.Name, report.Message)
	}
	if report.End != runner.EndCancelled {
		err = nil
	}

	o := ports.Outcome{
		ExitCode:    -1,
		StdoutBytes: report.StdoutBytes,
		StderrBytes: report.StderrBytes,
		Usage:       r.usage(report.Wall, after),
	}
	if report.Signal != 0 {
		o.Signal = signalName(report.Signal)
	}
	step := r.req.Steps[min(report.Step, len(r.req.Steps)-1)]
	switch report.End {
	case runner.EndExit:
		o.Cause, o.ExitCode = ports.CauseExit, report.ExitCode
	case runner.EndSignal:
		o.Cause = ports.CauseSignal
	case runner.EndTimeout:
		o.Cause, o.Signal = ports.CauseTimeout, "SIGKILL"
		o.Message = fmt.Sprintf("the %s step ran for longer than %s", step.Name, step.Timeout)
	case runner.EndOutput:
		o.Cause, o.Signal = ports.CauseOutputLimit, "SIGKILL"
		o.Message = fmt.Sprintf("the program wrote more than %d bytes to one of its streams", r.req.OutputKill)
	case runner.EndCancelled:
		o.Cause = ports.CauseCancelled
	case runner.EndNotStarted:
		// What was to be started is the step's before: the program's own doing.
		o.Cause, o.ExitCode, o.Message = ports.CauseExit, cannotExecute, report.Message
	}
	died := o.Cause == ports.CauseSignal || o.Cause == ports.CauseExit && o.ExitCode != 0
	switch {
	case died && oom:
		o.Cause, o.ExitCode = ports.CauseOOM, -1
		o.Message = "a process of the program was killed for want of memory"
	case died && o.Message == "" && report.Step < len(r.req.Steps)-1:
		o.Message = "the " + step.Name + " step failed"
	}
	return o, err
}

// unreported returns what the host itself knows of an end.
func (r *run) unreported(end runner.End) *runner.Report {
	report := &runner.Report{End: end, Step: r.step, ExitCode: -1, StdoutBytes: r.bytes[0], StderrBytes: r.bytes[1]}
	if !r.start.IsZero() {
		report.Wall = time.Since(r.start)
	}
	return report
}

// usage is what the host counted since the request, less the memory that the
// supervisor holds. Its CPU time, about a millisecond, is part of it, and so is the
// moment before the program starts when its files are in memory twice.
func (r *run) usage(wall time.Duration, after cgroup.Counters) ports.Usage {
	u := ports.Usage{WallTime: &wall}
	if after.CPU != nil {
		u.CPUTime = new(*after.CPU - *r.before.CPU)
	}
	if after.PeakMemory != nil {
		u.PeakMemory = new(max(0, *after.PeakMemory-r.held))
	}
	return u
}

// signalName returns the name of a signal as signal(7) has it.
func signalName(n int) string {
	if name := unix.SignalName(syscall.Signal(n)); name != "" {
		return name
	}
	const sigrtmin = 34 // as the C library numbers it; it keeps 32 and 33
	if n < sigrtmin {
		return fmt.Sprintf("SIG%d", n)
	}
	return fmt.Sprintf("SIGRTMIN+%d", n-sigrtmin)
}

// cannotExecute is a shell's exit code for a command that it cannot start.
const cannotExecute = 126
