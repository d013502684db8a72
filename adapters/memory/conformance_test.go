package memory_test

import (
	"testing"
	"time"

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

func TestQueueConforms(t *testing.T) {
	conformance.Queue(t, conformance.QueueHarness{
		New:    func(*testing.T) ports.Queue { return memory.NewQueue() },
		Full:   func(*testing.T) ports.Queue { return memory.NewQueue(memory.WithMaxQueueEntries(20)) },
		Bubble: true,
	})
}

// The same in real time: what an adapter that talks to a server goes through.
func TestQueueConformsInRealTime(t *testing.T) {
	conformance.Queue(t, conformance.QueueHarness{
		New:  func(*testing.T) ports.Queue { return memory.NewQueue() },
		Tick: 20 * time.Millisecond,
	})
}
