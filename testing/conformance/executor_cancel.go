package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// requireCancelled demands a run that its context ended.
func (r execRun) requireCancelled(t *testing.T, ctx context.Context) {
	t.Helper()
	require.Error(t, ctx.Err())
	require.ErrorIs(t, r.err, ctx.Err())
	require.NotErrorIs(t, r.err, ports.ErrInvalid)
	r.requireCause(t, ports.CauseCancelled)
}

var execCancelChecks = []check[*execBench]{
	{"a context that is done starts nothing", func(t *testing.T, b *execBench) {
		for name, ctx := range doneContexts(t) {
			job := b.bash(`echo ran`)
			job.Started = func() { t.Error("started: " + name) }
			r := b.runUntil(ctx, t, job)
			r.requireCancelled(t, ctx)
			assert.Empty(t, r.stdout)
		}
	}},
	{"a cancel at the very start is obeyed", func(t *testing.T, b *execBench) {
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			job := b.bash(`sleep 1000`)
			job.Started = cancel
			r := b.runUntil(ctx, t, job)
			r.requireCancelled(t, ctx)
		}
	}},
	{"a cancel kills everything, keeps the output and says what was used", func(t *testing.T, b *execBench) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		job := b.bash(`
trap '' TERM HUP INT
for i in {1..10}; do sleep 1000 & done
(setsid sleep 1000 &)
echo working
wait; wait`)
		job.Stdout = execWriterFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
		r := b.runUntil(ctx, t, job)
		r.requireCancelled(t, ctx)
		assert.Equal(t, "working\n", r.stdout)
		assert.Equal(t, int64(8), r.StdoutBytes)
		if assert.NotNil(t, r.Usage.WallTime) {
			assert.Positive(t, *r.Usage.WallTime)
		}
		if b.has(CPUTime) && assert.NotNil(t, r.Usage.CPUTime) {
			assert.Positive(t, *r.Usage.CPUTime)
		}
		if b.has(PeakMemory) && assert.NotNil(t, r.Usage.PeakMemory) {
			assert.Positive(t, *r.Usage.PeakMemory)
		}
	}},
	{"a deadline ends a run as a cancel does", func(t *testing.T, b *execBench) {
		ctx, cancel := context.WithTimeout(t.Context(), execBrief)
		defer cancel()
		r := b.runUntil(ctx, t, b.bash(`sleep 1000`))
		r.requireCancelled(t, ctx)
	}},
	{"a cancel stops a flood", func(t *testing.T, b *execBench) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		job := b.bash(`while :; do echo flood; done`)
		job.Spec.Limits.Output = 1 << 30
		job.Stdout = execWriterFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
		b.runUntil(ctx, t, job).requireCancelled(t, ctx)
	}},
	{"a cancel reaches a program whose stdin is full", func(t *testing.T, b *execBench) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		job := b.bash(`echo ready; sleep 1000`)
		job.Spec.Stdin = execBytes(1 << 20)
		job.Stdout = execWriterFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
		b.runUntil(ctx, t, job).requireCancelled(t, ctx)
	}},
	{"cancelling one run leaves the others alone", func(t *testing.T, b *execBench) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		other := b.bash(`echo ready; read -r; sleep 0.3; exit 3`)
		w, ready := execFirst()
		other.Stdout = w
		result := inBackground(func() execRun { return b.runUntil(t.Context(), t, other) })
		receive(t, ready, "the other run's output")
		job := b.bash(`sleep 1000`)
		job.Started = cancel
		b.runUntil(ctx, t, job).requireCancelled(t, ctx)
		r := receive(t, result, "the other run's end")
		require.NoError(t, r.err)
		r.requireExit(t, 3)
	}},
	{"a cancel after the end changes nothing", func(t *testing.T, b *execBench) {
		ctx, cancel := context.WithCancel(t.Context())
		r := b.runUntil(ctx, t, b.bash(`exit 3`))
		cancel()
		require.NoError(t, r.err)
		r.requireExit(t, 3)
		b.run(t, b.bash(`exit 4`)).requireExit(t, 4)
	}},
	{"a cancel that races with the end gives one or the other, whole", func(t *testing.T, b *execBench) {
		for i := range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			job := b.bash(`echo end`)
			// The program ends by itself at about the time of this call.
			job.Stdout = execWriterFunc(func(p []byte) (int, error) {
				if i%2 == 0 {
					cancel()
				} else {
					go cancel()
				}
				return len(p), nil
			})
			r := b.runUntil(ctx, t, job)
			assert.Equal(t, "end\n", r.stdout)
			if r.err != nil {
				r.requireCancelled(t, ctx)
			} else {
				r.requireExit(t, 0)
			}
			cancel()
		}
	}},
	{"Check honours its context", func(t *testing.T, b *execBench) {
		for name, ctx := range doneContexts(t) {
			assert.ErrorIs(t, b.x.Check(ctx), ctx.Err(), name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		assert.NoError(t, b.x.Check(ctx))
	}},
}
