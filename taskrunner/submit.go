package taskrunner

import (
	"context"
	"errors"
	"fmt"

	"github.com/task-runner/task-runner/ports"
)

// submitTimeout bounds the steps of Submit. What is left of portTimeout is for what
// it does even when they were given up: it publishes, and takes back what it did.
const submitTimeout = portTimeout - 2*publishTimeout

// Submit checks spec against the policy, stores the task and queues it, and
// returns it as stored. When it fails it takes back what it did; should that fail
// as well (the store is away), the task may be stored and is then run.
//
// ErrInvalid (a *FieldError): spec can never be accepted. ErrConflict: the
// idempotency key was used with another spec; with the same spec Submit returns
// the first task and no error. ErrFull: too many tasks wait.
func (c *Client) Submit(ctx context.Context, spec Spec) (Task, error) {
	spec, err := checkSpec(spec, c.cfg.Policy, c.langs)
	if err != nil {
		return Task{}, err
	}
	undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), portTimeout)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	full, err := c.full(ctx, spec.Queue)
	switch {
	case err != nil:
		return Task{}, err
	case full && spec.IdempotencyKey == "":
		return Task{}, errQueueFull(spec.Queue)
	}
	trace := c.cfg.traceParent(ctx)
	for {
		at := now()
		t := Task{ID: ids.next(at), Spec: spec, Status: ports.StatusQueued, CreatedAt: at, TraceParent: trace}
		stored, err := c.cfg.Backend.Store.Create(ctx, t)
		switch {
		case errors.Is(err, ErrExists):
			stored, err = c.rejoin(ctx, stored, spec)
			if errors.Is(err, ErrNotFound) && ctx.Err() == nil {
				continue // it was taken back meanwhile
			}
			return stored, err
		case errors.Is(err, ErrInvalid), errors.Is(err, ErrFull):
			return Task{}, fmt.Errorf("storing the task: %w", err)
		case err != nil:
			t.Version = 1 // if it was stored nevertheless
			_, _ = c.takeBack(undoing, t)
			return Task{}, fmt.Errorf("storing the task: %w", err)
		case full:
			return c.undo(undoing, stored, errQueueFull(spec.Queue))
		}
		// Before a worker can have it, so that all readers see this event first.
		c.publish(ctx, statusEvent(stored))
		if err := c.cfg.Backend.Queue.Enqueue(ctx, entryOf(stored)); err != nil {
			return c.undo(undoing, stored, fmt.Errorf("queueing the task: %w", err))
		}
		c.cfg.Logger.InfoContext(ctx, "task submitted", "task", stored.ID, "language", spec.Language, "queue", spec.Queue)
		return stored, nil
	}
}

// full reports whether as many tasks wait in the queue as the policy allows.
func (c *Client) full(ctx context.Context, queue string) (bool, error) {
	stats, err := c.cfg.Backend.Queue.Stats(ctx, queue)
	if err != nil {
		return false, fmt.Errorf("counting what waits: %w", err)
	}
	return stats.Waiting+stats.Delayed >= c.cfg.Policy.QueueDepth, nil
}

func errQueueFull(queue string) error {
	return fmt.Errorf("queue %q: too many tasks wait: %w", queue, ErrFull)
}

// rejoin returns the task that an idempotency key has already, if it is the same
// one. The Submit that made it may be about to fail and take it back, or have
// died half way: so the task is queued once more, and the record is touched, as
// a record that was touched is not taken back.
func (c *Client) rejoin(ctx context.Context, t Task, spec Spec) (Task, error) {
	if !equalSpecs(t.Spec, spec) {
		return Task{}, fmt.Errorf("idempotency key was used with another spec: %w", ErrConflict)
	}
	if t.Version > 1 || t.Status != ports.StatusQueued {
		return t, nil
	}
	if err := c.cfg.Backend.Queue.Enqueue(ctx, entryOf(t)); err != nil {
		return Task{}, fmt.Errorf("queueing the task: %w", err)
	}
	touched, err := c.cfg.Backend.Store.Update(ctx, t)
	if errors.Is(err, ErrConflict) { // touched by somebody else, then
		return c.cfg.Backend.Store.Get(ctx, t.ID)
	}
	return touched, err
}

// undo takes the task back because of cause, and returns that; if somebody works
// on the task already, it returns the task.
func (c *Client) undo(ctx context.Context, t Task, cause error) (Task, error) {
	if alive, ok := c.takeBack(ctx, t); ok {
		return alive, nil
	}
	return Task{}, cause
}

// takeBack deletes a task that nobody has touched since it was stored. If
// somebody has, it is alive.
func (c *Client) takeBack(ctx context.Context, t Task) (alive Task, ok bool) {
	err := retry(ctx, portTimeout, func(ctx context.Context) error {
		return c.cfg.Backend.Store.Delete(ctx, t.ID, t.Version)
	})
	switch {
	case errors.Is(err, ErrConflict):
		alive, err = c.cfg.Backend.Store.Get(ctx, t.ID)
		ok = err == nil
	case err == nil, errors.Is(err, ErrNotFound):
		err = c.cfg.Backend.Events.Delete(ctx, t.ID)
		// Last, as an entry that is there all the same would only be skipped.
		_, _ = c.cfg.Backend.Queue.Cancel(ctx, t.ID)
	}
	if err != nil {
		c.cfg.Logger.ErrorContext(ctx, "could not take back a task that was not queued", "task", t.ID, "error", err)
	}
	return alive, ok
}

// publish tells people, as well as it can: the record is the truth.
func (c *Client) publish(ctx context.Context, e Event) {
	err := aside(ctx, publishTimeout, func(ctx context.Context) error {
		return retry(ctx, publishTimeout, func(ctx context.Context) error {
			_, err := c.cfg.Backend.Events.Publish(ctx, e)
			return err
		})
	})
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "could not publish an event", "task", e.Task, "type", e.Type, "error", err)
	}
}

// entryOf is the task's entry in the queue.
func entryOf(t Task) ports.Entry {
	return ports.Entry{Task: t.ID, Queue: t.Spec.Queue, Priority: t.Spec.Priority}
}
