package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// markVariable marks the processes of a task.
const markVariable = "CHAOS_TASK"

// world is a set of servers, and everybody and everything on them.
type world struct {
	t *testing.T
	servers
	addresses
	backend ports.Backend
	client  *taskrunner.Client
	lease   time.Duration
	logs    string // folder of what the processes say
	journal string // file of what they run
	groups  []string

	// unsteady: servers fail. So live output may be missing, and an end be told twice.
	unsteady bool
	// outlived: attempts may run on without their worker's knowing, as it stands still.
	outlived bool

	began    time.Time
	tasks    []*tracked
	workers  []*process
	names    int // of workers, given so far
	faults   int
	torn     int                  // logs that are not whole, as the record says
	killed   map[string]time.Time // when which worker got its SIGKILL
	watching sync.WaitGroup
	observer *observer
}

// tracked is a task that was accepted.
type tracked struct {
	program
	id      ports.TaskID
	mark    string
	began   chan struct{} // closed when a reader has heard that it runs
	once    sync.Once
	over    chan struct{} // closed when a reader has heard of its end
	history history
}

// newWorld starts servers. Everything is taken down at the end of the test.
func newWorld(t *testing.T, redisOptions testenv.RedisOptions) *world {
	t.Helper()
	needRoot(t)
	w := &world{t: t, lease: 3 * time.Second, logs: t.TempDir(), began: time.Now(), groups: groups(t), killed: map[string]time.Time{}}
	w.journal = filepath.Join(w.logs, "journal")
	require.NoError(t, os.WriteFile(w.journal, nil, 0o600))
	w.servers, w.addresses = start(t, redisOptions)
	var shut func()
	var err error
	w.backend, shut, err = w.open(t.Context())
	t.Cleanup(shut)
	require.NoError(t, err)
	w.client, err = taskrunner.NewClient(taskrunner.Config{
		Backend: w.backend, Languages: languages, LeaseTTL: w.lease, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { figures.add(w) })
	w.observer = observe(t, w.backend.Store)
	t.Cleanup(w.watching.Wait)
	return w
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("TASKRUNNER_REQUIRE_SERVICES") == "1" {
			t.Fatal("the sandbox needs root")
		}
		t.Skip("the sandbox needs root")
	}
}

// maxAttempts is the most that the core allows.
const maxAttempts = 10

// spec returns the program's spec. An attempt that is lost is always followed by
// another one, as far as the core allows.
func (w *world) spec(p program) (s taskrunner.Spec, mark string) {
	mark = fmt.Sprintf("%s/%d", w.Name, len(w.tasks))
	return taskrunner.Spec{
		Language: p.language, Code: p.code, Queue: p.queue, MaxAttempts: maxAttempts,
		IdempotencyKey: mark, Env: map[string]string{markVariable: mark},
	}, mark
}

// submit submits a program as a caller does who must not lose it: again, with the same
// key, until it is accepted; and now and then two do so at the same time. From then on a
// reader follows the task.
func (w *world) submit(p program) *tracked {
	w.t.Helper()
	s, mark := w.spec(p)
	ids := make([]ports.TaskID, 1+len(w.tasks)%10/9)
	var callers sync.WaitGroup
	for i := range ids {
		callers.Go(func() { ids[i] = w.accept(s) })
	}
	callers.Wait()
	for _, id := range ids {
		require.NotEmpty(w.t, id, "waited too long for a task to be accepted")
		require.Equal(w.t, ids[0], id, "one key has one task")
	}
	return w.track(p, ids[0], mark)
}

// submitAll submits some programs.
func (w *world) submitAll(some []program) {
	w.t.Helper()
	for _, p := range some {
		w.submit(p)
	}
}

// accept submits until the task is accepted; empty: that took too long.
func (w *world) accept(s taskrunner.Spec) (id ports.TaskID) {
	w.insist(func() error {
		task, err := w.client.Submit(w.t.Context(), s)
		id = task.ID
		return err
	})
	return id
}

// insist calls f until it succeeds, or that takes too long.
func (w *world) insist(f func() error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	err := f()
	for err != nil && !passed(ctx.Done(), tick) {
		err = f()
	}
	if err != nil {
		w.t.Logf("tried for %s in vain: %v", patience, err)
	}
}

func (w *world) track(p program, id ports.TaskID, mark string) *tracked {
	k := &tracked{program: p, id: id, mark: mark, began: make(chan struct{}), over: make(chan struct{})}
	w.tasks = append(w.tasks, k)
	w.watching.Go(func() {
		defer close(k.over)
		k.history = w.follow(w.t.Context(), k)
		if !w.outlived && k.history.end != nil {
			assert.Empty(w.t, processesOf(k.mark), "processes of a task that is over")
		}
	})
	if p.cancelled {
		w.watching.Go(func() {
			if !p.early {
				select {
				case <-k.began:
				case <-k.over:
				}
			}
			w.insist(func() error {
				_, err := w.client.Cancel(w.t.Context(), id)
				if errors.Is(err, taskrunner.ErrConflict) {
					return nil // it is over
				}
				return err
			})
		})
	}
	return k
}

// runs returns what the journal says so far, in order.
func (w *world) runs() (notes []note) {
	file, err := os.Open(w.journal)
	require.NoError(w.t, err)
	defer func() { _ = file.Close() }()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var n note
		if json.Unmarshal(scanner.Bytes(), &n) == nil { // else the line is half written
			notes = append(notes, n)
		}
	}
	return notes
}

// runsOf returns the runs of one task.
func (w *world) runsOf(k *tracked) []note {
	return slices.DeleteFunc(w.runs(), func(n note) bool { return n.Task != k.id })
}

// settle waits until all tasks are over, as their readers hear of it.
func (w *world) settle() {
	w.t.Helper()
	for _, k := range w.tasks {
		await(w.t, k.over, "the end of task %s (%s)", k.id, k.kind)
	}
}

// bounded returns a context for a call that takes a moment.
func bounded(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 20*time.Second)
}

// snapshot returns every task as the store has it now, by ID.
func (w *world) snapshot() map[ports.TaskID]ports.Task {
	w.t.Helper()
	all, err := w.observer.look(w.t.Context())
	require.NoError(w.t, err)
	tasks := map[ports.TaskID]ports.Task{}
	for _, task := range all {
		tasks[task.ID] = task
	}
	return tasks
}
