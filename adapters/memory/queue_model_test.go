package memory

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// model is a queue so simple that it is plainly right: one list, searched whole.
type model struct {
	entries []*modelEntry
	start   time.Time
	fence   int64
}

type modelEntry struct {
	ports.Entry
	state      state
	at         time.Duration
	fence      int64
	deliveries int
	cancelled  bool
}

func (m *model) now() time.Duration { return time.Since(m.start) }

// settle makes wait what is due, in the order in which it became so.
func (m *model) settle() {
	for _, e := range m.entries {
		if e.state != waiting && e.at <= m.now() {
			e.state = waiting
		}
	}
}

func (m *model) find(id ports.TaskID) *modelEntry {
	m.settle()
	for _, e := range m.entries {
		if e.Task == id {
			return e
		}
	}
	return nil
}

func (m *model) held(l ports.Lease) *modelEntry {
	if e := m.find(l.Task); e != nil && e.state == leased && e.fence == l.Fence {
		return e
	}
	return nil
}

func (m *model) remove(e *modelEntry) {
	m.entries = slices.DeleteFunc(m.entries, func(o *modelEntry) bool { return o == e })
}

func (m *model) putBack(e *modelEntry, delay time.Duration) {
	e.state, e.at = waiting, m.now()+delay
	if delay > 0 {
		e.state = delayed
	}
}

// next returns the entries that may be claimed next from these queues: the best
// ones, which are many if they became due at the same instant.
func (m *model) next(queues []string) []*modelEntry {
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

func (m *model) stats(queue string) (s ports.QueueStats) {
	m.settle()
	for _, e := range m.entries {
		if e.Queue != queue {
			continue
		}
		switch e.state {
		case waiting:
			s.Waiting++
			s.OldestWait = max(s.OldestWait, m.now()-e.at)
		case delayed:
			s.Delayed++
		case leased:
			s.Leased++
		}
	}
	return s
}

func TestQueueDoesWhatASimpleOneDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) { compareQueues(t, rand.New(rand.NewPCG(seed, 1)), 400) })
	}
}

// compareQueues does the same at random to a queue and to the model.
func compareQueues(t *testing.T, rnd *rand.Rand, steps int) {
	ctx, q, m := t.Context(), NewQueue(), &model{start: time.Now()}
	queues := []string{"a", "b", "c"}
	var leases []ports.Lease // all that ever were
	lease := func() ports.Lease {
		if len(leases) == 0 {
			return ports.Lease{}
		}
		return leases[max(0, len(leases)-1-rnd.IntN(8))]
	}
	delay := func() time.Duration { return time.Duration(rnd.IntN(4)) * time.Second }
	for range steps {
		switch op := rnd.IntN(9); op {
		case 0, 1:
			e := ports.Entry{
				Task: ports.TaskID(fmt.Sprint(rnd.IntN(20))), Queue: queues[rnd.IntN(3)], Priority: rnd.IntN(3), Delay: delay(),
			}
			require.NoError(t, q.Enqueue(ctx, e))
			if m.find(e.Task) == nil {
				added := &modelEntry{Entry: e}
				m.putBack(added, e.Delay)
				m.entries = append(m.entries, added)
			}
		case 2, 3:
			names := queues[rnd.IntN(3):]
			candidates := m.next(names)
			if len(candidates) == 0 {
				continue
			}
			ttl := delay() + time.Second
			l, err := q.Claim(ctx, ports.ClaimRequest{Queues: names, TTL: ttl})
			require.NoError(t, err)
			i := slices.IndexFunc(candidates, func(e *modelEntry) bool { return e.Task == l.Task })
			require.GreaterOrEqual(t, i, 0, "claimed %+v instead of any of %d", l, len(candidates))
			e := candidates[i]
			m.fence++
			e.state, e.fence, e.at = leased, m.fence, m.now()+ttl
			e.deliveries++
			require.Equal(t, ports.Lease{
				Task: e.Task, Queue: e.Queue, Fence: e.fence, Deliveries: e.deliveries, ExpiresAt: m.start.Add(e.at).Round(0),
			}, l)
			leases = append(leases, l)
		case 4:
			l, ttl := lease(), delay()+time.Second
			_, err := q.Extend(ctx, l, ttl)
			switch e := m.held(l); {
			case e == nil:
				require.ErrorIs(t, err, ports.ErrLeaseLost)
				continue
			case e.cancelled:
				require.ErrorIs(t, err, ports.ErrCancelled)
			default:
				require.NoError(t, err)
			}
			m.held(l).at = m.now() + ttl
		case 5:
			l, d := lease(), delay()
			ack := rnd.IntN(2) == 0
			var err error
			if ack {
				err = q.Ack(ctx, l)
			} else {
				err = q.Nack(ctx, l, d)
			}
			e := m.held(l)
			require.Equal(t, e == nil, errors.Is(err, ports.ErrLeaseLost))
			require.Equal(t, e != nil, err == nil)
			if e != nil && ack {
				m.remove(e)
			} else if e != nil {
				m.putBack(e, d)
			}
		case 6:
			id := ports.TaskID(fmt.Sprint(rnd.IntN(20)))
			found, err := q.Cancel(ctx, id)
			switch e := m.find(id); {
			case e == nil:
				require.ErrorIs(t, err, ports.ErrNotFound)
			case e.state == leased:
				require.Equal(t, ports.CancelledLeased, found)
				e.cancelled = true
			default:
				require.Equal(t, ports.CancelledWaiting, found)
				m.remove(e)
			}
		case 7:
			<-time.After(delay() / 2) // by the bubble's clock
		case 8:
			for _, name := range queues {
				s, err := q.Stats(ctx, name)
				require.NoError(t, err)
				require.Equal(t, m.stats(name), s)
			}
		}
	}
}
