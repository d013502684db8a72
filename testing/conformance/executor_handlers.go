package conformance

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var execHandlerChecks = []check[*execBench]{
	{"Started is called once, also when there is a compile step or nothing else happens", func(t *testing.T, b *execBench) {
		for _, job := range []ports.Job{
			b.bash(`exit 0`),
			b.bash(`echo out; echo err >&2`),
			b.job(b.compiled(`cp "$1" program`), `exit 0`),
			b.job(b.compiled(`exit 0`), `exit 0`),
		} {
			started := 0
			job.Started = func() { started++ }
			b.run(t, job)
			assert.Equal(t, 1, started)
		}
	}},
	{"handlers may be left out", func(t *testing.T, b *execBench) {
		job := b.bash(`sleep 0.6; echo end`)
		job.Stdout, job.Stderr = io.Discard, io.Discard
		out, err := b.x.Run(t.Context(), job)
		require.NoError(t, err)
		assert.Equal(t, ports.CauseExit, out.Cause)
		assert.Equal(t, int64(4), out.StdoutBytes)
	}},
	{"a writer that fails loses its own output and nothing else", func(t *testing.T, b *execBench) {
		broken := execWriterFunc(func([]byte) (int, error) { return 0, errors.New("disk full") })
		for _, fails := range []string{"stdout", "stderr", "both"} {
			job := b.bash(`for i in {1..2000}; do echo "line $i"; echo "line $i" >&2; done; exit 3`)
			if fails != "stderr" {
				job.Stdout = broken
			}
			if fails != "stdout" {
				job.Stderr = broken
			}
			r := b.run(t, job)
			r.requireExit(t, 3)
			assert.Equal(t, r.StdoutBytes, r.StderrBytes, "what is dropped is counted")
			assert.Equal(t, int64(2000*len("line \n")+9+90*2+900*3+1001*4), r.StdoutBytes)
		}
	}},
	{"a writer that is slow holds up its own program only", func(t *testing.T, b *execBench) {
		others := make(chan struct{})
		job := b.python(`import sys; sys.stdout.write("x" * (1 << 20)); sys.exit(2)`)
		w, first := execFirst()
		job.Stdout = execWriterFunc(func(p []byte) (int, error) {
			n, err := w.Write(p)
			<-others
			return n, err
		})
		slow := inBackground(func() execRun { return b.runUntil(t.Context(), t, job) })
		receive(t, first, "the first output")
		for range 3 {
			b.run(t, b.bash(`echo hello`)).requireExit(t, 0)
		}
		close(others)
		r := receive(t, slow, "the slow run's end")
		require.NoError(t, r.err)
		r.requireExit(t, 2)
		assert.Len(t, r.stdout, 1<<20)
	}},
	{"a writer that is slow does not keep a program from its timeout", func(t *testing.T, b *execBench) {
		// The writer blocks until the program is long past its timeout by its own clock.
		job := b.python(`
import os, time
os.write(1, b"start")
while True: os.write(2, b"x" * 4096); time.sleep(0.001)`)
		job.Spec.Limits.Timeout = execBrief
		other := b.bash(`sleep 1`)
		job.Stdout = execWriterFunc(func(p []byte) (int, error) {
			_, err := b.x.Run(t.Context(), execQuiet(other))
			return len(p), err
		})
		r := b.run(t, job)
		r.requireCause(t, ports.CauseTimeout)
		assert.Equal(t, "start", r.stdout)
	}},
	{"a writer that panics does so in the caller of Run, or is an error, and leaves nothing behind", func(t *testing.T, b *execBench) {
		job := b.bash(`echo out; sleep 1000`)
		var calls atomic.Int32
		job.Spec.Env[execMark] = b.mark(job.Task)
		job.Stderr = io.Discard
		job.Stdout = execWriterFunc(func([]byte) (int, error) {
			calls.Add(1)
			panic("writer")
		})
		job.Spec.Limits.Timeout = 2 * execBrief
		err := func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = errors.New("panic")
				}
			}()
			out, err := b.x.Run(t.Context(), job)
			if out.Cause == ports.CauseTimeout {
				err = errors.New("it was taken for a write error")
			}
			return err
		}()
		require.Error(t, err)
		assert.Equal(t, int32(1), calls.Load())
		assert.Zero(t, b.processesLeft(t, job.Task))
		b.run(t, b.bash(`echo hello`)).requireExit(t, 0)
	}},
	{"a handler may run another job", func(t *testing.T, b *execBench) {
		job := b.bash(`echo outer`)
		inner := execQuiet(b.bash(`exit 4`))
		var out ports.Outcome
		job.Stdout = execWriterFunc(func(p []byte) (int, error) {
			var err error
			out, err = b.x.Run(t.Context(), inner)
			return len(p), err
		})
		b.run(t, job).requireExit(t, 0)
		assert.Equal(t, 4, out.ExitCode)
	}},
}

// execQuiet gives the job writers that throw everything away.
func execQuiet(job ports.Job) ports.Job {
	job.Stdout, job.Stderr = io.Discard, io.Discard
	return job
}
