package conformance

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/ports"
)

// execEat defines eat(n), which touches n MiB, and a limit of 64 MiB goes with it.
// No program ever asks for more than twice the limit, so that a sandbox without
// one does not take the machine down.
const (
	execEat = `
import os, sys
def eat(mib):
    eaten = []
    for _ in range(mib):
        block = bytearray(1 << 20)
        for i in range(0, len(block), 4096): block[i] = 1
        eaten.append(block)
    return eaten
`
	execEatLimit = 64 << 20
)

func (b *execBench) eater(code string) ports.Job {
	job := b.python(execEat + code)
	job.Spec.Limits.Memory = execEatLimit
	return job
}

var execMemoryChecks = []check[*execBench]{
	{"a program within its memory limit runs", func(t *testing.T, b *execBench) {
		r := b.run(t, b.eater(`eat(32); print("fine")`))
		r.requireExit(t, 0)
		assert.Equal(t, "fine\n", r.stdout)
	}},
	{"a program beyond its memory limit is out of memory", func(t *testing.T, b *execBench) {
		r := b.run(t, b.eater(`print("before", flush=True); eat(128); print("after")`))
		r.requireCause(t, ports.CauseOOM)
		assert.Equal(t, "SIGKILL", r.Signal)
		assert.Equal(t, "before\n", r.stdout)
	}},
	{"input that a program only passes on takes none of its memory", func(t *testing.T, b *execBench) {
		job := b.bash("cat | cat > /dev/null; echo done")
		job.Spec.Limits.Memory = 16 << 20
		job.Spec.Stdin = execBytes(24 << 20)
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.Equal(t, "done\n", r.stdout)
		if b.has(PeakMemory) {
			assert.Less(t, *r.Usage.PeakMemory, job.Spec.Limits.Memory)
		}
	}},
	{"a parent that gets over its child's end has succeeded", func(t *testing.T, b *execBench) {
		r := b.run(t, b.eater(`
if os.fork() == 0: eat(128); os._exit(0)
_, status = os.wait()
print(os.WTERMSIG(status))`))
		r.requireExit(t, 0)
		assert.Equal(t, "9\n", r.stdout)
	}},
	{"a parent that fails after its child ran out of memory is out of memory", func(t *testing.T, b *execBench) {
		for _, code := range []string{"1", "137"} {
			r := b.run(t, b.eater(`
if os.fork() == 0: eat(128); os._exit(0)
os.wait()
print("child is dead", flush=True)
os._exit(`+code+`)`))
			r.requireCause(t, ports.CauseOOM)
			assert.Empty(t, r.Signal, "the program itself was not killed")
			assert.Equal(t, "child is dead\n", r.stdout)
		}
	}},
	{"a parent that is killed after its child ran out of memory is out of memory", func(t *testing.T, b *execBench) {
		r := b.run(t, b.eater(`
if os.fork() == 0: eat(128); os._exit(0)
os.wait()
os.abort()`))
		r.requireCause(t, ports.CauseOOM)
		assert.Equal(t, "SIGABRT", r.Signal)
	}},
	{"files in the sandbox count as memory", func(t *testing.T, b *execBench) {
		job := b.eater(`
with open("big", "wb") as f:
    for _ in range(128): f.write(b"x" * (1 << 20)); f.flush()
print("after")`)
		job.Spec.Limits.Disk = 128 << 20
		r := b.run(t, job)
		// The kernel kills the writer, or refuses what it writes.
		if r.Cause != ports.CauseOOM {
			r.requireExit(t, 1)
			assert.Contains(t, r.stderr, "OSError")
		}
		assert.Empty(t, r.stdout)
	}},
	{"the disk limit leaves its size to the program", func(t *testing.T, b *execBench) {
		r := b.run(t, b.python(`
with open("big", "wb") as f:
    for _ in range(12): f.write(b"x" * (1 << 20)); f.flush()
print("fine")`))
		r.requireExit(t, 0)
		assert.Equal(t, "fine\n", r.stdout)
	}},
	{"the PID limit leaves processes and threads to the program", func(t *testing.T, b *execBench) {
		r := b.run(t, b.python(`
import threading
stop = threading.Event()
threads = [threading.Thread(target=stop.wait) for _ in range(24)]
for thread in threads: thread.start()
stop.set()
print("fine")`))
		r.requireExit(t, 0)
		assert.Equal(t, "fine\n", r.stdout)
	}},
	{"running out of memory taints no later run", func(t *testing.T, b *execBench) {
		b.run(t, b.eater(`eat(128)`)).requireCause(t, ports.CauseOOM)
		r := b.run(t, b.bash(`exit 1`))
		r.requireExit(t, 1)
		if b.has(PeakMemory) {
			assert.Less(t, *r.Usage.PeakMemory, int64(32<<20))
		}
	}},
}
