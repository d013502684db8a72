package taskrunner

import "context"

// reconcile mends what a crash left between store and queue. A task that is not
// finished and that the queue does not know is put back: where the queue knows
// it, Enqueue changes nothing, and a worker that claims a finished task skips
// it. A cancel that was noted but not carried through is.
func (w *Worker) reconcile(ctx context.Context, t Task) error {
	// A younger one is probably in the middle of the step that is missed here.
	grace := now().Add(-w.cfg.LeaseTTL)
	switch {
	case t.CreatedAt.After(grace) || t.StartedAt.After(grace):
		return nil
	case !t.CancelRequestedAt.IsZero():
		_, err := w.client.cancel(ctx, t)
		return err
	}
	return w.cfg.Backend.Queue.Enqueue(ctx, entryOf(t))
}
