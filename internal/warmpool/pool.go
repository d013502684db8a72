package warmpool

import (
	"context"
	"time"
)

// Config says how a Pool makes, keeps and discards its items.
type Config[K comparable, T any] struct {
	// Make makes an item for the key. It runs on the caller's context for a Get
	// that finds nothing in the pool, else on one that ends when the pool closes.
	// Required.
	Make func(ctx context.Context, key K) (T, error)
	// Discard takes down an item that was never handed out. Required.
	Discard func(T)
	// Healthy reports whether an item can still be used; nil means always. It is
	// called before an item is handed out, and must be quick.
	Healthy func(T) bool
	// Size is how many items are kept ready for a key. 0 keeps none: every Get
	// makes its own.
	Size int
	// MaxTotal bounds the items ready, of all keys together; keys that were not
	// asked for the longest give way. Default: 4 x Size.
	MaxTotal int
	// MaxMakes bounds the calls of Make in the background at once. Default: 1.
	MaxMakes int
	// IdleTTL is how long a key keeps its items after it was last asked for.
	// Default: 5 minutes.
	IdleTTL time.Duration
}

// Stats counts what a pool did and has.
type Stats struct {
	// Hits and Misses count the Gets that were served from the pool and those
	// that made an item. Dead counts the items that were found to be of no use.
	Hits, Misses, Dead int64
	// Ready is how many items wait; Making how many are being made for the pool.
	Ready, Making int
}

// Pool keeps items ready that are used once. It is safe for concurrent use.
type Pool[K comparable, T any] struct{ cfg Config[K, T] }

// New returns an empty pool. A key's first items are made after its first Get, or
// by Warm.
func New[K comparable, T any](cfg Config[K, T]) *Pool[K, T] { panic("unwritten") }

// Get returns an item for the key that nobody else has or gets, and whether it was
// ready. The caller owns it; it does not come back. ports.ErrClosed: the pool was
// closed.
func (p *Pool[K, T]) Get(ctx context.Context, key K) (item T, warm bool, err error) {
	panic("unwritten")
}

// Warm has items for the key made in the background, as if it had been asked for.
func (p *Pool[K, T]) Warm(key K) { panic("unwritten") }

// Stats returns the counts.
func (p *Pool[K, T]) Stats() Stats { panic("unwritten") }

// Close discards all items and waits for those being made. It may be called
// again. When ctx is done it returns its error while the rest ends by itself.
func (p *Pool[K, T]) Close(ctx context.Context) error { panic("unwritten") }
