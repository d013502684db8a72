package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// Workers are killed at random times while tasks of all kinds come and go, and each is
// replaced by another one.
func TestTasksSurviveWorkersThatAreKilledAllTheTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.RedisOptions{})
	w.crowd(3)
	for few := range slices.Chunk(mixed(64, 3), 4) {
		w.submitAll(few)
		hold(rand.N(time.Second))
		w.killOne()
	}
	w.killUntil(w.settled(), time.Second, 2*time.Second)
	w.settle()
	w.disperse()
	w.requireOver()
}

// Workers are frozen for longer than a lease, and thawed, while tasks come and go.
func TestTasksSurviveWorkersThatFreezeAllTheTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.RedisOptions{})
	w.lease, w.outlived = 2*time.Second, true
	w.crowd(3)
	for few := range slices.Chunk(mixed(48, 3), 6) {
		w.submitAll(few)
		if p := w.victim(); p != nil {
			p.freeze()
			w.faults++
			hold(w.lease + rand.N(w.lease))
			p.thaw()
		}
	}
	w.settle()
	w.disperse()
	w.requireOver()
}

// crowd starts workers.
func (w *world) crowd(n int) {
	w.t.Helper()
	for range n {
		w.workers = append(w.workers, w.worker(w.name()))
	}
}

// name returns the name of the next worker.
func (w *world) name() string {
	w.names++
	return fmt.Sprint("worker-", w.names)
}

// disperse drains the workers.
func (w *world) disperse() {
	w.t.Helper()
	for _, p := range w.workers {
		p.drain(w.t)
	}
	w.workers = nil
}

// killUntil kills a worker by chance every so often, and starts another one, until over.
func (w *world) killUntil(over <-chan struct{}, least, most time.Duration) {
	w.t.Helper()
	for !passed(over, least+rand.N(most-least)) {
		w.killOne()
	}
	for _, p := range w.workers {
		p.awaitReady(w.t)
	}
}

// killOne kills a worker by chance, and starts another one.
func (w *world) killOne() {
	w.t.Helper()
	if p := w.victim(); p != nil {
		w.kill(p)
		w.workers[slices.Index(w.workers, p)] = w.start(w.orders(w.name()))
	}
}

// victim returns a worker by chance, but none that has a task whose attempts would come
// to their end: what is to be shown is that no attempt is lost without another one.
func (w *world) victim() *process {
	w.t.Helper()
	p := w.workers[rand.IntN(len(w.workers))]
	last := map[ports.TaskID]note{}
	for _, n := range w.runs() {
		last[n.Task] = n
	}
	for _, n := range last {
		if n.Worker == p.order.Name && n.Attempt >= maxAttempts-3 {
			return nil
		}
	}
	return p
}

// settled returns a channel that is closed when all tasks are over, or took too long.
func (w *world) settled() <-chan struct{} {
	over := make(chan struct{})
	late := time.Now().Add(patience)
	w.watching.Go(func() {
		defer close(over)
		for _, k := range w.tasks {
			if !passed(k.over, time.Until(late)) {
				return
			}
		}
	})
	return over
}

// hold lets time pass while a fault lasts.
func hold(d time.Duration) { passed(nil, d) }

// passed waits for so long at most, and reports whether the channel is closed by then.
func passed(c <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
}
