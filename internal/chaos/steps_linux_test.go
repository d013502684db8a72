package chaos

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/testing/fakes"
)

// step is a point of a task's life on a worker.
type step struct {
	op  fakes.Op
	nth int
	// phases are both, or the one that there is.
	phases []fakes.Phase
	// breaks says that the run's sandbox breaks, as then the task is given back.
	breaks bool
	// cancelled says that the task is cancelled, as soon as it runs.
	cancelled bool
	// written says that behind it the task is over, so that nothing runs again.
	written bool
}

var both = []fakes.Phase{fakes.Before, fakes.After}

// steps are all steps of a life, in their order.
var steps = []step{
	{op: "queue.Claim", nth: 1, phases: []fakes.Phase{fakes.After}},
	{op: "store.Get", nth: 1, phases: both},
	{op: "store.Update running", nth: 1, phases: both},
	{op: "queue.Extend", nth: 1, phases: both}, // the proof that the claim still holds
	{op: "events.Publish running", nth: 1, phases: both},
	{op: "logs.Create", nth: 1, phases: both},
	{op: "logs.Create", nth: 2, phases: both},
	{op: "executor.Run", nth: 1, phases: []fakes.Phase{fakes.Before}},
	{op: "executor.Started", nth: 1, phases: []fakes.Phase{fakes.After}},
	{op: "executor.Output", nth: 1, phases: []fakes.Phase{fakes.After}},
	{op: "logs.Write", nth: 1, phases: both},
	{op: "events.Publish stdout", nth: 1, phases: both},
	{op: "queue.Extend", nth: 2, phases: both}, // a heartbeat
	{op: "logs.Write", nth: 2, phases: both},
	{op: "executor.Run", nth: 1, phases: []fakes.Phase{fakes.After}},
	{op: "logs.Close", nth: 1, phases: both},
	{op: "logs.Close", nth: 2, phases: both},
	{op: "events.Publish stdout", nth: 2, phases: both},
	{op: "store.Update failed", nth: 1, phases: []fakes.Phase{fakes.Before}},
	{op: "store.Update failed", nth: 1, phases: []fakes.Phase{fakes.After}, written: true},
	{op: "events.Publish end", nth: 1, phases: both, written: true},
	{op: "queue.Ack", nth: 1, phases: both, written: true},

	{op: "store.Update queued", nth: 1, phases: both, breaks: true},
	{op: "events.Publish queued", nth: 1, phases: both, breaks: true},
	{op: "queue.Nack", nth: 1, phases: both, breaks: true},

	{op: "store.Update cancelled", nth: 1, phases: []fakes.Phase{fakes.Before}, cancelled: true},
	{op: "store.Update cancelled", nth: 1, phases: []fakes.Phase{fakes.After}, cancelled: true, written: true},
	{op: "events.Publish end", nth: 1, phases: both, cancelled: true, written: true},
	{op: "queue.Ack", nth: 1, phases: both, cancelled: true, written: true},
}

// life is long enough for heartbeats, and has output on both sides of them.
var life = program{
	kind: "life", language: "bash", stdout: "begins\nends\n", exit: 7,
	code: "echo begins; sleep 0.8; echo ends; exit 7",
}

// victim is a worker that gets one task, and into a trap with it.
type victim struct {
	step
	*process
	task *tracked
}

// victims starts a worker for each end of each step, with a queue and a task of its
// own, and waits until all are in their traps.
func (w *world) victims(signal syscall.Signal) (all []victim, queues []string) {
	w.t.Helper()
	const atOnce = 4 // starts
	for i, s := range steps {
		phases := s.phases
		if signal == syscall.SIGSTOP { // half of them, and the other half the next time
			phases = phases[(i+ghosts)%len(phases):][:1]
		}
		for _, phase := range phases {
			queue := fmt.Sprintf("victim-%d", len(all))
			p := w.start(w.orders(queue, func(o *order) {
				o.Queues, o.Concurrency, o.Reconcile = []string{queue}, 1, -1
				o.Trap = trap{Op: s.op, Phase: phase, Nth: s.nth, Signal: signal}
				if s.breaks {
					o.Breaks = 1
				}
			}))
			all, queues = append(all, victim{step: s, process: p}), append(queues, queue)
			if n := len(all) - atOnce; n >= 0 {
				all[n].awaitReady(w.t)
			}
		}
	}
	for i := range all {
		v := &all[i]
		v.awaitReady(w.t)
		p := life
		if v.cancelled {
			p = endless
		}
		p.queue = v.order.Name
		v.task = w.submit(p)
	}
	for _, v := range all {
		trapped := v.died
		if signal == syscall.SIGSTOP {
			trapped = v.frozen
		}
		eventually(w.t, trapped, "%s to come to its trap, %s", v.order.Name, v.order.Trap)
		w.faults++
	}
	return all, queues
}

// heir starts the worker that takes over from all of them.
func (w *world) heir(queues []string) *process {
	w.t.Helper()
	return w.worker("heir", func(o *order) { o.Queues, o.Concurrency = queues, 8 })
}

func TestATaskSurvivesAKillAtEveryStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.RedisOptions{})
	w.lease = lifeLease
	victims, queues := w.victims(syscall.SIGKILL)
	heir := w.heir(queues)
	w.settle()
	heir.drain(t)
	for _, v := range victims {
		if v.written {
			assert.Len(t, w.runsOf(v.task), 1, "%s: what is written down runs no second time", v.order.Trap)
		}
	}
	w.requireOver()
}

// lifeLease makes a heartbeat come every third of a second.
const lifeLease = 1000e6

// ghosts is how often the test of them has been played.
var ghosts int

// A worker that stands still for longer than its lease is a ghost when it goes on,
// wherever that was.
func TestAGhostChangesNothingAtAnyStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.RedisOptions{})
	w.lease, w.outlived = lifeLease, true
	defer func() { ghosts++ }()
	victims, queues := w.victims(syscall.SIGSTOP)
	heir := w.heir(queues)
	// Some go on while the heir runs their task, and the rest when it is over.
	for i, v := range victims {
		if i%2 == 0 && !v.written && !v.cancelled {
			eventually(t, func() bool {
				runs := w.runsOf(v.task)
				return len(runs) > 0 && runs[len(runs)-1].Worker == heir.order.Name
			}, "the heir to run the task of %s, stopped %s", v.order.Name, v.order.Trap)
			v.thaw()
		}
	}
	w.settle()
	before := w.snapshot()
	for _, v := range victims {
		v.thaw()
	}
	for _, v := range victims {
		v.drain(t)
	}
	heir.drain(t)
	require.Equal(t, before, w.snapshot(), "a ghost changes something")
	w.requireOver()
}
