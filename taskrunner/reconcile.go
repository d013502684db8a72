package taskrunner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// A round of housekeeping looks at so many tasks at most, and the next one goes
// on where it ended, so that no round is a burst that others notice.
const (
	roundPage  = 100
	roundPages = 10
)

// housekeep starts what the worker does beside its tasks.
func (w *Worker) housekeep() {
	if w.cfg.ReconcileEvery > 0 {
		var cursor string
		w.regularly("reconcile", w.cfg.ReconcileEvery, func(ctx context.Context) error {
			return w.reconcile(ctx, &cursor)
		})
	}
	if w.cfg.Retention > 0 {
		var cursor string
		w.regularly("retention", min(max(w.cfg.Retention/10, time.Second), 5*time.Minute), func(ctx context.Context) error {
			return w.expire(ctx, &cursor)
		})
	}
}

// regularly does a round at once and then about every so often, until the worker
// stops. A round that fails, or panics, is logged and the next one comes.
func (w *Worker) regularly(what string, every time.Duration, round func(context.Context) error) {
	w.work.Go(func() {
		for {
			err := guard(func() error { return round(w.claiming) })
			if w.claiming.Err() != nil {
				return
			}
			if err != nil {
				w.log.Error("housekeeping failed; the next round goes on", "round", what, "error", err)
			}
			// Spread, so that workers that started together do not meet every time.
			if !sleep(w.claiming, every/2+rand.N(every)) {
				return
			}
		}
	})
}

// pages lists tasks of all owners, from where the last round ended, and calls
// each for every one of them, going on when it fails.
func (w *Worker) pages(ctx context.Context, q ListQuery, cursor *string, each func(context.Context, Task) error) error {
	var failed []error
	q.AnyOwner, q.Limit = true, roundPage
	for range roundPages {
		q.Cursor = *cursor
		var page Page
		err := bounded(ctx, portTimeout, func(ctx context.Context) (err error) {
			page, err = w.cfg.Backend.Store.List(ctx, q)
			return err
		})
		if err != nil {
			*cursor = "" // it may be the cursor's fault
			return errors.Join(append(failed, fmt.Errorf("listing tasks: %w", err))...)
		}
		for _, t := range page.Tasks {
			err := guard(func() error {
				return bounded(ctx, portTimeout, func(ctx context.Context) error { return each(ctx, t) })
			})
			// A conflict says that somebody else was there first.
			if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
				failed = append(failed, fmt.Errorf("task %s: %w", t.ID, err))
			}
			if ctx.Err() != nil || len(failed) >= roundPages {
				return errors.Join(failed...)
			}
		}
		if *cursor = page.Next; page.Next == "" {
			break
		}
	}
	return errors.Join(failed...)
}

// reconcile mends what crashes leave between store and queue. A task that is not
// finished and that the queue does not know is put back: where the queue knows
// it, Enqueue changes nothing, and a worker that claims a finished task skips
// it. A cancel that was noted but not carried through is.
func (w *Worker) reconcile(ctx context.Context, cursor *string) error {
	// Younger ones are probably in the middle of the step that is missed here.
	grace := now().Add(-w.cfg.LeaseTTL)
	q := ListQuery{Statuses: []Status{ports.StatusQueued, ports.StatusRunning}}
	return w.pages(ctx, q, cursor, func(ctx context.Context, t Task) error {
		switch {
		case t.CreatedAt.After(grace) || t.StartedAt.After(grace):
			return nil
		case !t.CancelRequestedAt.IsZero():
			_, err := w.client.cancel(ctx, t)
			return err
		}
		return w.cfg.Backend.Queue.Enqueue(ctx, entryOf(t))
	})
}
