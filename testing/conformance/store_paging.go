package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var storePagingChecks = []storeCheck{
	{"visits every task once, whatever the size of a page", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		tasks, want := manyTasks(36)
		mustCreate(t, s, tasks...)
		for _, limit := range []int{1, 2, 3, 7, 12, 35, 36, 37, ports.MaxPage} {
			assert.Equal(t, want, listAll(t, patientContext(t), s, ports.ListQuery{Limit: limit}), "%d a page", limit)
		}
	}},
	{"fills every page but the last, which has no next", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		tasks, _ := manyTasks(12)
		mustCreate(t, s, tasks...)
		for limit, want := range map[int][]int{5: {5, 5, 2}, 6: {6, 6}, 12: {12}, 13: {12}} {
			var sizes []int
			q := ports.ListQuery{Limit: limit}
			for {
				page, err := s.List(patientContext(t), q)
				require.NoError(t, err)
				sizes = append(sizes, len(page.Tasks))
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
			}
			assert.Equal(t, want, sizes, "%d a page", limit)
		}
	}},
	{"has a page of 50 by default", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		tasks, want := manyTasks(ports.DefaultPage + 1)
		mustCreate(t, s, tasks...)
		page, err := s.List(patientContext(t), ports.ListQuery{})
		require.NoError(t, err)
		assert.Len(t, page.Tasks, ports.DefaultPage)
		assert.NotEmpty(t, page.Next)
		assert.Equal(t, want, listAll(t, patientContext(t), s, ports.ListQuery{}))
	}},
	{"visits what was there once while tasks come in between", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		tasks, want := manyTasks(21)
		mustCreate(t, s, tasks...)
		seen := map[ports.TaskID]int{}
		q := ports.ListQuery{Limit: 2}
		for {
			page, err := s.List(ctx, q)
			require.NoError(t, err)
			for _, task := range page.Tasks {
				seen[task.ID]++
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
			// Newer, equal to the page's last on either side, and older.
			last := page.Tasks[len(page.Tasks)-1]
			for _, change := range []func(*ports.Task){
				func(task *ports.Task) { task.CreatedAt = epoch.Add(time.Hour) },
				func(task *ports.Task) { task.CreatedAt, task.ID = last.CreatedAt, last.ID+"+" },
				func(task *ports.Task) { task.CreatedAt, task.ID = last.CreatedAt, "!"+task.ID },
			} {
				if len(seen) < len(want) {
					mustCreate(t, s, newTask(change))
				}
			}
		}
		for _, id := range want {
			assert.Equal(t, 1, seen[id], "visits of task %q", id)
		}
		for id, n := range seen {
			assert.Equal(t, 1, n, "visits of task %q", id)
		}
	}},
	{"goes on although the page's last task is gone or has changed", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		tasks, want := manyTasks(9)
		mustCreate(t, s, tasks...)
		q := ports.ListQuery{Limit: 3, Statuses: []ports.Status{ports.StatusQueued}}
		page, err := s.List(ctx, q)
		require.NoError(t, err)
		require.Len(t, page.Tasks, 3)
		require.NoError(t, s.Delete(ctx, want[2], 1))
		q.Cursor = page.Next
		page, err = s.List(ctx, q)
		require.NoError(t, err)
		require.Len(t, page.Tasks, 3)
		last := page.Tasks[2]
		assert.Equal(t, want[5], last.ID)
		last.Status = ports.StatusRunning
		_, err = s.Update(ctx, last)
		require.NoError(t, err)
		q.Cursor = page.Next
		assert.Equal(t, want[6:], listAll(t, ctx, s, q))
	}},
	{"gives the same page for the same cursor", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		tasks, want := manyTasks(8)
		mustCreate(t, s, tasks...)
		page, err := s.List(ctx, ports.ListQuery{Limit: 4})
		require.NoError(t, err)
		for range 2 {
			assert.Equal(t, want[4:], listAll(t, ctx, s, ports.ListQuery{Limit: 4, Cursor: page.Next}))
		}
	}},
	{"carries any ID in a cursor", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		ids := oddIDs()
		for _, id := range ids {
			mustCreate(t, s, newTask(func(task *ports.Task) { task.ID = id }))
		}
		assert.ElementsMatch(t, ids, listAll(t, patientContext(t), s, ports.ListQuery{Limit: 1}))
	}},
	{"refuses a cursor that no page gave", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		tasks, _ := manyTasks(3)
		mustCreate(t, s, tasks...)
		page, err := s.List(ctx, ports.ListQuery{Limit: 1})
		require.NoError(t, err)
		next := page.Next
		for _, cursor := range []string{
			"x", "0", "1", "-1", "50", "null", "{}", `{"$gt":""}`, "../..", "*", "%", "'", " ", "\x00", "\xff", "a\nb",
			string(tasks[0].ID), next + "x", "x" + next, next + next, next[:len(next)/2], next[len(next)/2:], next + " ", next + "\n",
			next[:len(next)-1], strings.Repeat("A", 64), strings.Repeat("A", 1<<16),
		} {
			_, err := s.List(ctx, ports.ListQuery{Cursor: cursor})
			requireField(t, err, "cursor", "cursor %.100q", cursor)
		}
	}},
}
