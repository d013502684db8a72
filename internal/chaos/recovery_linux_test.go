package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
)

// A killed worker's tasks run elsewhere when its leases are over, and no sooner than that
// allows. The goal is the lease and 1 s; the rest is for machines that are busy.
func TestTheTasksOfAKilledWorkerRunElsewhereWithinALease(t *testing.T) {
	t.Parallel()
	const slack = 5 * time.Second
	w := newWorld(t, testenv.RedisOptions{})
	w.lease = 10 * time.Second // the default
	doomed := w.worker("doomed", func(o *order) { o.Concurrency = 4 })
	for range 4 {
		w.submit(sleeper(4))
	}
	eventually(t, func() bool { return len(w.runs()) == 4 }, "all tasks to run")
	w.kill(doomed)
	w.workers = append(w.workers, w.worker("heir", func(o *order) { o.Concurrency = 4 })) // it is there long before the leases end
	w.settle()
	w.disperse()
	took := w.recoveries()
	require.Len(t, took, 4)
	for _, d := range took {
		assert.Less(t, d, w.lease+slack, "until a task ran again")
		// A heartbeat comes every second: the last one is no older than that, on a
		// machine that is not stuck.
		assert.Greater(t, d, w.lease/2, "a lease is not over before its time")
	}
	w.requireOver()
}
