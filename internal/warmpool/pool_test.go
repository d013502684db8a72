package warmpool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/internal/warmpool"
	"github.com/task-runner/task-runner/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// makeTime is how long the workshop takes for an item, on the test's clock.
const makeTime = time.Second

// workshop makes the items of a pool and notes what becomes of them.
type workshop struct {
	mu        sync.Mutex
	made      []string
	discarded []string
	dead      map[string]bool
	busy, max int
	fail      error
}

func (w *workshop) make(ctx context.Context, key string) (string, error) {
	w.mu.Lock()
	w.busy++
	w.max = max(w.max, w.busy)
	fail := w.fail
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy--
	}()
	select {
	case <-time.After(makeTime):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if fail != nil {
		return "", fail
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	item := fmt.Sprintf("%s%d", key, len(w.made)+1)
	w.made = append(w.made, item)
	return item, nil
}

func (w *workshop) discard(item string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.discarded = append(w.discarded, item)
}

func (w *workshop) healthy(item string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.dead[item]
}

func (w *workshop) setFail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

// left returns what was made and not discarded, sorted.
func (w *workshop) left() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(w.made), func(item string) bool {
		return slices.Contains(w.discarded, item)
	})))
}

type config = warmpool.Config[string, string]

// open returns a pool on w; the test's end closes it and finds everything gone.
func open(t *testing.T, w *workshop, cfg config) *warmpool.Pool[string, string] {
	cfg.Make, cfg.Discard, cfg.Healthy = w.make, w.discard, w.healthy
	p := warmpool.New(cfg)
	t.Cleanup(func() { assert.NoError(t, p.Close(context.Background())) })
	return p
}

// settle lets d pass and everything that it sets off.
func settle(d time.Duration) {
	time.Sleep(d) // on the bubble's clock
	synctest.Wait()
}

func get(t *testing.T, p *warmpool.Pool[string, string], key string, warm bool) string {
	t.Helper()
	item, wasWarm, err := p.Get(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, warm, wasWarm, "warm")
	return item
}

func TestTheFirstGetMakesItsOwnAndLaterOnesFindItemsReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{Size: 2, MaxMakes: 2})
		start := time.Now()
		get(t, p, "a", false)
		assert.Equal(t, makeTime, time.Since(start))
		settle(makeTime)
		start = time.Now()
		get(t, p, "a", true)
		get(t, p, "a", true)
		assert.Zero(t, time.Since(start), "a warm item costs no time")
		get(t, p, "a", false)
		settle(10 * makeTime)
		assert.Equal(t, warmpool.Stats{Ready: 2, Hits: 2, Misses: 2}, p.Stats())
	})
}

func TestItemsAreHandedOutOldestFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{Size: 3})
		p.Warm("a")
		settle(5 * makeTime)
		assert.Equal(t, []string{"a1", "a2", "a3"}, []string{get(t, p, "a", true), get(t, p, "a", true), get(t, p, "a", true)})
	})
}

func TestNoMoreThanMaxMakesRunInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{Size: 4, MaxTotal: 12, MaxMakes: 3})
		for _, key := range []string{"a", "b", "c"} {
			p.Warm(key)
		}
		synctest.Wait()
		assert.Equal(t, 3, p.Stats().Making)
		settle(4 * makeTime)
		assert.Equal(t, warmpool.Stats{Ready: 12}, p.Stats(), "all are made")
		assert.Equal(t, 3, w.max)
	})
}

func TestAPoolOfSizeZeroKeepsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{})
		get(t, p, "a", false)
		settle(10 * makeTime)
		get(t, p, "a", false)
		assert.Equal(t, warmpool.Stats{Misses: 2}, p.Stats())
		assert.Len(t, w.made, 2)
	})
}

func TestKeysUsedLastTakeTheRoomOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{Size: 2, MaxTotal: 5})
		for _, key := range []string{"a", "b", "c"} {
			p.Warm(key)
			settle(10 * makeTime)
		}
		assert.Equal(t, []string{"a2", "b3", "b4", "c5", "c6"}, w.left(), "the oldest key gives way, its oldest item first")
		p.Warm("d")
		settle(10 * makeTime)
		assert.Equal(t, []string{"b4", "c5", "c6", "d7", "d8"}, w.left())
		get(t, p, "b", true)
		settle(10 * makeTime)
		assert.Equal(t, []string{"b10", "b4", "b9", "c6", "d7", "d8"}, w.left(), "b4 was handed out")
	})
}

func TestAnIdleKeyLosesItsItems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{Size: 1, IdleTTL: time.Minute})
		p.Warm("a")
		settle(30 * time.Second)
		p.Warm("b")
		settle(29 * time.Second)
		assert.Equal(t, []string{"a1", "b2"}, w.left())
		settle(time.Second)
		assert.Equal(t, []string{"b2"}, w.left())
		get(t, p, "b", true) // used again
		settle(59 * time.Second)
		assert.Equal(t, 1, p.Stats().Ready)
		settle(time.Second)
		assert.Zero(t, p.Stats().Ready)
		assert.Equal(t, []string{"b2"}, w.left(), "what was handed out is not the pool's to discard")
	})
}

func TestAnUnhealthyItemIsDiscardedAndSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{dead: map[string]bool{"a1": true}}
		p := open(t, w, config{Size: 2})
		p.Warm("a")
		settle(5 * makeTime)
		assert.Equal(t, "a2", get(t, p, "a", true))
		settle(5 * makeTime)
		assert.Equal(t, []string{"a1"}, w.discarded)
		assert.Equal(t, warmpool.Stats{Ready: 2, Hits: 1, Dead: 1}, p.Stats())
	})
}

func TestAGetThatFindsOnlyUnhealthyItemsMakesItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{dead: map[string]bool{"a1": true, "a2": true}}
		p := open(t, w, config{Size: 2})
		p.Warm("a")
		settle(5 * makeTime)
		get(t, p, "a", false)
		synctest.Wait()
		assert.ElementsMatch(t, []string{"a1", "a2"}, w.discarded)
		assert.EqualValues(t, 2, p.Stats().Dead)
	})
}

func TestFailuresAreRetriedLessAndLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		w := &workshop{fail: boom}
		p := open(t, w, config{Size: 1, IdleTTL: time.Hour})
		p.Warm("a")
		settle(10 * time.Minute)
		stats := p.Stats()
		assert.ErrorIs(t, stats.LastFailure, boom)
		assert.Greater(t, stats.Failures, int64(10))
		assert.Less(t, stats.Failures, int64(40), "every 31 s in the end")
		w.setFail(nil)
		settle(time.Minute)
		assert.Equal(t, 1, p.Stats().Ready, "it goes on by itself")
		get(t, p, "a", true)
		settle(2 * makeTime)
		assert.Equal(t, 1, p.Stats().Ready, "and is forgiven")
	})
}

func TestAFailingKeyDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{fail: errors.New("boom")}
		p := open(t, w, config{Size: 1, IdleTTL: time.Hour})
		p.Warm("a")
		settle(10 * time.Minute) // it rests for half a minute now
		w.setFail(nil)
		p.Warm("b")
		settle(2 * makeTime)
		assert.Equal(t, 1, p.Stats().Ready)
	})
}

func TestAGetReturnsTheErrorOfItsOwnMake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		w := &workshop{fail: boom}
		p := open(t, w, config{})
		_, warm, err := p.Get(t.Context(), "a")
		assert.ErrorIs(t, err, boom)
		assert.False(t, warm)
	})
}

func TestAGetWhoseContextIsDoneTakesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{Size: 1})
		p.Warm("a")
		settle(2 * makeTime)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := p.Get(ctx, "a")
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 1, p.Stats().Ready)
	})
}

func TestAGetStopsMakingWhenItsContextIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{})
		ctx, cancel := context.WithTimeout(t.Context(), makeTime/2)
		defer cancel()
		_, _, err := p.Get(ctx, "a")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, w.made)
	})
}

func TestCloseDiscardsWhatIsReadyAndWaitsForWhatIsBeingMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{Size: 3})
		p.Warm("a")
		settle(makeTime + makeTime/2) // one is ready, one half made
		require.NoError(t, p.Close(t.Context()))
		assert.Zero(t, w.busy)
		assert.Empty(t, w.left())
		require.NoError(t, p.Close(t.Context()), "again")

		_, _, err := p.Get(t.Context(), "a")
		assert.ErrorIs(t, err, ports.ErrClosed)
		p.Warm("a")
		settle(time.Hour)
		assert.Len(t, w.made, 1, "nothing is made afterwards")
	})
}

func TestAGetThatCloseOvertakesGetsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{})
		got := make(chan error)
		go func() {
			_, _, err := p.Get(t.Context(), "a")
			got <- err
		}()
		synctest.Wait()
		go func() { assert.NoError(t, p.Close(context.Background())) }()
		assert.ErrorIs(t, <-got, ports.ErrClosed)
		synctest.Wait()
		assert.Empty(t, w.left())
	})
}

func TestCloseGivesUpWaitingWhenItsContextIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := warmpool.New(config{
			Size:    1,
			Make:    func(context.Context, string) (string, error) { return "item", nil },
			Discard: func(string) { <-release },
		})
		p.Warm("a")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, p.Close(ctx), context.DeadlineExceeded)
		close(release)
		assert.NoError(t, p.Close(t.Context()))
	})
}

func TestKeysThatAreUsedOnceDoNotPileUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := open(t, w, config{Size: 1, MaxTotal: 3, MaxMakes: 4})
		for i := range 50 {
			p.Warm(fmt.Sprintf("key%d-", i))
			settle(2 * makeTime)
		}
		assert.Equal(t, 3, p.Stats().Ready)
		assert.Len(t, w.left(), 3)
	})
}

func TestAPoolNeedsMakeAndDiscard(t *testing.T) {
	t.Parallel()
	assert.Panics(t, func() { warmpool.New(config{}) })
}

// Many goroutines get items of few keys while some items die; every item is handed
// out or discarded, once.
func TestNoItemIsHandedOutTwiceOrLost(t *testing.T) {
	t.Parallel()
	var made, discarded atomic.Int64
	var seen sync.Map
	once := func(item int64) {
		if _, again := seen.LoadOrStore(item, true); again {
			t.Errorf("item %d came twice", item)
		}
	}
	p := warmpool.New(warmpool.Config[int, int64]{
		Make:     func(context.Context, int) (int64, error) { return made.Add(1), nil },
		Discard:  func(item int64) { once(item); discarded.Add(1) },
		Healthy:  func(item int64) bool { return item%7 != 0 },
		Size:     2,
		MaxTotal: 5,
		MaxMakes: 3,
	})
	var wg sync.WaitGroup
	var got atomic.Int64
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				item, _, err := p.Get(t.Context(), (worker+i)%4)
				if errors.Is(err, ports.ErrClosed) {
					return
				}
				if !assert.NoError(t, err) {
					return
				}
				once(item)
				if got.Add(1) == 3500 {
					wg.Go(func() { assert.NoError(t, p.Close(context.Background())) })
				}
			}
		})
	}
	wg.Wait()
	assert.NoError(t, p.Close(t.Context()))
	assert.Equal(t, made.Load(), got.Load()+discarded.Load())
	assert.GreaterOrEqual(t, got.Load(), int64(3500))
}
