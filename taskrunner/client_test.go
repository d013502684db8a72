package taskrunner_test

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := taskrunner.Config{Backend: memory.New(), Executor: fakes.NewExecutor(fakes.Stdout("hi\n"), fakes.Exit(0))}
		c, err := taskrunner.NewClient(cfg)
		require.NoError(t, err)
		w, err := taskrunner.NewWorker(cfg)
		require.NoError(t, err)
		require.NoError(t, w.Start(t.Context()))
		task, err := c.Run(t.Context(), taskrunner.Spec{Language: "py", Code: "print('hi')"})
		require.NoError(t, err)
		assert.Equal(t, ports.StatusSucceeded, task.Status)
		r, _, err := c.Logs(t.Context(), task.ID, "stdout", 0, -1)
		require.NoError(t, err)
		b, _ := io.ReadAll(r)
		assert.Equal(t, "hi\n", string(b))
		watch, err := c.Watch(t.Context(), task.ID, taskrunner.Position{})
		require.NoError(t, err)
		for {
			e, err := watch.Next(t.Context())
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			t.Log(e.ID, e.Type, e.Status, string(e.Data))
		}
		require.NoError(t, w.Stop(t.Context()))
	})
}
