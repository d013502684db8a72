package taskrunner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const leaseTTL = 3 * time.Second

// world is what all processes of a test share, and what must hold in it.
type world struct {
	t      *testing.T
	shared ports.Backend
	ledger *ledger
	// mostEnds is how often the end of one task may be published: once, but where
	// a Publish failed it is made again.
	mostEnds int
	// lossy says that the bus is so bad that live output may be missing.
	lossy bool
}

func newWorld(t *testing.T) *world {
	shared := memory.New()
	l := &ledger{Store: shared.Store, t: t, ends: make(map[taskrunner.TaskID]int)}
	shared.Store = l
	return &world{t: t, shared: shared, ledger: l, mostEnds: 1}
}

// ledger is the shared store, which counts the ends of each task and suffers no
// change of a task that has ended.
type ledger struct {
	ports.Store
	t *testing.T

	mu   sync.Mutex
	ends map[taskrunner.TaskID]int
}

func (l *ledger) Update(ctx context.Context, next ports.Task) (ports.Task, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, err := l.Get(ctx, next.ID)
	if err != nil {
		return ports.Task{}, err
	}
	after, err := l.Store.Update(ctx, next)
	if err != nil {
		return after, err
	}
	assert.False(l.t, before.Status.Terminal(), "task was %s and became %s", before.Status, after.Status)
	assert.Equal(l.t, after.Status.Terminal(), after.Result != nil, "a result goes with an end, and an end with a result")
	if after.Status.Terminal() {
		l.ends[next.ID]++
	}
	return after, nil
}

// process is one process: a client and a worker with a view of the world that
// has faults of its own.
type process struct {
	*fakes.Backend
	client   *taskrunner.Client
	worker   *taskrunner.Worker
	executor *fakes.Executor
}

type option func(*taskrunner.Config)

func (w *world) process(name string, executor *fakes.Executor, opts ...option) *process {
	w.t.Helper()
	p := &process{Backend: fakes.Wrap(w.shared), executor: executor}
	cfg := taskrunner.Config{
		Backend: p.Ports(), Executor: executor, WorkerName: name, Concurrency: 2,
		LeaseTTL: leaseTTL, ReconcileEvery: 10 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	var err error
	p.client, err = taskrunner.NewClient(cfg)
	require.NoError(w.t, err)
	p.worker, err = taskrunner.NewWorker(cfg)
	require.NoError(w.t, err)
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	require.NoError(t, p.worker.Start(t.Context()))
	t.Cleanup(func() {
		if t.Failed() { // and has left it running
			p.Crash()
			p.stop(t)
		}
	})
}

// stop drains the worker; a crashed one is only put away.
func (p *process) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if p.dead() {
		cancel()
	}
	if err := p.worker.Stop(ctx); !p.dead() {
		assert.NoError(t, err, "draining")
	}
}

func (p *process) dead() bool {
	select {
	case <-p.Crashed():
		return true
	default:
		return false
	}
}

// spec is a spec that needs nothing special.
func spec() taskrunner.Spec { return taskrunner.Spec{Language: "python", Code: "print('hi')"} }

// says writes a line that tells the attempt and the worker that it ran on.
func says(who, what string) fakes.Step {
	return func(ctx context.Context, job ports.Job, count *fakes.Count) (*ports.Outcome, error) {
		return fakes.Stdout(fmt.Sprintf("%s on %s in attempt %d\n", what, who, job.Attempt))(ctx, job, count)
	}
}

// history follows a task from its beginning to its end.
type history struct {
	events []taskrunner.Event
	end    *taskrunner.Event
	stdout string // of the last attempt
}

func follow(t *testing.T, c *taskrunner.Client, id taskrunner.TaskID) history {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	watch, err := c.Watch(ctx, id, taskrunner.Position{})
	require.NoError(t, err)
	defer func() { assert.NoError(t, watch.Close()) }()
	var h history
	for {
		e, err := watch.Next(ctx)
		if errors.Is(err, io.EOF) {
			return h
		}
		if !assert.NoError(t, err) || !assert.Nil(t, h.end, "something follows the end: %+v", e) {
			return h
		}
		h.events = append(h.events, e)
		switch e.Type {
		case ports.EventStatus:
			if e.Status == ports.StatusRunning {
				h.stdout = ""
			}
		case ports.EventStdout:
			h.stdout += string(e.Data)
		case ports.EventEnd:
			h.end = &e
		}
	}
}

// readLog reads the whole log of a task's last attempt.
func readLog(t *testing.T, c *taskrunner.Client, id taskrunner.TaskID, stream string) string {
	t.Helper()
	r, _, err := c.Logs(context.Background(), id, stream, 0, -1)
	require.NoError(t, err)
	defer func() { assert.NoError(t, r.Close()) }()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

// all lists every task there is.
func (w *world) all() []taskrunner.Task {
	w.t.Helper()
	page, err := w.shared.Store.List(context.Background(), ports.ListQuery{AnyOwner: true})
	require.NoError(w.t, err)
	return page.Tasks
}

// requireOver demands that every task has come to exactly one end, that everybody
// can see the same one, and that nothing is left in the queue. c is the client of
// a process without faults.
func (w *world) requireOver(c *taskrunner.Client) {
	w.t.Helper()
	for _, task := range w.all() {
		require.True(w.t, task.Status.Terminal(), "task is %s", task.Status)
		require.NotNil(w.t, task.Result)
		assert.Equal(w.t, 1, w.ledger.ends[task.ID], "ends of the task")
		assert.False(w.t, task.FinishedAt.IsZero())

		h := follow(w.t, c, task.ID)
		if assert.NotNil(w.t, h.end) {
			assert.Equal(w.t, task.Status, h.end.Status)
			assert.Equal(w.t, task.Result.Cause, h.end.Cause)
			assert.Equal(w.t, task.Result.ExitCode, h.end.ExitCode)
			assert.Equal(w.t, task.Attempt, h.end.Attempt)
		}
		inline := string(task.Result.Stdout.Head)
		if task.Result.Usage.WallTime != nil && task.Result.Message == "" { // a worker was there to see the end
			assert.Equal(w.t, inline, readLog(w.t, c, task.ID, ports.LogStdout), "the log is the result's")
		}
		if task.Result.Cause == ports.CauseExit {
			if !w.lossy {
				assert.Equal(w.t, inline, h.stdout, "the live output is the result's")
			}
			assert.Contains(w.t, inline, fmt.Sprintf("in attempt %d\n", task.Attempt))
		}
		assert.LessOrEqual(w.t, w.endsTold(task.ID), w.mostEnds, "ends published")
	}
	stats, err := w.shared.Queue.Stats(context.Background(), ports.DefaultQueue)
	require.NoError(w.t, err)
	assert.Zero(w.t, stats.Waiting+stats.Delayed+stats.Leased, "entries left in the queue: %+v", stats)
}

// endsTold counts the ends that were published, whatever a Watch makes of them.
func (w *world) endsTold(id taskrunner.TaskID) (n int) {
	w.t.Helper()
	for _, e := range w.told(id) {
		if e.Type == ports.EventEnd {
			n++
		}
	}
	return n
}

// told returns what was published of a task and is still there.
func (w *world) told(id taskrunner.TaskID) (events []taskrunner.Event) {
	w.t.Helper()
	sub, err := w.shared.Events.Subscribe(context.Background(), id, ports.Position{})
	require.NoError(w.t, err)
	defer func() { _ = sub.Close() }()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		e, err := sub.Next(ctx)
		cancel()
		if err != nil {
			return events
		}
		events = append(events, e)
	}
}
