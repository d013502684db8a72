package taskrunner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Why an attempt goes no further.
var (
	// errOver: the record says that there is nothing left to do.
	errOver = errors.New("task is over")
	// errGhost: the task is somebody else's now; nothing more may be written.
	errGhost = errors.New("another worker has taken the task over")
	// errDrained: the worker was stopped and told not to wait.
	errDrained = errors.New("worker stopped")
)

// attempt is the way of one claimed entry through this worker, from the claim
// to the Ack or Nack.
type attempt struct {
	w    *Worker
	id   TaskID
	hold *hold
	log  *slog.Logger
	// stopBeat stops the heartbeat, once the attempt runs.
	stopBeat func()
}

// handle works off one claimed entry. Whatever goes wrong, the worst is that the
// lease runs out and another worker goes on.
func (w *Worker) handle(lease ports.Lease) {
	a := &attempt{
		w: w, id: lease.Task, stopBeat: func() {},
		hold: newHold(w.cfg.Backend.Queue, lease, w.cfg.LeaseTTL),
		log:  w.log.With("task", lease.Task, "delivery", lease.Deliveries),
	}
	defer a.hold.letGo()
	err := guard(func() error {
		err := a.work()
		if errors.Is(err, errOver) {
			err = a.hold.ack()
		}
		return err
	})
	switch {
	case err == nil:
	case a.hold.lost(), errors.Is(err, errGhost), errors.Is(err, ErrLeaseLost):
		a.log.Warn("let go of the task, which another worker has or will get", "error", err)
	default:
		a.log.Error("could not work on the task; another attempt follows when its lease runs out", "error", err)
	}
}

func (a *attempt) work() error {
	t, err := a.begin()
	if err != nil {
		return err
	}
	if t.Status.Terminal() {
		return a.conclude(t)
	}
	a.log = a.log.With("attempt", t.Attempt)

	// Only a lease that is alive behind the compare-and-swap makes the attempt
	// this worker's own: whoever wrote the same from a lease that ran out stops
	// here, before it has touched anything of the attempt.
	if err := a.hold.verify(); err != nil {
		return err
	}
	if a.hold.cancelled() {
		at := now()
		return a.leave(t, 0, func(t Task) (Task, error) { return cancelled(t, at) })
	}
	a.log.Info("task started", "language", t.Spec.Language, "queue", t.Spec.Queue, "after_seconds", t.StartedAt.Sub(t.CreatedAt).Seconds())
	return a.run(t)
}

// begin reads the task and moves it to where the claim leads: running, or an
// end without a run.
func (a *attempt) begin() (Task, error) {
	t, err := a.read()
	if err != nil {
		return t, err
	}
	if t.Status == ports.StatusRunning {
		// A lease that is alive behind this reading proves that whoever made the
		// task running has lost it. Else it may well run under a later lease.
		if err := a.hold.verify(); err != nil {
			return t, err
		}
	}
	at := now()
	return a.settle(t, func(t Task) (Task, error) {
		switch {
		case t.Status.Terminal():
			return t, errOver
		case a.hold.cancelled() || !t.CancelRequestedAt.IsZero():
			return cancelled(t, at)
		case t.Status == ports.StatusRunning && t.Attempt >= t.Spec.MaxAttempts:
			return givenUp(t, lostMessage(t), at)
		}
		return started(t, at)
	})
}

func (a *attempt) read() (Task, error) {
	var t Task
	err := retry(a.hold.ctx, a.w.perCall(), func(ctx context.Context) (err error) {
		t, err = a.w.cfg.Backend.Store.Get(ctx, a.id)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return t, errOver // deleted, by retention or by the Submit that failed
	}
	return t, err
}

// settle changes the record by compare-and-swap, from t as it was read to what
// decide makes of it, which is the same whenever t is the same: a change that
// arrives late, when it is being made once more, is known again. When that fails it
// reads again, proves that the lease was alive behind that, and either finds its own
// change there or decides anew.
//
// Taking a change for its own that another worker wrote is harmless: that worker's
// lease had run out when it wrote it, so that it stops at its own verify.
func (a *attempt) settle(t Task, decide func(Task) (Task, error)) (Task, error) {
	var pause backoff
	for {
		next, err := decide(t)
		if err != nil {
			return t, err
		}
		var stored Task
		err = bounded(a.hold.ctx, a.w.perCall(), func(ctx context.Context) (err error) {
			stored, err = a.w.cfg.Backend.Store.Update(ctx, next)
			return err
		})
		switch {
		case err == nil:
			return stored, nil
		case errors.Is(err, ErrInvalid):
			return t, fmt.Errorf("storing the task: %w", err)
		case !errors.Is(err, ErrConflict) && !pause.wait(a.hold.ctx):
			return t, fmt.Errorf("storing the task: %w", err)
		}
		if t, err = a.read(); err != nil {
			return t, err
		}
		if err := a.hold.verify(); err != nil {
			return t, err
		}
		if sameStep(t, next) {
			return t, nil
		}
	}
}

// run executes the attempt and writes down how it ended.
func (a *attempt) run(t Task) error {
	ctx, cancel := context.WithCancelCause(a.hold.ctx)
	defer cancel(nil)
	a.stopBeat = a.hold.keep(func() { cancel(ErrCancelled) })
	defer a.stopBeat()
	// Once the worker is told not to wait, the lease is kept no longer: what is
	// left to write has until its end, so that Stop ends as well.
	stopWatching := context.AfterFunc(a.w.killing, func() {
		cancel(errDrained)
		a.stopBeat()
	})
	defer stopWatching()

	rec := a.record(t)
	outcome, err := a.execute(ctx, t, rec)
	why := context.Cause(ctx)
	result := rec.close(outcome)
	switch {
	case a.hold.lost():
		return fmt.Errorf("running: %w", context.Cause(a.hold.ctx))
	case err == nil && outcome.Cause != ports.CauseCancelled:
		// The program ended by itself; a cancel that came so late changes nothing.
		return a.finish(t, result)
	case errors.Is(why, ErrCancelled):
		return a.finish(t, ended(result, ports.CauseCancelled, ""))
	case errors.Is(why, errDrained):
		a.log.Info("giving the task back, because the worker stops")
		return a.giveBack(t, result, false)
	case errors.Is(err, ErrInvalid):
		a.log.Error("the executor can never run the task", "error", err)
		message := "The task cannot be run here."
		if field, ok := errors.AsType[*FieldError](err); ok {
			message = "The task cannot be run here: " + field.Error() + "."
		}
		return a.finish(t, ended(result, ports.CauseInfrastructure, message))
	}
	a.log.Warn("the attempt is lost", "cause", outcome.Cause, "error", err)
	return a.giveBack(t, result, true)
}

// execute runs the task's program. A panic of the executor, and an outcome that
// makes no sense, is an error.
func (a *attempt) execute(ctx context.Context, t Task, rec *recorder) (outcome Outcome, err error) {
	lang, ok := a.w.langs.find(t.Spec.Language)
	if !ok {
		return Outcome{}, fmt.Errorf("this worker has no language %q", t.Spec.Language)
	}
	err = guard(func() (err error) {
		outcome, err = a.w.cfg.Executor.Run(ctx, ports.Job{
			Task: t.ID, Attempt: t.Attempt, Language: lang.Clone(), Spec: t.Spec.Clone(),
			CreatedAt: t.CreatedAt, TraceParent: t.TraceParent,
			Stdout: &rec.stdout, Stderr: &rec.stderr, Sample: rec.sample,
		})
		return err
	})
	if err != nil {
		return outcome, err
	}
	switch outcome.Cause {
	case ports.CauseExit, ports.CauseSignal, ports.CauseOOM, ports.CauseTimeout,
		ports.CauseOutputLimit, ports.CauseCancelled, ports.CauseInfrastructure:
		return outcome, nil
	}
	return outcome, fmt.Errorf("the executor returned the unknown cause %q", outcome.Cause)
}

// finish ends the task with r.
func (a *attempt) finish(t Task, r Result) error {
	at := now()
	return a.leave(t, 0, func(t Task) (Task, error) { return finished(t, r, at) })
}

// giveBack lets another attempt follow. A loss counts: where it was the last
// attempt allowed, it ends the task. A worker that is stopped is no loss, and
// never a reason for a task to fail. A cancel that was asked for meanwhile ends
// the task either way.
func (a *attempt) giveBack(t Task, r Result, loss bool) error {
	var delay time.Duration
	if loss {
		delay = a.w.retryDelay(t.Attempt)
	}
	at := now()
	return a.leave(t, delay, func(t Task) (Task, error) {
		switch {
		case a.hold.cancelled() || !t.CancelRequestedAt.IsZero():
			return finished(t, ended(r, ports.CauseCancelled, ""), at)
		case loss && t.Attempt >= t.Spec.MaxAttempts:
			return finished(t, ended(r, ports.CauseInfrastructure, lostMessage(t)), at)
		}
		return requeued(t)
	})
}

// leave moves the task out of this attempt and tells everybody: in the order in
// which a crash between two steps can be mended, the truth first.
func (a *attempt) leave(running Task, delay time.Duration, decide func(Task) (Task, error)) error {
	t, err := a.settle(running, func(t Task) (Task, error) {
		if t.Status != ports.StatusRunning || t.Attempt != running.Attempt {
			return t, errGhost
		}
		return decide(t)
	})
	if err != nil {
		return err
	}
	// The truth is written; the rest has until the lease runs out.
	a.stopBeat()
	if t.Status.Terminal() {
		return a.conclude(t)
	}
	a.publish(statusEvent(t))
	return a.hold.nack(delay)
}

// conclude tells that t is terminal, and takes it off the queue.
func (a *attempt) conclude(t Task) error {
	a.publish(endEvent(t))
	if err := a.hold.ack(); err != nil {
		return fmt.Errorf("acknowledging: %w", err)
	}
	logEnd(a.hold.ctx, a.log, t)
	return nil
}

// publish tells people. The record is the truth, so that a bus that fails costs
// a third of a lease and nothing else: Watch reads the store where it hears
// nothing.
func (a *attempt) publish(e Event) {
	err := bounded(a.hold.ctx, a.hold.ttl/3, func(ctx context.Context) error {
		return retry(ctx, a.hold.ttl/3, func(ctx context.Context) error {
			_, err := a.w.cfg.Backend.Events.Publish(ctx, e)
			return err
		})
	})
	if err != nil {
		a.log.Warn("could not publish an event", "type", e.Type, "error", err)
	}
}

// ended returns r ended by cause rather than by the program. What r says already,
// such as that a log is not complete, stays true.
func ended(r Result, cause Cause, message string) Result {
	r.Cause, r.ExitCode = cause, -1
	r.Message = strings.TrimSpace(message + " " + r.Message)
	return r
}

func lostMessage(t Task) string {
	return fmt.Sprintf("Attempt %d to run the task was lost, and no other one follows.", t.Attempt)
}

// logEnd writes the line about the end of t, to a log that names the task.
func logEnd(ctx context.Context, log *slog.Logger, t Task) {
	ran := 0.0 // of the last attempt; what was cancelled in the queue had none
	if !t.StartedAt.IsZero() {
		ran = t.FinishedAt.Sub(t.StartedAt).Seconds()
	}
	log.InfoContext(ctx, "task ended", "language", t.Spec.Language, "status", t.Status, "cause", endEvent(t).Cause,
		"attempts", t.Attempt, "run_seconds", ran, "total_seconds", t.FinishedAt.Sub(t.CreatedAt).Seconds())
}
