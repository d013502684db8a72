package taskrunner_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// orphan stores a task as a crashed process left it: not in the queue.
func (w *world) orphan(change func(*taskrunner.Task)) taskrunner.Task {
	w.t.Helper()
	p := w.process("crashed", fakes.NewExecutor())
	task, err := p.client.Submit(w.t.Context(), spec())
	require.NoError(w.t, err)
	_, err = w.shared.Queue.Cancel(w.t.Context(), task.ID)
	require.NoError(w.t, err)
	if change != nil {
		change(&task)
		task, err = w.shared.Store.Update(w.t.Context(), task)
		require.NoError(w.t, err)
	}
	return task
}

func TestTheReconcilerPutsBackWhatTheQueueDoesNotKnow(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		running := func(attempt int) func(*taskrunner.Task) {
			return func(t *taskrunner.Task) { t.Status, t.Attempt, t.StartedAt = ports.StatusRunning, attempt, t.CreatedAt }
		}
		queued := w.orphan(nil)
		lost := w.orphan(running(1))
		last := w.orphan(running(3))
		cancelled := w.orphan(func(t *taskrunner.Task) { running(2)(t); t.CancelRequestedAt = t.CreatedAt })

		workers := []*process{
			w.process("a", fakes.NewExecutor(says("a", "runs"))),
			w.process("b", fakes.NewExecutor(says("b", "runs"))),
		}
		for _, p := range workers {
			p.start(t)
		}
		time.Sleep(time.Minute)
		for _, p := range workers {
			p.stop(t)
		}
		w.requireOver(workers[0].client)
		for id, want := range map[taskrunner.TaskID]struct {
			status  taskrunner.Status
			attempt int
		}{
			queued.ID:    {ports.StatusSucceeded, 1},
			lost.ID:      {ports.StatusSucceeded, 2},
			last.ID:      {ports.StatusFailed, 3},
			cancelled.ID: {ports.StatusCancelled, 2},
		} {
			got, err := workers[0].client.Get(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, want.status, got.Status)
			assert.Equal(t, want.attempt, got.Attempt)
		}
	})
}

func TestTheReconcilerCanBeTurnedOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		task := w.orphan(nil)
		p := w.process("p", fakes.NewExecutor(), func(c *taskrunner.Config) { c.ReconcileEvery = -1 })
		p.start(t)
		time.Sleep(time.Hour)
		p.stop(t)
		got, err := p.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusQueued, got.Status)
		assert.NotContains(t, p.Calls(), fakes.Op("store.List"))
	})
}

func TestHousekeepingGoesOnAfterErrorsAndPanics(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		task := w.orphan(nil)
		p := w.process("p", fakes.NewExecutor(says("p", "runs")))
		var tasks, entries atomic.Int32 // that were enqueued
		p.Use(func(_ context.Context, c fakes.Call) error {
			nth := int32(c.Nth)
			switch {
			case c.Phase == fakes.After:
				return nil
			case c.Op == "queue.Enqueue" && c.Task == task.ID:
				nth = tasks.Add(1)
			case c.Op == "queue.Enqueue":
				nth = entries.Add(1)
			case c.Op != "store.List":
				return nil
			}
			switch nth {
			case 1:
				return errors.New("connection refused")
			case 2:
				panic("adapter broke")
			}
			return nil
		})
		p.start(t)
		done, err := p.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusSucceeded, done.Status)
		p.stop(t)
	})
}

func TestTheReconcilerGoesThroughMoreThanOneRoundHolds(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 1500
		for range n {
			w.orphan(nil)
		}
		p := w.process("p", fakes.NewExecutor(), func(c *taskrunner.Config) { c.Queues = []string{"another"} })
		p.start(t)
		time.Sleep(time.Minute)
		stats, err := p.client.Stats(t.Context(), ports.DefaultQueue)
		require.NoError(t, err)
		assert.Equal(t, n, stats.Waiting)
		p.stop(t)
	})
}

func TestTasksThatCannotBeMendedHoldUpNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		older := w.orphan(nil)
		time.Sleep(time.Second)
		broken := make(map[taskrunner.TaskID]bool)
		for range 150 {
			broken[w.orphan(nil).ID] = true
		}
		p := w.process("p", fakes.NewExecutor())
		p.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "queue.Enqueue" && broken[c.Task] {
				return errors.New("wrong type of key")
			}
			return nil
		})
		p.start(t)
		time.Sleep(settled)
		p.stop(t)
		got, err := p.client.Get(t.Context(), older.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusSucceeded, got.Status)
	})
}

func TestRetentionKeepsUpWithManyTasks(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 5000
		for i := range n {
			_, err := w.shared.Store.Create(t.Context(), ports.Task{
				ID: taskrunner.TaskID(fmt.Sprint(i)), Status: ports.StatusSucceeded, FinishedAt: time.Now(),
			})
			require.NoError(t, err)
		}
		time.Sleep(2 * time.Hour)
		p := w.process("p", fakes.NewExecutor(), func(c *taskrunner.Config) { c.Retention = time.Hour })
		p.start(t)
		time.Sleep(time.Minute)
		assert.Empty(t, w.all())
		p.stop(t)
	})
}

func TestRetentionSparesATaskWhoseEndIsStillBeingTold(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(), func(c *taskrunner.Config) { c.Retention = time.Millisecond })
		p.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "events.Publish" && c.Phase == fakes.Before {
				time.Sleep(leaseTTL / 4)
			}
			return nil
		})
		p.start(t)
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		p.stop(t)
		_, err = p.client.Get(t.Context(), task.ID)
		require.ErrorIs(t, err, taskrunner.ErrNotFound)
		assert.Zero(t, w.endsTold(task.ID), "no event comes after they were deleted")
	})
}

func TestRetentionDeletesATaskWithAllThatBelongsToIt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		keep := func(c *taskrunner.Config) { c.Retention = time.Hour }
		a := w.process("a", fakes.NewExecutor(fakes.Stdout("x")), keep)
		b := w.process("b", fakes.NewExecutor(fakes.Stdout("x")), keep)
		a.start(t)
		b.start(t)
		old, err := a.client.Run(t.Context(), spec())
		require.NoError(t, err)
		time.Sleep(50 * time.Minute)
		s := spec()
		s.IdempotencyKey = "young"
		young, err := a.client.Run(t.Context(), s)
		require.NoError(t, err)
		s.Queue = "deserted"
		s.IdempotencyKey = ""
		waiting, err := a.client.Submit(t.Context(), s)
		require.NoError(t, err)
		watch, err := a.client.Watch(t.Context(), old.ID, taskrunner.Position{})
		require.NoError(t, err)

		time.Sleep(20 * time.Minute)
		_, err = a.client.Get(t.Context(), old.ID)
		require.ErrorIs(t, err, taskrunner.ErrNotFound)
		_, _, err = w.shared.Logs.Open(t.Context(), ports.LogKey{Task: old.ID, Attempt: 1, Name: "stdout"}, 0, -1)
		require.ErrorIs(t, err, taskrunner.ErrNotFound)
		_, err = watch.Next(t.Context())
		require.ErrorIs(t, err, taskrunner.ErrGone)
		require.NoError(t, watch.Close())
		assert.Zero(t, w.endsTold(old.ID))
		got, err := a.client.Get(t.Context(), young.ID)
		require.NoError(t, err)
		assert.Equal(t, young, got)
		assert.Equal(t, "x", readLog(t, a.client, young.ID, "stdout"))

		time.Sleep(24 * time.Hour)
		got, err = a.client.Get(t.Context(), waiting.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusQueued, got.Status, "what is not finished is kept")
		assert.Len(t, w.all(), 1)
		a.stop(t)
		b.stop(t)
	})
}

func TestRetentionThatIsCutShortIsTakenUpAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("x")), func(c *taskrunner.Config) { c.Retention = time.Hour })
		p.start(t)
		for range 3 {
			_, err := p.client.Run(t.Context(), spec())
			require.NoError(t, err)
		}
		for _, op := range []fakes.Op{"logs.Delete", "events.Delete", "store.Delete"} {
			p.Use(fakes.FailNth(op, 1, fakes.Before, errors.New("connection refused")))
		}
		time.Sleep(2 * time.Hour)
		assert.Empty(t, w.all())
		p.stop(t)
	})
}
