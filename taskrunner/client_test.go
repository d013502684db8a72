package taskrunner_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// inBubble runs f in a bubble with a world of its own.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

func TestRunReturnsTheFinishedTask(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("out\n"), fakes.Stderr("err\n"), fakes.Exit(3)))
		p.start(t)
		task, err := p.client.Run(t.Context(), taskrunner.Spec{Language: "py", Code: "x", Labels: map[string]string{"a": "b"}})
		require.NoError(t, err)
		assert.Equal(t, ports.StatusFailed, task.Status)
		assert.Equal(t, ports.CauseExit, task.Result.Cause)
		assert.Equal(t, 3, task.Result.ExitCode)
		assert.Equal(t, "out\n", string(task.Result.Stdout.Head))
		assert.Equal(t, "err\n", string(task.Result.Stderr.Head))
		assert.EqualValues(t, 4, task.Result.StdoutBytes)
		assert.Equal(t, 1, task.Attempt)

		jobs := p.executor.Jobs()
		require.Len(t, jobs, 1)
		assert.Equal(t, "python", jobs[0].Language.Name)
		assert.Equal(t, task.Spec, jobs[0].Spec)
		p.stop(t)
	})
}

func TestRunCancelsTheTaskWhenItsContextIsDone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Sleep(time.Hour)))
		p.start(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		task, err := p.client.Run(ctx, spec())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.False(t, task.CancelRequestedAt.IsZero())
		done, err := p.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusCancelled, done.Status)
		p.stop(t)
	})
}

func TestEachEndHasItsStatus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		outcome taskrunner.Outcome
		status  taskrunner.Status
		code    int
	}{
		"exit code 0":         {taskrunner.Outcome{Cause: ports.CauseExit}, ports.StatusSucceeded, 0},
		"another exit code":   {taskrunner.Outcome{Cause: ports.CauseExit, ExitCode: 137}, ports.StatusFailed, 137},
		"a signal":            {taskrunner.Outcome{Cause: ports.CauseSignal, Signal: "SIGSEGV"}, ports.StatusFailed, -1},
		"want of memory":      {taskrunner.Outcome{Cause: ports.CauseOOM, Signal: "SIGKILL"}, ports.StatusFailed, -1},
		"the timeout":         {taskrunner.Outcome{Cause: ports.CauseTimeout, Signal: "SIGKILL"}, ports.StatusTimedOut, -1},
		"too much output":     {taskrunner.Outcome{Cause: ports.CauseOutputLimit}, ports.StatusFailed, -1},
		"the executor's word": {taskrunner.Outcome{Cause: ports.CauseInfrastructure, Message: "no disk"}, ports.StatusFailed, -1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.process("p", fakes.NewExecutor(fakes.End(test.outcome)))
				p.start(t)
				task, err := p.client.Run(t.Context(), spec())
				require.NoError(t, err)
				p.stop(t)
				assert.Equal(t, test.status, task.Status)
				assert.Equal(t, test.outcome.Cause, task.Result.Cause)
				assert.Equal(t, test.code, task.Result.ExitCode)
				assert.Equal(t, test.outcome.Signal, task.Result.Signal)
				assert.Equal(t, test.outcome.Message, task.Result.Message)
				assert.Equal(t, 1, task.Attempt)
			})
		})
	}
}

func TestSubmitWithAKeyReturnsTheFirstTask(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		s := spec()
		s.IdempotencyKey = "once"
		first, err := p.client.Submit(t.Context(), s)
		require.NoError(t, err)
		s.Language = "py" // the same by another name
		for range 3 {
			again, err := p.client.Submit(t.Context(), s)
			require.NoError(t, err)
			assert.Equal(t, first.ID, again.ID)
		}
		s.Code += " "
		_, err = p.client.Submit(t.Context(), s)
		require.ErrorIs(t, err, taskrunner.ErrConflict)
		s.IdempotencyKey = "another"
		other, err := p.client.Submit(t.Context(), s)
		require.NoError(t, err)
		assert.NotEqual(t, first.ID, other.ID)

		p.start(t)
		done, err := p.client.Wait(t.Context(), first.ID)
		require.NoError(t, err)
		s = spec()
		s.IdempotencyKey = "once"
		again, err := p.client.Submit(t.Context(), s)
		require.NoError(t, err)
		assert.Equal(t, done, again, "also when it is over")
		p.stop(t)
		assert.Len(t, p.executor.Jobs(), 2)
	})
}

func TestARepeatedSubmitKeepsTheTaskThatTheFirstOneWouldTakeBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first, second := w.process("first", fakes.NewExecutor()), w.process("second", fakes.NewExecutor())
		s := spec()
		s.IdempotencyKey = "once"
		// The first one's Enqueue fails; before it can take the task back, the
		// second one is told that there is one.
		first.Use(fakes.FailNth("queue.Enqueue", 1, fakes.Before, errors.New("connection refused")))
		first.Use(func(ctx context.Context, c fakes.Call) error {
			if c.Op == "store.Delete" && c.Phase == fakes.Before {
				_, err := second.client.Submit(ctx, s)
				assert.NoError(t, err)
			}
			return nil
		})
		task, err := first.client.Submit(t.Context(), s)
		require.NoError(t, err, "the task is alive")
		second.start(t)
		done, err := second.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusSucceeded, done.Status)
		second.stop(t)
	})
}

func TestARepeatedSubmitCarriesThroughWhatACrashLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := w.process("first", fakes.NewExecutor())
		second := w.process("second", fakes.NewExecutor(), noReconciler)
		s := spec()
		s.IdempotencyKey = "once"
		first.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "queue.Enqueue" {
				first.Crash()
			}
			return nil
		})
		_, err := first.client.Submit(t.Context(), s)
		require.Error(t, err)
		task, err := second.client.Submit(t.Context(), s)
		require.NoError(t, err)
		second.start(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = second.client.Wait(ctx, task.ID)
		require.NoError(t, err)
		second.stop(t)
		assert.Len(t, w.all(), 1)
	})
}

func TestAFullQueueRefusesAndLeavesNothingBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(), func(c *taskrunner.Config) { c.Policy.QueueDepth = 2 })
		s := spec()
		s.IdempotencyKey = "first"
		first, err := p.client.Submit(t.Context(), s)
		require.NoError(t, err)
		_, err = p.client.Submit(t.Context(), spec())
		require.NoError(t, err)

		_, err = p.client.Submit(t.Context(), spec())
		require.ErrorIs(t, err, taskrunner.ErrFull)
		again, err := p.client.Submit(t.Context(), s)
		require.NoError(t, err, "what was accepted is still found by its key")
		assert.Equal(t, first.ID, again.ID)
		s.IdempotencyKey = "third"
		_, err = p.client.Submit(t.Context(), s)
		require.ErrorIs(t, err, taskrunner.ErrFull)
		assert.Len(t, w.all(), 2)

		s.Queue = "another"
		_, err = p.client.Submit(t.Context(), s)
		require.NoError(t, err, "each queue has its own depth, and the key is free")
	})
}

func TestCancelEndsAWaitingTaskAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		got, err := p.client.Cancel(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusCancelled, got.Status)
		assert.Equal(t, ports.CauseCancelled, got.Result.Cause)
		assert.Equal(t, -1, got.Result.ExitCode)
		assert.Nil(t, got.Result.Usage.WallTime)
		assert.Zero(t, got.Attempt)
		w.requireOver(p.client)

		_, err = p.client.Cancel(t.Context(), task.ID)
		require.ErrorIs(t, err, taskrunner.ErrConflict)
		_, err = p.client.Cancel(t.Context(), "unknown")
		require.ErrorIs(t, err, taskrunner.ErrNotFound)
		_, err = p.client.Cancel(t.Context(), "")
		require.ErrorIs(t, err, taskrunner.ErrInvalid)
	})
}

func TestCancelStopsARunningTaskWithinAHeartbeat(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("begun\n"), fakes.Sleep(time.Hour)))
		p.start(t)
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		begin := time.Now()
		got, err := p.client.Cancel(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusRunning, got.Status)
		_, err = p.client.Cancel(t.Context(), task.ID)
		require.NoError(t, err, "asking again is no error")
		done, err := p.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(begin), leaseTTL/3)
		assert.Equal(t, ports.StatusCancelled, done.Status)
		assert.Equal(t, got.CancelRequestedAt, done.CancelRequestedAt, "the first request's time")
		assert.Equal(t, "begun\n", string(done.Result.Stdout.Head), "what it had written is kept")
		assert.NotNil(t, done.Result.Usage.WallTime)
		p.stop(t)
		w.requireOver(p.client)
	})
}

func TestListFindsByAliasAndRefusesNonsense(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		page, err := p.client.List(t.Context(), taskrunner.ListQuery{Language: "py3", Limit: 1})
		require.NoError(t, err)
		assert.Empty(t, page.Tasks)
		page, err = p.client.List(t.Context(), taskrunner.ListQuery{Language: "py"})
		require.NoError(t, err)
		require.Len(t, page.Tasks, 1)
		assert.Equal(t, task.ID, page.Tasks[0].ID)
		for field, q := range map[string]taskrunner.ListQuery{
			"limit":  {Limit: ports.MaxPage + 1},
			"status": {Statuses: []taskrunner.Status{"done"}},
			"cursor": {Cursor: "nonsense"},
			"labels": {Labels: map[string]string{"$where": "1"}},
		} {
			_, err := p.client.List(t.Context(), q)
			var fieldErr *taskrunner.FieldError
			require.ErrorAs(t, err, &fieldErr)
			assert.Equal(t, field, fieldErr.Field)
		}
		_, err = p.client.Stats(t.Context(), "no queue")
		require.ErrorIs(t, err, taskrunner.ErrInvalid)
	})
}

func TestLogsAreReadInParts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("0123456789")))
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		read := func(stream string, offset, length int64) (string, taskrunner.LogInfo) {
			r, info, err := p.client.Logs(t.Context(), task.ID, stream, offset, length)
			require.NoError(t, err)
			defer func() { assert.NoError(t, r.Close()) }()
			b, err := io.ReadAll(r)
			require.NoError(t, err)
			return string(b), info
		}
		text, info := read("stdout", 0, -1)
		assert.Empty(t, text, "a task that has not started has empty logs")
		assert.Equal(t, taskrunner.LogInfo{}, info)
		_, err = p.client.LogURL(t.Context(), task.ID, "stdout", time.Minute)
		require.ErrorIs(t, err, taskrunner.ErrNotFound)

		p.start(t)
		_, err = p.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		p.stop(t)
		text, info = read("stdout", 3, 4)
		assert.Equal(t, "3456", text)
		assert.Equal(t, taskrunner.LogInfo{Size: 10, Complete: true}, info)
		text, _ = read("stdout", 8, 100)
		assert.Equal(t, "89", text)
		text, _ = read("stdout", 100, -1)
		assert.Empty(t, text)
		text, _ = read("stderr", 0, -1)
		assert.Empty(t, text)

		_, err = p.client.LogURL(t.Context(), task.ID, "stdout", time.Minute)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		_, _, err = p.client.Logs(t.Context(), task.ID, "stdin", 0, -1)
		require.ErrorIs(t, err, taskrunner.ErrInvalid)
		_, _, err = p.client.Logs(t.Context(), task.ID, "stdout", -1, -1)
		require.ErrorIs(t, err, taskrunner.ErrInvalid)
		_, err = p.client.LogURL(t.Context(), task.ID, "stdout", 0)
		require.ErrorIs(t, err, taskrunner.ErrInvalid)
		_, _, err = p.client.Logs(t.Context(), "unknown", "stdout", 0, -1)
		require.ErrorIs(t, err, taskrunner.ErrNotFound)
	})
}

func TestALogThatCouldNotBeKeptLosesNeitherResultNorEvents(t *testing.T) {
	t.Parallel()
	for _, op := range []fakes.Op{"logs.Create", "logs.Write", "logs.Close"} {
		t.Run(string(op), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.process("p", fakes.NewExecutor(fakes.Stdout("hi\n"), fakes.Exit(4)))
				p.Use(fakes.FailAll(op, errors.New("disk full")))
				p.start(t)
				task, err := p.client.Run(t.Context(), spec())
				require.NoError(t, err)
				p.stop(t)
				assert.Equal(t, 4, task.Result.ExitCode)
				assert.Equal(t, "hi\n", string(task.Result.Stdout.Head))
				assert.Contains(t, task.Result.Message, "log of stdout is not complete")
				assert.Equal(t, "hi\n", follow(t, p.client, task.ID).stdout)
				if op == "logs.Create" {
					assert.Equal(t, "hi\n", readLog(t, p.client, task.ID, "stdout"), "the record's own copy serves")
				}
			})
		})
	}
}

func TestALogSinkThatIsStuckHoldsTheProgramForABoundedTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("a"), fakes.Stdout("b"), fakes.Exit(0)))
		p.Use(func(ctx context.Context, c fakes.Call) error {
			if c.Op == "logs.Write" && c.Phase == fakes.Before {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		p.start(t)
		begin := time.Now()
		task, err := p.client.Run(t.Context(), spec())
		require.NoError(t, err)
		p.stop(t)
		assert.Less(t, time.Since(begin), time.Minute)
		assert.Equal(t, ports.StatusSucceeded, task.Status)
		assert.Equal(t, "ab", string(task.Result.Stdout.Head))
		assert.Contains(t, task.Result.Message, "not complete")
	})
}

func TestOutputBeyondTheLimitIsDroppedAndCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout(strings.Repeat("x", 60)), fakes.Stdout(strings.Repeat("y", 60))))
		p.start(t)
		s := spec()
		s.Limits.Output = 100
		task, err := p.client.Run(t.Context(), s)
		require.NoError(t, err)
		p.stop(t)
		want := strings.Repeat("x", 60) + strings.Repeat("y", 40)
		assert.Equal(t, want, string(task.Result.Stdout.Head))
		assert.EqualValues(t, 120, task.Result.Stdout.Bytes)
		assert.True(t, task.Result.Stdout.Truncated)
		assert.Equal(t, want, readLog(t, p.client, task.ID, "stdout"))
		h := follow(t, p.client, task.ID)
		assert.Equal(t, want, h.stdout)
		assert.True(t, h.events[len(h.events)-2].Truncated, "the last piece says that there was more")
	})
}

func TestNoCallWaitsForEverForAPartThatDoesNotAnswer(t *testing.T) {
	calls := map[string]func(ctx context.Context, c *taskrunner.Client, id taskrunner.TaskID) error{
		"Submit": func(ctx context.Context, c *taskrunner.Client, _ taskrunner.TaskID) error {
			_, err := c.Submit(ctx, spec())
			return err
		},
		"Get": func(ctx context.Context, c *taskrunner.Client, id taskrunner.TaskID) error {
			_, err := c.Get(ctx, id)
			return err
		},
		"List": func(ctx context.Context, c *taskrunner.Client, _ taskrunner.TaskID) error {
			_, err := c.List(ctx, taskrunner.ListQuery{})
			return err
		},
		"Cancel": func(ctx context.Context, c *taskrunner.Client, id taskrunner.TaskID) error {
			_, err := c.Cancel(ctx, id)
			return err
		},
		"Watch": func(ctx context.Context, c *taskrunner.Client, id taskrunner.TaskID) error {
			_, err := c.Watch(ctx, id, taskrunner.Position{})
			return err
		},
		"LogURL": func(ctx context.Context, c *taskrunner.Client, id taskrunner.TaskID) error {
			_, err := c.LogURL(ctx, id, ports.LogStdout, time.Minute)
			return err
		},
		"Stats": func(ctx context.Context, c *taskrunner.Client, _ taskrunner.TaskID) error {
			_, err := c.Stats(ctx, ports.DefaultQueue)
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				task, err := w.process("before", fakes.NewExecutor()).client.Submit(t.Context(), spec())
				require.NoError(t, err)
				p := w.process("p", fakes.NewExecutor())
				p.Use(func(ctx context.Context, c fakes.Call) error {
					if c.Phase == fakes.Before {
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				})
				begin := time.Now()
				require.ErrorIs(t, call(t.Context(), p.client, task.ID), context.DeadlineExceeded)
				assert.LessOrEqual(t, time.Since(begin), 10*time.Second) // by the bubble's clock
			})
		})
	}
}

// It takes back what it did, also when a part stood still until its time was over,
// and its caller waits no longer for that.
func TestASubmitThatIsGivenUpIsTakenBackWithinTheSameTime(t *testing.T) {
	for name, stuck := range map[string][]fakes.Op{
		"the store that does not answer":           {"store.Create"},
		"the store that never answers again":       {"store.Create", "store.Delete"},
		"the queue that does not answer":           {"queue.Enqueue"},
		"the queue that never answers again":       {"queue.Enqueue", "queue.Cancel"},
		"the queue and the bus that do not answer": {"queue.Enqueue", "events.Publish", "events.Delete"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.process("p", fakes.NewExecutor())
				var id taskrunner.TaskID
				p.Use(func(ctx context.Context, c fakes.Call) error {
					id = cmp.Or(c.Task, id)
					if c.Phase == fakes.After && slices.Contains(stuck, c.Op) { // it took effect
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				})
				begin := time.Now()
				_, err := p.client.Submit(t.Context(), spec())
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.LessOrEqual(t, time.Since(begin), 10*time.Second) // by the bubble's clock
				assert.Empty(t, w.all())
				assert.Empty(t, w.told(id))
			})
		})
	}
}
