package taskrunner_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

type traceKey struct{}

// traced makes a process ask the contexts of its submissions for their traces, and
// counts how often it does.
func traced(asked *int) option {
	return func(c *taskrunner.Config) {
		c.TraceParent = func(ctx context.Context) string {
			*asked++
			text, _ := ctx.Value(traceKey{}).(string)
			return text
		}
	}
}

func TestATraceIsKeptAndReachesEveryAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		asked := 0
		p := w.process("p", fakes.NewExecutor().Next(fakes.Fail(errors.New("lost"))), traced(&asked))
		task, err := p.client.Submit(context.WithValue(t.Context(), traceKey{}, trace), spec())
		require.NoError(t, err)
		assert.Equal(t, trace, task.TraceParent)
		assert.Equal(t, 1, asked)

		p.start(t)
		done, err := p.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		p.stop(t)
		assert.Equal(t, trace, done.TraceParent)
		jobs := p.executor.Jobs()
		require.Len(t, jobs, 2)
		for _, job := range jobs {
			assert.Equal(t, trace, job.TraceParent)
			assert.Equal(t, task.CreatedAt, job.CreatedAt)
		}
	})
}

func TestASubmitThatIsRepeatedInAnotherTraceIsTheSame(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		asked := 0
		p := w.process("p", fakes.NewExecutor(), traced(&asked))
		s := spec()
		s.IdempotencyKey = "once"
		first, err := p.client.Submit(context.WithValue(t.Context(), traceKey{}, trace), s)
		require.NoError(t, err)
		again, err := p.client.Submit(t.Context(), s)
		require.NoError(t, err)
		assert.Equal(t, first.ID, again.ID)
		assert.Equal(t, trace, again.TraceParent, "it is the first one's")
	})
}

func TestWhatIsNoTraceIsDropped(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           "",
		"another version":   "01" + trace[2:],
		"too short":         trace[:54],
		"too long":          trace + "-00",
		"upper case":        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
		"a line more":       trace + "\n",
		"something else":    "<script>alert(1)</script>",
		"hyphens elsewhere": "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.process("p", fakes.NewExecutor(), traced(new(int)))
				task, err := p.client.Submit(context.WithValue(t.Context(), traceKey{}, text), spec())
				require.NoError(t, err)
				assert.Empty(t, task.TraceParent)
			})
		})
	}
}
