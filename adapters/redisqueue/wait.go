package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// poll is how long a blocking pop lasts, and thus how often those who wait look
// although nobody told them to: what was told to a process that died is not lost.
// The scripts announce every deadline that is less than two of it away.
const poll = time.Second

// line are the Claims of this Queue that wait, first come first.
//
// While there are any, one goroutine watches the wake markers of their queues.
// It gives each marker that it pops to one of them, as a sign that it should look.
// A sign is never dropped: one who leaves with a sign passes it on.
type line struct {
	mu       sync.Mutex
	waiters  []*waiter
	watching bool
	watched  []string // the queues that the watch's pop waits for
}

// waiter is a Claim that waits.
type waiter struct {
	queues []string
	sign   chan struct{} // has room for one; whoever takes it looks at everything
	failed chan error    // has room for the one error that ends the waiting
}

// wait returns when it is time to look again: at a sign, or after next if that is
// not negative.
func (w *waiter) wait(ctx context.Context, next time.Duration) error {
	var due <-chan time.Time
	if next >= 0 && next < 2*poll { // the watch gives a sign long before anything later
		timer := time.NewTimer(next)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-w.sign:
		return nil
	case <-due:
		return nil
	case err := <-w.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter makes a new waiter stand in line, and has its queues watched.
func (q *Queue) enter(queues []string) *waiter {
	w := &waiter{queues: queues, sign: make(chan struct{}, 1), failed: make(chan error, 1)}
	q.line.mu.Lock()
	defer q.line.mu.Unlock()
	q.line.waiters = append(q.line.waiters, w)
	if !q.line.watching {
		q.line.watching = true
		go q.watch()
	} else if slices.ContainsFunc(queues, func(name string) bool { return !slices.Contains(q.line.watched, name) }) {
		go q.mark(q.poke)
	}
	return w
}

// leave takes w out of the line. If it leaves with a sign, or without knowing what
// there is, another one has to look, here or elsewhere.
func (q *Queue) leave(w *waiter, unsure bool) {
	q.line.remove(w)
	select {
	case <-w.sign:
		unsure = true
	default:
	}
	if !unsure {
		return
	}
	var markers []string
	for _, name := range w.queues {
		if !q.line.signal(name) {
			markers = append(markers, q.key("wake:", name))
		}
	}
	if markers != nil {
		go q.mark(markers...)
	}
}

// watch gives signs to those who wait, until nobody does.
func (q *Queue) watch() {
	ctx := context.Background() // it serves whoever waits
	for {
		queues := q.line.watch()
		if len(queues) == 0 {
			return
		}
		keys := []string{q.poke}
		for _, name := range queues {
			keys = append(keys, q.key("wake:", name))
		}
		marker, err := q.client.BZPopMin(ctx, poll, keys...).Result()
		switch {
		case errors.Is(err, redis.Nil):
			for _, name := range queues {
				q.line.signal(name)
			}
		case err != nil:
			q.line.fail(fmt.Errorf("waiting: %w", err))
			return
		case marker.Key == q.poke: // the line has changed
		case !q.line.signal(marker.Key[len(q.key("wake:", "")):]):
			q.mark(marker.Key) // for another process
		}
	}
}

// mark leaves wake markers at these keys, as the scripts do. Nothing is lost if it
// fails: everybody who waits looks within the second.
func (q *Queue) mark(keys ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	_, _ = q.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			p.ZAdd(ctx, key, redis.Z{Member: "look"})
			p.PExpire(ctx, key, 10*time.Second)
		}
		return nil
	})
}

// watch returns the queues that anybody waits for. If there are none, the watch
// has ended.
func (l *line) watch() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var queues []string
	for _, w := range l.waiters {
		queues = append(queues, w.queues...)
	}
	slices.Sort(queues)
	l.watched = slices.Compact(queues)
	l.watching = len(l.watched) > 0
	return l.watched
}

// signal tells the first one who waits for the queue and has no sign yet to look.
// It reports whether anybody will.
func (l *line) signal(queue string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	waits := false
	for _, w := range l.waiters {
		if !slices.Contains(w.queues, queue) {
			continue
		}
		waits = true
		select {
		case w.sign <- struct{}{}:
			return true
		default:
		}
	}
	return waits
}

// fail ends the waiting of everybody, and the watch.
func (l *line) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waiters {
		w.failed <- err
	}
	l.waiters, l.watched, l.watching = nil, nil, false
}

func (l *line) remove(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiters = slices.DeleteFunc(l.waiters, func(o *waiter) bool { return o == w })
}
