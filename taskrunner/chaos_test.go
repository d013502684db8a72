package taskrunner_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// chance is a source of decisions for many goroutines.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (c *chance) of(percent float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.Float64()*100 < percent
}

func (c *chance) upTo(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.r.Int64N(int64(d)))
}

// faulty makes a process's calls fail, wait and be its last ones.
func faulty(p *process, c *chance) {
	p.Use(func(ctx context.Context, call fakes.Call) error {
		switch {
		case c.of(0.2):
			p.Crash()
			return fakes.ErrCrashed
		case c.of(3):
			return errors.New("connection reset")
		case c.of(1):
			time.Sleep(c.upTo(3 * leaseTTL))
		}
		return nil
	})
}

// Workers that fail, freeze and die all the time, callers that cancel and submit
// again, and tasks that lose their sandboxes: what is accepted still comes to
// exactly one end.
func TestManyTasksSurviveManyFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { chaos(t, &chance{r: rand.New(rand.NewPCG(seed, 1))}) })
		})
	}
}

func chaos(t *testing.T, c *chance) {
	w := newWorld(t)
	w.mostEnds, w.lossy = 100, true
	calm := w.process("calm", fakes.NewExecutor(says("calm", "ends"), fakes.Exit(7)))

	// Callers: each submits with a key until it is told of a task.
	var callers sync.WaitGroup
	accepted := make([]taskrunner.TaskID, 30)
	for i := range accepted {
		callers.Go(func() {
			s := spec()
			s.IdempotencyKey = fmt.Sprint("key ", i)
			for {
				time.Sleep(c.upTo(time.Minute))
				p := w.process("caller", fakes.NewExecutor())
				faulty(p, c)
				task, err := p.client.Submit(t.Context(), s)
				if err != nil {
					continue
				}
				accepted[i] = task.ID
				if c.of(30) {
					time.Sleep(c.upTo(20 * time.Second))
					_, _ = p.client.Cancel(t.Context(), task.ID)
				}
				return
			}
		})
	}

	// Workers: as one dies, another one comes.
	var all []*process
	for i := range 12 {
		name := fmt.Sprint("worker ", i)
		p := w.process(name, fakes.NewExecutor(
			says(name, "begins"),
			func(ctx context.Context, j ports.Job, n *fakes.Count) (*ports.Outcome, error) {
				if c.of(10) {
					return nil, errors.New("sandbox broke")
				}
				return fakes.Sleep(c.upTo(4*leaseTTL))(ctx, j, n)
			},
			says(name, "ends"),
			fakes.Exit(7),
		))
		faulty(p, c)
		_ = p.worker.Start(t.Context())
		all = append(all, p)
		time.Sleep(c.upTo(20 * time.Second))
	}
	callers.Wait()
	time.Sleep(time.Minute)
	for _, p := range all {
		p.Crash()
		p.stop(t)
	}

	calm.start(t)
	time.Sleep(2 * settled)
	calm.stop(t)
	w.requireOver(calm.client)
	for _, id := range accepted {
		task, err := calm.client.Get(t.Context(), id)
		require.NoError(t, err, "a task that was accepted is there")
		assert.Contains(t, []taskrunner.Cause{ports.CauseExit, ports.CauseCancelled, ports.CauseInfrastructure}, task.Result.Cause)
	}
	assert.Len(t, w.all(), len(accepted), "each key has one task")
}
