package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// orderVariable holds the order of a process that takes part in a test.
const orderVariable = "TASKRUNNER_CHAOS_ORDER"

// order says what a process does: it works, or, with a Spec, submits that and ends.
type order struct {
	Name        string
	Servers     addresses
	Lease       time.Duration
	Reconcile   time.Duration // how often; negative: never
	Queues      []string
	Concurrency int
	// Journal is the file where every run is noted.
	Journal string
	Trap    trap
	// Breaks is how many runs end with a broken sandbox at once.
	Breaks int64
	Spec   *taskrunner.Spec
}

// obey is the main function of such a process. It returns the exit code.
func obey(text string) int {
	if err := carryOut(text); err != nil {
		fmt.Fprintln(os.Stderr, "process ends:", err)
		return 1
	}
	return 0
}

func carryOut(text string) (err error) {
	o := new(order)
	if err := json.Unmarshal([]byte(text), o); err != nil {
		return err
	}
	go dieWithParent()
	parent := goleak.IgnoreCurrent()
	// From the first moment on: a signal may come at any time.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	b, shut, err := o.Servers.open(ctx)
	defer func() {
		shut()
		stop()
		err = errors.Join(err, goleak.Find(parent))
	}()
	if err != nil {
		return fmt.Errorf("opening the backend: %w", err)
	}
	cfg := taskrunner.Config{
		Backend: o.Trap.around(b), Languages: languages, WorkerName: o.Name,
		Queues: o.Queues, Concurrency: o.Concurrency,
		LeaseTTL: o.Lease, RetryDelay: 100 * time.Millisecond, ReconcileEvery: o.Reconcile,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if o.Spec != nil {
		return submit(ctx, cfg, *o.Spec)
	}
	return work(ctx, cfg, o)
}

func submit(ctx context.Context, cfg taskrunner.Config, spec taskrunner.Spec) error {
	client, err := taskrunner.NewClient(cfg)
	if err != nil {
		return err
	}
	_, err = client.Submit(ctx, spec)
	return err
}

// work runs a worker until SIGTERM, and lets it end what it has begun.
func work(ctx context.Context, cfg taskrunner.Config, o *order) error {
	journal, err := os.OpenFile(o.Journal, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = journal.Close() }()
	// No pool: there are many workers on this machine, and most run little.
	sandboxes, err := sandboxexec.New(sandboxexec.Config{Pool: -1})
	if err != nil {
		return err
	}
	cfg.Executor = &noting{Executor: sandboxes, order: o, journal: journal}
	worker, err := taskrunner.NewWorker(cfg)
	if err == nil {
		err = worker.Start(ctx)
	}
	if err == nil {
		_, err = fmt.Fprintln(os.Stdout, ready)
		<-ctx.Done()
	}
	end, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if worker != nil {
		err = errors.Join(err, worker.Stop(end))
	}
	return errors.Join(err, sandboxes.Close(end))
}

// ready is what a worker says when it has begun to claim.
const ready = "ready"

// dieWithParent ends this process when the one that started it, which holds the other
// end of its standard input, is no more.
func dieWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// note is a line of the journal: an attempt's run begins.
type note struct {
	Task    ports.TaskID
	Attempt int
	Worker  string
	At      time.Time
}

// noting is an executor that writes down what it runs before it does. The line is in
// the kernel's hands when the process dies.
type noting struct {
	ports.Executor
	order   *order
	journal *os.File
	runs    atomic.Int64
}

func (x *noting) Run(ctx context.Context, job ports.Job) (ports.Outcome, error) {
	trap := &x.order.Trap
	trap.reach("executor.Run", fakes.Before)
	line, err := json.Marshal(note{job.Task, job.Attempt, x.order.Name, time.Now()})
	if err != nil {
		return ports.Outcome{}, err
	}
	if _, err := x.journal.Write(append(line, '\n')); err != nil {
		return ports.Outcome{}, err
	}
	if x.runs.Add(1) <= x.order.Breaks {
		return ports.Outcome{}, errors.New("the sandbox broke")
	}
	job.Started = func() { trap.reach("executor.Started", fakes.After) }
	job.Stdout = trapped{job.Stdout, trap}
	o, err := x.Executor.Run(ctx, job)
	trap.reach("executor.Run", fakes.After)
	return o, err
}

// trapped is a stream with a trap behind each piece of output.
type trapped struct {
	io.Writer
	trap *trap
}

func (w trapped) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.trap.reach("executor.Output", fakes.After)
	return n, err
}
