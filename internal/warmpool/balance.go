package warmpool

import (
	"slices"
	"time"
)

// The methods here are called with p.mu held.

// use makes the key's shelf the first one.
func (p *Pool[K, T]) use(key K) *shelf[K, T] {
	i := slices.IndexFunc(p.shelves, func(s *shelf[K, T]) bool { return s.key == key })
	var s *shelf[K, T]
	if i >= 0 {
		s = p.shelves[i]
		p.shelves = slices.Delete(p.shelves, i, i+1)
	} else {
		s = &shelf[K, T]{key: key}
	}
	s.used = time.Now()
	p.shelves = slices.Insert(p.shelves, 0, s)
	return s
}

// balance gives every key its share of the room, the one used last first: it
// discards what is too many and has made what is missing, as far as MaxMakes
// allows. It is called whenever something has changed.
func (p *Pool[K, T]) balance() {
	if p.closed {
		return
	}
	now := time.Now()
	room := p.cfg.MaxTotal
	var next time.Time // when something changes by itself
	for _, s := range p.shelves {
		s.share = 0
		if idle := s.used.Add(p.cfg.IdleTTL); now.Before(idle) {
			s.share = min(room, p.cfg.Size)
			next = earlier(next, idle)
		}
		room -= s.share
		if excess := len(s.items) - s.share; excess > 0 {
			p.discard(s.items[:excess]...)
			s.items = slices.Delete(s.items, 0, excess)
		}
		if s.share > 0 && now.Before(s.restedAt) {
			next = earlier(next, s.restedAt)
		} else {
			p.make(s, s.share-len(s.items)-s.making)
		}
	}
	// A shelf without a share is forgotten, so that keys which are used once do
	// not pile up.
	p.shelves = slices.DeleteFunc(p.shelves, func(s *shelf[K, T]) bool { return s.share == 0 && s.making == 0 })
	if !next.IsZero() {
		p.alarm.Reset(next.Sub(now))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// make starts at most n calls of Make for the shelf.
func (p *Pool[K, T]) make(s *shelf[K, T], n int) {
	for ; n > 0 && p.stats.Making < p.cfg.MaxMakes; n-- {
		s.making++
		p.stats.Making++
		p.work.Go(func() {
			item, err := p.cfg.Make(p.ctx, s.key)
			p.mu.Lock()
			defer p.mu.Unlock()
			s.making--
			p.stats.Making--
			p.store(s, item, err)
			p.balance()
		})
	}
}

// store takes what Make returned.
func (p *Pool[K, T]) store(s *shelf[K, T], item T, err error) {
	switch {
	case err == nil && p.closed:
		p.discard(item)
	case err == nil:
		s.rest = 0
		s.items = append(s.items, item) // balance discards it if it is one too many
	case !p.closed:
		p.stats.Failures++
		p.stats.LastFailure = err
		s.rest = min(max(firstRest, 2*s.rest), lastRest)
		s.restedAt = time.Now().Add(s.rest)
	}
}

// discard discards the items behind the caller's back, one after the other.
func (p *Pool[K, T]) discard(items ...T) {
	if len(items) == 0 {
		return
	}
	items = slices.Clone(items)
	p.work.Go(func() {
		for _, item := range items {
			p.cfg.Discard(item)
		}
	})
}
