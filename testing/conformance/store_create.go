package conformance

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var storeCreateChecks = []storeCheck{
	{"stores a task at version 1, whatever version it is given", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for _, version := range []int64{0, 1, 42, -1} {
			task := newTask(func(task *ports.Task) { task.Version = version })
			stored, err := s.Create(patientContext(t), task)
			require.NoError(t, err)
			assert.EqualValues(t, 1, stored.Version)
			task.Version = 1
			requireTask(t, task, stored)
			requireTask(t, task, mustGet(t, s, task.ID))
		}
	}},
	{"refuses an ID that is taken and returns its task", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		first := mustCreate(t, s, fullTask())[0]
		second := newTask(func(task *ports.Task) {
			task.ID = first.ID
			task.Spec.IdempotencyKey = "another key"
		})
		got, err := s.Create(patientContext(t), second)
		requireSentinel(t, err, ports.ErrExists)
		requireTask(t, first, got)
		requireTask(t, first, mustGet(t, s, first.ID))
		// The refused one's key was not taken along.
		mustCreate(t, s, newTask(func(task *ports.Task) { task.Spec.IdempotencyKey = "another key" }))
	}},
	{"refuses an idempotency key that is taken and returns its task", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		withKey := func(task *ports.Task) { task.Owner, task.Spec.IdempotencyKey = "owner", "key" }
		first := mustCreate(t, s, newTask(withKey))[0]
		second := newTask(withKey)
		got, err := s.Create(patientContext(t), second)
		requireSentinel(t, err, ports.ErrExists)
		requireTask(t, first, got)
		requireNoTask(t, s, second.ID)
		assert.Equal(t, []ports.TaskID{first.ID}, listAll(t, patientContext(t), s, ports.ListQuery{AnyOwner: true}))
	}},
	{"returns the task of a taken key as it is now", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		withKey := func(task *ports.Task) { task.Spec.IdempotencyKey = "key" }
		first := mustCreate(t, s, newTask(withKey))[0]
		first.Status = ports.StatusRunning
		first, err := s.Update(patientContext(t), first)
		require.NoError(t, err)
		got, err := s.Create(patientContext(t), newTask(withKey))
		requireSentinel(t, err, ports.ErrExists)
		requireTask(t, first, got)
	}},
	{"keeps the idempotency keys of owners apart", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for _, pair := range [][2]string{
			{"", "key"}, {"a", "key"}, {"A", "key"}, {"a", "KEY"},
			{"a", "b:c"}, {"a:b", "c"}, {"a", "b/c"}, {"a/b", "c"},
			{"ab", "c"}, {"a", "bc"}, {"a\x00b", "c"}, {"a", "b\x00c"}, {"", "abc"},
			{"a", "*"}, {"a", "."}, {"a", "$ne"}, {"a", " key"}, {"a", "key "},
			{"a", "é"}, {"a", "e\u0301"}, {"a", "\xff"}, {"a", "\xfe"},
		} {
			_, err := s.Create(patientContext(t), newTask(func(task *ports.Task) {
				task.Owner, task.Spec.IdempotencyKey = pair[0], pair[1]
			}))
			require.NoError(t, err, "owner %q, key %q", pair[0], pair[1])
		}
	}},
	{"takes an empty idempotency key for none", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		mustCreate(t, s, newTask(), newTask(), newTask())
	}},
	{"takes every valid ID, each for itself", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		var stored []ports.Task
		for _, id := range oddIDs() {
			stored = append(stored, mustCreate(t, s, newTask(func(task *ports.Task) {
				task.ID, task.Spec.Code = id, "code of "+string(id)
			}))...)
		}
		for _, task := range stored {
			requireTask(t, task, mustGet(t, s, task.ID))
		}
		assert.Len(t, listAll(t, patientContext(t), s, ports.ListQuery{}), len(stored))
		for _, task := range stored {
			require.NoError(t, s.Delete(patientContext(t), task.ID, 1))
			requireNoTask(t, s, task.ID)
		}
	}},
	{"refuses what is no ID and stores nothing", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for what, id := range badIDs() {
			_, err := s.Create(patientContext(t), newTask(func(task *ports.Task) { task.ID = id }))
			requireField(t, err, "task_id", what)
		}
		assert.Empty(t, listAll(t, patientContext(t), s, ports.ListQuery{AnyOwner: true}))
	}},
}

var storeGetChecks = []storeCheck{
	{"knows no task that was not created", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		requireNoTask(t, s, newID())
		mustCreate(t, s, newTask(func(task *ports.Task) { task.ID = "a" }))
		for _, id := range []ports.TaskID{"A", "a1", "*", "?", ".", "a/", "[a]"} {
			requireNoTask(t, s, id)
		}
	}},
	{"sees every write that returned before", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := mustCreate(t, s, newTask())[0]
		for attempt := 1; attempt <= 20; attempt++ {
			task.Attempt = attempt
			var err error
			task, err = s.Update(patientContext(t), task)
			require.NoError(t, err)
			got := receive(t, inBackground(func() ports.Task {
				got, _ := s.Get(t.Context(), task.ID)
				return got
			}), "Get")
			requireTask(t, task, got)
		}
	}},
}
