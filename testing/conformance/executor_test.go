//go:build linux

package conformance_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

// execFaultVar names, in the environment of a child test process, the fault that
// TestExecutorSuiteOfFault puts into the executor.
const execFaultVar = "CONFORMANCE_EXECUTOR_FAULT"

// execNeedSandbox are the cases that a plain process cannot pass.
const execNeedSandbox = "/(memory|single_use)$|/compiling$/memory_limit$"

// execFault is a promise broken, and the case that must notice.
type execFault struct {
	noticedBy string
	put       func(*plainExecutor)
	// patience of the suite where noticing means waiting for it.
	patience time.Duration
	lacks    []conformance.Capability
}

func bent(noticedBy string, bend func(job ports.Job, out *ports.Outcome, err *error)) execFault {
	return execFault{noticedBy: noticedBy, put: func(x *plainExecutor) { x.bend = bend }}
}

func bentJob(noticedBy string, bend func(job *ports.Job)) execFault {
	return execFault{noticedBy: noticedBy, put: func(x *plainExecutor) { x.bendJob = bend }}
}

// patiently returns f with another patience of the suite.
func (f execFault) patiently(d time.Duration) execFault {
	f.patience = d
	return f
}

// writerTo is a writer made of a function.
type writerTo func(p []byte) (int, error)

func (f writerTo) Write(p []byte) (int, error) { return f(p) }

var execFaults = map[string]execFault{
	"an exit code is lost": bent("ending/exit codes arrive as they are", func(_ ports.Job, out *ports.Outcome, _ *error) {
		if out.ExitCode > 127 {
			out.ExitCode = 1
		}
	}),
	"137 is taken for want of memory": bent("ending/a program that kills itself is not out of memory", func(_ ports.Job, out *ports.Outcome, _ *error) {
		if out.ExitCode == 137 || out.Signal == "SIGKILL" && out.Cause == ports.CauseSignal {
			out.Cause, out.ExitCode = ports.CauseOOM, -1
		}
	}),
	"a signal becomes an exit code": bent("ending/a signal is named", func(_ ports.Job, out *ports.Outcome, _ *error) {
		if out.Cause == ports.CauseSignal {
			out.Cause, out.ExitCode, out.Signal = ports.CauseExit, 139, ""
		}
	}),
	"a signal has another name": bent("ending/a signal is named", func(_ ports.Job, out *ports.Outcome, _ *error) {
		out.Signal = strings.TrimPrefix(out.Signal, "SIG")
	}),
	"a failing program is an error": bent("ending/exit codes arrive as they are", func(_ ports.Job, out *ports.Outcome, err *error) {
		if out.ExitCode > 0 && *err == nil {
			*err = errors.New("exit status")
		}
	}),
	"exit code 0 beside another cause": bent("time/a program that sleeps is stopped at its timeout, and its output stays", func(_ ports.Job, out *ports.Outcome, _ *error) {
		out.ExitCode = max(0, out.ExitCode)
	}),
	"processes are left alive": {noticedBy: "ending/a background process that holds the streams delays nothing and is gone",
		put: func(x *plainExecutor) { x.leak = true }},
	"the last byte of stdout is lost": bentJob("ending/each language says hello and nothing else", func(job *ports.Job) {
		w := job.Stdout
		job.Stdout = writerTo(func(p []byte) (int, error) {
			_, err := w.Write(p[:len(p)-1])
			return len(p), err
		})
	}),
	"stderr goes to stdout": bentJob("output/every byte arrives as it is, on its own stream", func(job *ports.Job) { job.Stderr = job.Stdout }),
	"output is held back until the end": {
		noticedBy: "output/output arrives while the program runs", patience: time.Second,
		put: func(x *plainExecutor) {
			var mu sync.Mutex
			held := map[io.Writer]*bytes.Buffer{}
			x.bendJob = func(job *ports.Job) {
				for _, w := range []*io.Writer{&job.Stdout, &job.Stderr} {
					real, buf := *w, &bytes.Buffer{}
					*w = writerTo(buf.Write)
					mu.Lock()
					held[real] = buf
					mu.Unlock()
				}
			}
			x.bend = func(ports.Job, *ports.Outcome, *error) {
				mu.Lock()
				defer mu.Unlock()
				for w, buf := range held {
					_, _ = w.Write(buf.Bytes())
					delete(held, w)
				}
			}
		},
	},
	"only what is kept is counted": bent("output/output beyond the limit is counted and cut", func(job ports.Job, out *ports.Outcome, _ *error) {
		out.StdoutBytes = min(out.StdoutBytes, job.Spec.Limits.Output)
	}),
	"output is not cut":              bentJob("output/output beyond the limit is counted and cut", func(job *ports.Job) { job.Spec.Limits.Output <<= 10 }),
	"a flood is let through":         bentJob("output/a program that writes one byte more is killed", func(job *ports.Job) { job.Spec.Limits.Output <<= 10 }).patiently(time.Second),
	"a flood is stopped too early":   bentJob("output/a program that writes exactly what may be written lives on", func(job *ports.Job) { job.Spec.Limits.Output-- }),
	"half of stdin is lost":          bentJob("input/stdin arrives whole and then ends", func(job *ports.Job) { job.Spec.Stdin = job.Spec.Stdin[:len(job.Spec.Stdin)/2] }),
	"an empty argument is left out":  bentJob("input/arguments arrive as they are", func(job *ports.Job) { job.Spec.Args = strings.Fields(strings.Join(job.Spec.Args, " ")) }),
	"the host's environment is seen": bentJob("input/the environment is what was promised, and nothing of the host's", leakEnvironment),
	"files lie one folder too deep": bentJob("input/files are where and what they should be, and nothing else is there", func(job *ports.Job) {
		for i := range job.Spec.Files {
			job.Spec.Files[i].Path = "src/" + job.Spec.Files[i].Path
		}
		job.Spec.Entrypoint = "src/" + job.Spec.Entrypoint
	}),
	"a timeout does not count": bentJob("time/a program that spins is stopped at its timeout", func(job *ports.Job) { job.Spec.Limits.Timeout = time.Hour }).patiently(time.Second),
	// As its figures tell it: on a busy machine a kill that is sent early arrives late.
	"a timeout comes too early": bent("time/a program that spins is stopped at its timeout", func(job ports.Job, out *ports.Outcome, _ *error) {
		out.Usage.WallTime = new(job.Spec.Limits.Timeout - 1)
	}),
	"a timeout is a signal": bent("time/a program that spins is stopped at its timeout", func(_ ports.Job, out *ports.Outcome, _ *error) {
		if out.Cause == ports.CauseTimeout {
			out.Cause = ports.CauseSignal
		}
	}),
	"the compile step takes the program's time": bentJob("compiling/the time to compile is not taken from the program", func(job *ports.Job) {
		job.Language.CompileTimeout = job.Spec.Limits.Timeout
	}),
	"a failed compile step has no message": bent("compiling/a compile step that fails is the end, with its code and a message", func(_ ports.Job, out *ports.Outcome, _ *error) { out.Message = "" }),
	"the compiler gets the program's stdin": bentJob("compiling/stdin is the program's and not the compiler's", func(job *ports.Job) {
		job.Language.Compile = append([]string{"/bin/sh", "-c", `printf input >&2; exec "$@"`, "sh"}, job.Language.Compile...)
	}),
	"Started is called twice": bentJob("handlers/Started is called once, also when there is a compile step or nothing else happens", func(job *ports.Job) {
		started := job.Started
		job.Started = func() { started(); started() }
	}),
	"Started is not called": bentJob("handlers/Started is called once, also when there is a compile step or nothing else happens", func(job *ports.Job) { job.Started = nil }),
	// That case has a writer that blocks, beside which others can be seen.
	"handlers overlap": bentJob("handlers/a writer that is slow holds up its own program only", func(job *ports.Job) {
		out, errs := job.Stdout, job.Stderr
		job.Stdout = writerTo(func(p []byte) (int, error) {
			var wg sync.WaitGroup
			defer wg.Wait()
			var done atomic.Bool
			defer done.Store(true)
			wg.Go(func() {
				for !done.Load() {
					_, _ = errs.Write(nil)
					runtime.Gosched()
				}
			})
			return out.Write(p)
		})
	}),
	"a handler is called after the end": {noticedBy: "ending/exit codes arrive as they are", put: func(x *plainExecutor) {
		var last atomic.Pointer[io.Writer]
		x.bendJob = func(job *ports.Job) {
			if w := last.Swap(&job.Stdout); w != nil {
				_, _ = (*w).Write([]byte("ghost"))
			}
		}
	}},
	"a write error is forgotten": bentJob("handlers/a writer that fails loses its own output and nothing else", func(job *ports.Job) {
		w := job.Stdout
		job.Stdout = writerTo(func(p []byte) (int, error) {
			_, _ = w.Write(p)
			return len(p), nil
		})
	}),
	"contexts are not looked at": {noticedBy: "cancelling/a cancel kills everything, keeps the output and says what was used", patience: time.Second,
		put: func(x *plainExecutor) { x.deaf = true }},
	"a context that is done is not looked at": {noticedBy: "cancelling/a context that is done starts nothing", patience: time.Second,
		put: func(x *plainExecutor) { x.deaf = true }},
	"a cancel is no error": bent("cancelling/a cancel at the very start is obeyed", func(_ ports.Job, out *ports.Outcome, err *error) {
		if out.Cause == ports.CauseCancelled {
			*err = nil
		}
	}),
	"a cancel has another cause": bent("cancelling/a deadline ends a run as a cancel does", func(_ ports.Job, out *ports.Outcome, err *error) {
		if *err != nil {
			out.Cause = ports.CauseSignal
		}
	}),
	"a deadline becomes a cancel": bent("cancelling/a deadline ends a run as a cancel does", func(_ ports.Job, _ *ports.Outcome, err *error) {
		if *err != nil {
			*err = errors.New("cancelled")
		}
	}),
	"zero is taken for unlimited": bentJob("jobs/a limit that is not set is refused and not taken for none", func(job *ports.Job) {
		l := &job.Spec.Limits
		l.CPU, l.Memory, l.PIDs, l.Disk = max(l.CPU, 1), max(l.Memory, 1), max(l.PIDs, 1), max(l.Disk, 1)
	}),
	"hostile paths are mended": bentJob("jobs/a path that leads out of the work folder is refused", func(job *ports.Job) {
		for i := range job.Spec.Files {
			job.Spec.Files[i].Path = "x/" + strings.ReplaceAll(job.Spec.Files[i].Path, ".", "_")
		}
	}),
	"the network is silently left out": bentJob("jobs/a network is had on demand or refused", func(job *ports.Job) { job.Spec.Network = false }),
	"the job is changed":               bentJob("jobs/the job stays as it was", func(job *ports.Job) { job.Spec.Env["ADDED"] = "1" }),
	"a missing interpreter is nameless": bent("jobs/an interpreter that is not there is named", func(_ ports.Job, out *ports.Outcome, _ *error) {
		out.Message = ""
	}),
	"Close does not wait": {noticedBy: "closing/Close waits for the job that runs, and lets no other one start",
		put: func(x *plainExecutor) { x.impatient = true }},
	"a closed executor runs on": bent("closing/a closed executor runs nothing", func(_ ports.Job, _ *ports.Outcome, err *error) {
		if errors.Is(*err, ports.ErrClosed) {
			*err = nil
		}
	}),
	"no sandbox at all":             {noticedBy: "single use/nothing of a run is found by the next ones", put: func(*plainExecutor) {}},
	"no sandbox between neighbours": {noticedBy: "single use/runs at the same time do not find each other", put: func(*plainExecutor) {}},
	"there is no memory limit":      {noticedBy: "memory/a program beyond its memory limit is out of memory", put: func(*plainExecutor) {}},
	"a child is not limited":        {noticedBy: "memory/a parent that fails after its child ran out of memory is out of memory", put: func(*plainExecutor) {}},
	"there is no limit on CPU": {
		noticedBy: "time/a fifth of a core gives a fifth of the CPU time",
		lacks:     []conformance.Capability{conformance.Network, conformance.Samples, conformance.PeakMemory},
		put: func(x *plainExecutor) {
			// As on a machine with nothing else to do.
			x.bend = func(_ ports.Job, out *ports.Outcome, _ *error) { out.Usage.CPUTime = out.Usage.WallTime }
		},
	},
	"only children that were waited for are counted": {
		noticedBy: "usage/CPU time of a child counts, waited for or not",
		lacks:     []conformance.Capability{conformance.Network, conformance.Samples, conformance.PeakMemory},
		put:       func(x *plainExecutor) { x.measure = true },
	},
	"an unknown figure is zero": {
		noticedBy: "usage/a program that sleeps uses next to no CPU time",
		lacks:     []conformance.Capability{conformance.Network, conformance.Samples, conformance.PeakMemory},
		put: func(x *plainExecutor) {
			x.bend = func(_ ports.Job, out *ports.Outcome, _ *error) { out.Usage.CPUTime = new(time.Duration) }
		},
	},
	"a figure is left out": {
		noticedBy: "usage/peak memory is what was held at the worst moment, however short",
		lacks:     []conformance.Capability{conformance.Network, conformance.Samples, conformance.CPUTime},
		put:       func(*plainExecutor) {},
	},
	"no sample comes": {
		noticedBy: "time/samples come while the program runs", patience: time.Second,
		lacks: []conformance.Capability{conformance.Network, conformance.CPUTime, conformance.PeakMemory},
		put:   func(*plainExecutor) {},
	},
	"a wall time is half": bent("usage/wall time is the program's", func(_ ports.Job, out *ports.Outcome, _ *error) {
		*out.Usage.WallTime /= 2
	}),
}

func leakEnvironment(job *ports.Job) {
	job.Spec.Env = maps.Clone(job.Spec.Env)
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		job.Spec.Env[name] = value
	}
}

// TestExecutorSuiteOfFault runs the suite on an executor with the fault that the
// environment names. It is run by the tests below, each time in a process of its
// own, since it is there to fail.
func TestExecutorSuiteOfFault(t *testing.T) {
	name, ok := os.LookupEnv(execFaultVar)
	if !ok {
		return
	}
	fault := execFaults[name]
	h := plainHarness(t, fault.put)
	h.Patience = fault.patience
	if fault.lacks != nil {
		h.Lacks = fault.lacks
	}
	conformance.Executor(t, h)
}

func TestExecutorSuiteAcceptsPlainProcesses(t *testing.T) {
	t.Parallel()
	out, err := runExecSuite(t, "", "^TestExecutorSuiteOfFault$", "-test.skip", "^TestExecutorSuiteOfFault$"+execNeedSandbox)
	require.NoError(t, err, "%s", out)
	assert.Contains(t, out, "--- PASS: TestExecutorSuiteOfFault/ending/each_language_says_hello")
}

func TestExecutorSuiteNotices(t *testing.T) {
	t.Parallel()
	for name, fault := range execFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := runExecSuite(t, name, execPattern("TestExecutorSuiteOfFault/"+fault.noticedBy))
			require.Error(t, err, "the fault was not noticed: %s", out)
			assert.NotContains(t, out, "no tests to run")
			assert.Contains(t, out, "--- FAIL: TestExecutorSuiteOfFault")
		})
	}
}

// execPattern returns the pattern for -test.run that names one case.
func execPattern(test string) string {
	parts := strings.Split(test, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(strings.ReplaceAll(part, " ", "_")) + "$"
	}
	return strings.Join(parts, "/")
}

// runExecSuite runs this test binary on the faulty executor.
func runExecSuite(t *testing.T, fault, run string, args ...string) (string, error) {
	t.Helper()
	t.Cleanup(func() {
		for _, folder := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
			_ = os.Remove(folder + "/left-behind") // by the programs that look for a sandbox
		}
	})
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"-test.v", "-test.timeout=5m", "-test.run", run}, args...)...)
	cmd.Env = append(os.Environ(), execFaultVar+"="+fault)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
