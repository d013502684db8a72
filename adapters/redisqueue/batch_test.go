package redisqueue

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// held makes runs that go on until they are let go, and notes them. What a call of n
// brings is 10*n.
type heldRuns struct {
	batches[int, int]
	runs   chan []int
	letGo  chan error
	undone chan int
}

func newHeldRuns() *heldRuns {
	h := &heldRuns{runs: make(chan []int, 100), letGo: make(chan error), undone: make(chan int, 100)}
	h.run = func(_ context.Context, ins []int) ([]int, error) {
		h.runs <- ins
		if err := <-h.letGo; err != nil {
			return nil, err
		}
		return tenfold(ins), nil
	}
	h.undo = func(out int) { h.undone <- out }
	return h
}

func tenfold(ins []int) (outs []int) {
	for _, n := range ins {
		outs = append(outs, 10*n)
	}
	return outs
}

// call makes a call in a goroutine, and returns when it has joined.
func (h *heldRuns) call(ctx context.Context, key string, in int) <-chan outcome[int] {
	o := make(chan outcome[int], 1)
	go func() {
		out, err := h.do(ctx, key, in)
		o <- outcome[int]{out, err}
	}()
	synctest.Wait()
	return o
}

func TestCallsThatComeDuringARunAreTheNextOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHeldRuns()
		calls := []<-chan outcome[int]{h.call(t.Context(), "key", 0)}
		require.Equal(t, []int{0}, <-h.runs, "nobody waits for company")
		var all []int
		for n := 1; n <= maxBatch+2; n++ {
			calls = append(calls, h.call(t.Context(), "key", n))
			all = append(all, n)
		}
		require.Empty(t, h.runs, "one run at a time")
		h.letGo <- nil
		require.Equal(t, all[:maxBatch], <-h.runs, "in the order in which they came")
		h.letGo <- nil
		require.Equal(t, all[maxBatch:], <-h.runs, "what is too much for one run is the next one")
		h.letGo <- nil
		for n, c := range calls {
			require.Equal(t, outcome[int]{out: 10 * n}, <-c)
		}
		synctest.Wait()
		require.Empty(t, h.next, "nothing is under way")
		h.call(t.Context(), "key", 7)
		require.Equal(t, []int{7}, <-h.runs)
		h.letGo <- nil
	})
}

func TestCallsOfOtherKeysAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHeldRuns()
		for n, key := range []string{"a", "b", "c"} {
			h.call(t.Context(), key, n)
			require.Equal(t, []int{n}, <-h.runs)
		}
		for range 3 {
			h.letGo <- nil
		}
	})
}

func TestAnErrorIsThatOfEveryCallOfTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHeldRuns()
		first := h.call(t.Context(), "key", 0)
		second, third := h.call(t.Context(), "key", 1), h.call(t.Context(), "key", 2)
		h.letGo <- nil
		broken := errors.New("broken")
		h.letGo <- broken
		require.Equal(t, outcome[int]{out: 0}, <-first)
		require.Equal(t, outcome[int]{err: broken}, <-second)
		require.Equal(t, outcome[int]{err: broken}, <-third)
	})
}

func TestOneWhoseContextEndsLeavesAtOnceAndAlone(t *testing.T) {
	t.Parallel()
	t.Run("before the call", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := new(batches[int, int]).do(ctx, "key", 0)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("before its run, which goes on without it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := newHeldRuns()
			ctx, cancel := context.WithCancel(t.Context())
			first := h.call(t.Context(), "key", 0)
			leaves, stays := h.call(ctx, "key", 1), h.call(t.Context(), "key", 2)
			cancel()
			require.ErrorIs(t, (<-leaves).err, context.Canceled)
			h.letGo <- nil
			h.letGo <- nil
			require.Equal(t, []int{0}, <-h.runs)
			require.Equal(t, []int{2}, <-h.runs)
			require.Equal(t, outcome[int]{out: 0}, <-first)
			require.Equal(t, outcome[int]{out: 20}, <-stays)
			require.Empty(t, h.undone)
		})
	})
	t.Run("during its run, and what it would have got is undone", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := newHeldRuns()
			ctx, cancel := context.WithCancel(t.Context())
			first := h.call(t.Context(), "key", 0)
			leaves, stays := h.call(ctx, "key", 1), h.call(t.Context(), "key", 2)
			h.letGo <- nil
			require.Equal(t, outcome[int]{out: 0}, <-first)
			synctest.Wait()
			cancel()
			require.ErrorIs(t, (<-leaves).err, context.Canceled)
			h.letGo <- nil
			require.Equal(t, outcome[int]{out: 20}, <-stays)
			require.Equal(t, 10, <-h.undone)
			require.Empty(t, h.undone)
		})
	})
	t.Run("during a run that fails, of which nothing is undone", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := newHeldRuns()
			ctx, cancel := context.WithCancel(t.Context())
			leaves := h.call(ctx, "key", 1)
			cancel()
			require.ErrorIs(t, (<-leaves).err, context.Canceled)
			h.letGo <- errors.New("broken")
			synctest.Wait()
			require.Empty(t, h.undone)
			require.Empty(t, h.next)
		})
	})
	t.Run("with all others, so that there is no run", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := newHeldRuns()
			ctx, cancel := context.WithCancel(t.Context())
			first := h.call(t.Context(), "key", 0)
			for n := range 2 * maxBatch {
				h.call(ctx, "key", n)
			}
			cancel()
			h.letGo <- nil
			<-first
			synctest.Wait()
			require.Equal(t, []int{0}, <-h.runs)
			require.Empty(t, h.runs)
			require.Empty(t, h.next)
		})
	})
}

// Those who come later wait for the run. A client whose only timeouts are those of
// contexts does not hold it up for ever.
func TestARunEndsAlthoughTheServerIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := redis.NewClient(&redis.Options{
			Addr: "127.0.0.1:1", // no name that the network has to be asked for
			Dialer: func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, there) }()
				return here, nil
			},
			ReadTimeout: -1, ContextTimeoutEnabled: true,
		})
		q := &Queue{client: client}
		q.acks.run = q.ackAll
		require.ErrorIs(t, q.Ack(t.Context(), ports.Lease{}), context.DeadlineExceeded)
		require.NoError(t, client.Close())
	})
}

// Whatever comes first, a call that was made has an answer or is undone.
func TestEveryOutcomeHasOneReceiver(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var made, answered, undone []int
	note := func(list *[]int, n int) {
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, n)
	}
	var undoing sync.WaitGroup
	b := &batches[int, int]{
		run: func(_ context.Context, ins []int) ([]int, error) {
			undoing.Add(len(ins))
			for _, n := range ins {
				note(&made, 10*n)
			}
			return tenfold(ins), nil
		},
		undo: func(out int) { note(&undone, out); undoing.Done() },
	}
	var callers sync.WaitGroup
	for n := range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		callers.Go(func() {
			out, err := b.do(ctx, "key", n)
			if err == nil {
				note(&answered, out)
				undoing.Done()
			} else {
				assert.ErrorIs(t, err, context.Canceled)
				assert.Zero(t, out)
			}
		})
	}
	callers.Wait()
	b.hold("key") // there may be a run yet, of which all callers have gone
	undoing.Wait()
	all := slices.Concat(answered, undone)
	slices.Sort(all)
	slices.Sort(made)
	require.Equal(t, made, all)
}
