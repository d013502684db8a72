package taskrunner_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func types(h history) (all []string) {
	for _, e := range h.events {
		s := string(e.Type)
		if e.Type == ports.EventStatus {
			s = string(e.Status)
		}
		all = append(all, s)
	}
	return all
}

func TestWatchTellsTheWholeStory(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(
			fakes.Stdout("a"), fakes.Sleep(time.Second),
			fakes.Sample(ports.Sample{At: time.Second, CPU: 1}), fakes.Stderr("b"), fakes.Sleep(time.Second),
			fakes.Stdout("c"), fakes.Exit(5),
		))
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		p.start(t)
		live := follow(t, p.client, task.ID)
		assert.Equal(t, []string{"queued", "running", "stdout", "usage", "stderr", "stdout", "end"}, types(live))
		assert.Equal(t, 5, live.end.ExitCode)
		assert.Equal(t, "ac", live.stdout)
		assert.Equal(t, live, follow(t, p.client, task.ID), "and tells it again to who comes later")
		p.stop(t)

		// From each event on, the rest follows.
		for i, e := range live.events[:len(live.events)-1] {
			watch, err := p.client.Watch(t.Context(), task.ID, taskrunner.Position{After: e.ID})
			require.NoError(t, err)
			next, err := watch.Next(t.Context())
			require.NoError(t, err)
			assert.Equal(t, live.events[i+1], next)
			require.NoError(t, watch.Close())
		}
	})
}

func TestWatchMakesUpTheEndThatNobodyTold(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]taskrunner.Position{"from the start": {}, "from now": {Now: true}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.process("p", fakes.NewExecutor(fakes.Sleep(time.Minute), fakes.Stdout("out"), fakes.Exit(6)))
				reader := w.process("reader", fakes.NewExecutor())
				p.Use(func(_ context.Context, c fakes.Call) error {
					if c.Op == "store.Update" && c.Phase == fakes.After && c.Nth == 2 {
						p.Crash() // the end is written and never told
					}
					return nil
				})
				task, err := p.client.Submit(t.Context(), spec())
				require.NoError(t, err)
				watch, err := reader.client.Watch(t.Context(), task.ID, from)
				require.NoError(t, err)
				p.start(t)
				begin := time.Now()
				var got taskrunner.Event
				var out string
				for got.Type != ports.EventEnd {
					got, err = watch.Next(t.Context())
					require.NoError(t, err)
					out += string(got.Data)
				}
				assert.Equal(t, "out", out, "what was told comes first")
				assert.Empty(t, got.ID)
				assert.Equal(t, ports.StatusFailed, got.Status)
				assert.Equal(t, 6, got.ExitCode)
				assert.Equal(t, 1, got.Attempt)
				assert.Less(t, time.Since(begin), time.Minute+40*time.Second)
				_, err = watch.Next(t.Context())
				require.ErrorIs(t, err, io.EOF)
				require.NoError(t, watch.Close())
				p.stop(t)
			})
		})
	}
}

func TestWatchMakesUpTheEndForAReaderThatLooksOnlyBriefly(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		p.start(t)
		_, err = p.client.Wait(t.Context(), task.ID)
		require.NoError(t, err)
		p.stop(t)
		watch, err := p.client.Watch(t.Context(), task.ID, taskrunner.Position{Now: true})
		require.NoError(t, err)
		defer func() { assert.NoError(t, watch.Close()) }()
		for i := 0; ; i++ {
			require.Less(t, i, 100)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			e, err := watch.Next(ctx)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				continue
			}
			require.NoError(t, err)
			assert.Equal(t, ports.EventEnd, e.Type)
			return
		}
	})
}

func TestWatchOfAProcessThatStoodStillMissesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("out")))
		p.start(t)
		task, err := p.client.Run(t.Context(), spec())
		require.NoError(t, err)
		p.stop(t)
		reader := w.process("reader", fakes.NewExecutor())
		reader.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "events.Next" && c.Nth%2 == 1 && c.Phase == fakes.Before {
				time.Sleep(time.Minute) // until its context is done, although there are events
			}
			return nil
		})
		h := follow(t, reader.client, task.ID)
		assert.Equal(t, []string{"queued", "running", "stdout", "end"}, types(h))
		assert.NotEmpty(t, h.end.ID, "the end is the one that was told")
	})
}

func TestWatchHidesWhatALostAttemptSaid(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor(fakes.Stdout("second"), fakes.Exit(0)).
			Next(fakes.Stdout("first"), fakes.Sleep(time.Second), fakes.Fail(errors.New("sandbox broke"))))
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		p.start(t)
		live := follow(t, p.client, task.ID)
		assert.Equal(t, []string{"queued", "running", "stdout", "queued", "running", "stdout", "end"}, types(live))
		assert.Equal(t, "second", live.stdout)

		// A ghost of the first attempt still speaks.
		_, err = w.shared.Events.Publish(t.Context(), ports.Event{
			Task: task.ID, Attempt: 1, Type: ports.EventStdout, Data: []byte("boo"), Offset: 5,
		})
		require.NoError(t, err)
		late := follow(t, p.client, task.ID)
		assert.Equal(t, []string{"queued", "running", "queued", "running", "stdout", "end"}, types(late))
		p.stop(t)
	})
}

func TestWatchTellsNoByteTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		for _, e := range []ports.Event{
			{Attempt: 1, Type: ports.EventStatus, Status: ports.StatusRunning},
			{Attempt: 1, Type: ports.EventStatus, Status: ports.StatusRunning},
			{Status: ports.StatusQueued, Type: ports.EventStatus}, // late
			{Attempt: 1, Type: ports.EventStdout, Data: []byte("abc")},
			{Attempt: 1, Type: ports.EventStdout, Data: []byte("abc")},
			{Attempt: 1, Type: ports.EventStdout, Data: []byte("bcde"), Offset: 1},
			{Attempt: 1, Type: ports.EventStderr, Data: []byte("abc")},
			{Attempt: 1, Type: ports.EventStdout, Offset: 5, Truncated: true},
			{Attempt: 1, Type: ports.EventStdout, Offset: 5, Truncated: true},
			{Attempt: 2, Type: ports.EventStdout, Data: []byte("xyz")},
			{Attempt: 1, Type: ports.EventUsage},
			{Attempt: 1, Type: ports.EventStderr, Data: []byte("def"), Offset: 3},
			{Attempt: 2, Type: ports.EventEnd, Status: ports.StatusFailed},
		} {
			e.Task = task.ID
			_, err := w.shared.Events.Publish(t.Context(), e)
			require.NoError(t, err)
		}
		h := follow(t, p.client, task.ID)
		assert.Equal(t, []string{"queued", "running", "stdout", "stdout", "stderr", "stdout", "stdout", "end"}, types(h))
		assert.Equal(t, "de", string(h.events[3].Data))
		assert.EqualValues(t, 3, h.events[3].Offset)
	})
}

func TestWatchOfWhatIsNotThere(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		_, err := p.client.Watch(t.Context(), "unknown", taskrunner.Position{})
		require.ErrorIs(t, err, taskrunner.ErrNotFound)
		_, err = p.client.Watch(t.Context(), "", taskrunner.Position{})
		require.ErrorIs(t, err, taskrunner.ErrInvalid)
		_, err = p.client.Wait(t.Context(), "unknown")
		require.ErrorIs(t, err, taskrunner.ErrNotFound)

		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		_, err = p.client.Watch(t.Context(), task.ID, taskrunner.Position{After: "nonsense"})
		require.ErrorIs(t, err, taskrunner.ErrInvalid)
		watch, err := p.client.Watch(t.Context(), task.ID, taskrunner.Position{Now: true})
		require.NoError(t, err)
		require.NoError(t, watch.Close())
		require.NoError(t, watch.Close())
		_, err = watch.Next(t.Context())
		require.ErrorIs(t, err, taskrunner.ErrClosed)
	})
}

func TestWaitBearsWithABusThatFails(t *testing.T) {
	t.Parallel()
	for _, op := range []fakes.Op{"events.Subscribe", "events.Next", "events.Publish"} {
		t.Run(string(op), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := w.process("p", fakes.NewExecutor(fakes.Stdout("x"), fakes.Sleep(time.Minute), fakes.Exit(0)))
				p.Use(fakes.FailAll(op, errors.New("connection refused")))
				p.start(t)
				begin := time.Now()
				task, err := p.client.Run(t.Context(), spec())
				require.NoError(t, err)
				assert.Equal(t, ports.StatusSucceeded, task.Status)
				assert.Less(t, time.Since(begin), time.Minute+40*time.Second)
				p.stop(t)
			})
		})
	}
}

func TestWatchesOfATaskShareTheirLooksAtTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		const readers = 20
		var watches []*taskrunner.Watch
		for range readers {
			watch, err := p.client.Watch(t.Context(), task.ID, taskrunner.Position{Now: true})
			require.NoError(t, err)
			watches = append(watches, watch)
		}
		var looks atomic.Int64
		p.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "store.Get" && c.Phase == fakes.Before {
				looks.Add(1)
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for i, watch := range watches {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				_, err := watch.Next(ctx)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.NoError(t, watch.Close())
			})
		}
		all.Wait()
		// One alone would look every 30 s in the end.
		assert.Less(t, looks.Load(), int64(50), "%d readers", readers)
		assert.Greater(t, looks.Load(), int64(15))
	})
}

func TestAStoreThatPanicsCostsOneLook(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		p.Use(func(_ context.Context, c fakes.Call) error {
			if c.Op == "store.Get" && c.Nth == 1 {
				panic("adapter broke")
			}
			return nil
		})
		_, err = p.client.Watch(t.Context(), task.ID, taskrunner.Position{})
		require.ErrorContains(t, err, "adapter broke")
		watch, err := p.client.Watch(t.Context(), task.ID, taskrunner.Position{})
		require.NoError(t, err)
		assert.NoError(t, watch.Close())
	})
}

func TestWatchBearsWithAStoreThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.process("p", fakes.NewExecutor())
		task, err := p.client.Submit(t.Context(), spec())
		require.NoError(t, err)
		watch, err := p.client.Watch(t.Context(), task.ID, taskrunner.Position{Now: true})
		require.NoError(t, err)
		defer func() { assert.NoError(t, watch.Close()) }()
		p.Use(fakes.FailAll("store.Get", errors.New("connection refused")))
		begin := time.Now()
		told := time.AfterFunc(10*time.Minute, func() {
			_, err := w.shared.Events.Publish(context.Background(), ports.Event{Task: task.ID, Type: ports.EventStatus, Status: ports.StatusRunning, Attempt: 1})
			assert.NoError(t, err)
		})
		defer told.Stop()
		e, err := watch.Next(t.Context())
		require.NoError(t, err)
		assert.Equal(t, ports.StatusRunning, e.Status)
		assert.Equal(t, 10*time.Minute, time.Since(begin))
	})
}
