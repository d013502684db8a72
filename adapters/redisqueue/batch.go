package redisqueue

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// maxBatch is the most calls that one run makes, so that none keeps the server for
// long.
const maxBatch = 64

// runTimeout bounds a run, for which others wait: longer than the client's retries
// take on a server that is silent, but not for ever.
const runTimeout = 30 * time.Second

// batches makes calls that come together in one run. A call that finds no other of
// its key under way is made at once, alone; those that come meanwhile are the next
// run. So nobody waits for company, and the more come, the more share a run.
type batches[In, Out any] struct {
	// run makes these calls and returns what each brought; an error is everybody's.
	// Its context is that of the run: the calls have one each.
	run func(context.Context, []In) ([]Out, error)
	// undo, unless nil, gets what a call brought whose caller had gone by then.
	undo func(Out)

	mu sync.Mutex
	// next holds, for each key that has a run under way, the calls of the next one,
	// first come first.
	next map[string][]*call[In, Out]
}

type call[In, Out any] struct {
	in   In
	gone <-chan struct{}
	done chan outcome[Out] // without room, so that an outcome has one receiver or none
}

type outcome[Out any] struct {
	out Out
	err error
}

// do makes a call, together with others of the same key, and returns as soon as
// ctx is done. If a run had begun by then, the call is made all the same.
func (b *batches[In, Out]) do(ctx context.Context, key string, in In) (Out, error) {
	var none Out
	if err := ctx.Err(); err != nil {
		return none, err
	}
	c := &call[In, Out]{in, ctx.Done(), make(chan outcome[Out])}
	b.join(key, c)
	select {
	case o := <-c.done:
		return o.out, o.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// join puts c into the next run of this key, and starts it if none is under way.
func (b *batches[In, Out]) join(key string, c *call[In, Out]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = map[string][]*call[In, Out]{}
	}
	waiting, busy := b.next[key]
	b.next[key] = append(waiting, c)
	if !busy {
		go b.serve(key)
	}
}

// serve makes one run after the other, until nobody has come meanwhile.
func (b *batches[In, Out]) serve(key string) {
	for calls := b.take(key); calls != nil; calls = b.take(key) {
		ins := make([]In, 0, len(calls))
		for _, c := range calls {
			ins = append(ins, c.in)
		}
		ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
		outs, err := b.run(ctx, ins)
		cancel()
		for i, c := range calls {
			o := outcome[Out]{err: err}
			if err == nil {
				o.out = outs[i]
			}
			select {
			case c.done <- o:
			case <-c.gone:
				if err == nil && b.undo != nil {
					go b.undo(o.out)
				}
			}
		}
		// Those who were served just now can join with what they do next: or else half
		// of the callers would wait while the other half is served, in turn.
		runtime.Gosched()
	}
}

// take returns the calls of the next run, without those whose callers have gone. If
// there are none, no run of this key is under way any more.
func (b *batches[In, Out]) take(key string) []*call[In, Out] {
	b.mu.Lock()
	defer b.mu.Unlock()
	var calls []*call[In, Out]
	waiting := b.next[key]
	for len(waiting) > 0 && len(calls) < maxBatch {
		select {
		case <-waiting[0].gone:
		default:
			calls = append(calls, waiting[0])
		}
		waiting = waiting[1:]
	}
	if calls == nil {
		delete(b.next, key)
	} else {
		b.next[key] = waiting
	}
	return calls
}
