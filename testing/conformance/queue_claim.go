package conformance

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var queueClaimChecks = []queueCheck{
	{"gives a lease that says what it is of", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claim(long)
		assert.Equal(t, id, l.Task)
		assert.Equal(t, "q", l.Queue)
		assert.Equal(t, 1, l.Deliveries)
		assert.False(t, l.ExpiresAt.IsZero())
	}},
	{"gives equal priorities in the order in which they came", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		var want []ports.TaskID
		for range 50 {
			want = append(want, r.enqueueNew())
		}
		for _, id := range want {
			r.claimTask(id, long)
		}
	}},
	{"gives higher priorities first", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		var entries []ports.Entry
		for _, p := range []int{0, 5, -100, 100, 99, -1, 1, 0, 10, 9, -10, -9, 5, 100, -100, 50} {
			entries = append(entries, ports.Entry{Task: newID(), Priority: p})
		}
		r.enqueue(entries...)
		slices.SortStableFunc(entries, func(a, b ports.Entry) int { return cmp.Compare(b.Priority, a.Priority) })
		for _, e := range entries {
			l := r.claim(long)
			require.Equal(t, e.Task, l.Task, "wanted priority %d", e.Priority)
		}
	}},
	{"gives the best of all queues named, in whatever order they are", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := func(i int) ports.TaskID { return ports.TaskID([]byte{'a' + byte(i)}) }
		r.enqueue(
			ports.Entry{Task: id(4), Queue: "one"},
			ports.Entry{Task: id(5), Queue: "two"},
			ports.Entry{Task: id(6), Queue: "one"},
			ports.Entry{Task: id(2), Queue: "two", Priority: 1},
			ports.Entry{Task: id(1), Queue: "three", Priority: 2},
			ports.Entry{Task: id(3), Queue: "one", Priority: 1},
			ports.Entry{Task: id(0), Queue: "two", Priority: 3},
			ports.Entry{Task: "not-asked-for", Queue: "four", Priority: 100},
		)
		for i := range 7 {
			names := []string{"one", "two", "three", "one"}
			slices.Reverse(names[:1+i%4])
			require.Equal(t, id(i), r.claim(long, names...).Task)
		}
		require.Equal(t, 1, r.stats("four").Waiting)
	}},
	{"keeps queues apart, whatever their names", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		names := []string{
			"q", "Q", "q1", "q:1", "q/1", "q ", " q", " ", "*", "?", "q*", "[q]", "{q}", "{", "}", ":", "..", "/", "%", `\`, "'", `"`, "0",
			"é", "e\u0301", "q\n", "q\x00", "\x00", "\xff", "\xfe", "waiting", "q:waiting", "q:leased",
			strings.Repeat("q", ports.MaxQueueName), strings.Repeat("é", ports.MaxQueueName/2),
		}
		tasks := map[string]ports.TaskID{}
		for _, name := range names {
			tasks[name] = newID()
			r.enqueue(ports.Entry{Task: tasks[name], Queue: name})
		}
		for _, name := range names {
			require.Equal(t, 1, r.stats(name).Waiting, "queue %q", name)
			l := r.claim(long, name)
			require.Equal(t, tasks[name], l.Task, "queue %q", name)
			require.Equal(t, name, l.Queue)
			r.requireNothingDue(name)
		}
	}},
	{"gives every claim a higher fence", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		a, b := newID(), newID()
		r.enqueue(ports.Entry{Task: a, Queue: "one"}, ports.Entry{Task: b, Queue: "two"})
		var last int64
		for i := range 10 {
			l := r.claim(long, []string{"one", "two"}[i%2])
			require.Greater(t, l.Fence, last)
			last = l.Fence
			if i%4 < 2 {
				r.nack(l, 0)
			} else {
				r.ack(l)
				r.enqueue(ports.Entry{Task: l.Task, Queue: l.Queue})
			}
		}
	}},
	{"refuses what is no request", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		for what, req := range map[string]ports.ClaimRequest{
			"no queue":        {TTL: long},
			"an empty list":   {TTL: long, Queues: []string{}},
			"an empty name":   {TTL: long, Queues: []string{"q", ""}},
			"too long a name": {TTL: long, Queues: []string{"q", strings.Repeat("q", ports.MaxQueueName+1)}},
			"no TTL":          {Queues: []string{"q"}},
			"a negative TTL":  {Queues: []string{"q"}, TTL: -time.Second},
		} {
			_, err := r.Claim(r.ctx, req)
			requireSentinel(t, err, ports.ErrInvalid, what)
		}
		assert.Equal(t, 1, r.stats("q").Waiting)
	}},
	{"needs no worker's name and changes nothing of the request", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueueNew()
		names := []string{"z", "q", "a", "q"}
		_, err := r.Claim(r.ctx, ports.ClaimRequest{Queues: names, TTL: long})
		require.NoError(t, err)
		assert.Equal(t, []string{"z", "q", "a", "q"}, names)
	}},
}

var queueWaitChecks = []queueCheck{
	{"ends when an entry comes", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		ch := r.claimLater(r.ctx, long)
		id := r.enqueueNew()
		assert.Equal(t, id, r.receiveLease(ch).Task)
	}},
	{"ends when an entry comes to any of the queues named", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		for _, name := range []string{"one", "two", "three"} {
			ch := r.claimLater(r.ctx, long, "one", "two", "three")
			r.enqueue(ports.Entry{Task: newID(), Queue: "none of them"}, ports.Entry{Task: newID(), Queue: name})
			assert.Equal(t, name, r.receiveLease(ch).Queue)
		}
		assert.Equal(t, 3, r.stats("none of them").Waiting)
	}},
	{"ends when an entry is given back", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claim(long)
		ch := r.claimLater(r.ctx, long)
		r.nack(l, 0)
		again := r.receiveLease(ch)
		assert.Equal(t, id, again.Task)
		assert.Equal(t, 2, again.Deliveries)
	}},
	{"ends when a delay is over", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := newID()
		ch := r.claimLater(r.ctx, long)
		r.enqueue(ports.Entry{Task: id, Delay: 2 * r.tick})
		r.advance(2 * r.tick)
		assert.Equal(t, id, r.receiveLease(ch).Task)
	}},
	{"ends when the delay of what was given back is over", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		l := r.claim(long)
		ch := r.claimLater(r.ctx, long)
		r.nack(l, 2*r.tick)
		r.advance(2 * r.tick)
		assert.Equal(t, id, r.receiveLease(ch).Task)
	}},
	{"ends when another one's lease expires", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		ghost := r.claim(2 * r.tick)
		ch := r.claimLater(r.ctx, long)
		r.advance(2 * r.tick)
		assert.Equal(t, id, r.receiveLease(ch).Task)
		r.requireGhost(ghost)
	}},
	{"ends when the lease of one who waited as well expires", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		first := r.claimLater(r.ctx, 2*r.tick)
		id := r.enqueueNew()
		ghost := r.receiveLease(first)
		second := r.claimLater(r.ctx, long)
		r.advance(2 * r.tick)
		assert.Equal(t, id, r.receiveLease(second).Task)
		r.requireGhost(ghost)
	}},
	{"ends when the lease of one who waited beside it expires", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		first, second := r.claimLater(r.ctx, 2*r.tick), r.claimLater(r.ctx, 2*r.tick)
		id := r.enqueueNew()
		var ghost ports.Lease
		select { // whichever of them it is
		case c := <-first:
			require.NoError(t, c.err)
			ghost, first = c.lease, second
		case c := <-second:
			require.NoError(t, c.err)
			ghost = c.lease
		}
		r.advance(2 * r.tick)
		again := r.receiveLease(first)
		assert.Equal(t, id, again.Task)
		assert.Greater(t, again.Fence, ghost.Fence)
	}},
	{"ends when a lease that was shortened expires", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		ghost := r.claim(long)
		ch := r.claimLater(r.ctx, long)
		ghost = r.extend(ghost, 2*r.tick)
		r.advance(2 * r.tick)
		assert.Equal(t, id, r.receiveLease(ch).Task)
		r.requireGhost(ghost)
	}},
	{"ends for as many as there are entries", func(t *testing.T, h QueueHarness) {
		const n = 8
		r := newQueueRig(t, h)
		var claims []<-chan claimed
		for range n {
			claims = append(claims, r.claimLater(r.ctx, long))
		}
		want, got := map[ports.TaskID]bool{}, map[ports.TaskID]bool{}
		for range n {
			want[r.enqueueNew()] = true
		}
		for _, ch := range claims {
			got[r.receiveLease(ch).Task] = true
		}
		assert.Equal(t, want, got)
	}},
	{"goes on where another one gave up", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		ctx, giveUp := context.WithCancel(r.ctx)
		first := r.claimLater(ctx, r.tick)
		second := r.claimLater(r.ctx, long)
		giveUp()
		requireContextError(t, ctx, receive(t, first, "the Claim that was given up").err)
		id := r.enqueueNew()
		assert.Equal(t, id, r.receiveLease(second).Task)
	}},
}

var queueDelayChecks = []queueCheck{
	{"keeps an entry back until its time", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		soon, late := newID(), newID()
		r.enqueue(ports.Entry{Task: late, Delay: time.Hour, Priority: 100}, ports.Entry{Task: soon, Delay: 2 * r.tick})
		if r.exact() {
			r.requireNothingDue("q")
		}
		r.pass(2 * r.tick)
		r.claimTask(soon, long)
		r.requireNothingDue("q")
	}},
	{"gives delayed entries in the order of their times", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		third, first, second := newID(), newID(), newID()
		r.enqueue(
			ports.Entry{Task: third, Delay: 4 * r.tick},
			ports.Entry{Task: first, Delay: 2 * r.tick},
			ports.Entry{Task: second, Delay: 3 * r.tick},
		)
		for _, id := range []ports.TaskID{first, second, third} {
			r.pass(2 * r.tick)
			r.claimTask(id, long)
		}
	}},
	{"regards priority once an entry is due", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		low, high := newID(), newID()
		r.enqueue(ports.Entry{Task: low}, ports.Entry{Task: high, Priority: 1, Delay: r.tick})
		r.pass(r.tick)
		r.claimTask(high, long)
		r.claimTask(low, long)
	}},
	{"keeps back what was given back with a delay", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		id := r.enqueueNew()
		r.nack(r.claim(long), time.Hour)
		r.requireNothingDue("q")
		assert.Equal(t, ports.QueueStats{Delayed: 1}, r.stats("q"))
		found, err := r.Cancel(r.ctx, id)
		require.NoError(t, err)
		assert.Equal(t, ports.CancelledWaiting, found)
	}},
	{"takes the longest delay there is", func(t *testing.T, h QueueHarness) {
		r := newQueueRig(t, h)
		r.enqueue(ports.Entry{Task: newID(), Delay: 1<<63 - 1})
		r.requireNothingDue("q")
		r.pass(r.tick)
		r.requireNothingDue("q")
	}},
}
