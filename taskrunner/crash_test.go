package taskrunner_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// These tests take one process through the whole life of a task, from Submit to
// Ack, and let something happen at both ends of every single call that it makes
// to a port: it dies, a call fails, it stands still until its lease is over, or
// somebody cancels. Another process goes on. Whatever happened, every task must
// come to exactly one end that everybody sees.

// program is what runs: long enough for heartbeats, with output in between.
func program(who string) *fakes.Executor {
	return fakes.NewExecutor(
		says(who, "begins"),
		fakes.Sample(ports.Sample{At: time.Second, CPU: 0.5, Memory: 1 << 20}),
		fakes.Sleep(2*leaseTTL),
		says(who, "ends"),
		fakes.Exit(7),
	)
}

// settled is long enough for leases to run out, retries to come and a reconciler
// to have looked at everything.
const settled = 5 * time.Minute

// live submits a task in p and waits until it is over or p is dead.
func (p *process) live(t *testing.T) (taskrunner.Task, error) {
	p.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	task, err := p.client.Submit(ctx, spec())
	if err != nil {
		return task, err
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = p.client.Wait(ctx, task.ID)
	}()
	select {
	case <-over:
	case <-p.Crashed():
		cancel()
		<-over
	}
	return task, nil
}

// callsOfALife counts the calls of a life without faults.
func callsOfALife(t *testing.T) (n int) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.process("first", program("first"))
		_, err := p.live(t)
		require.NoError(t, err)
		p.stop(t)
		w.requireOver(w.process("reader", program("reader")).client)
		n = len(p.Calls())
		seen := make(map[fakes.Op]bool)
		for _, op := range p.Calls() {
			seen[op] = true
		}
		for _, op := range []fakes.Op{
			"store.Create", "store.Get", "store.Update", "store.List", "queue.Enqueue", "queue.Claim",
			"queue.Extend", "queue.Ack", "queue.Stats", "logs.Create", "logs.Write", "logs.Close",
			"events.Publish", "events.Subscribe", "events.Next",
		} {
			assert.True(t, seen[op], "a life has no %s", op)
		}
	})
	return n
}

// atEveryCall runs f for both ends of every call of a life, each in a bubble.
func atEveryCall(t *testing.T, f func(t *testing.T, w *world, n int, phase fakes.Phase)) {
	for n := 1; n <= callsOfALife(t)+2; n++ {
		for _, phase := range []fakes.Phase{fakes.Before, fakes.After} {
			t.Run(fmt.Sprintf("%s call %d", phase, n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { f(t, newWorld(t), n, phase) })
			})
		}
	}
}

func TestATaskSurvivesACrashAtEveryCall(t *testing.T) {
	t.Parallel()
	atEveryCall(t, func(t *testing.T, w *world, n int, phase fakes.Phase) {
		first, second := w.process("first", program("first")), w.process("second", program("second"))
		first.CrashAt(n, phase)
		task, err := first.live(t)

		second.start(t)
		time.Sleep(settled)
		first.stop(t)
		second.stop(t)
		w.requireOver(second.client)
		if err == nil {
			got, err := second.client.Get(t.Context(), task.ID)
			require.NoError(t, err, "a task that was accepted is there")
			assert.Equal(t, ports.CauseExit, got.Result.Cause)
			assert.Equal(t, 7, got.Result.ExitCode)
		}
	})
}

func TestATaskSurvivesAFaultOfEveryCall(t *testing.T) {
	t.Parallel()
	atEveryCall(t, func(t *testing.T, w *world, n int, phase fakes.Phase) {
		w.mostEnds = 2
		p := w.process("first", program("first"))
		p.Use(fakes.FailAt(n, phase, errors.New("connection reset")))
		task, err := p.live(t)
		time.Sleep(settled)
		p.stop(t)
		w.requireOver(p.client)
		if err != nil {
			assert.Empty(t, w.all(), "a Submit that fails leaves nothing behind")
			return
		}
		got, err := p.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.CauseExit, got.Result.Cause)
		assert.Equal(t, 1, got.Attempt, "a single fault costs no attempt")
	})
}

func TestAGhostChangesNothingAtAnyCall(t *testing.T) {
	t.Parallel()
	atEveryCall(t, func(t *testing.T, w *world, n int, phase fakes.Phase) {
		first, second := w.process("first", program("first")), w.process("second", program("second"))
		// Long enough for the second to have taken over and to be running.
		first.PauseAt(n, phase, 2*leaseTTL)
		time.AfterFunc(leaseTTL/2, func() { _ = second.worker.Start(context.Background()) })
		task, err := first.live(t)
		time.Sleep(settled)
		first.stop(t)
		second.stop(t)
		w.requireOver(second.client)
		if err == nil {
			got, err := second.client.Get(t.Context(), task.ID)
			require.NoError(t, err)
			assert.Equal(t, ports.CauseExit, got.Result.Cause)
		}
	})
}

func TestACancelAtEveryCallTakesEffect(t *testing.T) {
	t.Parallel()
	atEveryCall(t, func(t *testing.T, w *world, n int, phase fakes.Phase) {
		first, other := w.process("first", program("first")), w.process("other", fakes.NewExecutor())
		var cancelled, tooLate int
		first.Use(func(_ context.Context, c fakes.Call) error {
			if c.N != n || c.Phase != phase {
				return nil
			}
			for _, task := range w.all() {
				switch _, err := other.client.Cancel(context.Background(), task.ID); {
				case err == nil:
					cancelled++
				case errors.Is(err, taskrunner.ErrConflict):
					tooLate++
				default:
					t.Errorf("cancelling: %v", err)
				}
			}
			return nil
		})
		task, err := first.live(t)
		require.NoError(t, err)
		time.Sleep(settled)
		first.stop(t)
		w.requireOver(other.client)
		got, err := other.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		if cancelled == 0 || tooLate > 0 {
			assert.Equal(t, ports.StatusFailed, got.Status)
			return
		}
		// Only a program that had written its last line may have ended by itself.
		if got.Status != ports.StatusCancelled {
			assert.Contains(t, string(got.Result.Stdout.Head), "ends")
			return
		}
		assert.Equal(t, ports.CauseCancelled, got.Result.Cause)
		assert.Equal(t, -1, got.Result.ExitCode)
	})
}

func TestACancelThatCrashesAtAnyCallIsCarriedThrough(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{false, true} {
		for n := 1; n <= 6; n++ {
			for _, phase := range []fakes.Phase{fakes.Before, fakes.After} {
				t.Run(fmt.Sprintf("running %t, %s call %d", running, phase, n), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						worker := w.process("worker", fakes.NewExecutor(says("worker", "begins"), fakes.Sleep(time.Hour), fakes.Exit(0)))
						caller := w.process("caller", fakes.NewExecutor())
						task, err := worker.client.Submit(t.Context(), spec())
						require.NoError(t, err)
						if running {
							worker.start(t)
							time.Sleep(leaseTTL)
						}
						caller.CrashAt(n, phase)
						_, err = caller.client.Cancel(t.Context(), task.ID)
						noted, getErr := worker.client.Get(t.Context(), task.ID)
						require.NoError(t, getErr)
						if !running {
							worker.start(t)
						}
						time.Sleep(settled)
						if noted.CancelRequestedAt.IsZero() {
							assert.Error(t, err, "a cancel that is not noted is refused")
							_, err = worker.client.Cancel(t.Context(), task.ID)
							require.NoError(t, err)
							time.Sleep(leaseTTL)
						}
						worker.stop(t)
						w.requireOver(worker.client)
						got, err := worker.client.Get(t.Context(), task.ID)
						require.NoError(t, err)
						assert.Equal(t, ports.StatusCancelled, got.Status)
					})
				})
			}
		}
	}
}

func TestACancelAfterACrashAtEveryCallTakesEffect(t *testing.T) {
	t.Parallel()
	atEveryCall(t, func(t *testing.T, w *world, n int, phase fakes.Phase) {
		first, second := w.process("first", program("first")), w.process("second", program("second"))
		first.CrashAt(n, phase)
		_, _ = first.live(t)
		var asked []taskrunner.TaskID
		for _, task := range w.all() {
			if _, err := second.client.Cancel(t.Context(), task.ID); err == nil {
				asked = append(asked, task.ID)
			} else {
				require.ErrorIs(t, err, taskrunner.ErrConflict)
			}
		}
		second.start(t)
		time.Sleep(settled)
		first.stop(t)
		second.stop(t)
		w.requireOver(second.client)
		assert.Empty(t, second.executor.Jobs(), "a cancelled task does not start again")
		for _, id := range asked {
			got, err := second.client.Get(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, ports.StatusCancelled, got.Status)
		}
	})
}

// lateStore answers the first terminal Update with an error, and makes it while the next
// one is on its way.
type lateStore struct {
	ports.Store
	late func(context.Context) (ports.Task, error)
	made bool
}

func (s *lateStore) Update(ctx context.Context, next ports.Task) (ports.Task, error) {
	switch {
	case !next.Status.Terminal() || s.made:
	case s.late == nil:
		s.late = func(ctx context.Context) (ports.Task, error) { return s.Store.Update(ctx, next) }
		return ports.Task{}, errors.New("no answer")
	default:
		s.made = true
		if _, err := s.late(ctx); err != nil {
			return ports.Task{}, err
		}
	}
	return s.Store.Update(ctx, next)
}

func TestAnEndThatIsStoredLateIsTheWorkersOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", program("p"), func(c *taskrunner.Config) {
			c.Backend.Store = &lateStore{Store: c.Backend.Store}
		})
		p.start(t)
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		time.Sleep(2*leaseTTL + leaseTTL/2) // the program takes two of these
		got, err := p.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		require.Equal(t, ports.CauseExit, got.Result.Cause)
		stats, err := p.client.Stats(t.Context(), ports.DefaultQueue)
		require.NoError(t, err)
		assert.Zero(t, stats, "it is taken off the queue, and not left to its lease")
		p.stop(t)
		w.requireOver(p.client)
	})
}
