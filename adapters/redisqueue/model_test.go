package redisqueue_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// stoppedClock gives the scripts of a client a time that moves only when told: they
// read it from a key.
type stoppedClock struct{ sources map[string]string } // by hash

func (c *stoppedClock) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *stoppedClock) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *stoppedClock) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); args[0] == "evalsha" {
			const stopped = `{math.floor(call('GET', clock .. ':test') / 1000), call('GET', clock .. ':test') % 1000 * 1000}`
			args[0], args[1] = "eval", strings.Replace(c.sources[args[1].(string)], "call('TIME')", stopped, 1)
		}
		return next(ctx, cmd)
	}
}

// model is a queue so simple that it is plainly right: one list, searched whole.
type model struct {
	entries  []*modelEntry
	now      int64 // in ms
	last     int64 // the last arrival or fence
	arrivals int
}

type modelState int

const (
	waiting modelState = iota
	delayed
	leased
)

type modelEntry struct {
	ports.Entry
	state      modelState
	at         int64
	arrival    int
	fence      int64
	deliveries int
	cancelled  bool
}

// tick returns a number that was never given before.
func (m *model) tick() int64 {
	m.last = max(m.last+1, m.now*1000)
	return m.last
}

func (m *model) find(id ports.TaskID) *modelEntry {
	for _, e := range m.entries {
		if e.state != waiting && e.at <= m.now {
			e.state = waiting
		}
	}
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
	e.state, e.at = waiting, m.now+delay.Milliseconds()
	if delay > 0 {
		e.state = delayed
	}
}

// best returns the entry to be claimed next from these queues, or nil.
func (m *model) best(queues []string) *modelEntry {
	m.find("")
	var due []*modelEntry
	for _, e := range m.entries {
		if e.state == waiting && slices.Contains(queues, e.Queue) {
			due = append(due, e)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return slices.MinFunc(due, func(a, b *modelEntry) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.at, b.at), cmp.Compare(a.arrival, b.arrival))
	})
}

func (m *model) enqueue(e ports.Entry) {
	if m.find(e.Task) != nil {
		return
	}
	m.arrivals++
	m.tick()
	added := &modelEntry{Entry: e, arrival: m.arrivals}
	m.putBack(added, e.Delay)
	m.entries = append(m.entries, added)
}

// claim returns no lease if there is nothing.
func (m *model) claim(queues []string, ttl time.Duration) ports.Lease {
	e := m.best(queues)
	if e == nil {
		return ports.Lease{}
	}
	e.state, e.fence, e.at = leased, m.tick(), m.now+ttl.Milliseconds()
	e.deliveries++
	return ports.Lease{
		Task: e.Task, Queue: e.Queue, Fence: e.fence, Deliveries: e.deliveries, ExpiresAt: time.UnixMilli(e.at),
	}
}

// next returns how long from now an entry of these queues becomes due; negative:
// none does.
func (m *model) next(queues []string) time.Duration {
	next := -time.Microsecond
	for _, e := range m.entries {
		if in := time.Duration(e.at-m.now) * time.Millisecond; slices.Contains(queues, e.Queue) && (next < 0 || in < next) {
			next = in
		}
	}
	return next
}

func (m *model) stats(queue string) (s ports.QueueStats) {
	m.find("")
	for _, e := range m.entries {
		if e.Queue != queue {
			continue
		}
		switch e.state {
		case waiting:
			s.Waiting++
			s.OldestWait = max(s.OldestWait, time.Duration(m.now-e.at)*time.Millisecond)
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
	opts := *testenv.Redis(t).Options()
	for seed := range uint64(10) {
		client := redis.NewClient(&opts)
		client.AddHook(&stoppedClock{redisqueue.Sources()})
		compareQueues(t, client, rand.New(rand.NewPCG(seed, 1)), 400)
		require.NoError(t, client.Close())
	}
}

// compareQueues does the same at random to a queue and to the model.
func compareQueues(t *testing.T, client *redis.Client, rnd *rand.Rand, steps int) {
	ctx, q, m := t.Context(), newQueue(t, client), &model{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()}
	pass := func(ms int) {
		m.now += int64(ms)
		require.NoError(t, client.Set(ctx, "{"+q.Prefix()+"}:clock:test", m.now, time.Minute).Err())
	}
	pass(0)
	queues := []string{"a", "b", "c"}
	var leases []ports.Lease // all that ever were
	lease := func() ports.Lease {
		if len(leases) == 0 {
			return ports.Lease{}
		}
		return leases[max(0, len(leases)-1-rnd.IntN(8))]
	}
	delay := func() time.Duration { return time.Duration(rnd.IntN(4)) * time.Millisecond }
	for range steps {
		switch op := rnd.IntN(10); op {
		case 0, 1: // some at once, of which some may be the same
			queue, n := queues[rnd.IntN(3)], 1+rnd.IntN(3)
			var entries []ports.Entry
			for range n {
				e := ports.Entry{
					Task: ports.TaskID(fmt.Sprint(rnd.IntN(20))), Queue: queue, Priority: rnd.IntN(5) - 2, Delay: delay(),
				}
				entries = append(entries, e)
				m.enqueue(e)
			}
			require.NoError(t, q.EnqueueAll(entries...))
		case 2, 3: // some at once, perhaps more than there are entries
			names := queues[rnd.IntN(3):]
			var ttls []time.Duration
			var want []ports.Lease
			for range 1 + rnd.IntN(4) {
				ttls = append(ttls, delay()+time.Millisecond)
				want = append(want, m.claim(names, ttls[len(ttls)-1]))
			}
			got, next, err := q.ClaimAll(names, ttls...)
			require.NoError(t, err)
			require.Equal(t, want, got)
			for i, l := range got {
				if l == (ports.Lease{}) {
					require.Equal(t, m.next(names), next[i])
				} else {
					leases = append(leases, l)
				}
			}
		case 4:
			l, ttl := lease(), delay()+time.Millisecond
			extended, err := q.Extend(ctx, l, ttl)
			e := m.held(l)
			switch {
			case e == nil:
				require.ErrorIs(t, err, ports.ErrLeaseLost)
				continue
			case e.cancelled:
				require.ErrorIs(t, err, ports.ErrCancelled)
			default:
				require.NoError(t, err)
			}
			e.at = m.now + ttl.Milliseconds()
			require.Equal(t, time.UnixMilli(e.at), extended.ExpiresAt)
		case 5:
			l, d := lease(), delay()
			err := q.Nack(ctx, l, d)
			if e := m.held(l); e != nil {
				require.NoError(t, err)
				m.putBack(e, d)
			} else {
				require.ErrorIs(t, err, ports.ErrLeaseLost)
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
		case 7: // some of one queue at once, among them ghosts and the same one twice
			all := []ports.Lease{lease()}
			for range 3 {
				if l := lease(); l.Queue == all[0].Queue {
					all = append(all, l)
				}
			}
			verdicts, err := q.AckAll(all...)
			require.NoError(t, err)
			require.Len(t, verdicts, len(all))
			for i, l := range all {
				if e := m.held(l); e != nil {
					require.NoError(t, verdicts[i])
					m.remove(e)
				} else {
					require.ErrorIs(t, verdicts[i], ports.ErrLeaseLost)
				}
			}
		case 8:
			pass(rnd.IntN(3))
		case 9:
			for _, name := range queues {
				s, err := q.Stats(ctx, name)
				require.NoError(t, err)
				require.Equal(t, m.stats(name), s)
			}
		}
	}
}
