// Package warmpool keeps items ready that are made slowly and used once, such as
// sandboxes.
//
// An item is handed out to one caller and never comes back; the pool makes another
// one behind it. A caller that finds nothing ready makes its own, by the same
// function, and waits for nobody.
//
// Which keys are kept ready follows what is asked for: the keys used last share
// the room, and a key that was not used for a while loses its items. What the
// background may do at once is bounded, so that it leaves room for the work itself.
package warmpool

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Config says how a Pool makes, keeps and discards its items.
type Config[K comparable, T any] struct {
	// Make makes an item for the key. Its context ends when the pool is closed
	// and, when a Get waits for it, with that of the Get. Required.
	Make func(ctx context.Context, key K) (T, error)
	// Discard takes down an item that was not handed out. Required.
	Discard func(T)
	// Healthy reports whether an item can still be used; nil means always. It is
	// called just before an item would be handed out, and must be quick.
	Healthy func(T) bool
	// Size is how many items are kept ready for a key. 0 keeps none: every Get
	// makes its own.
	Size int
	// MaxTotal bounds the items that are ready or being made in the background,
	// of all keys together; the keys not used for the longest time give way.
	// Default: 4 x Size.
	MaxTotal int
	// MaxMakes bounds the calls of Make in the background at once. Default: 1.
	MaxMakes int
	// IdleTTL is how long a key keeps its items after it was used last; Never
	// for as long as there is room. Default: 5 minutes.
	IdleTTL time.Duration
}

// Never is an IdleTTL that does not end: a century.
const Never = 100 * 365 * 24 * time.Hour

// After a failed Make in the background its key rests, twice as long each time.
const (
	firstRest = 100 * time.Millisecond
	lastRest  = 30 * time.Second
)

// Stats is what a pool has and did.
type Stats struct {
	// Ready is how many items wait, Making how many are being made in the
	// background.
	Ready, Making int
	// Hits counts the Gets that found an item ready, Misses those that made one
	// or failed to.
	Hits, Misses int64
	// Dead counts the items that were not healthy when their turn came, Failures
	// the calls of Make that failed in the background.
	Dead, Failures int64
	// LastFailure is the error of the last of those; nil if there was none.
	LastFailure error
}

// Pool keeps items ready. It is safe for concurrent use.
type Pool[K comparable, T any] struct {
	cfg    Config[K, T]
	ctx    context.Context // ends when the pool is closed
	cancel context.CancelFunc
	// work counts the calls of Make and Discard in progress. It grows only while
	// the pool is open, or from within a call that it counts, so that Close waits
	// for all of them.
	work sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	shelves []*shelf[K, T] // the key used last is first
	stats   Stats
	alarm   *time.Timer // calls balance when a key has rested or is idle
}

// shelf holds the items of one key.
type shelf[K comparable, T any] struct {
	key      K
	items    []T // the oldest is first
	share    int // how many items it may have, as of the last balance
	making   int
	used     time.Time
	rest     time.Duration // after the last failure; 0 if the last Make succeeded
	restedAt time.Time
}

// New returns an empty pool. A key's first items are made after its first Get or
// Warm. It panics if Make or Discard is missing.
func New[K comparable, T any](cfg Config[K, T]) *Pool[K, T] {
	if cfg.Make == nil || cfg.Discard == nil {
		panic("warmpool: Make and Discard are required")
	}
	if cfg.Healthy == nil {
		cfg.Healthy = func(T) bool { return true }
	}
	cfg.Size = max(cfg.Size, 0)
	if cfg.MaxTotal <= 0 {
		cfg.MaxTotal = 4 * cfg.Size
	}
	if cfg.MaxMakes <= 0 {
		cfg.MaxMakes = 1
	}
	if cfg.IdleTTL <= 0 {
		cfg.IdleTTL = 5 * time.Minute
	}
	p := &Pool[K, T]{cfg: cfg}
	p.ctx, p.cancel = context.WithCancel(context.Background()) //nolint:gosec // Close cancels
	p.alarm = time.AfterFunc(cfg.IdleTTL, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.balance()
	})
	return p
}

// Get returns an item for the key that nobody else has or gets, and whether it was
// ready. It is the caller's: it does not come back. ErrClosed: the pool was closed
// before or during the call. Other errors are ctx's or Make's.
func (p *Pool[K, T]) Get(ctx context.Context, key K) (item T, warm bool, err error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, false, fmt.Errorf("getting from the pool: %w", err)
	}
	item, warm, err = p.take(key)
	if warm || err != nil {
		return item, warm, err
	}
	defer p.work.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	item, err = p.cfg.Make(ctx, key)
	if p.ctx.Err() != nil {
		if err == nil {
			p.cfg.Discard(item)
		}
		return none, false, errClosed
	}
	return item, false, err
}

// take returns a healthy item if there is one. If not, and without an error, it has
// registered the caller's Make with p.work.
func (p *Pool[K, T]) take(key K) (item T, ok bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return item, false, errClosed
	}
	s := p.use(key)
	defer p.balance()
	for len(s.items) > 0 {
		item = s.items[0] // before Delete, which moves the others over it
		s.items = slices.Delete(s.items, 0, 1)
		if p.cfg.Healthy(item) {
			p.stats.Hits++
			return item, true, nil
		}
		p.stats.Dead++
		p.discard(item)
	}
	p.stats.Misses++
	p.work.Add(1)
	var none T
	return none, false, nil
}

// Warm has items for the key made in the background, as if it had been used.
func (p *Pool[K, T]) Warm(key K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.use(key)
		p.balance()
	}
}

// Stats returns what the pool has and did.
func (p *Pool[K, T]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := p.stats
	for _, s := range p.shelves {
		stats.Ready += len(s.items)
	}
	return stats
}

// Close discards all items and waits for those that are being made or discarded.
// When ctx is done first it returns an error matching ctx.Err(), and the rest ends
// by itself. It may be called again.
func (p *Pool[K, T]) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		p.cancel()
		p.alarm.Stop()
		for _, s := range p.shelves {
			p.discard(s.items...)
			s.items = nil
		}
	}
	p.mu.Unlock()

	done := make(chan struct{})
	go func() {
		p.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing the pool: %w", ctx.Err())
	}
}

var errClosed = fmt.Errorf("getting from the pool: %w", ports.ErrClosed)
