package memory

import "sync/atomic"

// budget counts the bytes held of something bounded.
type budget struct {
	max  int64
	used atomic.Int64
	// reclaim makes some room and reports whether it could; nil if nobody can.
	// It must be called with no lock held.
	reclaim func() bool
}

// take reserves n bytes and reports whether there was room.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if n > b.max-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// takeOrReclaim reserves n bytes and makes room for them if need be. The caller
// holds no lock.
func (b *budget) takeOrReclaim(n int64) bool {
	if n > b.max {
		return false
	}
	for !b.take(n) {
		if b.reclaim == nil || !b.reclaim() {
			return false
		}
	}
	return true
}

// give returns n bytes.
func (b *budget) give(n int64) { b.used.Add(-n) }
