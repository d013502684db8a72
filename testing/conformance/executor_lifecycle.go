package conformance

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// execLeave leaves whatever a program can leave behind, and execFind looks for it.
const (
	execLeave = `
import os, socket, subprocess
left = []
for folder in {".", "/tmp", "/var/tmp", "/dev/shm", "/run", os.environ.get("HOME", "."), os.environ.get("TMPDIR", ".")}:
    try:
        with open(os.path.join(folder, "left-behind"), "w") as f: f.write("secret")
        left.append(folder)
    except OSError: pass
subprocess.Popen(["sleep", "1000"], start_new_session=True)
try: socket.sethostname("left-behind")
except OSError: pass
s = socket.socket(socket.AF_UNIX); s.bind("\0left-behind"); s.listen()
os.environ["LEFT"] = "behind"
os.symlink("/", "root"); os.mkdir("sealed", 0o000)
print("left" if left else "nowhere to leave anything")
`
	execFind = `
import os, socket
for folder in {".", "/tmp", "/var/tmp", "/dev/shm", "/run", os.environ.get("HOME", "."), os.environ.get("TMPDIR", ".")}:
    try: names = os.listdir(folder)
    except OSError: continue
    if "left-behind" in names: print("file in", folder)
print("files", sorted(os.listdir(".")))
for pid in filter(str.isdigit, os.listdir("/proc")):
    with open("/proc/%s/cmdline" % pid, "rb") as f:
        if b"sleep" in f.read(): print("process")
if socket.gethostname() == "left-behind": print("hostname")
if "LEFT" in os.environ: print("environment")
s = socket.socket(socket.AF_UNIX)
try: s.connect("\0left-behind"); print("socket")
except OSError: pass
`
)

var execSingleUseChecks = []check[*execBench]{
	{"nothing of a run is found by the next ones", func(t *testing.T, b *execBench) {
		for range 3 {
			r := b.run(t, b.python(execLeave))
			r.requireExit(t, 0)
			require.Equal(t, "left\n", r.stdout)
			for range 3 {
				r := b.run(t, b.python(execFind))
				r.requireExit(t, 0)
				assert.Equal(t, "files ['"+b.Python.Source+"']\n", r.stdout)
			}
		}
	}},
	{"runs at the same time do not find each other", func(t *testing.T, b *execBench) {
		w, ready := execFirst()
		ctx, cancel := execDeadline(b.Patience)
		defer cancel()
		job := b.python(strings.Replace(execLeave, "print(", "import time; print(", 1) + "import sys; sys.stdout.flush(); time.sleep(1000)")
		job.Stdout = w
		result := inBackground(func() execRun { return b.runUntil(ctx, t, job) })
		receive(t, ready, "the neighbour's output")
		r := b.run(t, b.python(execFind))
		r.requireExit(t, 0)
		assert.Equal(t, "files ['"+b.Python.Source+"']\n", r.stdout)
		cancel()
		receive(t, result, "the neighbour's end").requireCancelled(t, ctx)
	}},
	{"a run that was cut short leaves nothing either", func(t *testing.T, b *execBench) {
		job := b.python(execLeave + "import time\ntime.sleep(1000)")
		job.Spec.Limits.Timeout = 2 * execBrief
		b.run(t, job).requireCause(t, ports.CauseTimeout)
		r := b.run(t, b.python(execFind))
		assert.Equal(t, "files ['"+b.Python.Source+"']\n", r.stdout)
	}},
}

var execCloseChecks = []check[*execBench]{
	{"an executor that was never used closes, twice and at once", func(t *testing.T, b *execBench) {
		x := b.New(t)
		require.NoError(t, x.Close(t.Context()))
		require.NoError(t, x.Close(t.Context()))
		x = b.New(t)
		concurrently(4, func(int) { assert.NoError(t, x.Close(t.Context())) })
	}},
	{"a closed executor runs nothing", func(t *testing.T, b *execBench) {
		x := b.New(t)
		b = b.on(x)
		b.run(t, b.bash(`exit 0`)).requireExit(t, 0)
		require.NoError(t, x.Close(t.Context()))
		job := b.bash(`echo ran`)
		job.Started = func() { t.Error("started") }
		r := b.runUntil(t.Context(), t, job)
		require.ErrorIs(t, r.err, ports.ErrClosed)
		assert.Empty(t, r.stdout)
		require.NoError(t, x.Close(t.Context()))
	}},
	{"Close waits for the job that runs, and lets no other one start", func(t *testing.T, b *execBench) {
		x := b.New(t)
		b = b.on(x)
		// A run cannot end before its output was taken.
		var released atomic.Bool
		release := make(chan struct{})
		w, first := execFirst()
		job := b.bash(`echo output; exit 3`)
		job.Stdout = execWriterFunc(func(p []byte) (int, error) {
			n, err := w.Write(p)
			<-release
			return n, err
		})
		result := inBackground(func() execRun { return b.runUntil(t.Context(), t, job) })
		receive(t, first, "the first output")
		closed := inBackground(func() error {
			err := x.Close(t.Context())
			assert.True(t, released.Load(), "Close returned while a job was running")
			return err
		})
		for {
			// Close has taken effect as soon as a job is refused.
			if _, err := x.Run(t.Context(), execQuiet(b.bash(`exit 0`))); err != nil {
				require.ErrorIs(t, err, ports.ErrClosed)
				break
			}
		}
		released.Store(true)
		close(release)
		r := receive(t, result, "the run's end")
		require.NoError(t, r.err)
		r.requireExit(t, 3)
		require.NoError(t, receive(t, closed, "Close"))
	}},
	{"Close with a context that is done kills what runs", func(t *testing.T, b *execBench) {
		x := b.New(t)
		b = b.on(x)
		results := make([]<-chan execRun, 2)
		for i := range results {
			job := b.bash(`trap '' TERM; echo ready; sleep 1000 & wait; wait`)
			w, ready := execFirst()
			job.Stdout = w
			results[i] = inBackground(func() execRun { return b.runUntil(t.Context(), t, job) })
			receive(t, ready, "the first output")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := x.Close(ctx); err != nil {
			require.ErrorIs(t, err, ctx.Err())
		}
		for _, result := range results {
			r := receive(t, result, "the end")
			require.ErrorIs(t, r.err, ports.ErrClosed)
			assert.Equal(t, "ready\n", r.stdout)
		}
		require.NoError(t, x.Close(t.Context()))
	}},
	{"Close whose context becomes done while it waits kills what runs", func(t *testing.T, b *execBench) {
		x := b.New(t)
		b = b.on(x)
		job := b.bash(`echo ready; sleep 1000`)
		w, ready := execFirst()
		job.Stdout = w
		result := inBackground(func() execRun { return b.runUntil(t.Context(), t, job) })
		receive(t, ready, "the first output")
		ctx, cancel := context.WithCancel(t.Context())
		closed := inBackground(func() error { return x.Close(ctx) })
		for {
			if _, err := x.Run(t.Context(), execQuiet(b.bash(`exit 0`))); errors.Is(err, ports.ErrClosed) {
				break
			}
		}
		cancel()
		r := receive(t, result, "the run's end")
		require.ErrorIs(t, r.err, ports.ErrClosed)
		if err := receive(t, closed, "Close"); err != nil {
			require.ErrorIs(t, err, ctx.Err())
		}
	}},
	{"executors side by side do not disturb each other", func(t *testing.T, b *execBench) {
		one, two := b.on(b.newExecutor(t)), b.on(b.New(t))
		job := one.bash(`echo ready; sleep 0.3; exit 3`)
		w, ready := execFirst()
		job.Stdout = w
		result := inBackground(func() execRun { return one.runUntil(t.Context(), t, job) })
		receive(t, ready, "the first output")
		two.run(t, two.bash(`exit 4`)).requireExit(t, 4)
		require.NoError(t, two.x.Close(t.Context()))
		r := receive(t, result, "the run's end")
		require.NoError(t, r.err)
		r.requireExit(t, 3)
		one.run(t, one.bash(`exit 5`)).requireExit(t, 5)
	}},
}
