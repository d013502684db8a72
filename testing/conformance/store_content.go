package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var storeContentChecks = []storeCheck{
	{"keeps every field and every byte", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := fullTask()
		requireTask(t, task, mustCreate(t, s, task)[0])
		requireTask(t, task, mustGet(t, s, task.ID))
	}},
	{"keeps every status and cause", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for _, status := range ports.Statuses() {
			for _, cause := range []ports.Cause{
				ports.CauseExit, ports.CauseSignal, ports.CauseOOM, ports.CauseTimeout,
				ports.CauseOutputLimit, ports.CauseCancelled, ports.CauseInfrastructure,
			} {
				task := mustCreate(t, s, newTask(func(task *ports.Task) {
					task.Status = status
					task.Result = &ports.Result{Outcome: ports.Outcome{Cause: cause}}
				}))[0]
				got := mustGet(t, s, task.ID)
				assert.Equal(t, status, got.Status)
				assert.Equal(t, cause, got.Result.Cause)
			}
		}
	}},
	{"tells usage that is unknown from usage that is zero", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for what, usage := range map[string]ports.Usage{
			"unknown":         {},
			"zero":            {CPUTime: new(time.Duration(0)), WallTime: new(time.Duration(0)), PeakMemory: new(int64(0))},
			"only CPU time":   {CPUTime: new(time.Duration(0))},
			"only wall time":  {WallTime: new(time.Duration(0))},
			"only the memory": {PeakMemory: new(int64(0))},
		} {
			task := mustCreate(t, s, newTask(func(task *ports.Task) {
				task.Result = &ports.Result{Outcome: ports.Outcome{Usage: usage}}
			}))[0]
			assert.Equal(t, usage, mustGet(t, s, task.ID).Result.Usage, what)
		}
	}},
	{"tells no result from an empty one", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		none := mustCreate(t, s, newTask())[0]
		empty := mustCreate(t, s, newTask(func(task *ports.Task) { task.Result = &ports.Result{} }))[0]
		assert.Nil(t, mustGet(t, s, none.ID).Result)
		assert.NotNil(t, mustGet(t, s, empty.ID).Result)
	}},
	{"keeps what is empty, and what is nil, empty", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for what, task := range map[string]ports.Task{
			"nil": newTask(),
			"empty": newTask(func(task *ports.Task) {
				task.Spec.Files, task.Spec.Args, task.Spec.Stdin = []ports.File{}, []string{}, []byte{}
				task.Spec.Env, task.Spec.Labels = map[string]string{}, map[string]string{}
				task.Result = &ports.Result{Stdout: ports.Output{Head: []byte{}, Tail: []byte{}}}
				task.Result.Usage.Samples = []ports.Sample{}
			}),
			"empty within": newTask(func(task *ports.Task) {
				task.Spec.Files = []ports.File{{Path: "a", Content: nil}, {Path: "b", Content: []byte{}}}
				task.Spec.Args = []string{"", ""}
				task.Spec.Env = map[string]string{"A": ""}
			}),
		} {
			mustCreate(t, s, task)
			task.Version = 1
			requireTask(t, task, mustGet(t, s, task.ID), what)
		}
	}},
	{"keeps times to the millisecond, and none as none", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		at := epoch.Add(123456 * time.Nanosecond).In(time.FixedZone("far", 14*3600))
		task := mustCreate(t, s, newTask(func(task *ports.Task) { task.CreatedAt, task.StartedAt = at, at }))[0]
		for _, got := range []ports.Task{task, mustGet(t, s, task.ID)} {
			assert.Less(t, got.CreatedAt.Sub(at).Abs(), time.Millisecond)
			assert.Less(t, got.StartedAt.Sub(at).Abs(), time.Millisecond)
			assert.True(t, got.FinishedAt.IsZero())
			assert.True(t, got.CancelRequestedAt.IsZero())
		}
	}},
	{"takes its own answer for an update, whatever precision it keeps", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		now := time.Now()
		task := mustCreate(t, s, newTask(func(task *ports.Task) { task.CreatedAt = now }))[0]
		task.Status = ports.StatusRunning
		_, err := s.Update(patientContext(t), task)
		require.NoError(t, err)
		_, err = s.Update(patientContext(t), mustGet(t, s, task.ID))
		require.NoError(t, err)
	}},
	{"keeps 10 MiB of input", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := newTask(func(task *ports.Task) {
			task.Spec.Code = ""
			for i := range 10 {
				task.Spec.Files = append(task.Spec.Files, ports.File{
					Path: fmt.Sprintf("%d.bin", i), Content: bytes.Repeat([]byte{byte(i), 0xff}, 512<<10),
				})
			}
		})
		mustCreate(t, s, task)
		got := mustGet(t, s, task.ID)
		require.Len(t, got.Spec.Files, 10)
		for i, f := range got.Spec.Files {
			require.True(t, bytes.Equal(task.Spec.Files[i].Content, f.Content), f.Path)
		}
	}},
	{"keeps many labels and long ones", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		labels := map[string]string{"long": strings.Repeat("é", 64<<10), strings.Repeat("k", 16<<10): "v"}
		for i := range 500 {
			labels[fmt.Sprintf("label.%d", i)] = strings.Repeat("x", i)
		}
		task := mustCreate(t, s, newTask(func(task *ports.Task) { task.Spec.Labels = labels }))[0]
		assert.Equal(t, labels, mustGet(t, s, task.ID).Spec.Labels)
		assert.Equal(t, []ports.TaskID{task.ID}, listAll(t, patientContext(t), s, ports.ListQuery{Labels: labels}))
	}},
}

var storeCopyChecks = []storeCheck{
	{"keeps nothing that it was passed", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := fullTask()
		want := task.Clone()
		_, err := s.Create(patientContext(t), task)
		require.NoError(t, err)
		scribble(task)
		requireTask(t, want, mustGet(t, s, want.ID), "after Create")

		task = want.Clone()
		updated, err := s.Update(patientContext(t), task)
		require.NoError(t, err)
		scribble(task)
		want.Version = 2
		requireTask(t, want, updated, "what Update returned")
		requireTask(t, want, mustGet(t, s, want.ID), "after Update")
	}},
	{"changes nothing that it was passed", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := fullTask()
		want := task.Clone()
		mustCreate(t, s, task)
		require.Equal(t, want, task)
		_, err := s.Update(patientContext(t), task)
		require.NoError(t, err)
		require.Equal(t, want, task)
	}},
	{"gives every caller a copy of its own", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		want := fullTask()
		created, err := s.Create(ctx, want)
		require.NoError(t, err)
		scribble(created)
		requireTask(t, want, mustGet(t, s, want.ID), "after Create")
		existing, err := s.Create(ctx, want)
		requireSentinel(t, err, ports.ErrExists)
		scribble(existing)
		requireTask(t, want, mustGet(t, s, want.ID), "after a refused Create")
		scribble(mustGet(t, s, want.ID))
		requireTask(t, want, mustGet(t, s, want.ID), "after Get")
		page, err := s.List(ctx, ports.ListQuery{AnyOwner: true})
		require.NoError(t, err)
		for _, task := range page.Tasks {
			scribble(task)
		}
		requireTask(t, want, mustGet(t, s, want.ID), "after List")
		updated, err := s.Update(ctx, want)
		require.NoError(t, err)
		scribble(updated)
		want.Version = 2
		requireTask(t, want, mustGet(t, s, want.ID), "after Update")
	}},
}
