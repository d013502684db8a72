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
	// then the backend fails, and how many errors of it are told. The next round
	// follows after faultPause.
	roundFaults = 10
	faultPause  = 30 * time.Second
	// listPatience is how long a page is asked for before the pass is given up.
	listPatience = time.Minute
	// hangTimeout is how long a pass may be at one page or one task. One that takes
	// longer hangs in a call that does not end with its context, and another worker
	// has to go on.
	hangTimeout = 5 * time.Minute
)

// minDutyTTL bounds the lease of a duty below. A pass may take minutes and begins
// anew where its lease is lost, so that it must outlast a hiccup.
const minDutyTTL = time.Second

// duty is one kind of housekeeping.
//
// Of all workers that have it, one at a time makes a pass. The queue says which: a
// duty has an entry there, in a queue of its own. Whoever claims that makes the
// pass while it holds the lease, and gives the entry back at the end, to be due
// when the next pass is. Where a worker dies, the next one makes its pass anew.
//
// Each duty has its own entry, since not every worker need have all of them, and
// since a long pass of one must not hold up the others.
type duty struct {
	name  string
	every time.Duration
	query func() ListQuery // of a pass that begins
	each  func(context.Context, Task) error
}

// housekeep starts what the worker does beside its tasks.
func (w *Worker) housekeep() {
	if w.cfg.ReconcileEvery > 0 {
		w.regularly(duty{
			name: "reconcile", every: w.cfg.ReconcileEvery, each: w.reconcile,
			query: func() ListQuery {
				return ListQuery{Statuses: []Status{ports.StatusQueued, ports.StatusRunning}}
			},
		})
	}
	if w.cfg.Retention > 0 {
		w.regularly(duty{
			name: "retention", every: min(max(w.cfg.Retention/10, time.Second), 5*time.Minute), each: w.expire,
			query: func() ListQuery { return ListQuery{FinishedBefore: now().Add(-w.retention())} },
		})
	}
}

// regularly makes a pass whenever it is this worker's turn, until it stops.
func (w *Worker) regularly(d duty) {
	w.work.Go(func() {
		var outage outage
		for w.claiming.Err() == nil {
			hold, err := w.awaitTurn(d)
			if outage.isNews(err) {
				w.log.Error("could not ask the queue whose turn the housekeeping is; asking again", "duty", d.name, "error", err)
			}
			switch {
			case hold != nil:
				w.pass(d, hold)
			case err != nil:
				sleep(w.claiming, min(d.every, portTimeout/2))
			}
		}
	})
}

// awaitTurn waits for the entry of the duty and returns the hold on it, or nil if
// another worker had it all the while. The queue may have lost the entry: so it
// is put there first, which changes nothing where it is, and the wait is no longer
// than from one pass to the next.
func (w *Worker) awaitTurn(d duty) (*hold, error) {
	queue, ttl := w.cfg.Backend.Queue, max(w.cfg.LeaseTTL, minDutyTTL)
	entry := ports.Entry{Task: TaskID(ports.SystemQueue + d.name), Queue: ports.SystemQueue + d.name}
	request := ports.ClaimRequest{Queues: []string{entry.Queue}, Worker: w.cfg.WorkerName, TTL: ttl}
	wait := max(d.every, time.Second)
	// Spread, so that workers that started together do not ask together.
	ctx, cancel := context.WithTimeout(w.claiming, wait/2+rand.N(wait/2))
	defer cancel()
	var lease ports.Lease
	err := guard(func() error {
		err := bounded(ctx, portTimeout, func(ctx context.Context) error { return queue.Enqueue(ctx, entry) })
		if err == nil {
			lease, err = queue.Claim(ctx, request)
		}
		return err
	})
	switch {
	case err == nil:
		return newHold(queue, lease, ttl), nil
	case ctx.Err() != nil:
		return nil, nil
	}
	return nil, err
}

// pass makes a pass, as long as the hold lasts, and gives the entry back: to be due
// when the next pass is, or at once if a stop cut this one short.
func (w *Worker) pass(d duty, hold *hold) {
	defer hold.letGo()
	err := hold.verify() // else another worker may have a later lease already
	if err == nil {
		stopBeat := hold.keep(func() {})
		var delay time.Duration
		if w.rounds(hold, d) {
			delay = d.every
		}
		stopBeat()
		err = guard(func() error { return hold.nack(delay) })
	}
	if err != nil {
		w.log.Warn("let go of the housekeeping, which another worker has or will get", "duty", d.name, "error", err)
	}
}

// rounds makes the rounds of a pass and reports whether they came to its end. One
// that fails is logged and the next one goes on.
func (w *Worker) rounds(hold *hold, d duty) bool {
	ctx, cancel := context.WithCancel(hold.ctx)
	defer cancel()
	defer context.AfterFunc(w.claiming, cancel)()
	hung := time.AfterFunc(hangTimeout, hold.letGo) // which ends the heartbeat as well
	defer hung.Stop()
	each := func(ctx context.Context, t Task) error {
		hung.Reset(hangTimeout)
		return d.each(ctx, t)
	}

	q := d.query()
	for pause := time.Duration(0); sleep(ctx, min(pause, d.every)); {
		var err error
		pause, err = w.round(ctx, &q, each)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			w.log.Error("housekeeping failed; the next round goes on", "duty", d.name, "error", err)
		}
		if q.Cursor == "" {
			return true
		}
	}
	return false
}

// round lists tasks of all owners, from where the last round ended, which q's
// cursor tells, and calls each for every one of them. A task that fails waits for
// the next pass and holds up none of the others. If there are more, the cursor
// tells where the next round goes on, after the pause.
func (w *Worker) round(ctx context.Context, q *ListQuery, each func(context.Context, Task) error) (pause time.Duration, err error) {
	var failed []error
	q.AnyOwner, q.Limit = true, roundPage
	for range roundPages {
		var page Page
		err := bounded(ctx, listPatience, func(ctx context.Context) error {
			return retry(ctx, portTimeout, func(ctx context.Context) error {
				return guard(func() (err error) {
					page, err = w.cfg.Backend.Store.List(ctx, *q)
					return err
				})
			})
		})
		q.Cursor = page.Next
		if err != nil {
			return 0, errors.Join(append(failed, fmt.Errorf("listing tasks: %w", err))...)
		}
		for _, t := range page.Tasks {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			err := guard(func() error {
				return bounded(ctx, portTimeout, func(ctx context.Context) error { return each(ctx, t) })
			})
			// A conflict says that somebody else was there first.
			if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) && len(failed) < roundFaults {
				failed = append(failed, fmt.Errorf("task %s: %w", t.ID, err))
			}
		}
		switch {
		case q.Cursor == "":
			return 0, errors.Join(failed...)
		case len(failed) == roundFaults:
			return faultPause, errors.Join(failed...)
		}
	}
	return roundPause, errors.Join(failed...)
}
