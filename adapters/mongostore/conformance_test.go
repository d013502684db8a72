package mongostore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestStoreConforms(t *testing.T) {
	client := newClient(t)
	conformance.Store(t, conformance.StoreHarness{New: func(t *testing.T) ports.Store {
		s, err := New(t.Context(), newDatabase(t, client))
		require.NoError(t, err)
		return s
	}})
}
