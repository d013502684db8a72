package taskrunner_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// every is how often the processes of these tests reconcile.
const every = 10 * time.Second

// passes are the passes of a world's reconcilers, each of which lists the store once.
type passes struct {
	mu        sync.Mutex
	by        []string // who made them
	now, most int      // how many are under way, and were at the same time
}

func (p *passes) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.by)
}

// lister is a store that counts the passes of one process. A pass waits for hold.
type lister struct {
	ports.Store
	name   string
	passes *passes
	hold   func(context.Context)
}

func (l *lister) List(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
	p := l.passes
	p.mu.Lock()
	p.by = append(p.by, l.name)
	p.now++
	p.most = max(p.most, p.now)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.now--
	}()
	l.hold(ctx)
	return l.Store.List(context.WithoutCancel(ctx), q) // an answer that comes late is one
}

// lasts makes a pass last.
func lasts(d time.Duration) func(context.Context) {
	return func(ctx context.Context) { _, _ = fakes.Sleep(d)(ctx, ports.Job{}, nil) }
}

// reconciler is a process that has no tasks of its own to run.
func (w *world) reconciler(name string, p *passes, hold func(context.Context), opts ...option) *process {
	w.t.Helper()
	return w.process(name, fakes.NewExecutor(), append(opts, func(c *taskrunner.Config) {
		c.Queues, c.ReconcileEvery = []string{"deserted"}, every
		c.Backend.Store = &lister{c.Backend.Store, name, p, hold}
	})...)
}

func TestOneWorkerAtATimeReconciles(t *testing.T) {
	for name, ttl := range map[string]time.Duration{"of five": leaseTTL, "of five with leases that are far shorter than a pass": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				var p passes
				var workers []*process
				for _, name := range []string{"a", "b", "c", "d", "e"} {
					workers = append(workers, w.reconciler(name, &p, lasts(2*time.Second), func(c *taskrunner.Config) { c.LeaseTTL = ttl }))
				}
				for _, worker := range workers {
					worker.start(t)
				}
				time.Sleep(6*(every+2*time.Second) - time.Second)
				assert.Len(t, p.list(), 6)
				assert.Equal(t, 1, p.most)
				stats, err := workers[0].client.Stats(t.Context(), ports.DefaultQueue)
				require.NoError(t, err)
				assert.Zero(t, stats, "what elects them is in no queue of tasks")
				for _, worker := range workers {
					worker.stop(t)
				}
			})
		})
	}
}

func TestAnotherWorkerReconcilesWhenTheFirstOneDies(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var p passes
		a, b := w.reconciler("a", &p, lasts(time.Hour)), w.reconciler("b", &p, lasts(0))
		a.start(t)
		synctest.Wait()
		b.start(t)
		time.Sleep(2 * leaseTTL)
		require.Equal(t, []string{"a"}, p.list(), "the lease is kept for as long as the pass takes")
		a.Crash()
		time.Sleep(leaseTTL)
		synctest.Wait()
		assert.Contains(t, p.list(), "b")
		a.stop(t)
		b.stop(t)
	})
}

func TestAWorkerThatStopsHandsTheReconcilingOverAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var p passes
		a, b := w.reconciler("a", &p, lasts(time.Hour)), w.reconciler("b", &p, lasts(0))
		a.start(t)
		synctest.Wait()
		b.start(t)
		time.Sleep(time.Second)
		require.Equal(t, []string{"a"}, p.list())
		began := time.Now()
		a.stop(t)
		synctest.Wait()
		assert.Equal(t, []string{"a", "b"}, p.list())
		assert.Zero(t, time.Since(began))
		b.stop(t)
	})
}

func TestAWorkerThatHangsWhileItReconcilesLosesItsTurn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var p passes
		release := make(chan struct{})
		task := w.orphan(nil)
		a := w.reconciler("a", &p, func(context.Context) { <-release }) // whatever its context says
		var touched atomic.Bool
		a.Use(func(_ context.Context, c fakes.Call) error {
			touched.CompareAndSwap(false, c.Task == task.ID)
			return nil
		})
		b := w.reconciler("b", &p, lasts(0))
		a.start(t)
		synctest.Wait()
		b.start(t)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"a"}, p.list(), "it may be slow")
		time.Sleep(10 * time.Minute)
		assert.Contains(t, p.list(), "b")

		close(release)
		synctest.Wait()
		assert.False(t, touched.Load(), "it does no more with what it lists then")
		a.stop(t)
		b.stop(t)
	})
}

func TestAWorkerWhosePassIsSlowKeepsItsTurn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n, each = 150, 6 * time.Second
		var p passes
		for range n {
			w.orphan(nil)
		}
		time.Sleep(2 * leaseTTL)
		a := w.reconciler("a", &p, lasts(0))
		a.Use(func(ctx context.Context, c fakes.Call) error {
			if c.Op == "queue.Enqueue" && c.Phase == fakes.Before && !strings.HasPrefix(string(c.Task), ports.SystemQueue) {
				lasts(each)(ctx)
			}
			return nil
		})
		a.start(t)
		time.Sleep(n*each + time.Second)
		assert.Len(t, p.list(), 2, "one pass of two pages")
		stats, err := a.client.Stats(t.Context(), ports.DefaultQueue)
		require.NoError(t, err)
		assert.Equal(t, n, stats.Waiting)
		a.stop(t)
	})
}

func TestReconcilingGoesOnWhenTheQueueHasLostEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const n = 20
		var p passes
		workers := []*process{w.reconciler("a", &p, lasts(0)), w.reconciler("b", &p, lasts(0))}
		for _, worker := range workers {
			worker.start(t)
		}
		lost := []taskrunner.TaskID{"~reconcile"}
		for range n {
			task, err := workers[0].client.Submit(t.Context(), spec())
			require.NoError(t, err)
			lost = append(lost, task.ID)
		}
		time.Sleep(every + every/2)
		before := len(p.list())
		for _, id := range lost {
			found, err := w.shared.Queue.Cancel(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, ports.CancelledWaiting, found)
		}
		time.Sleep(every)
		assert.Greater(t, len(p.list()), before)
		stats, err := workers[0].client.Stats(t.Context(), ports.DefaultQueue)
		require.NoError(t, err)
		assert.Equal(t, n, stats.Waiting)
		for _, worker := range workers {
			worker.stop(t)
		}
	})
}
