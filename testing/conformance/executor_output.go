package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// execSmallOutput is a limit on output that is quickly reached.
const execSmallOutput = 64 << 10

var execOutputChecks = []check[*execBench]{
	{"output arrives while the program runs", func(t *testing.T, b *execBench) {
		for _, fd := range []int{1, 2} {
			ctx, cancel := execDeadline(b.Patience)
			defer cancel()
			job := b.bash(fmt.Sprintf(`printf live >&%d; sleep 1000`, fd))
			w, first := execFirst()
			job.Stdout, job.Stderr = w, w
			result := inBackground(func() execRun { return b.runUntil(ctx, t, job) })
			receive(t, first, "the first output")
			require.NoError(t, ctx.Err(), "it came only at the end")
			cancel()
			r := receive(t, result, "the end")
			require.ErrorIs(t, r.err, ctx.Err())
			assert.Equal(t, "live", r.stdout+r.stderr)
		}
	}},
	{"every byte arrives as it is, on its own stream", func(t *testing.T, b *execBench) {
		var all []byte
		for i := range 256 {
			all = append(all, byte(i))
		}
		out, errs := bytes.Repeat(all, 41), bytes.Repeat(all, 29)
		r := b.run(t, b.python(`
import os
os.write(1, bytes(range(256)) * 41)
os.write(2, bytes(range(256)) * 29)`))
		r.requireExit(t, 0)
		assert.True(t, string(out) == r.stdout)
		assert.True(t, string(errs) == r.stderr)
	}},
	{"what is written just before the end arrives", func(t *testing.T, b *execBench) {
		job := b.python(`
import os, signal, sys
sys.stdout.write("o" * (1 << 20)); sys.stderr.write("e" * (1 << 20)); sys.stdout.flush(); sys.stderr.flush()
os.kill(os.getpid(), signal.SIGKILL)`)
		r := b.run(t, job)
		r.requireCause(t, ports.CauseSignal)
		assert.Equal(t, int64(1<<20), r.StdoutBytes)
		assert.Equal(t, int64(1<<20), r.StderrBytes)
		assert.True(t, strings.Repeat("o", 1<<20) == r.stdout)
		assert.True(t, strings.Repeat("e", 1<<20) == r.stderr)
	}},
	{"long output is whole and in order", func(t *testing.T, b *execBench) {
		job := b.python(`
import sys
for i in range(600000): sys.stdout.write("%d\n" % i)`)
		job.Spec.Limits.Output = 8 << 20
		var want strings.Builder
		for i := range 600000 {
			fmt.Fprintln(&want, i)
		}
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.True(t, want.String() == r.stdout, "%d bytes of %d", len(r.stdout), want.Len())
	}},
	{"output beyond the limit is counted and cut", func(t *testing.T, b *execBench) {
		job := b.python(fmt.Sprintf(`
import os, sys
for fd in 1, 2:
    with os.fdopen(os.dup(fd), "wb") as f:
        f.write(bytes(i %% 251 for i in range(%d)))
sys.exit(9)`, 3*execSmallOutput+1))
		job.Spec.Limits.Output = execSmallOutput
		want := make([]byte, execSmallOutput)
		for i := range want {
			want[i] = byte(i % 251)
		}
		r := b.run(t, job)
		r.requireExit(t, 9)
		assert.Equal(t, int64(3*execSmallOutput+1), r.StdoutBytes)
		assert.Equal(t, int64(3*execSmallOutput+1), r.StderrBytes)
		assert.True(t, string(want) == r.stdout)
		assert.True(t, string(want) == r.stderr)
	}},
	{"a program that writes exactly what may be written lives on", func(t *testing.T, b *execBench) {
		for _, fd := range []int{1, 2} {
			job := b.python(execWriteAndWait(fd, ports.OutputKillFactor*execSmallOutput, "time.sleep(0.1)"))
			job.Spec.Limits.Output = execSmallOutput
			r := b.run(t, job)
			r.requireExit(t, 0)
			assert.Equal(t, int64(ports.OutputKillFactor*execSmallOutput), r.StdoutBytes+r.StderrBytes)
		}
	}},
	{"a program that writes one byte more is killed", func(t *testing.T, b *execBench) {
		for _, fd := range []int{1, 2} {
			job := b.python(execWriteAndWait(fd, ports.OutputKillFactor*execSmallOutput+1, "time.sleep(1000)"))
			job.Spec.Limits.Output = execSmallOutput
			r := b.run(t, job)
			r.requireCause(t, ports.CauseOutputLimit)
			assert.Equal(t, "SIGKILL", r.Signal)
			assert.Equal(t, int64(ports.OutputKillFactor*execSmallOutput+1), r.StdoutBytes+r.StderrBytes)
		}
	}},
	{"an output limit of one byte keeps one byte", func(t *testing.T, b *execBench) {
		job := b.bash(`printf abcd; printf wxyz >&2`)
		job.Spec.Limits.Output = 1
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.Equal(t, "a", r.stdout)
		assert.Equal(t, "w", r.stderr)
	}},
	{"the streams can be opened by their names", func(t *testing.T, b *execBench) {
		job := b.bash(`cat /dev/stdin > /dev/stdout; echo e > /dev/stderr; echo f > /dev/fd/2`)
		job.Spec.Stdin = []byte("input\n")
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.Equal(t, "input\n", r.stdout)
		assert.Equal(t, "e\nf\n", r.stderr)
	}},
	{"the streams stay open for children", func(t *testing.T, b *execBench) {
		r := b.run(t, b.bash(`(echo child; echo child >&2); bash -c 'echo grandchild'; echo parent`))
		r.requireExit(t, 0)
		assert.Equal(t, "child\ngrandchild\nparent\n", r.stdout)
		assert.Equal(t, "child\n", r.stderr)
	}},
}

// execWriteAndWait is a Python program that writes n bytes to fd and then does
// something.
func execWriteAndWait(fd, n int, then string) string {
	return fmt.Sprintf(`
import os, time
data = memoryview(b"x" * %d)
while data: data = data[os.write(%d, data):]
%s`, n, fd, then)
}
