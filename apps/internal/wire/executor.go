package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
)

// The executors that can be asked for.
const (
	ExecutorAuto    = "auto"
	ExecutorDocker  = "docker"
	ExecutorSandbox = "sandbox"
)

// Executors lists them.
func Executors() []string { return []string{ExecutorAuto, ExecutorDocker, ExecutorSandbox} }

const (
	// probeTimeout bounds how long auto waits for a Docker engine to say what it has.
	probeTimeout = 2 * time.Second
	// tryTimeout bounds how long auto tries that engine before it takes the sandbox,
	// openTimeout how long an executor for which there is no other may take: the
	// first one on an engine far away has to send it something.
	tryTimeout  = 10 * time.Second
	openTimeout = 30 * time.Second
	// retryExecutor is the pause before an executor that could not be had is tried again.
	retryExecutor = 2 * time.Second
)

// Choice says which executor is used, and why.
type Choice struct {
	// Name is one of Executors, and never ExecutorAuto.
	Name string
	// Reason says why, and with ExecutorAuto why no other one is, in one sentence
	// without its beginning and end.
	Reason string
}

func chooseExecutor(ctx context.Context, cfg Config) (Choice, ports.Executor, error) {
	return candidates{
		probe:   func(ctx context.Context) error { return probeDocker(ctx, cfg) },
		docker:  func(ctx context.Context) (ports.Executor, error) { return newDocker(ctx, cfg) },
		sandbox: func(context.Context) (ports.Executor, error) { return newSandbox(cfg) },
	}.choose(ctx, cfg.Executor)
}

func newSandbox(cfg Config) (ports.Executor, error) {
	if cfg.Policy.Network {
		return nil, errors.New("a sandbox has no network, and tasks may ask for one")
	}
	// For each task that runs, another sandbox is ready.
	executor, err := sandboxexec.New(sandboxexec.Config{Pool: 2 * cfg.Concurrency})
	if err != nil {
		return nil, fmt.Errorf("no sandbox that enforces every limit can be made here: %w", err)
	}
	return executor, nil
}

// candidates are the executors that there are.
type candidates struct {
	docker, sandbox func(context.Context) (ports.Executor, error)
	// probe says whether Docker has all that it needs, without changing anything.
	probe func(context.Context) error
}

// choose returns the executor that is asked for, or the best one that can
// enforce its limits here. It never settles for less than that.
func (c candidates) choose(ctx context.Context, name string) (choice Choice, executor ports.Executor, err error) {
	switch name {
	case ExecutorAuto:
		choice, executor, err = c.best(ctx)
	case ExecutorDocker:
		choice = Choice{name, "as asked"}
		executor, err = openChecked(ctx, openTimeout, c.docker)
	case ExecutorSandbox:
		choice = Choice{name, "as asked"}
		executor, err = openChecked(ctx, openTimeout, c.sandbox)
	default:
		err = unknownExecutor(name)
	}
	if err == nil {
		return choice, executor, nil
	}
	if ctx.Err() != nil {
		return Choice{}, nil, ctx.Err()
	}
	if _, ok := errors.AsType[*ports.FieldError](err); ok {
		return Choice{}, nil, err
	}
	return Choice{}, nil, ports.Invalid("executor", "cannot be %s: %v", name, err)
}

func unknownExecutor(name string) error {
	return ports.Invalid("executor", "must be auto, docker or sandbox, not %q", name)
}

// best takes Docker if it can run every language at once, since a container has
// its own programs and libraries; else the sandbox, which needs nothing to be
// fetched; else Docker, which may have to pull images. A setting that is invalid
// is an error, and no reason to do without.
func (c candidates) best(ctx context.Context) (Choice, ports.Executor, error) {
	notDocker := c.probe(ctx)
	tried := notDocker == nil
	if tried {
		var docker ports.Executor
		if docker, notDocker = openChecked(ctx, tryTimeout, c.docker); notDocker == nil {
			return Choice{ExecutorDocker, "chosen because its engine can enforce every limit and has every image"}, docker, nil
		}
	}
	if ctx.Err() != nil || errors.Is(notDocker, ports.ErrInvalid) {
		return Choice{}, nil, notDocker
	}
	sandbox, notSandbox := openChecked(ctx, openTimeout, c.sandbox)
	if notSandbox == nil {
		return Choice{ExecutorSandbox, fmt.Sprintf("chosen because it can enforce every limit here; not docker, because %v", notDocker)}, sandbox, nil
	}
	if !tried && ctx.Err() == nil {
		docker, err := openChecked(ctx, openTimeout, c.docker)
		if err == nil {
			return Choice{ExecutorDocker, fmt.Sprintf("chosen because its engine can enforce every limit, although %v; not sandbox, because %v", notDocker, notSandbox)}, docker, nil
		}
		if errors.Is(err, ports.ErrInvalid) {
			return Choice{}, nil, err
		}
		notDocker = err
	}
	return Choice{}, nil, fmt.Errorf("not sandbox, because %w; not docker, because %w", notSandbox, notDocker)
}

// openChecked opens an executor and makes sure that it works; one that does not
// is closed again.
func openChecked(ctx context.Context, timeout time.Duration, open func(context.Context) (ports.Executor, error)) (ports.Executor, error) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	executor, err := open(bounded)
	if err != nil {
		return nil, err
	}
	if err := executor.Check(bounded); err != nil {
		return nil, errors.Join(err, executor.Close(context.WithoutCancel(ctx)))
	}
	return executor, nil
}
