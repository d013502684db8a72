package conformance

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// requireTimeout runs the job with a brief timeout and demands that it ends then.
func (b *execBench) requireTimeout(t *testing.T, job ports.Job) execRun {
	t.Helper()
	job.Spec.Limits.Timeout = execBrief
	r := b.run(t, job)
	r.requireCause(t, ports.CauseTimeout)
	assert.GreaterOrEqual(t, *r.Usage.WallTime, execBrief, "killed before its time")
	assert.Less(t, *r.Usage.WallTime, execBrief+b.Patience, "killed late")
	return r
}

var execTimeChecks = []check[*execBench]{
	{"a program that sleeps is stopped at its timeout, and its output stays", func(t *testing.T, b *execBench) {
		r := b.requireTimeout(t, b.bash(`echo before; echo trouble >&2; sleep 1000; echo after`))
		assert.Equal(t, "before\n", r.stdout)
		assert.Equal(t, "trouble\n", r.stderr)
	}},
	{"a program that spins is stopped at its timeout", func(t *testing.T, b *execBench) {
		b.requireTimeout(t, b.bash(`while :; do :; done`))
	}},
	{"a program that ignores every signal is killed at its timeout", func(t *testing.T, b *execBench) {
		r := b.requireTimeout(t, b.python(`
import signal, time
for n in range(1, 65):
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: time.sleep(1000)`))
		assert.Equal(t, "SIGKILL", r.Signal)
	}},
	{"a program that waits for input that has ended goes on", func(t *testing.T, b *execBench) {
		b.run(t, b.bash(`read -r line; exit 4`)).requireExit(t, 4)
	}},
	{"a program that waits for its own child is stopped with it", func(t *testing.T, b *execBench) {
		b.requireTimeout(t, b.bash(`sleep 1000 & wait`))
	}},
	{"a fifth of a core gives a fifth of the CPU time", func(t *testing.T, b *execBench) {
		if !b.has(CPUTime) {
			t.Log("left out: needs the CPU time")
			return
		}
		job := b.python(`
import time
while time.process_time() < 0.2: pass`)
		job.Spec.Limits.CPU = 0.2
		r := b.run(t, job)
		r.requireExit(t, 0)
		// A busy machine only makes the ratio smaller. The kernel grants the share in
		// periods, of which the first one may be whole.
		assert.Less(t, r.Usage.CPUTime.Seconds()/r.Usage.WallTime.Seconds(), 0.3)
	}},
	{"one core is for all processes together", func(t *testing.T, b *execBench) {
		if !b.has(CPUTime) {
			t.Log("left out: needs the CPU time")
			return
		}
		r := b.run(t, b.python(`
import os, time
children = 0
for _ in range(2):
    if os.fork() == 0:
        children = 0
        break
    children += 1
while time.process_time() < 0.2: pass
for _ in range(children): os.wait()`))
		r.requireExit(t, 0)
		assert.Less(t, r.Usage.CPUTime.Seconds()/r.Usage.WallTime.Seconds(), 1.4)
	}},
	{"samples come while the program runs", func(t *testing.T, b *execBench) {
		if !b.has(Samples) {
			r := b.run(t, b.bash(`sleep 0.6`))
			assert.Empty(t, r.samples)
			assert.Empty(t, r.Usage.Samples)
			return
		}
		ctx, cancel := execDeadline(b.Patience)
		defer cancel()
		job := b.python("data = b'x' * (32 << 20)\nwhile True: pass")
		seen, last := 0, ports.Sample{}
		job.Sample = func(s ports.Sample) {
			// The program runs until three have come and it holds its memory, however
			// long that takes.
			if seen++; seen <= 3 || last.Memory <= 32<<20 {
				last = s
			}
			if seen >= 3 && last.Memory > 32<<20 {
				cancel()
			}
		}
		r := b.runUntil(ctx, t, job)
		require.ErrorIs(t, r.err, ctx.Err())
		require.GreaterOrEqual(t, len(r.samples), 3)
		assert.Empty(t, r.Usage.Samples, "samples are Job.Sample's")
		assert.Positive(t, last.CPU, "cores used by a program that spins")
		assert.LessOrEqual(t, last.CPU, 2.0)
		assert.Greater(t, last.Memory, int64(32<<20), "memory held")
		assert.LessOrEqual(t, last.Memory, int64(execMemory))
	}},
}
