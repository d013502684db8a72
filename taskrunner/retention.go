package taskrunner

import "context"

// expire deletes tasks that finished longer than Retention ago, with all that
// belongs to them: the record last, so that a round that is cut short leaves
// something for the next one to find.
func (w *Worker) expire(ctx context.Context, cursor *string) error {
	q := ListQuery{FinishedBefore: now().Add(-w.cfg.Retention)}
	return w.pages(ctx, q, cursor, func(ctx context.Context, t Task) error {
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
	})
}
