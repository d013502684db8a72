package conformance

import (
	"testing"

	"github.com/task-runner/task-runner/ports"
)

// StoreHarness says how to test a ports.Store.
type StoreHarness struct {
	// New returns an empty store with room for at least 1,000 small tasks and for
	// one of 12 MiB. Required.
	New func(t *testing.T) ports.Store
	// Full returns an empty store with room for some, but at most 1,000,
	// unfinished tasks. Nil: the store has no bound of its own.
	Full func(t *testing.T) ports.Store
	// Bubble says that the store lives in this process and keeps time by package
	// time alone.
	Bubble bool
}

// Store runs the suite for ports.Store.
func Store(t *testing.T, h StoreHarness) {
	topic := func(name string, checks []storeCheck) { runTopic(t, name, h.Bubble, h, checks) }
	topic("Create", storeCreateChecks)
	topic("Get", storeGetChecks)
	topic("Update", storeUpdateChecks)
	topic("Delete", storeDeleteChecks)
	topic("List", storeListChecks)
	topic("Paging", storePagingChecks)
	topic("Content", storeContentChecks)
	topic("Copies", storeCopyChecks)
	topic("Concurrency", storeConcurrencyChecks)
	topic("Context", storeContextChecks)
	if h.Full == nil {
		leftOut(t, "Full", "the harness has no bounded store")
		return
	}
	topic("Full", storeFullChecks)
}

type storeCheck = check[StoreHarness]
