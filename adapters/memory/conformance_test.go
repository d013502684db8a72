package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStoreConforms(t *testing.T) {
	conformance.Store(t, conformance.StoreHarness{
		New:  func(*testing.T) ports.Store { return memory.NewStore() },
		Full: func(*testing.T) ports.Store { return memory.NewStore(memory.WithMaxTasks(20)) },
	})
}
