package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// requireOver demands that every task has come to exactly one end, the right one, that
// everybody sees, and that nothing is left. No worker lives any more.
func (w *world) requireOver() {
	w.t.Helper()
	w.observer.stop()
	w.requireOnce()
	for _, k := range w.tasks {
		w.requireEnd(k)
	}
	for _, q := range w.queues() {
		stats, err := w.backend.Queue.Stats(w.t.Context(), q)
		require.NoError(w.t, err)
		assert.Zero(w.t, stats.Waiting+stats.Delayed+stats.Leased, "entries left in queue %q: %+v", q, stats)
	}
	w.requireNothingLeft()
}

// queues returns the names of the queues that tasks were put in.
func (w *world) queues() []string {
	names := map[string]bool{ports.DefaultQueue: true}
	for _, k := range w.tasks {
		if k.queue != "" {
			names[k.queue] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// requireOnce demands that the store has the tasks that were accepted and no others,
// and that no attempt ran twice.
func (w *world) requireOnce() {
	w.t.Helper()
	accepted := map[ports.TaskID]bool{}
	for _, k := range w.tasks {
		assert.False(w.t, accepted[k.id], "two keys have one task")
		accepted[k.id] = true
	}
	for id := range w.snapshot() {
		assert.True(w.t, accepted[id], "task %s was never told to anybody", id)
	}
	assert.Empty(w.t, w.twice(), "attempts that ran more than once")
}

func (w *world) requireEnd(k *tracked) {
	w.t.Helper()
	t := w.t
	what := fmt.Sprintf("task %s (%s)", k.id, k.kind)
	ctx, cancel := bounded(t)
	defer cancel()
	task, err := w.client.Get(ctx, k.id)
	if !assert.NoError(t, err, "%s was accepted", what) {
		return
	}
	if !assert.True(t, task.Status.Terminal(), "%s is %s", what, task.Status) {
		return
	}
	r := task.Result
	switch {
	case k.cancelled:
		assert.Equal(t, ports.StatusCancelled, task.Status, what)
		assert.Equal(t, ports.CauseCancelled, r.Cause, what)
	case k.exit == 0:
		assert.Equal(t, ports.StatusSucceeded, task.Status, "%s: %s", what, r.Message)
	default:
		assert.Equal(t, ports.StatusFailed, task.Status, what)
	}
	if !k.cancelled {
		assert.Equal(t, ports.CauseExit, r.Cause, "%s: %s", what, r.Message)
		assert.Equal(t, k.exit, r.ExitCode, what)
		w.requireOutput(ctx, k, task, what)
	}
	for reader, h := range map[string]history{"the reader": k.history, "a late reader": w.follow(ctx, k)} {
		if assert.NotNil(t, h.end, "%s of %s", reader, what) {
			assert.Equal(t, task.Status, h.end.Status, "%s of %s", reader, what)
			assert.Equal(t, r.Cause, h.end.Cause, "%s of %s", reader, what)
			assert.Equal(t, r.ExitCode, h.end.ExitCode, "%s of %s", reader, what)
			assert.Equal(t, task.Attempt, h.end.Attempt, "%s of %s", reader, what)
		}
		assert.Empty(t, h.legal(), "%s of %s: %+v", reader, what, h.statuses)
		if !k.cancelled && !w.unsteady {
			heard := string(h.stdout)
			assert.True(t, heard == k.stdout || strings.HasPrefix(k.stdout, heard) && w.lostLive(k), "%s of %s heard %d bytes of %d", reader, what, len(h.stdout), len(k.stdout))
		}
	}
	if !w.unsteady {
		assert.LessOrEqual(t, w.endsTold(k.id), 1, "ends of %s that were published", what)
	}
}

// requireOutput demands that the record and the log hold what the program printed.
func (w *world) requireOutput(ctx context.Context, k *tracked, task taskrunner.Task, what string) {
	w.t.Helper()
	t, kept := w.t, task.Result.Stdout
	want := []byte(k.stdout)
	assert.Equal(t, int64(len(want)), kept.Bytes, "bytes of %s", what)
	assert.Equal(t, len(kept.Head)+len(kept.Tail) < len(want), kept.Truncated, what)
	assert.True(t, bytes.HasPrefix(want, kept.Head) && bytes.HasSuffix(want, kept.Tail), "the output kept of %s", what)

	if w.unsteady && strings.Contains(task.Result.Message, "is not complete") {
		w.torn++
		return
	}
	assert.Empty(t, task.Result.Message, what)
	r, info, err := w.client.Logs(ctx, k.id, ports.LogStdout, 0, -1)
	if !assert.NoError(t, err, "the log of %s", what) {
		return
	}
	defer func() { _ = r.Close() }()
	got, err := io.ReadAll(r)
	assert.NoError(t, err, "the log of %s", what)
	assert.True(t, bytes.Equal(want, got), "the log of %s has %d bytes of %d", what, len(got), len(want))
	assert.True(t, info.Complete, "the log of %s", what)
}

// lostLive reports whether a worker said that it could not publish all output of a task
// in time, as happens with short leases on a machine that is busy: its readers miss the
// end of it then, which the log has.
func (w *world) lostLive(k *tracked) bool {
	w.t.Helper()
	files, err := os.ReadDir(w.logs)
	require.NoError(w.t, err)
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(w.logs, f.Name()))
		require.NoError(w.t, err)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "live events of a task are lost") && strings.Contains(line, " task="+string(k.id)+" ") {
				return true
			}
		}
	}
	return false
}

// endsTold counts the ends that were published, whatever a Watch makes of them.
func (w *world) endsTold(id ports.TaskID) (n int) {
	w.t.Helper()
	ctx, cancel := bounded(w.t)
	defer cancel()
	all, err := w.backend.Events.Subscribe(ctx, id, ports.Position{})
	require.NoError(w.t, err)
	defer func() { _ = all.Close() }()
	// What was published last tells where to end.
	last, err := w.backend.Events.Publish(ctx, ports.Event{Task: id, Type: ports.EventUsage, Time: time.Now()})
	require.NoError(w.t, err)
	for {
		e, err := all.Next(ctx)
		require.NoError(w.t, err)
		if e.ID == last {
			return n
		}
		if e.Type == ports.EventEnd {
			n++
		}
	}
}

// requireNothingLeft demands that no process of a task lives, and that the control
// groups of workers that were killed go with the next executor's start.
func (w *world) requireNothingLeft() {
	w.t.Helper()
	eventually(w.t, func() bool { return len(processesOf(w.Name+"/")) == 0 }, "the processes of all tasks to be gone")
	eventually(w.t, func() bool {
		x, err := sandboxexec.New(sandboxexec.Config{Pool: -1})
		require.NoError(w.t, err)
		require.NoError(w.t, x.Close(w.t.Context()))
		return len(orphaned(w.t, w.groups)) == 0
	}, "the control groups of all executors to be gone")
}

// processesOf returns the processes whose mark begins like this.
func processesOf(mark string) (pids []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil {
			continue // it has ended
		}
		for variable := range strings.SplitSeq(string(env), "\x00") {
			value, ok := strings.CutPrefix(variable, markVariable+"=")
			// A mark is all of the value, or ends with a slash.
			if ok && (value == mark || strings.HasSuffix(mark, "/") && strings.HasPrefix(value, mark)) {
				pids = append(pids, filepath.Base(dir))
			}
		}
	}
	return pids
}

// groups returns the control groups of sandbox executors that there are.
func groups(t testing.TB) (dirs []string) {
	t.Helper()
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // it is gone meanwhile
		case strings.HasPrefix(d.Name(), "taskrunner.sandboxes."):
			dirs = append(dirs, path)
			return fs.SkipDir
		}
		return nil
	})
	return dirs
}

// orphaned returns the groups that came after before and whose executor lives no more:
// one that lives holds a lock.
func orphaned(t testing.TB, before []string) (dirs []string) {
	t.Helper()
	for _, dir := range groups(t) {
		if slices.Contains(before, dir) {
			continue
		}
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			dirs = append(dirs, dir)
		}
		_ = f.Close()
	}
	return dirs
}
