package conformance

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var queueModelChecks = []queueCheck{
	{"does what a simple queue does, whatever is done to it", func(t *testing.T, h QueueHarness) {
		for seed := range uint64(20) {
			c := &comparison{queueRig: newQueueRig(t, h), model: &modelQueue{}, rnd: rand.New(rand.NewPCG(seed, 1))}
			for range 400 {
				c.step()
			}
		}
	}},
}

// modelQueue is a queue so simple that it is plainly right: one list, searched whole.
type modelQueue struct {
	entries []*modelEntry
	now     time.Duration
}

type modelEntry struct {
	ports.Entry
	state      modelState
	at         time.Duration // since when it waits, until when it is delayed or leased
	fence      int64
	deliveries int
	cancelled  bool
}

type modelState int

const (
	waiting modelState = iota
	delayed
	leased
)

// settle makes wait what is due.
func (m *modelQueue) settle() {
	for _, e := range m.entries {
		if e.state != waiting && e.at <= m.now {
			e.state = waiting
		}
	}
}

func (m *modelQueue) find(id ports.TaskID) *modelEntry {
	m.settle()
	for _, e := range m.entries {
		if e.Task == id {
			return e
		}
	}
	return nil
}

func (m *modelQueue) held(l ports.Lease) *modelEntry {
	if e := m.find(l.Task); e != nil && e.state == leased && e.fence == l.Fence {
		return e
	}
	return nil
}

func (m *modelQueue) remove(e *modelEntry) {
	m.entries = slices.DeleteFunc(m.entries, func(o *modelEntry) bool { return o == e })
}

func (m *modelQueue) putBack(e *modelEntry, delay time.Duration) {
	e.state, e.at = waiting, m.now+delay
	if delay > 0 {
		e.state = delayed
	}
}

// next returns the entries that may be claimed next from these queues: the best
// ones, which are many if they became due at the same instant.
func (m *modelQueue) next(queues []string) []*modelEntry {
	m.settle()
	var best []*modelEntry
	for _, e := range m.entries {
		if e.state != waiting || !slices.Contains(queues, e.Queue) {
			continue
		}
		c := -1
		if len(best) > 0 {
			c = cmp.Or(cmp.Compare(best[0].Priority, e.Priority), cmp.Compare(e.at, best[0].at))
		}
		if c < 0 {
			best = nil
		}
		if c <= 0 {
			best = append(best, e)
		}
	}
	return best
}

func (m *modelQueue) stats(queue string) (s ports.QueueStats) {
	m.settle()
	for _, e := range m.entries {
		if e.Queue != queue {
			continue
		}
		switch e.state {
		case waiting:
			s.Waiting++
			s.OldestWait = max(s.OldestWait, m.now-e.at)
		case delayed:
			s.Delayed++
		case leased:
			s.Leased++
		}
	}
	return s
}

// comparison does the same to a queue and to the model.
type comparison struct {
	*queueRig
	model  *modelQueue
	rnd    *rand.Rand
	leases []ports.Lease // all that ever were
	epoch  time.Time     // the model's 0 by the queue's clock
}

var modelQueues = []string{"a", "b", "c"}

// step does something at random.
func (c *comparison) step() {
	var cancel func()
	c.ctx, cancel = context.WithTimeout(c.t.Context(), patience) // patience is for one step
	defer cancel()
	switch c.rnd.IntN(9) {
	case 0, 1:
		c.enqueueOne()
	case 2, 3:
		c.claimOne()
	case 4:
		c.extendOne()
	case 5, 6:
		c.endOne()
	case 7:
		c.cancelOne()
	case 8:
		c.look()
	}
}

func (c *comparison) task() ports.TaskID { return ports.TaskID(fmt.Sprint(c.rnd.IntN(20))) }

// ticks returns from to so many ticks.
func (c *comparison) ticks(from, to int) time.Duration {
	return time.Duration(from+c.rnd.IntN(to-from+1)) * c.tick
}

// lease returns one of the last leases, which may be lost.
func (c *comparison) lease() ports.Lease {
	if len(c.leases) == 0 {
		return ports.Lease{Task: c.task(), Queue: "a", Fence: 1}
	}
	return c.leases[max(0, len(c.leases)-1-c.rnd.IntN(8))]
}

func (c *comparison) enqueueOne() {
	e := ports.Entry{Task: c.task(), Queue: modelQueues[c.rnd.IntN(3)], Priority: c.rnd.IntN(5) - 2, Delay: c.ticks(0, 3)}
	c.enqueue(e)
	if c.model.find(e.Task) == nil {
		added := &modelEntry{Entry: e}
		c.model.putBack(added, e.Delay)
		c.model.entries = append(c.model.entries, added)
	}
}

func (c *comparison) claimOne() {
	queues := modelQueues[c.rnd.IntN(3):]
	candidates := c.model.next(queues)
	if len(candidates) == 0 {
		return
	}
	ttl := c.ticks(1, 4)
	l := c.claim(ttl, queues...)
	i := slices.IndexFunc(candidates, func(e *modelEntry) bool { return e.Task == l.Task })
	require.GreaterOrEqual(c.t, i, 0, "claimed %+v instead of any of %d", l, len(candidates))
	e := candidates[i]
	e.state, e.fence, e.at = leased, l.Fence, c.model.now+ttl
	e.deliveries++
	if len(c.leases) == 0 {
		c.epoch = l.ExpiresAt.Add(-e.at)
	} else {
		require.Greater(c.t, l.Fence, c.leases[len(c.leases)-1].Fence)
	}
	require.Equal(c.t, ports.Lease{
		Task: e.Task, Queue: e.Queue, Fence: l.Fence, Deliveries: e.deliveries, ExpiresAt: c.epoch.Add(e.at),
	}, l)
	c.leases = append(c.leases, l)
}

func (c *comparison) extendOne() {
	l, ttl := c.lease(), c.ticks(1, 4)
	e := c.model.held(l)
	extended, err := c.Extend(c.ctx, l, ttl)
	switch {
	case e == nil:
		requireSentinel(c.t, err, ports.ErrLeaseLost)
		return
	case e.cancelled:
		requireSentinel(c.t, err, ports.ErrCancelled)
	default:
		require.NoError(c.t, err)
	}
	e.at = c.model.now + ttl
	require.Equal(c.t, c.epoch.Add(e.at), extended.ExpiresAt)
}

// endOne acknowledges a lease or gives it back.
func (c *comparison) endOne() {
	l, delay := c.lease(), c.ticks(0, 3)
	e := c.model.held(l)
	ack := c.rnd.IntN(2) == 0
	end := func() error { return c.Nack(c.ctx, l, delay) }
	if ack {
		end = func() error { return c.Ack(c.ctx, l) }
	}
	err := end()
	switch {
	case e == nil:
		requireSentinel(c.t, err, ports.ErrLeaseLost)
		return
	case ack:
		c.model.remove(e)
	default:
		c.model.putBack(e, delay)
	}
	require.NoError(c.t, err)
}

func (c *comparison) cancelOne() {
	id := c.task()
	e := c.model.find(id)
	found, err := c.Cancel(c.ctx, id)
	if e == nil {
		requireSentinel(c.t, err, ports.ErrNotFound)
		return
	}
	require.NoError(c.t, err)
	if e.state == leased {
		require.Equal(c.t, ports.CancelledLeased, found)
		e.cancelled = true
		return
	}
	require.Equal(c.t, ports.CancelledWaiting, found)
	c.model.remove(e)
}

// look compares what is counted, and lets a while pass.
func (c *comparison) look() {
	for _, name := range modelQueues {
		require.Equal(c.t, c.model.stats(name), c.stats(name))
	}
	d := c.ticks(0, 2)
	c.pass(d)
	c.model.now += d
}
