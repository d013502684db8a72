package mongostore

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func BenchmarkCreate(b *testing.B) {
	for name, withKey := range map[string]bool{"plain": false, "with a key": true} {
		b.Run(name, func(b *testing.B) {
			s := newStore(b)
			for i := 0; b.Loop(); i++ {
				task := keyed(ports.TaskID(strconv.Itoa(i)))
				task.Spec.IdempotencyKey = ""
				if withKey {
					task.Spec.IdempotencyKey = string(task.ID)
				}
				_, err := s.Create(b.Context(), task)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := newStore(b)
	task, err := s.Create(b.Context(), fullTask())
	require.NoError(b, err)
	for b.Loop() {
		_, err := s.Get(b.Context(), task.ID)
		require.NoError(b, err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := newStore(b)
	task, err := s.Create(b.Context(), fullTask())
	require.NoError(b, err)
	for b.Loop() {
		task, err = s.Update(b.Context(), task)
		require.NoError(b, err)
	}
}

func BenchmarkList(b *testing.B) {
	s := newStore(b)
	for i := range 200 {
		task := fullTask()
		task.ID, task.Spec.IdempotencyKey = ports.TaskID(strconv.Itoa(i)), ""
		_, err := s.Create(b.Context(), task)
		require.NoError(b, err)
	}
	for b.Loop() {
		_, err := s.List(b.Context(), ports.ListQuery{AnyOwner: true})
		require.NoError(b, err)
	}
}
