package conformance

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var storeListChecks = []storeCheck{
	{"is empty while there is no task", func(t *testing.T, h StoreHarness) {
		page, err := h.New(t).List(patientContext(t), ports.ListQuery{AnyOwner: true})
		require.NoError(t, err)
		assert.Empty(t, page.Tasks)
		assert.Empty(t, page.Next)
	}},
	{"gives whole tasks", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		task := mustCreate(t, s, fullTask())[0]
		page, err := s.List(patientContext(t), ports.ListQuery{Owner: task.Owner})
		require.NoError(t, err)
		require.Len(t, page.Tasks, 1)
		requireTask(t, task, page.Tasks[0])
	}},
	{"goes from the newest to the oldest, and by ID where they are equal", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		at := func(id ports.TaskID, age time.Duration) ports.Task {
			return newTask(func(task *ports.Task) { task.ID, task.CreatedAt = id, epoch.Add(-age) })
		}
		mustCreate(t, s, at("b", 0), at("old", time.Hour), at("B", 0), at("a", 0), at("A", 0), at("new", -time.Millisecond),
			at("a1", 0), at("oldest", 1000*time.Hour), at("~", 0), at("!", 0), at("10", 0), at("9", 0))
		want := []ports.TaskID{"new", "~", "b", "a1", "a", "B", "A", "9", "10", "!", "old", "oldest"}
		assert.Equal(t, want, listAll(t, patientContext(t), s, ports.ListQuery{}))
	}},
	{"gives the tasks that match all conditions", func(t *testing.T, h StoreHarness) {
		s, ctx := h.New(t), patientContext(t)
		add := func(id ports.TaskID, owner string, status ports.Status, language string, finished time.Duration, labels map[string]string) {
			mustCreate(t, s, newTask(func(task *ports.Task) {
				task.ID, task.Owner, task.Status, task.Spec.Language, task.Spec.Labels = id, owner, status, language, labels
				if status.Terminal() {
					task.FinishedAt = epoch.Add(finished)
				}
			}))
		}
		type labels = map[string]string
		add("1", "", ports.StatusQueued, "python", 0, nil)
		add("2", "", ports.StatusRunning, "Python", 0, labels{"a": "1"})
		add("3", "", ports.StatusSucceeded, "c++", time.Second, labels{"a": "1", "b": "2"})
		add("4", "", ports.StatusFailed, "c", 2*time.Second, labels{"a": "", "b": "2"})
		add("5", "", ports.StatusTimedOut, "python", 3*time.Second, oddLabels())
		add("6", "o", ports.StatusCancelled, "python", time.Second, labels{"a": "1"})
		add("7", "O", ports.StatusQueued, "python", 0, labels{"a.b": "x"})
		add("8", "o", ports.StatusQueued, "bash", 0, labels{"a": "x"})

		for _, c := range []struct {
			what string
			q    ports.ListQuery
			want []ports.TaskID
		}{
			{"nothing asked", ports.ListQuery{}, []ports.TaskID{"5", "4", "3", "2", "1"}},
			{"an owner", ports.ListQuery{Owner: "o"}, []ports.TaskID{"8", "6"}},
			{"an unknown owner", ports.ListQuery{Owner: "nobody"}, nil},
			{"an owner that is a pattern", ports.ListQuery{Owner: ".*"}, nil},
			{"any owner", ports.ListQuery{AnyOwner: true}, []ports.TaskID{"8", "7", "6", "5", "4", "3", "2", "1"}},
			{"any owner, with one named", ports.ListQuery{AnyOwner: true, Owner: "o"}, []ports.TaskID{"8", "7", "6", "5", "4", "3", "2", "1"}},
			{"a status", ports.ListQuery{Statuses: []ports.Status{ports.StatusQueued}}, []ports.TaskID{"1"}},
			{"two statuses", ports.ListQuery{Statuses: []ports.Status{ports.StatusFailed, ports.StatusRunning}}, []ports.TaskID{"4", "2"}},
			{"all statuses", ports.ListQuery{Statuses: ports.Statuses()}, []ports.TaskID{"5", "4", "3", "2", "1"}},
			{"an unknown status", ports.ListQuery{Statuses: []ports.Status{"lost"}}, nil},
			{"a language", ports.ListQuery{Language: "python"}, []ports.TaskID{"5", "1"}},
			{"a language that is a prefix", ports.ListQuery{Language: "c"}, []ports.TaskID{"4"}},
			{"a language that is a pattern", ports.ListQuery{Language: "c++"}, []ports.TaskID{"3"}},
			{"a label", ports.ListQuery{Labels: labels{"a": "1"}}, []ports.TaskID{"3", "2"}},
			{"an empty label is not a missing one", ports.ListQuery{Labels: labels{"a": ""}}, []ports.TaskID{"4"}},
			{"two labels", ports.ListQuery{Labels: labels{"a": "1", "b": "2"}}, []ports.TaskID{"3"}},
			{"a label nobody has", ports.ListQuery{Labels: labels{"a": "1", "c": ""}}, nil},
			{"a label that is a pattern", ports.ListQuery{AnyOwner: true, Labels: labels{"*": ".*"}}, []ports.TaskID{"5"}},
			{"a label with a dot", ports.ListQuery{AnyOwner: true, Labels: labels{"a.b": "x"}}, []ports.TaskID{"7"}},
			{"odd labels", ports.ListQuery{Labels: oddLabels()}, []ports.TaskID{"5"}},
			{"finished before", ports.ListQuery{AnyOwner: true, FinishedBefore: epoch.Add(2 * time.Second)}, []ports.TaskID{"6", "3"}},
			{"finished just before", ports.ListQuery{AnyOwner: true, FinishedBefore: epoch.Add(2*time.Second + time.Millisecond)}, []ports.TaskID{"6", "4", "3"}},
			{"finished before all did", ports.ListQuery{AnyOwner: true, FinishedBefore: epoch}, nil},
			{"everything at once", ports.ListQuery{
				Owner: "o", Statuses: []ports.Status{ports.StatusCancelled, ports.StatusFailed}, Language: "python",
				Labels: labels{"a": "1"}, FinishedBefore: epoch.Add(time.Minute),
			}, []ports.TaskID{"6"}},
			{"everything at once but one", ports.ListQuery{
				Owner: "o", Statuses: []ports.Status{ports.StatusFailed}, Language: "python",
				Labels: labels{"a": "1"}, FinishedBefore: epoch.Add(time.Minute),
			}, nil},
		} {
			want := c.want
			if want == nil {
				want = []ports.TaskID{}
			}
			assert.Equal(t, want, listAll(t, ctx, s, c.q), c.what)
			c.q.Limit = 1
			assert.Equal(t, want, listAll(t, ctx, s, c.q), "%s, one a page", c.what)
		}
	}},
	{"refuses a limit out of bounds", func(t *testing.T, h StoreHarness) {
		s := h.New(t)
		for _, limit := range []int{-1, ports.MaxPage + 1, 1 << 30} {
			_, err := s.List(patientContext(t), ports.ListQuery{Limit: limit})
			requireField(t, err, "limit")
		}
	}},
}

// manyTasks returns n tasks of which every seven were created in the same
// millisecond, in no order, and their IDs as a list has them.
func manyTasks(n int) (tasks []ports.Task, listed []ports.TaskID) {
	for i := range n {
		tasks = append(tasks, newTask(func(task *ports.Task) {
			task.CreatedAt = epoch.Add(time.Duration(i*5%n/7) * time.Millisecond)
		}))
	}
	sorted := slices.SortedFunc(slices.Values(tasks), func(a, b ports.Task) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		if a.ID > b.ID {
			return -1
		}
		return 1
	})
	for _, task := range sorted {
		listed = append(listed, task.ID)
	}
	return tasks, listed
}
