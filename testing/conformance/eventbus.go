package conformance

import (
	"testing"

	"github.com/task-runner/task-runner/ports"
)

// EventBusHarness says how to test a ports.EventBus.
type EventBusHarness struct {
	// New returns an empty bus that keeps at least 1,000 events, and 1 MiB, of
	// every topic. Required.
	New func(t *testing.T) ports.EventBus
	// Trimming returns an empty bus that has begun to trim a topic by the time
	// that 2,000 small events were published to it. Nil: the bus never trims.
	Trimming func(t *testing.T) ports.EventBus
	// Full returns an empty bus that has no room for an event of 1 KiB in each of
	// 1,000 topics, and has room for one more once half of those that it took are
	// deleted. Nil: the bus has no bound over all topics.
	Full func(t *testing.T) ports.EventBus
	// Bubble says that the bus lives in this process and keeps time by package
	// time alone.
	Bubble bool
}

// EventBus runs the suite for ports.EventBus.
func EventBus(t *testing.T, h EventBusHarness) {
	topic := func(name string, checks []busCheck) { runTopic(t, name, h.Bubble, h, checks) }
	topic("Publish", busPublishChecks)
	topic("Subscribe", busSubscribeChecks)
	topic("Next", busNextChecks)
	topic("Close", busCloseChecks)
	topic("Delete", busDeleteChecks)
	topic("Concurrency", busConcurrencyChecks)
	topic("Context", busContextChecks)
	if h.Trimming == nil {
		leftOut(t, "Trim", "the harness has no bus that trims")
	} else {
		topic("Trim", busTrimChecks)
	}
	if h.Full == nil {
		leftOut(t, "Full", "the harness has no bus that is bounded over all topics")
	} else {
		topic("Full", busFullChecks)
	}
}

type busCheck = check[EventBusHarness]
