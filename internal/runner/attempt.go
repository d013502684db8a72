package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Attempt is a job in its sandbox, as the launcher sees it: it hands on what the
// program does, and judges how it ended. One goroutine uses it.
type Attempt struct {
	Job     ports.Job
	Request *Request
	// OnStep, if set, is called when a step has started.
	OnStep func(step int)
	// Look says what a sample means to this launcher: how long the program has run,
	// what CPU time it has used and what memory it holds. ok is false where that is
	// not known.
	Look func(s Sample) (at, cpu time.Duration, memory int64, ok bool)

	step    int
	start   time.Time
	bytes   [2]int64
	deaf    [2]bool // a writer that failed gets nothing more
	lastAt  time.Duration
	lastCPU time.Duration
}

// Evidence is what the launcher itself knows of an attempt that has ended.
type Evidence struct {
	// OOM: the kernel killed a process for want of memory.
	OOM bool
	// Overdue: the launcher ended it because a step ran too long.
	Overdue bool
	// CPUTime and PeakMemory are the program's; nil if unknown.
	CPUTime    *time.Duration
	PeakMemory *int64
}

// Start is when the first step started, by the launcher's clock; zero if none has.
func (a *Attempt) Start() time.Time { return a.start }

// Handlers returns what Session.Run calls.
func (a *Attempt) Handlers() Handlers {
	return Handlers{
		Started: a.started,
		Stdout:  func(p []byte) { a.write(0, a.Job.Stdout, p) },
		Stderr:  func(p []byte) { a.write(1, a.Job.Stderr, p) },
		Sample:  a.sample,
	}
}

func (a *Attempt) started(step int) {
	a.step = step
	if a.start.IsZero() {
		a.start = time.Now()
		if a.Job.Started != nil {
			a.Job.Started()
		}
	}
	if a.OnStep != nil {
		a.OnStep(step)
	}
}

func (a *Attempt) write(stream int, w io.Writer, p []byte) {
	a.bytes[stream] += int64(len(p))
	if w == nil || a.deaf[stream] {
		return
	}
	if _, err := w.Write(p); err != nil {
		a.deaf[stream] = true
	}
}

func (a *Attempt) sample(s Sample) {
	if a.start.IsZero() || a.Job.Sample == nil {
		return
	}
	at, cpu, memory, ok := a.Look(s)
	if !ok || at <= a.lastAt {
		return
	}
	a.Job.Sample(ports.Sample{
		At:     at,
		CPU:    max(0, float64(cpu-a.lastCPU)/float64(at-a.lastAt)),
		Memory: max(0, memory),
	})
	a.lastAt, a.lastCPU = at, cpu
}

// Outcome judges what Session.Run returned by what the launcher itself knows. ctx
// is the one that Run had.
func (a *Attempt) Outcome(ctx context.Context, report *Report, err error, known Evidence) (ports.Outcome, error) {
	if report == nil {
		// The supervisor is gone: say what the launcher knows, if that explains it.
		switch {
		case ctx.Err() != nil:
			report = a.unreported(EndCancelled)
		case known.Overdue || errors.Is(err, ErrUnresponsive):
			report, err = a.unreported(EndTimeout), nil
		case known.OOM:
			report, err = a.unreported(EndSignal), nil
			report.Signal = sigkill
		}
	}
	if report == nil || err != nil && ctx.Err() == nil {
		return ports.Outcome{}, err
	}
	if report.End == EndNotStarted && report.Step == 0 {
		return ports.Outcome{}, ports.Invalid("language", "%s cannot be run here: %s", a.Job.Language.Name, report.Message)
	}
	if report.End != EndCancelled {
		err = nil
	}
	o := a.judge(report, known.OOM)
	o.Usage = ports.Usage{WallTime: new(report.Wall), CPUTime: known.CPUTime, PeakMemory: known.PeakMemory}
	return o, err
}

func (a *Attempt) judge(report *Report, oom bool) ports.Outcome {
	o := ports.Outcome{ExitCode: -1, StdoutBytes: report.StdoutBytes, StderrBytes: report.StderrBytes}
	if report.Signal != 0 {
		o.Signal = signalName(report.Signal)
	}
	step := a.Request.Steps[min(report.Step, len(a.Request.Steps)-1)]
	switch report.End {
	case EndExit:
		o.Cause, o.ExitCode = ports.CauseExit, report.ExitCode
	case EndSignal:
		o.Cause = ports.CauseSignal
	case EndTimeout:
		o.Cause, o.Signal = ports.CauseTimeout, "SIGKILL"
		o.Message = fmt.Sprintf("the %s step ran for longer than %s", step.Name, step.Timeout)
	case EndOutput:
		o.Cause, o.Signal = ports.CauseOutputLimit, "SIGKILL"
		o.Message = fmt.Sprintf("the program wrote more than %d bytes to one of its streams", a.Request.OutputKill)
	case EndCancelled:
		o.Cause = ports.CauseCancelled
	case EndNotStarted:
		// What was to be started is the step's before: the program's own doing.
		o.Cause, o.ExitCode, o.Message = ports.CauseExit, cannotExecute, report.Message
	}
	died := o.Cause == ports.CauseSignal || o.Cause == ports.CauseExit && o.ExitCode != 0
	switch {
	case died && oom:
		o.Cause, o.ExitCode = ports.CauseOOM, -1
		o.Message = "a process of the program was killed for want of memory"
	case died && o.Message == "" && report.Step < len(a.Request.Steps)-1:
		o.Message = "the " + step.Name + " step failed"
	}
	return o
}

// unreported returns what the launcher itself knows of an end.
func (a *Attempt) unreported(end End) *Report {
	report := &Report{End: end, Step: a.step, ExitCode: -1, StdoutBytes: a.bytes[0], StderrBytes: a.bytes[1]}
	if !a.start.IsZero() {
		report.Wall = time.Since(a.start)
	}
	return report
}

// cannotExecute is a shell's exit code for a command that it cannot start.
const cannotExecute = 126

// sigkill is SIGKILL's number.
const sigkill = 9
