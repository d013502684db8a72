package wire

import (
	"context"
	"errors"
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

// checkTimeout bounds how long an executor may take to say whether it works.
const checkTimeout = 10 * time.Second

// Choice says which executor is used, and why.
type Choice struct {
	// Name is one of Executors, and never ExecutorAuto.
	Name string
	// Reason says why, in a few words.
	Reason string
}

func chooseExecutor(ctx context.Context, cfg Config) (Choice, ports.Executor, error) {
	return choose(ctx, cfg.Executor, func() (ports.Executor, error) {
		// For each task that runs, another sandbox is ready.
		return sandboxexec.New(sandboxexec.Config{Pool: 2 * cfg.Concurrency})
	})
}

// choose returns the executor that is asked for, or the best one that can
// enforce its limits here. It never settles for less than that.
func choose(ctx context.Context, name string, newSandbox func() (ports.Executor, error)) (Choice, ports.Executor, error) {
	choice := Choice{Name: ExecutorSandbox}
	switch name {
	case ExecutorAuto:
		choice.Reason = "chosen because it can enforce every limit here"
	case ExecutorSandbox:
		choice.Reason = "as asked"
	case ExecutorDocker:
		return Choice{}, nil, ports.Invalid("executor", "cannot be docker: this program has no Docker executor; use sandbox or auto")
	default:
		return Choice{}, nil, ports.Invalid("executor", "must be auto, docker or sandbox, not %q", name)
	}
	executor, err := openChecked(ctx, newSandbox)
	switch {
	case ctx.Err() != nil:
		return Choice{}, nil, ctx.Err()
	case err != nil:
		return Choice{}, nil, ports.Invalid("executor", "cannot be %s: no sandbox that enforces every limit can be made here: %v", name, err)
	}
	return choice, executor, nil
}

// openChecked opens an executor and makes sure that it works; one that does not
// is closed again.
func openChecked(ctx context.Context, open func() (ports.Executor, error)) (ports.Executor, error) {
	executor, err := open()
	if err != nil {
		return nil, err
	}
	checkCtx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := executor.Check(checkCtx); err != nil {
		return nil, errors.Join(err, executor.Close(context.WithoutCancel(ctx)))
	}
	return executor, nil
}
