package taskrunner_test

import (
	"context"
	"errors"
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

func TestAWorkerThatCannotExtendItsLeaseKillsTheTask(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("x"), fakes.Sleep(time.Hour)))
		p.start(t)
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Len(t, p.executor.Jobs(), 1, "the heartbeat keeps it alive")
		var broken atomic.Bool
		broken.Store(true)
		p.Use(func(_ context.Context, c fakes.Call) error {
			if broken.Load() && c.Op == "queue.Extend" {
				return errors.New("no route to host")
			}
			return nil
		})
		before, err := w.shared.Store.Get(t.Context(), task.ID)
		require.NoError(t, err)
		time.Sleep(leaseTTL + time.Millisecond)
		after, err := w.shared.Store.Get(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, before, after, "a ghost writes nothing")
		broken.Store(false)
		time.Sleep(leaseTTL)
		assert.Len(t, p.executor.Jobs(), 2, "and the slot is free for the next attempt")
		_, err = p.client.Cancel(t.Context(), task.ID)
		require.NoError(t, err)
		p.stop(t)
	})
}

// idle has a worker do no housekeeping, so that all its claims are of tasks.
func idle(c *taskrunner.Config) { c.ReconcileEvery = -1 }

// delayedClaim holds the answer to the process's first claim back, until the lease
// has run out, which the worker's own clock cannot know.
func delayedClaim(p *process) (claimed <-chan struct{}, deliver chan<- struct{}) {
	made, arrive := make(chan struct{}), make(chan struct{})
	p.Use(func(_ context.Context, c fakes.Call) error {
		if c.Op == "queue.Claim" && c.Nth == 1 && c.Phase == fakes.After {
			close(made)
			<-arrive
		}
		return nil
	})
	return made, arrive
}

func TestALateClaimDoesNotStartTheAttemptThatALaterOneStarts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ghost := w.process("ghost", fakes.NewExecutor(says("ghost", "ends")), idle)
		holder := w.process("holder", fakes.NewExecutor(says("holder", "ends")))
		task, err := ghost.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		claimed, deliver := delayedClaim(ghost)
		ghost.start(t)
		<-claimed

		// The holder has read the task and is about to write that it runs ...
		reading, write := make(chan struct{}), make(chan struct{})
		holder.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "store.Update" && c.Nth == 1 && c.Phase == fakes.Before {
				close(reading)
				<-write
			}
			return nil
		})
		holder.start(t)
		<-reading
		close(deliver) // ... when the ghost writes the same.
		synctest.Wait()
		got, err := holder.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		require.Equal(t, ports.StatusRunning, got.Status)
		close(write)

		done, err := holder.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Empty(t, ghost.executor.Jobs())
		assert.Equal(t, 1, done.Attempt, "the holder takes the attempt for its own")
		assert.Empty(t, done.Result.Message, "and finds nothing of another one's in it")
		ghost.stop(t)
		holder.stop(t)
		w.requireOver(holder.client)
	})
}

func TestALateClaimDoesNotEndATaskThatAnotherWorkerRuns(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ghost := w.process("ghost", fakes.NewExecutor(), idle, func(c *taskrunner.Config) { c.Concurrency = 1 })
		holder := w.process("holder", fakes.NewExecutor(says("holder", "begins"), fakes.Sleep(time.Hour)))
		task, err := ghost.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		claimed, deliver := delayedClaim(ghost)
		read, write := make(chan struct{}), make(chan struct{})
		ghost.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "store.Update" && c.Nth == 1 && c.Phase == fakes.Before {
				close(read)
				<-write
			}
			return nil
		})
		ghost.start(t)
		<-claimed
		time.Sleep(leaseTTL + time.Second)
		close(deliver)
		<-read
		// The ghost has read the task as waiting. Before it writes, the holder runs
		// it, and somebody asks for its end.
		holder.start(t)
		synctest.Wait()
		_, err = holder.client.Cancel(t.Context(), task.ID)
		require.NoError(t, err)
		close(write)
		synctest.Wait()
		got, err := holder.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusRunning, got.Status, "it is over only when no process of it is left")
		done, err := holder.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, ports.StatusCancelled, done.Status)
		ghost.stop(t)
		holder.stop(t)
		w.requireOver(holder.client)
	})
}

func TestAnAttemptThatIsNotTheRecordsWritesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(says("p", "ends"), fakes.Exit(7)).Next(fakes.Sleep(time.Second), says("p", "ends")))
		p.start(t)
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		synctest.Wait()
		running, err := p.client.Get(t.Context(), task.ID)
		require.NoError(t, err)
		running.Attempt++
		_, err = w.shared.Store.Update(t.Context(), running)
		require.NoError(t, err)
		done, err := p.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		assert.Equal(t, 3, done.Attempt)
		assert.Equal(t, 7, done.Result.ExitCode)
		p.stop(t)
		w.requireOver(p.client)
	})
}
