package taskrunner_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// noReconciler leaves all to the process under test.
func noReconciler(c *taskrunner.Config) { c.ReconcileEvery = -1 }

// noteCancel notes a cancel in the record alone, as a caller that crashed does.
func (w *world) noteCancel(id taskrunner.TaskID) {
	w.t.Helper()
	caller := w.process("caller", fakes.NewExecutor())
	caller.Use(func(_ context.Context, c fakes.Call) error {
		if c.Op == "queue.Cancel" {
			caller.Crash()
		}
		return nil
	})
	_, err := caller.client.Cancel(w.t.Context(), id)
	require.ErrorIs(w.t, err, fakes.ErrCrashed)
	task, err := w.shared.Store.Get(w.t.Context(), id)
	require.NoError(w.t, err)
	require.False(w.t, task.CancelRequestedAt.IsZero())
}

func TestACancelThatOnlyTheRecordKnowsStopsTheNextAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := w.process("first", fakes.NewExecutor(fakes.Sleep(time.Hour)), noReconciler)
		first.start(t)
		task, err := first.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		synctest.Wait()
		w.noteCancel(task.ID)
		first.Crash()
		first.stop(t)
		second := w.process("second", fakes.NewExecutor(), noReconciler)
		second.start(t)
		done, err := second.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusCancelled, done.Status)
		second.stop(t)
		assert.Empty(t, second.executor.Jobs())
		w.requireOver(second.client)
	})
}

func TestACancelThatOnlyTheRecordKnowsEndsALostAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Sleep(time.Minute), fakes.Fail(errors.New("sandbox broke"))), noReconciler)
		p.start(t)
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		synctest.Wait()
		w.noteCancel(task.ID)
		h := follow(t, p.client, task.ID)
		assert.Equal(t, []string{"queued", "running", "end"}, types(h), "it does not wait once more")
		assert.Equal(t, ports.StatusCancelled, h.end.Status)
		p.stop(t)
		w.requireOver(p.client)
	})
}

func TestCancelEndsATaskWhoseWorkerIsDead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		dead := w.process("dead", fakes.NewExecutor(fakes.Sleep(time.Hour)))
		dead.start(t)
		task, err := dead.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		synctest.Wait()
		dead.Crash()
		time.Sleep(2 * leaseTTL)
		dead.stop(t)
		caller := w.process("caller", fakes.NewExecutor())
		got, err := caller.client.Cancel(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusCancelled, got.Status)
		w.requireOver(caller.client)
	})
}
