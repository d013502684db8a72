package memory

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// What callers name (queues, tasks, topics) leaves nothing behind.

func TestQueueForgetsQueuesThatAreEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		for i := range 100 {
			name := fmt.Sprint("queue ", i)
			require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "a", Queue: name}))
			l, err := q.Claim(t.Context(), ports.ClaimRequest{Queues: []string{name, "never used"}, TTL: time.Minute})
			require.NoError(t, err)
			require.NoError(t, q.Nack(t.Context(), l, time.Second))
			l, err = q.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"never used", name}, TTL: time.Minute})
			require.NoError(t, err)
			if i%2 == 0 {
				require.NoError(t, q.Ack(t.Context(), l))
				continue
			}
			require.NoError(t, q.Nack(t.Context(), l, 0))
			_, err = q.Cancel(t.Context(), "a")
			require.NoError(t, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := q.Claim(ctx, ports.ClaimRequest{Queues: []string{"x", "y"}, TTL: time.Minute})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, q.lines)
		assert.Empty(t, q.entries)
		assert.Empty(t, q.deadlines.heap)
		assert.Zero(t, q.waiters)
	})
}

func TestQueueHasATimerOnlyWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: "a", Queue: "q", Delay: time.Hour}))
		assert.False(t, q.alarm.set)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := q.Claim(ctx, ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
			done <- err
		}()
		synctest.Wait()
		assert.True(t, q.alarm.set)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		assert.False(t, q.alarm.set)
	})
}

func TestQueueServesThoseWhoWaitInTheOrderTheyCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		served := make(chan int, 10)
		for i := range 10 {
			go func() {
				_, err := q.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q", fmt.Sprint(i)}, TTL: time.Minute})
				assert.NoError(t, err)
				served <- i
			}()
			synctest.Wait()
		}
		for i := range 10 {
			require.NoError(t, q.Enqueue(t.Context(), ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: "q"}))
			assert.Equal(t, i, <-served)
		}
	})
}

func TestQueueGivesTheBestFirstOfWhatBecomesDueAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		for i, p := range []int{1, 3, 2} {
			require.NoError(t, q.Enqueue(t.Context(), ports.Entry{
				Task: ports.TaskID(fmt.Sprint(p)), Queue: fmt.Sprint("q", i), Priority: p, Delay: time.Minute,
			}))
		}
		l, err := q.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q0", "q1", "q2"}, TTL: time.Minute})
		require.NoError(t, err)
		assert.Equal(t, ports.TaskID("3"), l.Task)
	})
}

func TestBusForgetsTopicsWithoutEventsAndReaders(t *testing.T) {
	t.Parallel()
	b := NewEventBus(WithMaxEventBytes(3000))
	for i := range 10 {
		id := ports.TaskID(fmt.Sprint(i))
		s, err := b.Subscribe(t.Context(), id, ports.Position{})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		_, err = b.Subscribe(t.Context(), id, ports.Position{After: "7"})
		require.ErrorIs(t, err, ports.ErrInvalid)
		_, err = b.Publish(t.Context(), ports.Event{Task: id, Data: make([]byte, 4000)})
		require.ErrorIs(t, err, ports.ErrFull)
	}
	assert.Empty(t, b.topics)
	assert.Zero(t, b.bytes.used.Load())
}

func TestBusLetsOneTopicBeBusyWhileAnotherIsPublishedTo(t *testing.T) {
	t.Parallel()
	b := NewEventBus()
	busy := b.lock("busy") // somebody is at it, for long
	defer busy.mu.Unlock()
	id, err := b.Publish(t.Context(), ports.Event{Task: "free"})
	require.NoError(t, err)
	assert.Equal(t, ports.EventID("1"), id)
}

func TestBusNumbersATopicThatComesBackAboveAllThatWereDeleted(t *testing.T) {
	t.Parallel()
	b := NewEventBus()
	publish := func(id ports.TaskID, n int) (last ports.EventID) {
		for range n {
			var err error
			last, err = b.Publish(t.Context(), ports.Event{Task: id})
			require.NoError(t, err)
		}
		return last
	}
	assert.Equal(t, ports.EventID("3"), publish("a", 3))
	assert.Equal(t, ports.EventID("5"), publish("b", 5))
	require.NoError(t, b.Delete(t.Context(), "b"))
	assert.Equal(t, ports.EventID("4"), publish("a", 1))
	assert.Equal(t, ports.EventID("6"), publish("b", 1))
	require.NoError(t, b.Delete(t.Context(), "a"))
	assert.Equal(t, ports.EventID("6"), publish("a", 1))
}

func TestEverythingDeletedIsEveryByteReturned(t *testing.T) {
	t.Parallel()
	b := New(WithMaxTopicEvents(5))
	store, logs, events := b.Store.(*Store), b.Logs.(*LogSink), b.Events.(*EventBus)
	ids := []ports.TaskID{"a", "b", "c"}
	for _, id := range ids {
		lead(t, b, id, 100)
	}
	assert.Positive(t, store.bytes)
	assert.Positive(t, store.finishedBytes)
	assert.Positive(t, logs.bytes.used.Load())
	assert.Positive(t, events.bytes.used.Load())
	for _, id := range ids {
		require.NoError(t, logs.Delete(t.Context(), id))
		require.NoError(t, events.Delete(t.Context(), id))
		require.NoError(t, store.Delete(t.Context(), id, 2))
	}
	assert.Zero(t, store.bytes)
	assert.Zero(t, store.finishedBytes)
	assert.Zero(t, store.finished.Len())
	assert.Empty(t, store.keys)
	assert.Empty(t, store.ordered)
	assert.Zero(t, logs.bytes.used.Load())
	assert.Zero(t, events.bytes.used.Load())
}

// lead leads a task to its end, with n writes to its log and n events.
func lead(t *testing.T, b ports.Backend, id ports.TaskID, n int) {
	t.Helper()
	task, err := b.Store.Create(t.Context(), ports.Task{ID: id, Spec: ports.Spec{IdempotencyKey: string(id)}})
	require.NoError(t, err)
	haunt(t, b, id, n)
	task.Status = ports.StatusFailed
	task.Result = &ports.Result{Stdout: ports.Output{Head: make([]byte, 1000)}}
	_, err = b.Store.Update(t.Context(), task)
	require.NoError(t, err)
}

// haunt writes a log and events of a task whether or not it has a record.
func haunt(t *testing.T, b ports.Backend, id ports.TaskID, n int) {
	t.Helper()
	w, err := b.Logs.Create(t.Context(), ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStdout})
	require.NoError(t, err)
	for range n {
		_, err = w.Write(make([]byte, 100))
		require.NoError(t, err)
		_, err = b.Events.Publish(t.Context(), ports.Event{Task: id, Data: make([]byte, 100)})
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
}

func TestWhatAGhostWroteAfterItsTaskWasDroppedIsSweptBeforeAnyTaskIs(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"logs", "events"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			b := New(WithMaxLogBytes(64<<10), WithMaxEventBytes(64<<10))
			logs, events := b.Logs.(*LogSink), b.Events.(*EventBus)
			lead(t, b, "kept", 1)
			for i := range 20 {
				haunt(t, b, ports.TaskID(fmt.Sprint("ghost", i)), 1)
			}
			_, err := b.Store.Create(t.Context(), ports.Task{ID: "running", Status: ports.StatusRunning})
			require.NoError(t, err)
			room := &logs.bytes
			if part == "events" {
				room = &events.bytes
			}
			for n := 0; room.used.Load() < room.max-10_000; n++ {
				require.Less(t, n, 1000)
				if part == "logs" {
					w, err := logs.Create(t.Context(), ports.LogKey{Task: "running", Attempt: 1, Name: fmt.Sprint("artifacts/", n)})
					require.NoError(t, err)
					_, err = w.Write(make([]byte, 1000))
					require.NoError(t, err)
				} else {
					_, err := events.Publish(t.Context(), ports.Event{Task: "running", Data: make([]byte, 1000)})
					require.NoError(t, err)
				}
			}
			assert.Contains(t, append(logs.tasks(), events.tasks()...), ports.TaskID("ghost1"), "there was room so far")
			if part == "logs" {
				haunt(t, b, "running", 100)
			} else {
				for range 12 {
					_, err := events.Publish(t.Context(), ports.Event{Task: "running", Data: make([]byte, 1000)})
					require.NoError(t, err)
				}
			}
			assert.True(t, b.Store.(*Store).has("kept"))
			for _, id := range append(logs.tasks(), events.tasks()...) {
				assert.NotContains(t, id, "ghost")
			}
		})
	}
}

func TestOpeningALongLogCopiesNoneOfIt(t *testing.T) {
	s := NewLogSink()
	key := ports.LogKey{Task: "a", Attempt: 1, Name: ports.LogStdout}
	w, err := s.Create(t.Context(), key)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, 16<<20))
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		r, _, err := s.Open(t.Context(), key, 8<<20, -1)
		require.NoError(t, err)
		_, err = io.ReadFull(r, make([]byte, 16))
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func TestReaderOfADeletedLogIsToldAndHoldsNoMemory(t *testing.T) {
	t.Parallel()
	s := NewLogSink()
	key := ports.LogKey{Task: "a", Attempt: 1, Name: ports.LogStdout}
	w, err := s.Create(t.Context(), key)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, 1000))
	require.NoError(t, err)
	r, _, err := s.Open(t.Context(), key, 0, -1)
	require.NoError(t, err)
	require.NoError(t, s.Delete(t.Context(), "a"))
	_, err = r.Read(make([]byte, 10))
	require.ErrorIs(t, err, ports.ErrGone)
	_, err = w.Write([]byte("more"))
	require.ErrorIs(t, err, ports.ErrGone)
	require.ErrorIs(t, w.Close(), ports.ErrGone)
	assert.Nil(t, r.(*logReader).log.chunks)
	assert.Zero(t, s.bytes.used.Load())
}

func TestFullSinkRefusesEvenAnEmptyLog(t *testing.T) {
	t.Parallel()
	s := NewLogSink(WithMaxLogBytes(2000))
	var err error
	for attempt := 1; err == nil; attempt++ {
		require.Less(t, attempt, 10)
		_, err = s.Create(t.Context(), ports.LogKey{Task: "a", Attempt: attempt, Name: ports.LogStdout})
	}
	require.ErrorIs(t, err, ports.ErrFull)
	require.NoError(t, s.Delete(t.Context(), "a"))
	assert.Zero(t, s.bytes.used.Load())
}

func TestSweepingIsDueOnceInAWhile(t *testing.T) {
	t.Parallel()
	j := newJanitor(configure(nil))
	assert.True(t, j.sweepIsDue(), "at first")
	for range 2 {
		for range sweepEvery {
			assert.False(t, j.sweepIsDue())
			j.forget("a")
		}
		assert.True(t, j.sweepIsDue())
	}
}
