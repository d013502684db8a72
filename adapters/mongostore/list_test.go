package mongostore

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestPagesOfLargeTasksAreShort(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.pageBytes = 100 << 10
	for i := range 4 {
		task := keyed(ports.TaskID(strconv.Itoa(i)))
		task.Spec.IdempotencyKey, task.Spec.Code = "", strings.Repeat("x", s.pageBytes*2/3)
		_, err := s.Create(t.Context(), task)
		require.NoError(t, err)
	}
	q := ports.ListQuery{AnyOwner: true}
	for _, want := range [][]ports.TaskID{{"3", "2"}, {"1", "0"}} {
		page, err := s.List(t.Context(), q)
		require.NoError(t, err)
		assert.Equal(t, want, idsOf(page))
		q.Cursor = page.Next
	}
	assert.Empty(t, q.Cursor, "there are no more")
}

func TestFinishedBeforeLooksBelowTheMillisecond(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	task := fullTask()
	_, err := s.Create(t.Context(), task)
	require.NoError(t, err)
	for before, want := range map[time.Time]int{task.FinishedAt: 0, task.FinishedAt.Add(1): 1} {
		page, err := s.List(t.Context(), ports.ListQuery{AnyOwner: true, FinishedBefore: before})
		require.NoError(t, err)
		assert.Len(t, page.Tasks, want)
	}
}

func listed(t *testing.T, s *Store) []ports.TaskID {
	t.Helper()
	page, err := s.List(t.Context(), ports.ListQuery{AnyOwner: true})
	require.NoError(t, err)
	return idsOf(page)
}

func idsOf(page ports.Page) (ids []ports.TaskID) {
	for _, task := range page.Tasks {
		ids = append(ids, task.ID)
	}
	return ids
}
