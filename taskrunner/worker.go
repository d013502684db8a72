package taskrunner

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// portTimeout bounds each single call to a backing part that is made on nobody's
// behalf, which is given up then and made again, and what a Client does for its
// caller without waiting for a task.
const portTimeout = 10 * time.Second

// maxRetryDelay bounds how long a task waits after a lost attempt.
const maxRetryDelay = time.Minute

// Worker claims tasks and runs them in its executor. It also takes its turn at
// the housekeeping, which one worker at a time does for all: it reconciles store
// and queue, and deletes what is past its retention.
type Worker struct {
	cfg    Config
	langs  registry
	client *Client
	log    *slog.Logger

	claiming  context.Context // done when no more tasks are wanted
	stopClaim context.CancelFunc
	killing   context.Context // done when running tasks are not waited for
	kill      context.CancelFunc
	work      sync.WaitGroup
	idle      chan struct{} // closed when, after Stop, all work is done

	mu      sync.Mutex
	started bool
	stopped bool
}

// NewWorker returns a worker for cfg, not yet started. ErrInvalid (a
// *FieldError): cfg is not complete, or a field is not valid.
func NewWorker(cfg Config) (*Worker, error) {
	if cfg.Executor == nil {
		return nil, ports.Invalid("executor", "must be set")
	}
	client, err := NewClient(cfg)
	if err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: client.cfg, langs: client.langs, client: client,
		log:  client.cfg.Logger.With("worker", client.cfg.WorkerName),
		idle: make(chan struct{}),
	}
	w.claiming, w.stopClaim = context.WithCancel(context.Background())
	w.killing, w.kill = context.WithCancel(context.Background())
	return w, nil
}

// Start starts claiming and returns at once. ctx bounds only the start: the
// executor's Check has to pass, and Start may be called again when it did not.
// ErrConflict: the worker was started before. ErrClosed: it was stopped.
func (w *Worker) Start(ctx context.Context) error {
	if err := guard(func() error { return w.cfg.Executor.Check(ctx) }); err != nil {
		return fmt.Errorf("checking the executor: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.stopped:
		return fmt.Errorf("starting the worker: %w", ErrClosed)
	case w.started:
		return fmt.Errorf("starting the worker again: %w", ErrConflict)
	}
	w.started = true
	w.work.Go(w.claim)
	w.housekeep()
	return nil
}

// Stop stops claiming and waits for the tasks that run. When ctx is done it
// kills those, gives them back to the queue for another worker, at once and even
// when it was their last attempt (a worker that is stopped is not a lost one),
// and returns ctx's error. That takes no longer than LeaseTTL: what could not be
// given back by then follows when its lease runs out.
//
// Stop may be called again, also at the same time: each call waits for the end,
// and the first ctx that is done kills. It does not close the executor.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	first := !w.stopped
	w.stopped = true
	w.mu.Unlock()
	w.stopClaim()
	if first {
		go func() {
			w.work.Wait()
			w.kill()
			close(w.idle)
		}()
	}
	select {
	case <-w.idle:
		return nil
	default:
	}
	select {
	case <-w.idle:
		return nil
	case <-ctx.Done():
	}
	w.kill()
	late := time.NewTimer(w.cfg.LeaseTTL)
	defer late.Stop()
	select {
	case <-w.idle:
	case <-late.C:
	}
	return ctx.Err()
}

// claim claims tasks, as many as there are free slots, until the worker stops.
func (w *Worker) claim() {
	slots := make(chan struct{}, w.cfg.Concurrency)
	request := ports.ClaimRequest{Queues: w.cfg.Queues, Worker: w.cfg.WorkerName, TTL: w.cfg.LeaseTTL}
	var pause backoff
	var outage outage
	for {
		select {
		case slots <- struct{}{}:
		case <-w.claiming.Done():
			return
		}
		var lease ports.Lease
		err := guard(func() (err error) {
			lease, err = w.cfg.Backend.Queue.Claim(w.claiming, request)
			return err
		})
		news := outage.isNews(err)
		if err != nil {
			<-slots
			if w.claiming.Err() != nil {
				return
			}
			if news {
				w.log.Error("could not claim from the queue; trying again", "error", err)
			}
			pause.wait(w.claiming)
			continue
		}
		pause = backoff{}
		if w.claiming.Err() != nil { // it came in the moment of Stop
			hold := newHold(w.cfg.Backend.Queue, lease, w.cfg.LeaseTTL)
			err := guard(func() error { return hold.nack(0) })
			hold.letGo()
			if err != nil {
				w.log.Warn("could not give a task back; it follows when its lease runs out", "task", lease.Task, "error", err)
			}
			return
		}
		w.work.Go(func() {
			defer func() { <-slots }()
			w.handle(lease)
		})
	}
}

// perCall bounds a call that is made on the strength of a lease, so that there
// is time for another try.
func (w *Worker) perCall() time.Duration { return min(w.cfg.LeaseTTL/2, portTimeout) }

// retryDelay is how long a task waits after its attempt of this number was lost.
func (w *Worker) retryDelay(attempt int) time.Duration {
	delay := w.cfg.RetryDelay
	for ; attempt > 1 && delay < maxRetryDelay; attempt-- {
		delay *= 2
	}
	return min(delay, max(maxRetryDelay, w.cfg.RetryDelay))
}
