package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// execRun is a run that is over and kept what the contract promises of every run.
type execRun struct {
	ports.Outcome
	err            error
	stdout, stderr string
	samples        []ports.Sample
}

// run runs the job, which must come to an end without an error.
func (b *execBench) run(t *testing.T, job ports.Job) execRun {
	t.Helper()
	r := b.runUntil(t.Context(), t, job)
	require.NoError(t, r.err)
	return r
}

// runUntil runs the job until it ends or ctx is done. It demands what holds for
// every run, however it ended, and gives up on one that never ends.
func (b *execBench) runUntil(ctx context.Context, t *testing.T, job ports.Job) execRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 4*b.Patience)
	defer cancel()

	rec := &execRecorder{bench: b, id: job.Task, started: job.Started, sample: job.Sample}
	stdout := &execWriter{recorder: rec, name: "Stdout", next: job.Stdout}
	stderr := &execWriter{recorder: rec, name: "Stderr", next: job.Stderr}
	job.Stdout, job.Stderr, job.Started, job.Sample = stdout, stderr, rec.onStarted, rec.onSample
	if job.Spec.Env != nil {
		job.Spec.Env[execMark] = b.mark(job.Task)
	}

	out, err := b.x.Run(ctx, job)
	rec.returned.Store(true)
	if left := b.processesLeft(t, job.Task); left > 0 {
		assert.Failf(t, "Run returned too early", "%d processes of the task are left", left)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	assert.Empty(t, rec.faults, "the handlers were called otherwise than promised")
	r := execRun{out, err, stdout.kept.String(), stderr.kept.String(), rec.samples}
	if err == nil || out.Cause != "" {
		b.checkOutcome(t, job, r, stdout.failed, stderr.failed)
	}
	return r
}

// checkOutcome demands what the documentation of ports.Outcome says of all.
func (b *execBench) checkOutcome(t *testing.T, job ports.Job, r execRun, stdoutFailed, stderrFailed bool) {
	t.Helper()
	switch r.Cause {
	case ports.CauseExit:
		assert.True(t, r.ExitCode >= 0 && r.ExitCode <= 255, "exit code %d", r.ExitCode)
		assert.Empty(t, r.Signal, "a program that exited has no signal")
	case ports.CauseSignal, ports.CauseTimeout, ports.CauseOutputLimit:
		assert.NotEmpty(t, r.Signal, "what killed the program?")
		assert.Equal(t, -1, r.ExitCode)
	case ports.CauseOOM, ports.CauseCancelled, ports.CauseInfrastructure:
		assert.Equal(t, -1, r.ExitCode)
	default:
		assert.Failf(t, "unknown cause", "%q", r.Cause)
	}
	if !stdoutFailed {
		assert.Equal(t, min(r.StdoutBytes, job.Spec.Limits.Output), int64(len(r.stdout)), "bytes of stdout delivered, of %d written", r.StdoutBytes)
	}
	if !stderrFailed {
		assert.Equal(t, min(r.StderrBytes, job.Spec.Limits.Output), int64(len(r.stderr)), "bytes of stderr delivered, of %d written", r.StderrBytes)
	}
	if u := r.Usage; r.Cause != ports.CauseInfrastructure && r.Cause != ports.CauseCancelled {
		if assert.NotNil(t, u.WallTime, "wall time") {
			assert.Positive(t, *u.WallTime)
		}
		assert.Equal(t, b.has(CPUTime), u.CPUTime != nil, "CPU time is known")
		assert.Equal(t, b.has(PeakMemory), u.PeakMemory != nil, "peak memory is known")
	}
	if u := r.Usage; u.CPUTime != nil {
		assert.GreaterOrEqual(t, *u.CPUTime, time.Duration(0))
	}
	if u := r.Usage; u.PeakMemory != nil {
		assert.Positive(t, *u.PeakMemory, "unknown is nil, never 0")
	}
	assert.LessOrEqual(t, len(r.Usage.Samples), ports.MaxSamples)
	for i, s := range r.Usage.Samples {
		assert.GreaterOrEqual(t, s.CPU, 0.0)
		assert.GreaterOrEqual(t, s.Memory, int64(0))
		assert.Positive(t, s.At)
		assert.True(t, i == 0 || s.At > r.Usage.Samples[i-1].At, "samples are in order")
	}
}

// execMark is the variable that every program of the suites carries in its
// environment: the ID of its task, and what tells this test from others that run
// on the machine.
const execMark = "TASKRUNNER_CONFORMANCE_TASK"

var execThisTest = rand.Text()

func (b *execBench) mark(id ports.TaskID) string { return execThisTest + " " + string(id) }

// processesLeft counts the task's processes, as far as they can be seen from here.
func (b *execBench) processesLeft(t *testing.T, id ports.TaskID) int {
	t.Helper()
	mark := []byte(execMark + "=" + b.mark(id))
	left := 0
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, name := range environs {
		// A process that is gone by now, or belongs to somebody else, does not count.
		env, _ := os.ReadFile(name)
		for entry := range bytes.SplitSeq(env, []byte{0}) {
			if bytes.Equal(entry, mark) {
				left++
			}
		}
	}
	if b.HostSide.Processes != nil {
		n, err := b.HostSide.Processes(id)
		require.NoError(t, err, "counting processes from outside")
		left = max(left, n)
	}
	return left
}

// execRecorder receives what a run reports and notes what it does wrong.
type execRecorder struct {
	bench    *execBench
	id       ports.TaskID
	started  func()
	sample   func(ports.Sample)
	returned atomic.Bool
	inside   atomic.Int32

	mu      sync.Mutex
	starts  int
	samples []ports.Sample
	faults  []string
}

// enter notes a call of the handler; leave ends it.
func (r *execRecorder) enter(what string) {
	if r.returned.Load() {
		r.bench.tooLate(what, r.id)
	}
	if r.inside.Add(1) > 1 {
		r.fault(what + " was called while another handler was running")
	}
}

func (r *execRecorder) leave() { r.inside.Add(-1) }

func (r *execRecorder) fault(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.faults, what) {
		r.faults = append(r.faults, what)
	}
}

func (r *execRecorder) mustHaveStarted(what string) {
	r.mu.Lock()
	starts := r.starts
	r.mu.Unlock()
	if starts == 0 {
		r.fault(what + " was called before Started")
	}
}

func (r *execRecorder) onStarted() {
	if r.returned.Load() {
		r.bench.tooLate("Started", r.id)
	}
	r.mu.Lock()
	r.starts++
	starts := r.starts
	r.mu.Unlock()
	if starts > 1 {
		r.fault("Started was called again")
	}
	if r.started != nil {
		r.started()
	}
}

func (r *execRecorder) onSample(s ports.Sample) {
	r.enter("Sample")
	defer r.leave()
	r.mustHaveStarted("Sample")
	r.mu.Lock()
	r.samples = append(r.samples, s)
	r.mu.Unlock()
	if r.sample != nil {
		r.sample(s)
	}
}

// execWriter is one of the two streams. It keeps everything and then asks next.
type execWriter struct {
	recorder *execRecorder
	name     string
	next     io.Writer
	kept     bytes.Buffer
	failed   bool
}

func (w *execWriter) Write(p []byte) (int, error) {
	w.recorder.enter(w.name)
	defer w.recorder.leave()
	w.recorder.mustHaveStarted(w.name)
	if w.failed {
		w.recorder.fault(w.name + " was called after it had failed")
	}
	w.kept.Write(p)
	if w.next == nil {
		return len(p), nil
	}
	w.failed = true // unless it returns well: it may panic
	n, err := w.next.Write(p)
	w.failed = err != nil
	return n, err
}

// execWriterFunc is a function as a writer.
type execWriterFunc func(p []byte) (int, error)

func (f execWriterFunc) Write(p []byte) (int, error) { return f(p) }

// execFirst returns a writer that closes the channel when the first byte arrives.
func execFirst() (io.Writer, <-chan struct{}) {
	first := make(chan struct{})
	var once sync.Once
	return execWriterFunc(func(p []byte) (int, error) {
		once.Do(func() { close(first) })
		return len(p), nil
	}), first
}

// execDeadline returns a context of its own that is done after d.
func execDeadline(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// requireExit demands that the program exited by itself with the code.
func (r execRun) requireExit(t *testing.T, code int) {
	t.Helper()
	require.Equal(t, ports.CauseExit, r.Cause, "signal %q, message %q, stdout %.500q, stderr %.2000q", r.Signal, r.Message, r.stdout, r.stderr)
	require.Equal(t, code, r.ExitCode, "message %q, stdout %.500q, stderr %.2000q", r.Message, r.stdout, r.stderr)
}

// requireCause demands that the program ended for the cause.
func (r execRun) requireCause(t *testing.T, cause ports.Cause) {
	t.Helper()
	require.Equal(t, cause, r.Cause, "exit code %d, signal %q, message %q, stdout %.500q, stderr %.2000q",
		r.ExitCode, r.Signal, r.Message, r.stdout, r.stderr)
}
