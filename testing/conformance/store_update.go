package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var storeUpdateChecks = []storeCheck{
	{"replaces the task and raises its version by one", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		full := fullTask()
		task := mustCreate(t, s, newTask(func(task *ports.Task) {
			task.ID, task.Owner, task.Spec.IdempotencyKey = full.ID, full.Owner, full.Spec.IdempotencyKey
		}))[0]
		for version := int64(1); version <= 3; version++ {
			full.Version, full.Attempt = version, int(version)
			updated, err := s.Update(patientContext(t), full)
			require.NoError(t, err)
			want := full.Clone()
			want.Version = version + 1
			requireTask(t, want, updated)
			requireTask(t, want, mustGet(t, s, task.ID))
		}
	}},
	{"takes away what the new task does not have", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		full := mustCreate(t, s, fullTask())[0]
		bare := ports.Task{ID: full.ID, Owner: full.Owner, Version: full.Version, CreatedAt: full.CreatedAt, Status: ports.StatusQueued}
		bare.Spec.IdempotencyKey = full.Spec.IdempotencyKey
		updated, err := s.Update(patientContext(t), bare)
		require.NoError(t, err)
		bare.Version++
		requireTask(t, bare, updated)
		requireTask(t, bare, mustGet(t, s, full.ID))
		assert.Empty(t, listAll(t, patientContext(t), s, ports.ListQuery{AnyOwner: true, Labels: map[string]string{"empty": ""}}))
	}},
	{"refuses any version but the stored one and changes nothing", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := mustCreate(t, s, newTask())[0]
		task, err := s.Update(patientContext(t), task)
		require.NoError(t, err)
		for _, version := range []int64{-1, 0, 1, 3, 4} {
			stale := task.Clone()
			stale.Version, stale.Status = version, ports.StatusFailed
			_, err := s.Update(patientContext(t), stale)
			requireSentinel(t, err, ports.ErrConflict, "version %d", version)
		}
		requireTask(t, task, mustGet(t, s, task.ID))
	}},
	{"knows no task that was not created and creates none", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for _, version := range []int64{0, 1} {
			task := newTask(func(task *ports.Task) { task.Version = version })
			_, err := s.Update(patientContext(t), task)
			requireSentinel(t, err, ports.ErrNotFound)
			requireNoTask(t, s, task.ID)
		}
	}},
	{"never changes what a task is known by", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := mustCreate(t, s, newTask(func(task *ports.Task) { task.Owner, task.Spec.IdempotencyKey = "owner", "key" }))[0]
		for what, change := range map[string]func(*ports.Task){
			"owner":           func(task *ports.Task) { task.Owner = "another" },
			"idempotency key": func(task *ports.Task) { task.Spec.IdempotencyKey = "another" },
			"no key":          func(task *ports.Task) { task.Spec.IdempotencyKey = "" },
			"creation time":   func(task *ports.Task) { task.CreatedAt = task.CreatedAt.Add(time.Hour) },
		} {
			changed := mustGet(t, s, task.ID)
			change(&changed)
			_, err := s.Update(patientContext(t), changed)
			requireSentinel(t, err, ports.ErrInvalid, what)
			got := mustGet(t, s, task.ID)
			assert.Equal(t, "owner", got.Owner, what)
			assert.Equal(t, "key", got.Spec.IdempotencyKey, what)
			assert.True(t, got.CreatedAt.Equal(task.CreatedAt), what)
		}
		_, err := s.Create(patientContext(t), newTask(func(task *ports.Task) { task.Owner, task.Spec.IdempotencyKey = "owner", "key" }))
		requireSentinel(t, err, ports.ErrExists)
	}},
	{"moves the task from one list to another", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		task := mustCreate(t, s, newTask(func(task *ports.Task) { task.Spec.Labels = map[string]string{"a": "1"} }))[0]
		task.Status, task.FinishedAt = ports.StatusSucceeded, epoch.Add(time.Minute)
		task.Spec.Labels = map[string]string{"a": "2"}
		_, err := s.Update(ctx, task)
		require.NoError(t, err)
		assert.Empty(t, listAll(t, ctx, s, ports.ListQuery{Statuses: []ports.Status{ports.StatusQueued}}))
		assert.Empty(t, listAll(t, ctx, s, ports.ListQuery{Labels: map[string]string{"a": "1"}}))
		want := []ports.TaskID{task.ID}
		assert.Equal(t, want, listAll(t, ctx, s, ports.ListQuery{Statuses: []ports.Status{ports.StatusSucceeded}}))
		assert.Equal(t, want, listAll(t, ctx, s, ports.ListQuery{Labels: map[string]string{"a": "2"}}))
		assert.Equal(t, want, listAll(t, ctx, s, ports.ListQuery{FinishedBefore: epoch.Add(time.Hour)}))
	}},
}

var storeDeleteChecks = []storeCheck{
	{"removes the task from everywhere", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		tasks := mustCreate(t, s, newTask(), newTask(), newTask())
		gone := tasks[1]
		require.NoError(t, s.Delete(patientContext(t), gone.ID, gone.Version))
		requireNoTask(t, s, gone.ID)
		_, err := s.Update(patientContext(t), gone)
		requireSentinel(t, err, ports.ErrNotFound)
		requireSentinel(t, s.Delete(patientContext(t), gone.ID, gone.Version), ports.ErrNotFound)
		assert.ElementsMatch(t, []ports.TaskID{tasks[0].ID, tasks[2].ID}, listAll(t, patientContext(t), s, ports.ListQuery{}))
	}},
	{"refuses any version but the stored one and removes nothing", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := mustCreate(t, s, newTask(func(task *ports.Task) { task.Spec.IdempotencyKey = "key" }))[0]
		task, err := s.Update(patientContext(t), task)
		require.NoError(t, err)
		for _, version := range []int64{-1, 0, 1, 3} {
			requireSentinel(t, s.Delete(patientContext(t), task.ID, version), ports.ErrConflict, "version %d", version)
		}
		requireTask(t, task, mustGet(t, s, task.ID))
		_, err = s.Create(patientContext(t), newTask(func(task *ports.Task) { task.Spec.IdempotencyKey = "key" }))
		requireSentinel(t, err, ports.ErrExists)
	}},
	{"knows no task that was not created", func(t *testing.T, h StoreHarness) {
		requireSentinel(t, h.New(t).Delete(patientContext(t), newID(), 1), ports.ErrNotFound)
	}},
	{"frees the ID and the idempotency key", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		withKey := func(task *ports.Task) { task.Owner, task.Spec.IdempotencyKey = "owner", "key" }
		task := mustCreate(t, s, newTask(withKey))[0]
		task, err := s.Update(patientContext(t), task)
		require.NoError(t, err)
		require.NoError(t, s.Delete(patientContext(t), task.ID, task.Version))
		again := mustCreate(t, s, newTask(withKey, func(again *ports.Task) { again.ID = task.ID }))[0]
		assert.EqualValues(t, 1, again.Version)
	}},
	{"leaves the keys of other owners alone", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		withKey := func(owner string) func(*ports.Task) {
			return func(task *ports.Task) { task.Owner, task.Spec.IdempotencyKey = owner, "key" }
		}
		tasks := mustCreate(t, s, newTask(withKey("a")), newTask(withKey("b")))
		require.NoError(t, s.Delete(patientContext(t), tasks[0].ID, 1))
		got, err := s.Create(patientContext(t), newTask(withKey("b")))
		requireSentinel(t, err, ports.ErrExists)
		requireTask(t, tasks[1], got)
	}},
}
