package taskrunner

import (
	"fmt"
	"slices"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// The state machine of a task. These functions are the only ones that change the
// Status of a record: each returns the record as it should become, for
// Store.Update, and refuses what the table does not allow.

// transitions says which status may follow which. A terminal status has none.
var transitions = map[Status][]Status{
	ports.StatusQueued: {ports.StatusRunning, ports.StatusCancelled, ports.StatusFailed},
	// Running follows running where a worker takes over a lost attempt.
	ports.StatusRunning: {
		ports.StatusRunning, ports.StatusQueued, ports.StatusSucceeded,
		ports.StatusFailed, ports.StatusTimedOut, ports.StatusCancelled,
	},
}

func move(t Task, to Status) (Task, error) {
	if !slices.Contains(transitions[t.Status], to) {
		return t, fmt.Errorf("task is %s and cannot become %s: %w", t.Status, to, ErrConflict)
	}
	t.Status = to
	return t, nil
}

// started returns t with its next attempt begun.
func started(t Task, at time.Time) (Task, error) {
	t, err := move(t, ports.StatusRunning)
	t.Attempt++
	t.StartedAt = at
	return t, err
}

// requeued returns t waiting for its next attempt.
func requeued(t Task) (Task, error) { return move(t, ports.StatusQueued) }

// finished returns t ended with r.
func finished(t Task, r Result, at time.Time) (Task, error) {
	t, err := move(t, statusOf(r.Outcome))
	t.Result = &r
	t.FinishedAt = at
	for _, before := range []time.Time{t.CreatedAt, t.StartedAt} {
		if t.FinishedAt.Before(before) { // the clocks of two machines differ
			t.FinishedAt = before
		}
	}
	return t, err
}

// cancelRequested returns t marked as asked to end. It keeps the first request's
// time.
func cancelRequested(t Task, at time.Time) (Task, error) {
	if t.Status.Terminal() {
		return t, fmt.Errorf("task is %s already: %w", t.Status, ErrConflict)
	}
	if t.CancelRequestedAt.IsZero() {
		t.CancelRequestedAt = at
	}
	return t, nil
}

// cancelled returns t ended without a run, because somebody asked.
func cancelled(t Task, at time.Time) (Task, error) {
	t, err := cancelRequested(t, at)
	if err != nil {
		return t, err
	}
	return finished(t, Result{Outcome: Outcome{Cause: ports.CauseCancelled, ExitCode: -1}}, at)
}

// givenUp returns t ended because no attempt can end it.
func givenUp(t Task, message string, at time.Time) (Task, error) {
	return finished(t, Result{Outcome: Outcome{
		Cause: ports.CauseInfrastructure, ExitCode: -1, Message: message,
	}}, at)
}

// statusOf says how a task has ended that ended with o.
func statusOf(o Outcome) Status {
	switch {
	case o.Cause == ports.CauseExit && o.ExitCode == 0:
		return ports.StatusSucceeded
	case o.Cause == ports.CauseTimeout:
		return ports.StatusTimedOut
	case o.Cause == ports.CauseCancelled:
		return ports.StatusCancelled
	}
	return ports.StatusFailed
}

// sameStep reports whether stored is what writing next would have stored: it
// answers whether an Update whose outcome is unknown happened.
func sameStep(stored, next Task) bool {
	return stored.Version == next.Version+1 && stored.Status == next.Status &&
		stored.Attempt == next.Attempt && stored.FinishedAt.Equal(next.FinishedAt)
}

// statusEvent tells of t's status.
func statusEvent(t Task) Event {
	return Event{Task: t.ID, Attempt: t.Attempt, Type: ports.EventStatus, Time: now(), Status: t.Status}
}

// endEvent tells how the terminal task t ended.
func endEvent(t Task) Event {
	e := Event{Task: t.ID, Attempt: t.Attempt, Type: ports.EventEnd, Time: t.FinishedAt, Status: t.Status}
	if t.Result != nil {
		e.Cause, e.ExitCode, e.Signal = t.Result.Cause, t.Result.ExitCode, t.Result.Signal
	}
	return e
}

// now is the time as records keep it: what every Store can give back unchanged.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
