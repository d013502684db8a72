package mongostore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
)

func TestEveryProcessOpensTheSameStore(t *testing.T) {
	t.Parallel()
	db := testenv.Mongo(t)
	task, err := openStore(t, db).Create(t.Context(), fullTask())
	require.NoError(t, err)
	got, err := openStore(t, db).Get(t.Context(), task.ID)
	require.NoError(t, err)
	require.Equal(t, task, got)
}
