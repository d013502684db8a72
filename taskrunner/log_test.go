package taskrunner_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestTheLifeOfATaskIsToldInItsLines(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var text bytes.Buffer
		var mu sync.Mutex
		executor := fakes.NewExecutor(fakes.Sleep(3*time.Second), fakes.Exit(7))
		p := w.process("p", executor, func(c *taskrunner.Config) {
			c.Logger = slog.New(slog.NewJSONHandler(locked{&mu, &text}, nil))
		})
		cancelled, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		_, err = p.client.Cancel(t.Context(), cancelled.ID)
		require.NoError(t, err)
		p.start(t)
		task, err := p.client.Run(t.Context(), spec())
		require.NoError(t, err)
		p.stop(t)
		mu.Lock()
		defer mu.Unlock()
		var told []map[string]any
		for line := range strings.Lines(text.String()) {
			var l map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &l))
			if l["task"] == string(task.ID) && l["level"] == "INFO" {
				delete(l, "time")
				told = append(told, l)
			}
		}
		line := func(msg string, more map[string]any) map[string]any {
			more["level"], more["msg"], more["task"], more["language"] = "INFO", msg, string(task.ID), "python"
			return more
		}
		assert.Equal(t, []map[string]any{
			line("task submitted", map[string]any{"queue": "default"}),
			line("task started", map[string]any{"worker": "p", "delivery": 1.0, "attempt": 1.0, "queue": "default", "after_seconds": 0.0}),
			line("task ended", map[string]any{
				"worker": "p", "delivery": 1.0, "attempt": 1.0, "attempts": 1.0, "status": "failed", "cause": "exit",
				"run_seconds": 3.0, "total_seconds": 3.0,
			}),
		}, told)
		assert.Contains(t, text.String(), `"cause":"cancelled","attempts":0,"run_seconds":0,`, "it never ran")
	})
}
