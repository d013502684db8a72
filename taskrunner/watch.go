package taskrunner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// A Watch that hears nothing looks at the store after firstLook, and then less
// and less often: it has something to find only where a worker died between
// writing the end and telling it. Once the store says that the task is over, the
// end is made up when endSilences times in a row nothing came for endGrace. Once
// would not do: it may have been this process that stood still.
const (
	firstLook   = 2 * time.Second
	lastLook    = 30 * time.Second
	endGrace    = time.Second / 2
	endSilences = 2
)

// publishTimeout bounds how long a client waits for the bus.
const publishTimeout = 2 * time.Second

// Watch follows what happens to the task, from a position on. Events of an
// attempt that was lost do not appear once a later attempt has begun, and no
// byte of a stream appears twice within an attempt.
//
// ErrNotFound: no such task. ErrGone: what follows the position was trimmed.
// ErrInvalid: the position is not one of the bus's.
func (c *Client) Watch(ctx context.Context, id TaskID, from Position) (*Watch, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	// In this order nothing is missed: what the store does not say yet is told
	// after the subscription's position.
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	sub, err := c.cfg.Backend.Events.Subscribe(ctx, id, from)
	if err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	w := &Watch{c: c, id: id, sub: sub, wait: firstLook}
	if err := w.look(ctx, 0); err != nil {
		_ = sub.Close()
		return nil, err
	}
	return w, nil
}

// Watch is one reader's view of a task. One goroutine at a time calls Next;
// Close may be called from any other one.
type Watch struct {
	c   *Client
	id  TaskID
	sub ports.Subscription

	wait, waited time.Duration // until the next look at the store, and how much of it is over
	final        *Task         // the task, once the store says that it is terminal
	silences     int           // how often in a row nothing came, since then
	ended        bool

	attempt int    // the newest attempt that was heard of
	floor   int    // the newest attempt that the store knew of
	status  Status // the last status told, of attempt
	offsets map[EventType]int64
}

// Next returns the next event, waiting for it if need be. After the EventEnd it
// returns io.EOF. If the task ended without its end being told (its worker died
// in that moment), Watch reads that from the store and makes up the EventEnd,
// with an empty ID. It bears with a store that fails meanwhile. ErrGone: what comes
// next was trimmed or deleted.
// ErrClosed: the watch was closed. A call whose ctx was done loses nothing.
func (w *Watch) Next(ctx context.Context) (e Event, err error) {
	// There is one e for all: a stack that waits here is kept, for every reader.
	for !w.ended {
		err = w.next(ctx, &e)
		switch {
		case err == nil:
			w.waited, w.silences = 0, 0
			if w.final == nil {
				w.wait = firstLook
			}
			if w.admit(&e) {
				return e, nil
			}
		case ctx.Err() != nil:
			return Event{}, ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return Event{}, fmt.Errorf("following the task: %w", err)
		case w.final != nil:
			w.waited = 0
			if w.silences++; w.silences == endSilences {
				w.ended = true
				return endEvent(*w.final), nil
			}
		default:
			w.wait = min(2*w.wait, lastLook)
			// A store that is away is no reason to go: what happens is told by the bus.
			if err := w.look(ctx, w.wait/2); err != nil && (ctx.Err() != nil || errors.Is(err, ErrNotFound)) {
				return Event{}, err
			}
		}
	}
	return Event{}, io.EOF
}

// next waits for the subscription until it is time to look at the store.
func (w *Watch) next(ctx context.Context, e *Event) (err error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, w.wait-w.waited)
	defer cancel()
	if *e, err = w.sub.Next(ctx); err != nil {
		w.waited = min(w.waited+time.Since(begin), w.wait-time.Millisecond)
	}
	return err
}

// look reads where the task is from the store, or takes what another watch read there
// less than maxAge ago.
func (w *Watch) look(ctx context.Context, maxAge time.Duration) error {
	g, err := w.c.glances.look(ctx, w.id, maxAge, w.c.Get)
	if ctx.Err() == nil {
		w.waited = 0
	}
	if err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	w.floor = max(w.floor, g.attempt)
	if g.final != nil {
		w.final, w.wait = g.final, endGrace
	}
	return nil
}

// admit reports whether e is news, and cuts from it what was told before.
func (w *Watch) admit(e *Event) bool {
	switch e.Type {
	case ports.EventEnd:
		w.ended = true
		return true
	case ports.EventStatus:
		if e.Attempt < w.attempt || e.Attempt == w.attempt && e.Status == w.status {
			return false
		}
		w.enter(e.Attempt)
		w.status = e.Status
		return true
	case ports.EventStdout, ports.EventStderr:
		if e.Attempt < max(w.attempt, w.floor) {
			return false
		}
		w.enter(e.Attempt)
		told, end := w.offsets[e.Type], e.Offset+int64(len(e.Data))
		if end < told || end == told && !e.Truncated {
			return false
		}
		if e.Offset < told {
			e.Data, e.Offset = e.Data[told-e.Offset:], told
		}
		w.offsets[e.Type] = end
		if e.Truncated { // nothing more of the stream follows
			w.offsets[e.Type] = math.MaxInt64
		}
		return true
	case ports.EventUsage:
		return e.Attempt >= max(w.attempt, w.floor)
	}
	return true
}

// enter notes that the attempt has begun.
func (w *Watch) enter(attempt int) {
	if attempt > w.attempt || w.offsets == nil {
		w.attempt, w.status, w.offsets = attempt, "", make(map[EventType]int64)
	}
}

// Close ends the watch. It may be called again.
func (w *Watch) Close() error { return w.sub.Close() }

// Wait waits until the task is terminal and returns it. It bears with a bus that
// fails. ErrNotFound: no such task.
func (c *Client) Wait(ctx context.Context, id TaskID) (Task, error) {
	var pause backoff
	for {
		c.waitForEnd(ctx, id)
		var t Task
		err := retry(ctx, portTimeout, func(ctx context.Context) (err error) {
			t, err = c.Get(ctx, id)
			return err
		})
		switch {
		case err == nil && t.Status.Terminal():
			return t, nil
		case ctx.Err() != nil:
			return t, ctx.Err()
		case err != nil:
			return t, err
		case !pause.wait(ctx):
			return t, ctx.Err()
		}
	}
}

// waitForEnd returns when it has heard that the task is over, or can hear no more.
func (c *Client) waitForEnd(ctx context.Context, id TaskID) {
	w, err := c.Watch(ctx, id, Position{Now: true})
	if err != nil {
		return
	}
	defer func() { _ = w.Close() }()
	for err == nil && w.final == nil && !w.ended {
		_, err = w.Next(ctx)
	}
}
