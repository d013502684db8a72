package mongostore

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryProcessOpensTheSameStore(t *testing.T) {
	db := newDatabase(t, newClient(t))
	first, err := New(t.Context(), db)
	require.NoError(t, err)
	task, err := first.Create(t.Context(), fullTask())
	require.NoError(t, err)
	second, err := New(t.Context(), db)
	require.NoError(t, err)
	got, err := second.Get(t.Context(), task.ID)
	require.NoError(t, err)
	require.Equal(t, task, got)
}
