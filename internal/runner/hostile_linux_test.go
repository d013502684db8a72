package runner_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/runner/frame"
)

// The programs here attack the supervisor with nothing around it but namespaces: no
// system call filter, no control group. They run as its own user.

func TestNoSignalFromInsideReachesTheSupervisor(t *testing.T) {
	t.Parallel()
	o := run(t, python(`import os
for round in range(3):
    for sig in range(1, 65):
        try: os.kill(1, sig)
        except OSError as e: print(sig, e)
print("survived")`))
	assert.Equal(t, "survived\n", o.stdout, o.stderr)
	assert.Equal(t, 0, o.ExitCode)
}

// A made-up SIGSEGV, with siginfo that says it is a fault, would crash a Go program
// that has its runtime's handlers.
func TestNoMadeUpFaultReachesTheSupervisor(t *testing.T) {
	t.Parallel()
	o := run(t, python(`import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
for tid in range(1, 10):
    for sig in (4, 5, 7, 8, 11, 23, 27, 31):
        for code in (-1, -6, -3):
            info = struct.pack("iiiiii104x", sig, 0, code, 0, os.getpid(), os.getuid())
            libc.syscall(297, 1, tid, sig, info)  # rt_tgsigqueueinfo
            libc.syscall(129, 1, sig, info)       # rt_sigqueueinfo
print("survived")`))
	assert.Equal(t, "survived\n", o.stdout, o.stderr)
}

func TestAProgramThatKillsAllItCanKillsItself(t *testing.T) {
	t.Parallel()
	o := run(t, python(`import os, time
if os.fork() == 0: time.sleep(1000)
os.kill(-1, 9)
print(os.wait()[1], flush=True)
os.kill(os.getpid(), 9)`))
	assert.Equal(t, "9\n", o.stdout)
	assert.Equal(t, runner.EndSignal, o.End)
}

func TestTheSupervisorCannotBeLookedInto(t *testing.T) {
	t.Parallel()
	o := run(t, python(`import ctypes, os
def denied(what, f):
    try: f()
    except PermissionError: return
    except OSError as e: print(what, "fails with", e); return
    print(what, "is open")
for name in ("mem", "maps", "environ", "auxv", "syscall", "stack", "io", "pagemap"):
    denied(name, lambda: open("/proc/1/" + name, "rb").read(1))
for name in ("fd", "fdinfo", "map_files"):
    denied(name, lambda: os.listdir("/proc/1/" + name))
for name in ("fd/0", "fd/1", "exe", "cwd", "root"):
    denied(name, lambda: os.readlink("/proc/1/" + name))
denied("fd/1", lambda: open("/proc/1/fd/1", "wb"))
denied("fd/0", lambda: open("/proc/1/fd/0", "rb"))
for name in ("oom_score_adj", "timerslack_ns", "clear_refs", "coredump_filter", "comm"):
    denied(name, lambda: os.write(os.open("/proc/1/" + name, os.O_WRONLY), b"0"))
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    if libc.syscall(*args) < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
denied("PTRACE_ATTACH", lambda: call(101, 16, 1, 0, 0))
denied("PTRACE_SEIZE", lambda: call(101, 0x4206, 1, 0, 0))
denied("kcmp", lambda: call(312, 1, os.getpid(), 0, 0, 1))
buf = ctypes.create_string_buffer(8)
class iovec(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
local, remote = iovec(ctypes.addressof(buf), 8), iovec(0x400000, 8)
denied("process_vm_readv", lambda: call(310, 1, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
denied("process_vm_writev", lambda: call(311, 1, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
pidfd = os.pidfd_open(1)
for fd in range(8):
    denied("pidfd_getfd", lambda: call(438, pidfd, fd, 0))
print("done")`))
	assert.Equal(t, "done\n", o.stdout, o.stderr)
}

func TestOutputThatImitatesFramesIsOutput(t *testing.T) {
	t.Parallel()
	fake := frame.AppendResult(nil, &frame.Result{End: runner.EndExit, ExitCode: 99})
	fake = append(frame.AppendStarted(frame.AppendReady(fake, frame.Ready{Threads: 1}), 1), fake...)
	req := shell("cat fake; cat fake >&2; exit 7")
	req.Files = []runner.File{{Path: "fake", Mode: 0o600, Content: fake}}
	o := run(t, req)
	assert.Equal(t, string(fake), o.stdout)
	assert.Equal(t, string(fake), o.stderr)
	assert.Equal(t, 7, o.ExitCode)
}

func TestAChildThatHoldsTheOutputDoesNotHoldTheResult(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"a child":              "sleep 1000 & echo done",
		"a daemon":             "(setsid sh -c 'trap \"\" HUP TERM; sleep 1000' &) ; echo done",
		"a grandchild, orphan": "(sleep 1000 & sleep 1000 &) & echo done",
		"one that writes":      "echo done; yes >&2 &",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, 0)
			o, err := s.run(t, shell(script))
			require.NoError(t, err)
			assert.Equal(t, "done\n", o.stdout)
			assert.Equal(t, runner.EndExit, o.End)
			assert.NoError(t, s.cmd.Wait(), "the namespace is empty")
		})
	}
}

func TestOrphansAreReapedWhileTheProgramRuns(t *testing.T) {
	t.Parallel()
	o := run(t, python(`import os
def states():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try: yield open("/proc/%s/stat" % pid).read().rsplit(")", 1)[1].split()[:2]
        except OSError: pass
r, w = os.pipe()
for i in range(50):
    if os.fork() == 0:
        if os.fork() == 0:
            os.close(r)
            os._exit(0)
        os._exit(0)
    os.wait()
os.close(w)
os.read(r, 1)  # all grandchildren have ended
while any(s == ["Z", "1"] for s in states()): pass
print("reaped")`))
	assert.Equal(t, "reaped\n", o.stdout, o.stderr)
}

const forkBomb = `import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try: os.fork()
    except OSError: pass
`

func TestAForkBombIsKilledWhole(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 60)
	ready, err := s.Ready(t.Context())
	require.NoError(t, err)
	assert.LessOrEqual(t, ready.Threads, frame.Threads)
	req := python(forkBomb)
	req.Steps[0].Timeout = 500 * time.Millisecond
	req.SampleInterval = 20 * time.Millisecond
	threads := 0
	report, err := s.Run(t.Context(), req, runner.Handlers{Sample: func(runner.Sample) {
		threads = max(threads, threadsOf(t, s.cmd.Process.Pid))
	}})
	require.NoError(t, err)
	assert.Equal(t, runner.EndTimeout, report.End)
	assert.Equal(t, ready.Threads, threads, "no thread was made after Ready")
	assert.NoError(t, s.cmd.Wait(), "the namespace is empty")
}

func TestAForkBombWhoseFirstProcessLeavesIsKilledWhole(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 60)
	o, err := s.run(t, shell("/usr/bin/python3 -c '"+forkBomb+"' & while :; do /bin/true || break; done; exit 4"))
	require.NoError(t, err)
	assert.Equal(t, runner.EndExit, o.End, "it ends once it cannot fork")
	assert.NoError(t, s.cmd.Wait())
}

func TestAStepCanStartAfterOneThatUsedUpAllProcesses(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 60)
	req := shell("echo fresh")
	bomb := python("import os, sys\n" + `
n = 0
try:
    while True:
        if os.fork() == 0: os.read(0, 1) or __import__("signal").pause()
        n += 1
except OSError: print(n > 20)
`).Steps[0]
	req.Steps = slices.Insert(req.Steps, 0, bomb)
	o, err := s.run(t, req)
	require.NoError(t, err)
	assert.Equal(t, "True\n", o.stderr)
	assert.Equal(t, "fresh\n", o.stdout)
}

// A thread per orphan, and more of all that the supervisor handles than it should ever
// keep: its memory and its threads stay what they were.
func TestAFloodLeavesNothingInTheSupervisor(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 0)
	ready, err := s.Ready(t.Context())
	require.NoError(t, err)
	req := python(`import os, sys
def rss(): return open("/proc/1/status").read().split("VmRSS:")[1].split()[0]
for i in range(20):
    os.write(2, b"x" * 65536)
first = rss()
for i in range(1000):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
    os.write(2, b"x" * 65536)
print(first, rss())`)
	req.OutputLimit, req.OutputKill = 32<<20, 1<<30
	req.Steps[0].Timeout = 5 * time.Minute // on a machine that is busy
	threads := 0
	o, err := s.Run(t.Context(), req, runner.Handlers{
		Stderr: func([]byte) { threads = max(threads, threadsOf(t, s.cmd.Process.Pid)) },
		Stdout: func(p []byte) {
			var before, after int
			_, err := fmt.Sscan(string(p), &before, &after)
			assert.NoError(t, err)
			assert.LessOrEqual(t, after, before+512, "kB")
		},
	})
	require.NoError(t, err)
	assert.EqualValues(t, 1020*65536, o.StderrBytes)
	assert.Equal(t, ready.Threads, threads)
}

func TestAProgramThatRaisesItsOwnPriorityToLiveIsStillKilled(t *testing.T) {
	t.Parallel()
	req := python(`import os
try: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-999")
except OSError as e: print(e.strerror, flush=True)
while True: pass`)
	req.Steps[0].Timeout = 500 * time.Millisecond
	o := run(t, req)
	assert.Equal(t, "Permission denied\n", o.stdout)
	assert.Equal(t, runner.EndTimeout, o.End)
}

var threadsLine = regexp.MustCompile(`(?m)^Threads:\s+(\d+)$`)

func threadsOf(t *testing.T, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if !assert.NoError(t, err) {
		return -1
	}
	m := threadsLine.FindSubmatch(status)
	if !assert.NotNil(t, m) {
		return -1
	}
	n, err := strconv.Atoi(string(m[1]))
	assert.NoError(t, err)
	return n
}

// python returns a request that runs a script in Python.
func python(script string) *runner.Request {
	req := shell("")
	req.Steps[0].Argv = []string{"/usr/bin/python3", "-c", strings.TrimSpace(script)}
	return req
}
