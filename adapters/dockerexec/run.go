package dockerexec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

const (
	// updateTimeout bounds the change of a container's limits.
	updateTimeout = 30 * time.Second
	// usualRequest is how much memory containers of the pool have for files and
	// input; a job that brings more has its container's limit changed.
	usualRequest = 512 << 10
	// memorySlack is how much more memory than it was meant to have a container may
	// have without its limit being changed for that.
	memorySlack = 1 << 20
	// engineMinMemory is the least memory limit that an engine accepts.
	engineMinMemory = 6 << 20
	// engineMinCPU is the least CPU limit that an engine accepts.
	engineMinCPU = 0.01
)

// overhead is what a supervisor takes for itself of a container's limits.
type overhead struct {
	memory int64
	pids   int64
}

// supposedOverhead is what there is to go by before the first container. It is
// about what supervisors take.
var supposedOverhead = overhead{memory: 2 << 20, pids: runner.UsualThreads}

// learn notes what a supervisor takes.
func (x *Executor) learn(ready runner.Ready) { x.overhead.Store(new(overheadOf(ready))) }

func overheadOf(ready runner.Ready) overhead {
	o := overhead{memory: supposedOverhead.memory, pids: int64(ready.Threads)}
	if m := ready.Counters.Memory; m != nil {
		o.memory = *m
	}
	return o
}

// checkJob refuses a job that this executor can never run as it should.
func (x *Executor) checkJob(job ports.Job) error {
	l := job.Spec.Limits
	if err := runner.CheckJob(job, x.cfg.Network != "", filesRoom(l.Disk)); err != nil {
		return err
	}
	return checkTaskLimits(l)
}

// checkTaskLimits refuses limits that no container can have.
func checkTaskLimits(l ports.Limits) error {
	if err := runner.CheckLimits(l); err != nil {
		return err
	}
	switch {
	case l.CPU < engineMinCPU:
		return ports.Invalid("cpu_limit", "must be at least %g in a container", engineMinCPU)
	case l.Memory < engineMinMemory:
		return ports.Invalid("memory_limit", "must be at least %d in a container", engineMinMemory)
	case l.Disk < 2*pageSize:
		return ports.Invalid("disk_limit", "must be at least %d in a container", 2*pageSize)
	}
	return nil
}

// kindOf returns the kind of container that the job needs.
func (x *Executor) kindOf(job ports.Job) kind {
	return kind{
		image:      job.Language.Image,
		disk:       job.Spec.Limits.Disk,
		executable: len(job.Language.Compile) > 0,
		networked:  job.Spec.Network,
		budget:     budgetOf(job),
	}
}

// budgetOf returns how long the job may take, rounded up to an hour, two, four and
// so on, so that few kinds of containers differ by it.
func budgetOf(job ports.Job) time.Duration {
	hours := uint64((runner.Patience(job) - 1) / time.Hour)
	return time.Hour << bits.Len64(hours)
}

// limitsFor returns a container's limits: the job's, with room for the supervisor and
// for what it holds of the job.
func (x *Executor) limitsFor(l ports.Limits, held int64) limits {
	o := supposedOverhead
	if learned := x.overhead.Load(); learned != nil {
		o = *learned
	}
	return x.limits(l, o, held)
}

func (x *Executor) limits(l ports.Limits, o overhead, held int64) limits {
	// More than all processors is no more than all of them.
	cpu := min(l.CPU, float64(x.engine.CPUs))
	return limits{
		memory:   l.Memory + o.memory + held,
		nanoCPUs: int64(math.Round(cpu * 1e9)),
		pids:     int64(l.PIDs) + o.pids,
	}
}

// run does the job in the container, and leaves no process of it.
func (s *sandbox) run(ctx context.Context, job ports.Job) (o ports.Outcome, err error) {
	over := false
	defer func() {
		if !over { // a handler panicked
			s.kill()
		}
	}()
	place := runner.Place{WorkDir: workDir, Path: cmp.Or(s.path, runner.UsualPath)}
	a := runner.Attempt{Job: job, Request: place.Request(job), Look: s.look(int64(len(job.Spec.Stdin)))}
	report, err := (*runner.Report)(nil), s.fit(ctx, job, a.Request)
	if err == nil {
		report, err = s.session.Run(ctx, a.Request, a.Handlers())
	}
	known := s.evidence(report, int64(len(job.Spec.Stdin)))
	if report == nil {
		// Any other than one that went away might never end by itself.
		if ctx.Err() == nil && errors.Is(err, runner.ErrLost) {
			known.OOM = s.killedForMemory()
		}
		s.kill()
	}
	over = true
	o, failure := a.Outcome(ctx, report, err, known)
	if failure != nil && o.Cause == "" && !errors.Is(failure, ports.ErrInvalid) {
		failure = s.explain(failure)
	}
	return o, failure
}

// fit gives the container the job's limits, if it has others.
func (s *sandbox) fit(ctx context.Context, job ports.Job, req *runner.Request) error {
	want := s.x.limits(job.Spec.Limits, overheadOf(s.ready), int64(len(req.Stdin))+runner.FilesSize(req))
	has := s.limits
	spare := has.memory - want.memory
	if has.nanoCPUs == want.nanoCPUs && has.pids == want.pids && spare >= 0 && spare <= memorySlack {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	updated, err := s.x.cli.ContainerUpdate(ctx, s.id, want.update())
	if err != nil {
		return fmt.Errorf("limiting the container: %w", err)
	}
	if dropped := ofLimits(updated.Warnings); dropped != nil {
		return fmt.Errorf("limiting the container: the engine cannot: %q", dropped)
	}
	s.limits = want
	s.x.updates.Add(1)
	return nil
}

// update is the request to give a container these limits.
func (l limits) update() container.UpdateConfig {
	return container.UpdateConfig{Resources: container.Resources{
		Memory: l.memory, MemorySwap: l.memory, NanoCPUs: l.nanoCPUs, PidsLimit: &l.pids,
	}}
}

// held is the memory that is the supervisor's while the program runs.
func (s *sandbox) held(stdin int64) int64 { return overheadOf(s.ready).memory + stdin }

// look reads what a supervisor sees of the container's control group, which was used
// before the program started: by the runtime and by the supervisor.
func (s *sandbox) look(stdin int64) func(runner.Sample) (at, cpu time.Duration, memory int64, ok bool) {
	before := s.ready.Counters
	return func(now runner.Sample) (at, cpu time.Duration, memory int64, ok bool) {
		if now.CPU == nil || now.Memory == nil || before.CPU == nil {
			return 0, 0, 0, false
		}
		return now.At, *now.CPU - *before.CPU, *now.Memory - s.held(stdin), true
	}
}

// evidence is what the counters say that the supervisor read at its start and at the
// end.
func (s *sandbox) evidence(report *runner.Report, stdin int64) (known runner.Evidence) {
	if report == nil {
		return known
	}
	before, after := s.ready.Counters, report.Counters
	known.CPUTime = new(report.CPU) // as wait4 has it, where there are no counters
	if before.CPU != nil && after.CPU != nil {
		known.CPUTime = new(*after.CPU - *before.CPU)
	}
	if after.PeakMemory != nil {
		peak := max(0, *after.PeakMemory-s.held(stdin))
		if before.PeakMemory != nil && *after.PeakMemory == *before.PeakMemory && report.MaxRSS > 0 {
			// It was reached when the container was started: the program took less,
			// and its largest process tells more.
			peak = min(peak, report.MaxRSS)
		}
		known.PeakMemory = &peak
	}
	known.OOM = before.OOMKills != nil && after.OOMKills != nil && *after.OOMKills > *before.OOMKills
	return known
}

// killedForMemory reports whether the engine knows that want of memory ended the
// container: the only witness, once the supervisor is gone. It believes it of no
// container that still runs.
func (s *sandbox) killedForMemory() bool {
	s.hangUp()
	ctx, cancel := context.WithTimeout(context.Background(), takeDownTimeout)
	defer cancel()
	if s.x.await(ctx, s.id, container.WaitConditionNotRunning) != nil {
		return false
	}
	info, err := s.x.cli.ContainerInspect(ctx, s.id)
	return err == nil && info.State != nil && info.State.OOMKilled
}
