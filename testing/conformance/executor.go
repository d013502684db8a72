package conformance

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// ExecutorHarness tells the Executor and Isolation suites how to meet an executor.
type ExecutorHarness struct {
	// New returns an executor that is ready and can run at least four jobs at
	// once. The suites close it. Most cases share one, as most tasks do.
	New func(t *testing.T) ports.Executor
	// Python, JavaScript and Bash are the languages as the executor has them.
	// Python is 3.8 or later with ctypes, and the first elements of their Run are
	// the interpreters' absolute paths. The programs also use cat, cp and chmod.
	Python, JavaScript, Bash ports.Language
	// Patience is the timeout of every run that is expected to end by itself, and
	// how late one may be that is not. It matters only where something is broken
	// or the machine is slow. Default: 30 s.
	Patience time.Duration
	// Lacks names what the executor does not have. The suites then demand that it
	// says so: an unknown figure is nil, a network that cannot be had is refused.
	Lacks []Capability
	// HostSide looks at the sandboxes from outside.
	HostSide HostSide
	// Forgeries are what the executor's own supervisor could say to it, such as a
	// frame with a false result; the Isolation suite has a program write them.
	Forgeries [][]byte
}

// Capability is something that a good executor may lack.
type Capability string

// The capabilities.
const (
	// Network: jobs with Spec.Network get one.
	Network Capability = "network"
	// Samples: the course of usage is reported.
	Samples Capability = "samples"
	// CPUTime and PeakMemory: these two figures of the usage are known.
	CPUTime    Capability = "cpu time"
	PeakMemory Capability = "peak memory"
)

// HostSide has optional hooks that look at a sandbox from outside. Every hook
// must be safe for concurrent use.
type HostSide struct {
	// Processes returns how many processes of the task are left on the host. The
	// suites also search this machine for processes that carry the task's
	// environment, which finds those of an executor that runs here.
	Processes func(id ports.TaskID) (int, error)
}

// Executor demands everything that ports.Executor promises, except that the
// sandbox holds: see Isolation.
func Executor(t *testing.T, h ExecutorHarness) {
	b := newExecBench(t, h)
	runTopic(t, "ending", false, b, execEndingChecks)
	runTopic(t, "memory", false, b, execMemoryChecks)
	runTopic(t, "time", false, b, execTimeChecks)
	runTopic(t, "input", false, b, execInputChecks)
	runTopic(t, "compiling", false, b, execCompileChecks)
	runTopic(t, "output", false, b, execOutputChecks)
	runTopic(t, "handlers", false, b, execHandlerChecks)
	runTopic(t, "cancelling", false, b, execCancelChecks)
	runTopic(t, "usage", false, b, execUsageChecks)
	runTopic(t, "jobs", false, b, execJobChecks)
	runTopic(t, "single use", false, b, execSingleUseChecks)
	runTopic(t, "closing", false, b, execCloseChecks)
}

// execBench is an executor on the test bench, shared by the cases of a suite.
type execBench struct {
	ExecutorHarness
	x ports.Executor

	mu sync.Mutex
	// late describes every call of a handler after its Run had returned.
	late []string
}

func newExecBench(t *testing.T, h ExecutorHarness) *execBench {
	t.Helper()
	require.NotNil(t, h.New, "ExecutorHarness.New is missing")
	for _, l := range []ports.Language{h.Python, h.JavaScript, h.Bash} {
		require.NotEmpty(t, l.Run, "a language of the harness has no command")
	}
	if h.Patience == 0 {
		h.Patience = patience
	}
	b := &execBench{ExecutorHarness: h}
	b.x = b.newExecutor(t)
	require.NoError(t, b.x.Check(t.Context()), "the executor says that it cannot run tasks here")
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		assert.Empty(t, b.late, "handlers were called after Run had returned")
	})
	return b
}

// newExecutor returns an executor that is closed when the test ends.
func (b *execBench) newExecutor(t *testing.T) ports.Executor {
	t.Helper()
	x := b.New(t)
	t.Cleanup(func() {
		// The test's own context is done by now.
		ctx, cancel := execDeadline(2 * b.Patience)
		defer cancel()
		assert.NoError(t, x.Close(ctx), "closing the executor")
	})
	return x
}

// on returns a bench for another executor of the same harness.
func (b *execBench) on(x ports.Executor) *execBench {
	return &execBench{ExecutorHarness: b.ExecutorHarness, x: x}
}

func (b *execBench) has(c Capability) bool { return !slices.Contains(b.Lacks, c) }

func (b *execBench) tooLate(what string, id ports.TaskID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late = append(b.late, what+" of "+string(id))
}

// The limits of a job that says nothing else: enough for every interpreter.
const (
	execMemory = 192 << 20
	execDisk   = 16 << 20
	execOutput = 1 << 20
	execPIDs   = 64
)

// execBrief is a timeout for programs that do not end by themselves.
const execBrief = 400 * time.Millisecond

// job returns a job that runs the code.
func (b *execBench) job(lang ports.Language, code string) ports.Job {
	job := b.jobOfFiles(lang, lang.Source)
	job.Spec.Code, job.Spec.Entrypoint = code, ""
	return job
}

// jobOfFiles returns a job that runs one of several files.
func (b *execBench) jobOfFiles(lang ports.Language, entrypoint string, files ...ports.File) ports.Job {
	return ports.Job{
		Task:     newID(),
		Attempt:  1,
		Language: lang.Clone(),
		Spec: ports.Spec{
			Language:    lang.Name,
			Files:       files,
			Entrypoint:  entrypoint,
			Env:         map[string]string{},
			Queue:       ports.DefaultQueue,
			MaxAttempts: 1,
			Limits: ports.Limits{
				CPU:     1,
				Memory:  execMemory,
				Timeout: b.Patience,
				PIDs:    execPIDs,
				Output:  execOutput,
				Disk:    execDisk,
			},
		},
	}
}

func (b *execBench) python(code string) ports.Job     { return b.job(b.Python, code) }
func (b *execBench) javascript(code string) ports.Job { return b.job(b.JavaScript, code) }
func (b *execBench) bash(code string) ports.Job       { return b.job(b.Bash, code) }
