package conformance

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// epoch is when the tasks of the suites were created, in whole milliseconds.
var epoch = time.Date(2025, 3, 14, 15, 9, 26, 535_000_000, time.UTC)

// newTask returns a small queued task, changed by the functions.
func newTask(change ...func(*ports.Task)) ports.Task {
	task := ports.Task{
		ID:        newID(),
		Spec:      ports.Spec{Language: "python", Code: "print('hi')", Queue: ports.DefaultQueue, MaxAttempts: 3},
		Status:    ports.StatusQueued,
		CreatedAt: epoch,
	}
	for _, f := range change {
		f(&task)
	}
	return task
}

// fullTask returns a finished task with every field set, so that none can be
// forgotten; odd bytes are wherever bytes may be odd.
func fullTask() ports.Task {
	const odd = "a\x00b\xff\xfe\r\n\t\"'\\${}<>&é😀\u2028"
	return ports.Task{
		ID:    newID(),
		Owner: "owner " + odd,
		Spec: ports.Spec{
			Language:   "c++",
			Code:       odd,
			Files:      []ports.File{{Path: "src/é.py", Content: allBytes()}, {Path: "empty", Content: []byte{0}}},
			Entrypoint: "src/é.py",
			Args:       []string{"", odd, "-x", " "},
			Stdin:      allBytes(),
			Env:        map[string]string{"A": odd, "B": "", "a.b": "dot", "$c": "dollar"},
			Limits: ports.Limits{
				CPU: 0.1, Memory: 1<<40 + 1, Timeout: 1500*time.Millisecond + 1, PIDs: 7, Output: 1<<33 + 1, Disk: 1 << 34,
			},
			Network:        true,
			Queue:          "queue " + odd,
			Priority:       -100,
			MaxAttempts:    5,
			Labels:         oddLabels(),
			IdempotencyKey: "key " + odd + string(newID()),
		},
		Status:            ports.StatusFailed,
		Attempt:           2,
		Version:           1,
		CancelRequestedAt: epoch.Add(3 * time.Second),
		Result: &ports.Result{
			Outcome: ports.Outcome{
				Cause: ports.CauseSignal, ExitCode: -1, Signal: "SIGSEGV", Message: odd,
				StdoutBytes: 1<<40 + 3, StderrBytes: 1<<41 + 5,
				Usage: ports.Usage{
					CPUTime: new(time.Duration(1)), WallTime: new(2*time.Hour + 1), PeakMemory: new(int64(1<<50 + 1)),
					Samples: []ports.Sample{{At: 1, CPU: 0.1, Memory: 2}, {At: time.Hour, CPU: 1.0 / 3, Memory: 1 << 40}},
				},
			},
			Stdout: ports.Output{Head: allBytes(), Tail: []byte(odd), Bytes: 1<<40 + 3, Truncated: true},
			Stderr: ports.Output{Head: []byte(odd), Tail: allBytes(), Bytes: 1<<41 + 5, Truncated: true},
		},
		CreatedAt:   epoch,
		StartedAt:   epoch.Add(time.Second),
		FinishedAt:  epoch.Add(2 * time.Second),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// oddLabels returns labels that a store could take for something else.
func oddLabels() map[string]string {
	return map[string]string{
		"":        "empty name",
		"empty":   "",
		"a.b":     "a dot",
		".":       "only a dot",
		"$where":  "an operator",
		"_id":     "a field",
		"labels":  "another field",
		"é":       "not ASCII",
		"a b":     "space",
		"nul\x00": "NUL \x00",
		"bad\xff": "not UTF-8 \xff",
		"*":       ".*",
	}
}

// requireTask demands that got is want. Times may have lost what is below a
// millisecond, and nothing is told from empty.
func requireTask(t *testing.T, want, got ports.Task, msg ...any) {
	t.Helper()
	require.Equal(t, canonicalTask(want), canonicalTask(got), msg...)
}

func canonicalTask(task ports.Task) ports.Task {
	task = task.Clone()
	for _, at := range []*time.Time{&task.CancelRequestedAt, &task.CreatedAt, &task.StartedAt, &task.FinishedAt} {
		*at = at.UTC().Truncate(time.Millisecond).Round(0)
	}
	s := &task.Spec
	s.Files, s.Args, s.Stdin = canonicalSlice(s.Files), canonicalSlice(s.Args), canonicalSlice(s.Stdin)
	for i := range s.Files {
		s.Files[i].Content = canonicalSlice(s.Files[i].Content)
	}
	s.Env, s.Labels = canonicalMap(s.Env), canonicalMap(s.Labels)
	if r := task.Result; r != nil {
		r.Usage.Samples = canonicalSlice(r.Usage.Samples)
		for _, o := range []*ports.Output{&r.Stdout, &r.Stderr} {
			o.Head, o.Tail = canonicalSlice(o.Head), canonicalSlice(o.Tail)
		}
	}
	return task
}

func canonicalSlice[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}

func canonicalMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

// scribble changes everything that task refers to.
func scribble(task ports.Task) {
	spoil := func(b []byte) {
		for i := range b {
			b[i] ^= 0x55
		}
	}
	s := &task.Spec
	for i := range s.Files {
		spoil(s.Files[i].Content)
		s.Files[i].Path = "scribbled"
	}
	for i := range s.Args {
		s.Args[i] = "scribbled"
	}
	spoil(s.Stdin)
	for _, m := range []map[string]string{s.Env, s.Labels} {
		for k := range m {
			m[k] = "scribbled"
		}
		if m != nil {
			m["scribbled"] = "yes"
		}
	}
	r := task.Result
	if r == nil {
		return
	}
	for _, b := range [][]byte{r.Stdout.Head, r.Stdout.Tail, r.Stderr.Head, r.Stderr.Tail} {
		spoil(b)
	}
	for i := range r.Usage.Samples {
		r.Usage.Samples[i].Memory++
	}
	for _, d := range []*time.Duration{r.Usage.CPUTime, r.Usage.WallTime} {
		if d != nil {
			*d++
		}
	}
	if r.Usage.PeakMemory != nil {
		*r.Usage.PeakMemory++
	}
	r.Message = "scribbled"
}

// mustCreate stores the tasks and returns them as stored.
func mustCreate(t *testing.T, s ports.Store, tasks ...ports.Task) []ports.Task {
	t.Helper()
	stored := make([]ports.Task, len(tasks))
	for i, task := range tasks {
		var err error
		stored[i], err = s.Create(patientContext(t), task)
		require.NoError(t, err, "creating task %q", task.ID)
	}
	return stored
}

func mustGet(t *testing.T, s ports.Store, id ports.TaskID) ports.Task {
	t.Helper()
	task, err := s.Get(patientContext(t), id)
	require.NoError(t, err)
	return task
}

func requireNoTask(t *testing.T, s ports.Store, id ports.TaskID) {
	t.Helper()
	_, err := s.Get(patientContext(t), id)
	requireSentinel(t, err, ports.ErrNotFound)
}

// listAll returns the IDs of all tasks that match q, following the cursors.
func listAll(t *testing.T, ctx context.Context, s ports.Store, q ports.ListQuery) []ports.TaskID {
	t.Helper()
	ids := []ports.TaskID{}
	for {
		page, err := s.List(ctx, q)
		require.NoError(t, err)
		for _, task := range page.Tasks {
			ids = append(ids, task.ID)
		}
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
}
