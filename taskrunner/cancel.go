package taskrunner

import (
	"context"
	"errors"
	"fmt"

	"github.com/task-runner/task-runner/ports"
)

// Cancel asks for the task's end and returns the task as it is then: cancelled
// at once if it was waiting, still running if a worker has to stop it. A program
// that ends by itself before the worker hears of it keeps its own result.
//
// ErrConflict: it is finished already. ErrNotFound: no such task. After any other
// error Cancel may be called again.
func (c *Client) Cancel(ctx context.Context, id TaskID) (Task, error) {
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	for {
		t, err := c.Get(ctx, id)
		if err != nil {
			return Task{}, err
		}
		if t.Status.Terminal() {
			return t, fmt.Errorf("task is %s already: %w", t.Status, ErrConflict)
		}
		t, err = c.cancel(ctx, t)
		if !errors.Is(err, ErrConflict) {
			return t, err
		}
	}
}

// cancel cancels a task that was just read. ErrConflict: it changed meanwhile.
func (c *Client) cancel(ctx context.Context, t Task) (Task, error) {
	store, queue := c.cfg.Backend.Store, c.cfg.Backend.Queue
	if t.Status == ports.StatusRunning {
		// The record first: the queue may lose its flag, the record does not.
		if t.CancelRequestedAt.IsZero() {
			asked, err := cancelRequested(t, now())
			if err != nil {
				return t, err
			}
			if t, err = store.Update(ctx, asked); err != nil {
				return t, fmt.Errorf("noting the cancel: %w", err)
			}
		}
		found, err := queue.Cancel(ctx, t.ID)
		switch {
		case err == nil && found == ports.CancelledLeased:
			return t, nil
		case err != nil && !errors.Is(err, ErrNotFound):
			return t, fmt.Errorf("telling the worker: %w", err)
		}
		// No worker holds it: the one that did has died.
	}
	next, err := cancelled(t, now())
	if err != nil {
		return t, err
	}
	done, err := store.Update(ctx, next)
	if err != nil {
		return t, fmt.Errorf("cancelling the task: %w", err)
	}
	_ = aside(ctx, portTimeout, func(ctx context.Context) error {
		_, err := queue.Cancel(ctx, t.ID) // what stays in the queue is skipped
		return err
	})
	c.publish(ctx, endEvent(done))
	logEnd(ctx, c.cfg.Logger.With("task", done.ID), done)
	return done, nil
}
