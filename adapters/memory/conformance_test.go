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

func TestLogSinkConforms(t *testing.T) {
	conformance.LogSink(t, conformance.LogSinkHarness{
		New:  func(*testing.T) ports.LogSink { return memory.NewLogSink() },
		Full: func(*testing.T) ports.LogSink { return memory.NewLogSink(memory.WithMaxLogBytes(1 << 20)) },
	})
}

var busHarness = conformance.EventBusHarness{
	New:      func(*testing.T) ports.EventBus { return memory.NewEventBus() },
	Trimming: func(*testing.T) ports.EventBus { return memory.NewEventBus(memory.WithMaxTopicEvents(20)) },
	Full:     func(*testing.T) ports.EventBus { return memory.NewEventBus(memory.WithMaxEventBytes(64 << 10)) },
}

func TestEventBusConforms(t *testing.T) {
	h := busHarness
	h.Bubble = true
	conformance.EventBus(t, h)
}

func TestEventBusConformsInRealTime(t *testing.T) {
	conformance.EventBus(t, busHarness)
}
