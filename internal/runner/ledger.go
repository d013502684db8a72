package runner

import (
	"sync/atomic"
	"time"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// maxCPUs bounds what CPU times can be true: no machine has more processors.
const maxCPUs = 8192

// ledger keeps what a supervisor has said about its task, refuses what cannot be
// true, and hands the rest to the handlers.
type ledger struct {
	req       *Request
	ready     Ready
	h         Handlers
	start     time.Time // before the request was sent
	started   int       // steps
	out, err  int64     // bytes of stdout and stderr that came
	samples   int
	sample    Sample         // the last one
	cpu       *time.Duration // the control group's CPU time as it was said last
	cancelled atomic.Bool
}

func newLedger(req *Request, ready Ready, h Handlers) *ledger {
	return &ledger{req: req, ready: ready, h: h, start: time.Now(), cpu: ready.Counters.CPU}
}

// enter takes one frame. It returns the report once that has come.
func (l *ledger) enter(t frame.Type, payload []byte) (*Report, error) {
	switch t {
	case frame.TypeStarted:
		return nil, l.enterStarted(payload)
	case frame.TypeStdout:
		if l.started < len(l.req.Steps) {
			return nil, violation("stdout came before the last step")
		}
		return nil, l.enterData(payload, &l.out, l.h.Stdout)
	case frame.TypeStderr:
		return nil, l.enterData(payload, &l.err, l.h.Stderr)
	case frame.TypeSample:
		return nil, l.enterSample(payload)
	case frame.TypeResult:
		return l.enterResult(payload)
	}
	return nil, violation("a frame of type %d came where none can", t)
}

func (l *ledger) enterStarted(payload []byte) error {
	step, err := frame.ParseStarted(payload)
	if err != nil {
		return violation("%w", err)
	}
	if step != l.started || step >= len(l.req.Steps) {
		return violation("step %d started out of turn", step)
	}
	l.started++
	if l.h.Started != nil {
		l.h.Started(step)
	}
	return nil
}

func (l *ledger) enterData(payload []byte, total *int64, handle func([]byte)) error {
	data, err := frame.ParseData(payload)
	if err != nil {
		return violation("%w", err)
	}
	if l.started == 0 {
		return violation("output came before a step started")
	}
	if *total += int64(len(data)); *total > l.req.OutputLimit {
		return violation("more output came than was asked for")
	}
	if handle != nil {
		handle(data)
	}
	return nil
}

func (l *ledger) enterSample(payload []byte) error {
	s, err := frame.ParseSample(payload)
	if err != nil {
		return violation("%w", err)
	}
	interval, elapsed := l.req.SampleInterval, l.elapsed()
	l.samples++
	switch {
	case interval == 0 || l.started == 0:
		return violation("a sample came that nobody asked for")
	case time.Duration(l.samples-1) > elapsed/interval:
		return violation("samples came faster than they were asked for")
	case s.At > elapsed || s.At < l.sample.At:
		return violation("a sample's time cannot be")
	case !l.plausible(s.CPU, elapsed):
		return violation("a sample's CPU time cannot be")
	}
	l.sample = s
	if s.CPU != nil {
		l.cpu = s.CPU
	}
	if l.h.Sample != nil {
		l.h.Sample(s)
	}
	return nil
}

func (l *ledger) enterResult(payload []byte) (*Report, error) {
	r, err := frame.ParseResult(payload)
	if err != nil {
		return nil, violation("%w", err)
	}
	step := l.started - 1
	if r.End == EndNotStarted {
		step = l.started
	}
	elapsed := l.elapsed()
	switch {
	case r.Step != step || step < 0 || step >= len(l.req.Steps):
		return nil, violation("the result is of step %d, which cannot be", r.Step)
	case r.End == EndExit && r.ExitCode == 0 && l.started < len(l.req.Steps):
		return nil, violation("it stopped before the last step")
	case r.End == EndCancelled && !l.cancelled.Load():
		return nil, violation("it says that it was cancelled, and it was not")
	case r.End == EndTimeout && r.Wall < l.req.Steps[step].Timeout:
		return nil, violation("it says that the time was over, and it was not")
	case r.End == EndOutput && max(r.StdoutBytes, r.StderrBytes) <= l.req.OutputKill:
		return nil, violation("it says that there was too much output, and there was not")
	case l.out != min(r.StdoutBytes, l.req.OutputLimit) || l.err != min(r.StderrBytes, l.req.OutputLimit):
		return nil, violation("its count of the output is not the launcher's")
	case r.Wall > elapsed:
		return nil, violation("the task took longer than it ran")
	case r.CPU/maxCPUs > elapsed:
		return nil, violation("the task used more CPU time than there is")
	case !l.plausible(r.Counters.CPU, elapsed):
		return nil, violation("the control group's CPU time cannot be")
	case fell(l.ready.Counters.PeakMemory, r.Counters.PeakMemory):
		return nil, violation("the peak of the memory fell")
	case fell(l.ready.Counters.OOMKills, r.Counters.OOMKills):
		return nil, violation("the count of processes killed for want of memory fell")
	}
	return r, nil
}

// plausible reports whether the control group can have used this much CPU time by
// now: no less than it was said to have before, and since Ready no more than there
// is. What it had used by then was before the ledger's clock.
func (l *ledger) plausible(cpu *time.Duration, elapsed time.Duration) bool {
	if cpu == nil {
		return true
	}
	used := *cpu
	if l.ready.Counters.CPU != nil {
		used -= *l.ready.Counters.CPU
	}
	return !fell(l.cpu, cpu) && used/maxCPUs <= elapsed
}

// fell reports whether a counter that only grows is known to be less than before.
func fell[T ~int64](before, now *T) bool { return before != nil && now != nil && *now < *before }

// elapsed is how long the task can have run at most: what the launcher's clock
// says, and a little because the supervisor's may be another machine's.
func (l *ledger) elapsed() time.Duration {
	d := time.Since(l.start)
	return d + d/100 + 10*time.Millisecond
}
