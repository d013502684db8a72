package conformance

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var storeConcurrencyChecks = []storeCheck{
	{"lets one of many creates of one ID win", func(t *testing.T, h StoreHarness) {
		id := newID()
		oneCreateWins(t, h.New(t), func(task *ports.Task) { task.ID = id })
	}},
	{"lets one of many creates with one idempotency key win", func(t *testing.T, h StoreHarness) {
		oneCreateWins(t, h.New(t), func(task *ports.Task) { task.Owner, task.Spec.IdempotencyKey = "owner", "key" })
	}},
	{"lets one of many updates of one version win", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		task := mustCreate(t, s, newTask())[0]
		for range 5 {
			var wins atomic.Int32
			concurrently(8, func(i int) {
				mine := task.Clone()
				mine.Attempt = i + 1
				_, err := s.Update(ctx, mine)
				if err == nil {
					wins.Add(1)
				} else {
					assert.ErrorIs(t, err, ports.ErrConflict)
				}
			})
			require.EqualValues(t, 1, wins.Load())
			next := mustGet(t, s, task.ID)
			require.Equal(t, task.Version+1, next.Version)
			task = next
		}
	}},
	{"loses no increment", func(t *testing.T, h StoreHarness) {
		const workers, rounds = 8, 10
		s, ctx := h.New(t), patientContext(t)
		id := mustCreate(t, s, newTask())[0].ID
		concurrently(workers, func(int) {
			for done := 0; done < rounds; {
				task, err := s.Get(ctx, id)
				if !assert.NoError(t, err) {
					return
				}
				runtime.Gosched() // lets another one in between
				task.Attempt++
				_, err = s.Update(ctx, task)
				if err == nil {
					done++
				} else if !assert.ErrorIs(t, err, ports.ErrConflict) {
					return
				}
			}
		})
		got := mustGet(t, s, id)
		assert.Equal(t, workers*rounds, got.Attempt)
		assert.EqualValues(t, 1+workers*rounds, got.Version)
	}},
	{"lets either an update or a delete of one version win", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		for range 20 {
			task := mustCreate(t, s, newTask())[0]
			errs := make([]error, 2)
			concurrently(2, func(i int) {
				if i == 0 {
					_, errs[0] = s.Update(ctx, task)
				} else {
					errs[1] = s.Delete(ctx, task.ID, task.Version)
				}
			})
			if errs[0] == nil {
				requireSentinel(t, errs[1], ports.ErrConflict)
				assert.EqualValues(t, 2, mustGet(t, s, task.ID).Version)
			} else {
				requireSentinel(t, errs[0], ports.ErrNotFound)
				require.NoError(t, errs[1])
				requireNoTask(t, s, task.ID)
			}
		}
	}},
	{"serves readers, writers and lists at once", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		concurrently(8, func(i int) {
			for range 5 {
				task, err := s.Create(ctx, newTask())
				assert.NoError(t, err)
				task.Status = ports.StatusRunning
				task, err = s.Update(ctx, task)
				assert.NoError(t, err)
				_, err = s.List(ctx, ports.ListQuery{Limit: 10, Statuses: []ports.Status{ports.StatusRunning}})
				assert.NoError(t, err)
				if i%2 == 0 {
					assert.NoError(t, s.Delete(ctx, task.ID, task.Version))
				}
			}
		})
		assert.Len(t, listAll(t, ctx, s, ports.ListQuery{}), 4*5)
	}},
}

// oneCreateWins creates many tasks at once that change makes rivals.
func oneCreateWins(t *testing.T, s ports.Store, change func(*ports.Task)) {
	const rivals = 16
	ctx := patientContext(t)
	var mu sync.Mutex
	var winners []ports.Task
	losers := map[ports.TaskID]int{}
	concurrently(rivals, func(int) {
		task, err := s.Create(ctx, newTask(change))
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			winners = append(winners, task)
		} else if assert.ErrorIs(t, err, ports.ErrExists) {
			losers[task.ID]++
		}
	})
	require.Len(t, winners, 1)
	assert.Equal(t, map[ports.TaskID]int{winners[0].ID: rivals - 1}, losers, "what the losers were told")
	assert.Equal(t, []ports.TaskID{winners[0].ID}, listAll(t, ctx, s, ports.ListQuery{AnyOwner: true}))
	requireTask(t, winners[0], mustGet(t, s, winners[0].ID))
}

var storeContextChecks = []storeCheck{
	{"does nothing in a context that is done", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := mustCreate(t, s, newTask())[0]
		for what, ctx := range doneContexts(t) {
			fresh := newTask()
			_, err := s.Create(ctx, fresh)
			requireContextError(t, ctx, err, what)
			requireNoTask(t, s, fresh.ID)
			_, err = s.Get(ctx, task.ID)
			requireContextError(t, ctx, err, what)
			changed := task.Clone()
			changed.Status = ports.StatusFailed
			_, err = s.Update(ctx, changed)
			requireContextError(t, ctx, err, what)
			requireContextError(t, ctx, s.Delete(ctx, task.ID, task.Version), what)
			_, err = s.List(ctx, ports.ListQuery{})
			requireContextError(t, ctx, err, what)
			requireTask(t, task, mustGet(t, s, task.ID))
		}
	}},
	{"either does its work or says that its context ended", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			concurrently(4, func(i int) {
				if i == 0 {
					cancel()
					return
				}
				task := newTask()
				_, err := s.Create(ctx, task)
				if err == nil {
					_, err = s.Get(ctx, task.ID)
				}
				if err != nil {
					assert.ErrorIs(t, err, context.Canceled)
				}
			})
			cancel()
		}
		task := mustCreate(t, s, newTask())[0]
		requireTask(t, task, mustGet(t, s, task.ID))
	}},
}

var storeFullChecks = []storeCheck{
	{"refuses a task for which it has no room and stays usable", func(t *testing.T, h StoreHarness) {
		s, ctx := h.Full(t), patientContext(t)
		tasks, refused := fillStore(t, s)
		requireNoTask(t, s, refused.ID)
		for _, task := range tasks {
			requireTask(t, task, mustGet(t, s, task.ID))
		}
		updated, err := s.Update(ctx, tasks[0])
		require.NoError(t, err)

		// The refused one left nothing behind: once there is room it goes in whole.
		require.NoError(t, s.Delete(ctx, updated.ID, updated.Version))
		mustCreate(t, s, refused)
	}},
	{"knows a task that it has although it is full", func(t *testing.T, h StoreHarness) {
		s, ctx := h.Full(t), patientContext(t)
		tasks, _ := fillStore(t, s)
		got, err := s.Create(ctx, tasks[0])
		requireSentinel(t, err, ports.ErrExists)
		requireTask(t, tasks[0], got)
		got, err = s.Create(ctx, newTask(func(task *ports.Task) { task.Spec.IdempotencyKey = tasks[0].Spec.IdempotencyKey }))
		requireSentinel(t, err, ports.ErrExists)
		requireTask(t, tasks[0], got)
	}},
	{"never gets too full, however many come at once", func(t *testing.T, h StoreHarness) {
		tasks, _ := fillStore(t, h.Full(t))
		s, ctx := h.Full(t), patientContext(t)
		var stored atomic.Int64
		concurrently(8, func(int) {
			for {
				_, err := s.Create(ctx, newKeyedTask())
				if errors.Is(err, ports.ErrFull) {
					return
				}
				if !assert.NoError(t, err) {
					return
				}
				stored.Add(1)
			}
		})
		assert.EqualValues(t, len(tasks), stored.Load())
	}},
}

// newKeyedTask returns a task with an idempotency key of its own.
func newKeyedTask() ports.Task {
	return newTask(func(task *ports.Task) { task.Spec.IdempotencyKey = "key of " + string(task.ID) })
}

// fillStore creates tasks until s is full. It returns those and the one that was
// refused.
func fillStore(t *testing.T, s ports.Store) (tasks []ports.Task, refused ports.Task) {
	t.Helper()
	for len(tasks) <= 1000 {
		task := newKeyedTask()
		stored, err := s.Create(patientContext(t), task)
		if err == nil {
			tasks = append(tasks, stored)
			continue
		}
		requireSentinel(t, err, ports.ErrFull)
		require.NotEmpty(t, tasks)
		return tasks, task
	}
	require.FailNow(t, "the store took 1,000 tasks and is not full")
	return nil, ports.Task{}
}
