package taskrunner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// A pass of housekeeping goes through all tasks of some kind, in rounds: each
// looks at so many at most, and the next one goes on after a pause, so that no
// pass is a burst that others notice and each keeps up with what comes.
const (
	roundPage  = 100
	roundPages = 10
	roundPause = time.Second
	// roundFaults is how many tasks may fail before a round ends with its page, as
	// then the backend fails, and how many errors of it are told.
	roundFaults = 10
)

// housekeep starts what the worker does beside its tasks.
func (w *Worker) housekeep() {
	if w.cfg.ReconcileEvery > 0 {
		q := ListQuery{Statuses: []Status{ports.StatusQueued, ports.StatusRunning}}
		w.regularly("reconcile", w.cfg.ReconcileEvery, func(ctx context.Context) (bool, error) {
			return w.round(ctx, &q, w.reconcile)
		})
	}
	if w.cfg.Retention > 0 {
		var q ListQuery
		w.regularly("retention", min(max(w.cfg.Retention/10, time.Second), 5*time.Minute), func(ctx context.Context) (bool, error) {
			if q.Cursor == "" { // a pass begins
				q.FinishedBefore = now().Add(-w.retention())
			}
			return w.round(ctx, &q, w.expire)
		})
	}
}

// regularly makes a pass at once and then about every so often, until the worker
// stops. round makes one round of it and reports whether there is more to do. One
// that fails, or panics, is logged and the next one comes.
func (w *Worker) regularly(what string, every time.Duration, round func(context.Context) (more bool, err error)) {
	w.work.Go(func() {
		for {
			var more bool
			err := guard(func() (err error) {
				more, err = round(w.claiming)
				return err
			})
			if w.claiming.Err() != nil {
				return
			}
			if err != nil {
				w.log.Error("housekeeping failed; the next round goes on", "round", what, "error", err)
			}
			pause := every
			if more {
				pause = min(every, roundPause)
			}
			// Spread, so that workers that started together do not meet every time.
			if !sleep(w.claiming, pause/2+rand.N(pause)) {
				return
			}
		}
	})
}

// round lists tasks of all owners, from where the last round ended, which q's
// cursor tells, and calls each for every one of them. A task that fails waits for
// the next pass and holds up none of the others. It reports whether there are more.
func (w *Worker) round(ctx context.Context, q *ListQuery, each func(context.Context, Task) error) (more bool, err error) {
	var failed []error
	q.AnyOwner, q.Limit = true, roundPage
	for range roundPages {
		var page Page
		err := bounded(ctx, portTimeout, func(ctx context.Context) (err error) {
			page, err = w.cfg.Backend.Store.List(ctx, *q)
			return err
		})
		if err != nil {
			if errors.Is(err, ErrInvalid) {
				q.Cursor = "" // it is the cursor's fault
			}
			return false, errors.Join(append(failed, fmt.Errorf("listing tasks: %w", err))...)
		}
		q.Cursor = page.Next
		for _, t := range page.Tasks {
			err := guard(func() error {
				return bounded(ctx, portTimeout, func(ctx context.Context) error { return each(ctx, t) })
			})
			// A conflict says that somebody else was there first.
			if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) && len(failed) < roundFaults {
				failed = append(failed, fmt.Errorf("task %s: %w", t.ID, err))
			}
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
		}
		if q.Cursor == "" || len(failed) == roundFaults {
			return false, errors.Join(failed...)
		}
	}
	return true, errors.Join(failed...)
}
