package memory_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

// The parts keep every promise when they share one life, too.
func TestBackendConforms(t *testing.T) {
	t.Run("store", func(t *testing.T) {
		conformance.Store(t, conformance.StoreHarness{New: func(*testing.T) ports.Store { return memory.New().Store }})
	})
	t.Run("queue", func(t *testing.T) {
		conformance.Queue(t, conformance.QueueHarness{New: func(*testing.T) ports.Queue { return memory.New().Queue }, Bubble: true})
	})
	t.Run("log sink", func(t *testing.T) {
		conformance.LogSink(t, conformance.LogSinkHarness{New: func(*testing.T) ports.LogSink { return memory.New().Logs }})
	})
	t.Run("event bus", func(t *testing.T) {
		conformance.EventBus(t, conformance.EventBusHarness{
			New:      func(*testing.T) ports.EventBus { return memory.New().Events },
			Trimming: func(*testing.T) ports.EventBus { return memory.New(memory.WithMaxTopicEvents(20)).Events },
			Bubble:   true,
		})
	})
}

func TestBoundsBelowOneMeanTheDefault(t *testing.T) {
	t.Parallel()
	b := memory.New(
		memory.WithMaxTasks(0), memory.WithMaxTaskBytes(-1), memory.WithMaxQueueEntries(0), memory.WithMaxLogBytes(0),
		memory.WithMaxTopicEvents(-5), memory.WithMaxTopicBytes(0), memory.WithMaxEventBytes(0),
	)
	l := life{t, b}
	l.finish(l.start("a"))
	l.requireWhole("a")
}

// life leads tasks through a backend as the core does.
type life struct {
	t *testing.T
	b ports.Backend
}

const lifeOutput = "0123456789"

// start stores a running task with a log and an event.
func (l life) start(id ports.TaskID) ports.Task {
	l.t.Helper()
	task, err := l.b.Store.Create(l.t.Context(), ports.Task{ID: id, Status: ports.StatusRunning})
	require.NoError(l.t, err)
	l.write(id, lifeOutput)
	_, err = l.b.Events.Publish(l.t.Context(), ports.Event{Task: id, Type: ports.EventStatus, Data: []byte(lifeOutput)})
	require.NoError(l.t, err)
	return task
}

func (l life) write(id ports.TaskID, text string) {
	l.t.Helper()
	w, err := l.b.Logs.Create(l.t.Context(), ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStdout})
	require.NoError(l.t, err)
	_, err = io.WriteString(w, text)
	require.NoError(l.t, err)
	require.NoError(l.t, w.Close())
}

func (l life) finish(task ports.Task) ports.Task {
	l.t.Helper()
	task.Status, task.FinishedAt = ports.StatusSucceeded, time.Now()
	task, err := l.b.Store.Update(l.t.Context(), task)
	require.NoError(l.t, err)
	return task
}

// requireWhole demands that record, log and events are there.
func (l life) requireWhole(id ports.TaskID) {
	l.t.Helper()
	_, err := l.b.Store.Get(l.t.Context(), id)
	require.NoError(l.t, err)
	_, _, err = l.b.Logs.Open(l.t.Context(), ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStdout}, 0, -1)
	require.NoError(l.t, err)
	require.True(l.t, l.hasEvents(id))
}

// requireGone demands that neither record nor log nor events are left.
func (l life) requireGone(id ports.TaskID) {
	l.t.Helper()
	_, err := l.b.Store.Get(l.t.Context(), id)
	require.ErrorIs(l.t, err, ports.ErrNotFound)
	_, _, err = l.b.Logs.Open(l.t.Context(), ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStdout}, 0, -1)
	require.ErrorIs(l.t, err, ports.ErrNotFound)
	require.False(l.t, l.hasEvents(id))
}

func (l life) hasEvents(id ports.TaskID) bool {
	l.t.Helper()
	s, err := l.b.Events.Subscribe(l.t.Context(), id, ports.Position{})
	require.NoError(l.t, err)
	defer s.Close()
	// A marker tells whether anything comes before it.
	marker, err := l.b.Events.Publish(l.t.Context(), ports.Event{Task: id})
	require.NoError(l.t, err)
	e, err := s.Next(l.t.Context())
	require.NoError(l.t, err)
	return e.ID != marker
}

func TestFullStoreDropsTheTaskThatFinishedFirstWhole(t *testing.T) {
	t.Parallel()
	l := life{t, memory.New(memory.WithMaxTasks(3))}
	a, b, _ := l.start("a"), l.start("b"), l.start("c")
	b = l.finish(b)
	l.finish(a)
	l.finish(b) // what happens to it later does not make it younger
	reader, err := l.b.Events.Subscribe(t.Context(), "b", ports.Position{Now: true})
	require.NoError(t, err)

	l.start("d")
	_, err = reader.Next(t.Context())
	require.ErrorIs(t, err, ports.ErrGone)
	l.requireGone("b")
	l.requireWhole("a")
	l.start("e")
	l.requireGone("a")
	for _, id := range []ports.TaskID{"c", "d", "e"} {
		l.requireWhole(id)
	}
	_, err = l.b.Store.Create(t.Context(), ports.Task{ID: "f"})
	require.ErrorIs(t, err, ports.ErrFull, "nothing is finished")
	for _, id := range []ports.TaskID{"c", "d", "e"} {
		l.requireWhole(id)
	}
}

func TestFullStoreFreesTheIdempotencyKeyOfWhatItDrops(t *testing.T) {
	t.Parallel()
	s := memory.NewStore(memory.WithMaxTasks(1))
	withKey := func(id ports.TaskID) ports.Task {
		return ports.Task{ID: id, Status: ports.StatusFailed, Spec: ports.Spec{IdempotencyKey: "key"}}
	}
	_, err := s.Create(t.Context(), withKey("a"))
	require.NoError(t, err)
	_, err = s.Create(t.Context(), withKey("b"))
	require.ErrorIs(t, err, ports.ErrExists, "a repeat is known before anything is dropped for it")
	_, err = s.Create(t.Context(), ports.Task{ID: "c", Status: ports.StatusFailed})
	require.NoError(t, err)
	_, err = s.Create(t.Context(), withKey("b"))
	require.NoError(t, err)
}

func TestStoreIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	s := memory.NewStore(memory.WithMaxTaskBytes(100_000))
	sized := func(id ports.TaskID, status ports.Status, n int) error {
		_, err := s.Create(t.Context(), ports.Task{ID: id, Status: status, Spec: ports.Spec{Stdin: make([]byte, n)}})
		return err
	}
	require.NoError(t, sized("old", ports.StatusFailed, 40_000))
	require.NoError(t, sized("young", ports.StatusQueued, 40_000))

	require.ErrorIs(t, sized("huge", ports.StatusQueued, 100_000), ports.ErrFull)
	require.ErrorIs(t, sized("large", ports.StatusQueued, 60_000), ports.ErrFull)
	_, err := s.Get(t.Context(), "old")
	require.NoError(t, err, "nothing is dropped for what does not fit even then")

	require.NoError(t, sized("fits", ports.StatusQueued, 40_000))
	_, err = s.Get(t.Context(), "old")
	require.ErrorIs(t, err, ports.ErrNotFound)
}

func TestResultIsKeptEvenBeyondTheBound(t *testing.T) {
	t.Parallel()
	s := memory.NewStore(memory.WithMaxTaskBytes(10_000))
	task, err := s.Create(t.Context(), ports.Task{ID: "a", Status: ports.StatusRunning})
	require.NoError(t, err)
	task.Status, task.Result = ports.StatusSucceeded, &ports.Result{Stdout: ports.Output{Head: make([]byte, 64<<10)}}
	_, err = s.Update(t.Context(), task)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "a")
	require.NoError(t, err)
	_, err = s.Create(t.Context(), ports.Task{ID: "b"})
	require.NoError(t, err, "the finished one makes room")
}

func TestFullLogsDropTheTaskThatFinishedFirst(t *testing.T) {
	t.Parallel()
	l := life{t, memory.New(memory.WithMaxLogBytes(256 << 10))}
	l.finish(l.start("a"))
	l.start("b")
	l.finish(l.start("c"))
	w, err := l.b.Logs.Create(t.Context(), ports.LogKey{Task: "b", Attempt: 1, Name: ports.LogStderr})
	require.NoError(t, err)
	written := 0
	for err == nil {
		var n int
		n, err = w.Write(make([]byte, 1000))
		written += n
	}
	require.ErrorIs(t, err, ports.ErrFull)
	assert.Greater(t, written, 128<<10)
	require.NoError(t, w.Close())
	l.requireGone("a")
	l.requireGone("c")
	l.requireWhole("b")
	_, info, err := l.b.Logs.Open(t.Context(), ports.LogKey{Task: "b", Attempt: 1, Name: ports.LogStderr}, 0, 0)
	require.NoError(t, err)
	assert.EqualValues(t, written, info.Size)
}

func TestFullBusDropsTheTaskThatFinishedFirst(t *testing.T) {
	t.Parallel()
	l := life{t, memory.New(memory.WithMaxEventBytes(64 << 10))}
	l.finish(l.start("a"))
	l.start("b")
	for range 10 {
		_, err := l.b.Events.Publish(t.Context(), ports.Event{Task: "b", Data: make([]byte, 10_000)})
		require.NoError(t, err)
	}
	l.requireGone("a")
	l.requireWhole("b")
}

func TestFullBusWithNothingToDropTrimsTheTopicThatIsPublishedTo(t *testing.T) {
	t.Parallel()
	b := memory.NewEventBus(memory.WithMaxEventBytes(64 << 10))
	quiet, err := b.Publish(t.Context(), ports.Event{Task: "quiet", Data: make([]byte, 30_000)})
	require.NoError(t, err)
	first, err := b.Publish(t.Context(), ports.Event{Task: "loud", Data: make([]byte, 10_000)})
	require.NoError(t, err)
	for range 10 {
		_, err := b.Publish(t.Context(), ports.Event{Task: "loud", Data: make([]byte, 10_000)})
		require.NoError(t, err)
	}
	_, err = b.Subscribe(t.Context(), "loud", ports.Position{After: first})
	require.ErrorIs(t, err, ports.ErrGone)
	s, err := b.Subscribe(t.Context(), "quiet", ports.Position{})
	require.NoError(t, err)
	defer s.Close()
	e, err := s.Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, quiet, e.ID)
	_, err = b.Publish(t.Context(), ports.Event{Task: "new", Data: make([]byte, 50_000)})
	require.ErrorIs(t, err, ports.ErrFull)
}

func TestTopicIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	b := memory.NewEventBus(memory.WithMaxTopicBytes(10_000))
	publish := func(n int) error {
		_, err := b.Publish(t.Context(), ports.Event{Task: "a", Data: make([]byte, n)})
		return err
	}
	require.ErrorIs(t, publish(10_000), ports.ErrFull, "an event that is larger than a topic")
	for range 10 {
		require.NoError(t, publish(4_000))
	}
	s, err := b.Subscribe(t.Context(), "a", ports.Position{})
	require.NoError(t, err)
	defer s.Close()
	e, err := s.Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, ports.EventID("9"), e.ID, "two events fit")
	require.NoError(t, publish(9_000))
	_, err = s.Next(t.Context())
	require.ErrorIs(t, err, ports.ErrGone)
}

func TestBackendSurvivesManyLivesInLittleRoom(t *testing.T) {
	t.Parallel()
	b := memory.New(memory.WithMaxTasks(20), memory.WithMaxLogBytes(64<<10), memory.WithMaxEventBytes(32<<10))
	const workers, lives = 4, 100
	done := make(chan struct{})
	for w := range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := range lives {
				assert.NoError(t, live(t.Context(), b, ports.TaskID(fmt.Sprintf("%d-%d", w, n))))
			}
		}()
	}
	for range workers {
		<-done
	}
}

// live leads one task from its creation to its end, with a reader of its events.
func live(ctx context.Context, b ports.Backend, id ports.TaskID) error {
	task, err := b.Store.Create(ctx, ports.Task{ID: id, Status: ports.StatusRunning})
	if err != nil {
		return err
	}
	s, err := b.Events.Subscribe(ctx, id, ports.Position{})
	if err != nil {
		return err
	}
	defer s.Close()
	w, err := b.Logs.Create(ctx, ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStdout})
	if err != nil {
		return err
	}
	for range 10 {
		if _, err := w.Write(make([]byte, 500)); err != nil {
			return err
		}
		if _, err := b.Events.Publish(ctx, ports.Event{Task: id, Data: make([]byte, 200)}); err != nil {
			return err
		}
		if _, err := s.Next(ctx); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	task.Status = ports.StatusSucceeded
	_, err = b.Store.Update(ctx, task)
	return err
}
