package memory

import (
	"sync"

	"github.com/task-runner/task-runner/ports"
)

// sweepEvery is how many tasks are dropped between two looks for leftovers.
const sweepEvery = 256

// janitor makes room in the three parts that hold a task's data.
type janitor struct {
	store  *Store
	logs   *LogSink
	events *EventBus

	mu    sync.Mutex
	drops int // tasks dropped since the last sweep
}

func newJanitor(c config) *janitor {
	j := &janitor{store: newStore(c), logs: newLogSink(c), events: newEventBus(c), drops: sweepEvery}
	j.store.dropped = j.forget
	j.logs.bytes.reclaim = j.reclaim
	j.events.bytes.reclaim = j.reclaim
	return j
}

// forget removes what the other parts hold of a task that the store dropped. It
// is called with no lock held.
func (j *janitor) forget(id ports.TaskID) {
	j.logs.remove(id)
	j.events.remove(id)
	j.mu.Lock()
	j.drops++
	j.mu.Unlock()
}

// reclaim makes some room and reports whether it could. It is called with no lock
// held.
func (j *janitor) reclaim() bool {
	if j.sweepIsDue() && j.sweep() {
		return true
	}
	if id, ok := j.store.dropOldest(); ok {
		j.forget(id)
		return true
	}
	return j.sweep()
}

func (j *janitor) sweepIsDue() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.drops < sweepEvery {
		return false
	}
	j.drops = 0
	return true
}

// sweep removes logs and events of tasks that have no record: a worker that does
// not know yet that its task is gone may have written them after the rest was
// deleted. It reports whether there were any. A task's record is made before
// anything else of it, so that whatever is listed here without one is a leftover.
func (j *janitor) sweep() bool {
	found := false
	for _, id := range j.logs.tasks() {
		if !j.store.has(id) {
			j.logs.remove(id)
			found = true
		}
	}
	for _, id := range j.events.tasks() {
		if !j.store.has(id) {
			j.events.remove(id)
			found = true
		}
	}
	return found
}
