package taskrunner

import (
	"context"
	"time"
)

// retention is how long finished tasks are kept: no shorter than a lease lasts,
// as whoever wrote the end of a task may be telling it for as long.
func (w *Worker) retention() time.Duration { return max(w.cfg.Retention, w.cfg.LeaseTTL) }

// expire deletes a finished task with all that belongs to it: the record last, so
// that a round that is cut short leaves something for the next pass to find.
func (w *Worker) expire(ctx context.Context, t Task) error {
	if !t.Status.Terminal() {
		return nil
	}
	if err := w.cfg.Backend.Logs.Delete(ctx, t.ID); err != nil {
		return err
	}
	if err := w.cfg.Backend.Events.Delete(ctx, t.ID); err != nil {
		return err
	}
	return w.cfg.Backend.Store.Delete(ctx, t.ID, t.Version)
}
