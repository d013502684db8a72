package taskrunner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

var errBroken = errors.New("sandbox broke at /var/lib/secret")

func TestALostAttemptIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	for name, loss := range map[string]fakes.Step{
		"an executor's error":           fakes.Fail(errBroken),
		"a panic in the executor":       fakes.Panic("nil map"),
		"an outcome without a cause":    fakes.End(ports.Outcome{}),
		"an outcome of unknown cause":   fakes.End(ports.Outcome{Cause: "magic"}),
		"a cancel that nobody asked of": fakes.End(ports.Outcome{Cause: ports.CauseCancelled}),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				executor := fakes.NewExecutor(says("p", "ends"), fakes.Exit(0)).
					Next(fakes.Stdout("lost"), loss).Next(fakes.Stdout("lost"), loss)
				p := w.process("p", executor)
				p.start(t)
				begin := time.Now()
				task, err := p.client.Run(t.Context(), spec())
				require.NoError(t, err)
				assert.Equal(t, 3*time.Second, time.Since(begin), "1 s of delay, then 2 s")
				assert.Equal(t, ports.StatusSucceeded, task.Status)
				assert.Equal(t, 3, task.Attempt)
				p.stop(t)
				w.requireOver(p.client)
			})
		})
	}
}

func TestATaskIsGivenUpAfterItsLastAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("so far"), fakes.Fail(errBroken)))
		p.start(t)
		s := spec()
		s.MaxAttempts = 2
		task, err := p.client.Run(t.Context(), s)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusFailed, task.Status)
		assert.Equal(t, ports.CauseInfrastructure, task.Result.Cause)
		assert.Equal(t, "Attempt 2 to run the task was lost, and no other one follows.", task.Result.Message)
		assert.Equal(t, "so far", string(task.Result.Stdout.Head))
		assert.Len(t, p.executor.Jobs(), 2)
		p.stop(t)
		w.requireOver(p.client)
	})
}

func TestATaskThatNoAttemptCanRunFailsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		executor := fakes.NewExecutor(fakes.Fail(errors.Join(taskrunner.ErrInvalid, errBroken))).
			Next(fakes.Fail(ports.Invalid("network", "is not available here")))
		p := w.process("p", executor)
		p.start(t)
		task, err := p.client.Run(t.Context(), spec())
		require.NoError(t, err)
		assert.Equal(t, ports.CauseInfrastructure, task.Result.Cause)
		assert.Equal(t, 1, task.Attempt)
		assert.Equal(t, "The task cannot be run here: network is not available here.", task.Result.Message)
		task, err = p.client.Run(t.Context(), spec())
		require.NoError(t, err)
		assert.NotContains(t, task.Result.Message, "secret", "the inside is the operator's matter")
		p.stop(t)
		w.requireOver(p.client)
	})
}

func TestAWorkerWithoutTheLanguageLeavesTheTaskToAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		poor := w.process("poor", fakes.NewExecutor(), func(c *taskrunner.Config) {
			c.Languages = taskrunner.BuiltinLanguages()[:1]
		})
		rich := w.process("rich", fakes.NewExecutor(says("rich", "runs")))
		task, err := rich.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		poor.start(t)
		synctest.Wait()
		poor.stop(t)
		rich.start(t)
		done, err := rich.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusSucceeded, done.Status)
		assert.Empty(t, poor.executor.Jobs())
		rich.stop(t)
		w.requireOver(rich.client)
	})
}

func TestATaskThatKillsItsWorkersIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		reader := w.process("reader", fakes.NewExecutor())
		task, err := reader.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		for i := range 4 {
			var p *process
			p = w.process(fmt.Sprint("p", i), fakes.NewExecutor(fakes.Do(func(ports.Job) { p.Crash() }), fakes.Sleep(time.Hour)))
			p.start(t)
			time.Sleep(time.Minute)
			p.stop(t)
		}
		done, err := reader.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusFailed, done.Status)
		assert.Equal(t, ports.CauseInfrastructure, done.Result.Cause)
		assert.Equal(t, 3, done.Attempt)
		w.requireOver(reader.client)
	})
}

func TestStopWaitsForWhatRuns(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Sleep(time.Minute), says("p", "ends")))
		p.start(t)
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		synctest.Wait()
		waiting, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		synctest.Wait()
		late, err := p.client.Submit(t.Context(), spec()) // both slots are taken
		require.NoError(t, err)
		p.stop(t)
		for _, id := range []taskrunner.TaskID{task.ID, waiting.ID} {
			done, err := p.client.Get(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, ports.StatusSucceeded, done.Status)
		}
		left, err := p.client.Get(t.Context(), late.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusQueued, left.Status)
		require.NoError(t, p.worker.Stop(t.Context()), "again")
		require.ErrorIs(t, p.worker.Start(t.Context()), taskrunner.ErrClosed)
	})
}

func TestStopThatMayNotWaitGivesTasksBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := w.process("first", fakes.NewExecutor(says("first", "begins"), fakes.Sleep(time.Hour)))
		first.start(t)
		s := spec()
		s.MaxAttempts = 1
		task, err := first.client.Submit(t.Context(), s)
		require.NoError(t, err)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		require.ErrorIs(t, first.worker.Stop(ctx), context.Canceled)
		assert.Zero(t, time.Since(begin))
		back, err := first.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusQueued, back.Status)

		second := w.process("second", fakes.NewExecutor(says("second", "ends")))
		second.start(t)
		done, err := second.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Zero(t, time.Since(begin), "without a delay")
		assert.Equal(t, ports.StatusSucceeded, done.Status, "a worker that is stopped is no loss, even in the last attempt")
		assert.Equal(t, 2, done.Attempt)
		second.stop(t)
		w.requireOver(second.client)
	})
}

func TestStopEndsEvenWhenNothingCanBeWritten(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Sleep(time.Hour)))
		p.start(t)
		_, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		time.Sleep(time.Second)
		p.Use(fakes.FailAll("store.Update", errors.New("connection refused")))
		p.Use(fakes.FailAll("store.Get", errors.New("connection refused")))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		require.ErrorIs(t, p.worker.Stop(ctx), context.Canceled)
		assert.LessOrEqual(t, time.Since(begin), leaseTTL)
		time.Sleep(leaseTTL)
	})
}

func TestStartAndStopInAnyOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("never started", fakes.NewExecutor())
		require.NoError(t, p.worker.Stop(t.Context()))
		require.ErrorIs(t, p.worker.Start(t.Context()), taskrunner.ErrClosed)

		p = w.process("started twice", fakes.NewExecutor())
		p.start(t)
		require.ErrorIs(t, p.worker.Start(t.Context()), taskrunner.ErrConflict)
		p.stop(t)

		p = w.process("cannot run", fakes.NewExecutor())
		p.executor.FailCheck(errBroken)
		require.ErrorIs(t, p.worker.Start(t.Context()), errBroken)
		p.executor.FailCheck(nil)
		require.NoError(t, p.worker.Start(t.Context()), "mended")
		p.stop(t)
	})
}

func TestStartAndStopFromManyGoroutines(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			p := w.process("p", fakes.NewExecutor(fakes.Sleep(time.Second)))
			task, err := p.client.Submit(t.Context(), spec())
			require.NoError(t, err)
			var started atomic.Int32
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if p.worker.Start(t.Context()) == nil {
						started.Add(1)
					}
				})
				wg.Go(func() { assert.NoError(t, p.worker.Stop(t.Context())) })
			}
			wg.Wait()
			assert.LessOrEqual(t, started.Load(), int32(1))
			got, err := p.client.Get(t.Context(), task.ID)
			require.NoError(t, err)
			assert.Contains(t, []taskrunner.Status{ports.StatusQueued, ports.StatusSucceeded}, got.Status,
				"when Stop returns nothing runs")
		})
	}
}

func TestAWorkerRunsAsManyTasksAsItMay(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var now, most atomic.Int32
		p := w.process("p", fakes.NewExecutor(
			fakes.Do(func(ports.Job) { most.Store(max(most.Load(), now.Add(1))) }),
			fakes.Sleep(time.Second),
			fakes.Do(func(ports.Job) { now.Add(-1) }),
		), func(c *taskrunner.Config) { c.Concurrency = 3 })
		for range 10 {
			_, err := p.client.Submit(t.Context(), spec())
			require.NoError(t, err)
		}
		begin := time.Now()
		p.start(t)
		for _, task := range w.all() {
			_, err := p.client.Wait(t.Context(), task.ID)
			require.NoError(t, err)
		}
		assert.EqualValues(t, 3, most.Load())
		assert.Equal(t, 4*time.Second, time.Since(begin))
		p.stop(t)
	})
}

func TestAQueueThatFailsIsClaimedFromAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var text bytes.Buffer
		var mu sync.Mutex
		p := w.process("p", fakes.NewExecutor(), func(c *taskrunner.Config) {
			c.Logger = slog.New(slog.NewTextHandler(locked{&mu, &text}, nil))
			c.ReconcileEvery = -1 // which claims as well
		})
		for i := range 5 {
			p.Use(fakes.FailNth("queue.Claim", i+1, fakes.Before, errors.New("connection refused")))
		}
		p.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "queue.Claim" && c.Nth == 6 && c.Phase == fakes.Before {
				panic("adapter broke")
			}
			return nil
		})
		p.start(t)
		task, err := p.client.Run(t.Context(), spec())
		require.NoError(t, err)
		assert.Equal(t, ports.StatusSucceeded, task.Status)
		p.stop(t)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, 1, strings.Count(text.String(), "connection refused"), "an outage is a line, and not one for each try")
		assert.Equal(t, 1, strings.Count(text.String(), "adapter broke"))
	})
}

func TestNothingOfATaskIsLogged(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var text bytes.Buffer
		var mu sync.Mutex
		executor := fakes.NewExecutor(fakes.Stdout("output-secret"), fakes.Exit(0)).
			Next(fakes.Stdout("output-secret"), fakes.Fail(errors.New("broke"))).
			Next(fakes.Panic("boom"))
		p := w.process("p", executor, func(c *taskrunner.Config) {
			c.Logger = slog.New(slog.NewTextHandler(locked{&mu, &text}, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		p.Use(fakes.FailAll("logs.Write", errors.New("disk full")))
		p.start(t)
		task, err := p.client.Run(t.Context(), taskrunner.Spec{
			Language: "bash", Code: "code-secret", Stdin: []byte("stdin-secret"), Args: []string{"arg-secret"},
			Env: map[string]string{"TOKEN": "env-secret"},
		})
		require.NoError(t, err)
		p.stop(t)
		mu.Lock()
		defer mu.Unlock()
		assert.NotContains(t, text.String(), "-secret")
		for _, want := range []string{"worker=p", "task=" + string(task.ID), "attempt=3", "broke", "boom", "disk full"} {
			assert.Contains(t, text.String(), want)
		}
	})
}

type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func TestAFinishedTaskHoldsItsSlotNoLongerThanItsLease(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(says("p", "ends")))
		var away atomic.Bool
		away.Store(true)
		p.Use(func(_ context.Context, c fakes.Call) error {
			if away.Load() && (c.Op == "queue.Ack" || c.Op == "events.Publish") {
				return errors.New("connection refused")
			}
			return nil
		})
		p.start(t)
		_, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		synctest.Wait()
		begin := time.Now()
		p.stop(t)
		assert.LessOrEqual(t, time.Since(begin), 2*leaseTTL)
		away.Store(false)

		second := w.process("second", fakes.NewExecutor())
		second.start(t)
		time.Sleep(settled)
		second.stop(t)
		assert.Empty(t, second.executor.Jobs())
		w.lossy = true
		w.requireOver(second.client)
	})
}

func TestATaskThatIsDeletedWhileItRunsLeavesNothingInTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Sleep(time.Minute)))
		p.start(t)
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		synctest.Wait()
		running, err := p.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		require.NoError(t, w.shared.Store.Delete(t.Context(), task.ID, running.Version))
		time.Sleep(2 * time.Minute)
		w.requireOver(p.client)
		assert.Len(t, p.executor.Jobs(), 1)
		p.stop(t)
	})
}
