package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/task-runner/task-runner/ports"
)

// mirror copies what the program writes to this process's own output, as it comes
// and all that is kept of it, and keeps why it could not run. It sits at the
// executor, because there a reader who is slow slows the program, and nothing else.
type mirror struct {
	stdout, stderr io.Writer
	// closed is called when nobody reads the output any more.
	closed func()
	// err is the first failure to write, and lost why the executor could not run the
	// program. They may be read after the run.
	err, lost error
}

func (m *mirror) wrap(executor ports.Executor) ports.Executor {
	return mirrored{Executor: executor, mirror: m}
}

type mirrored struct {
	ports.Executor
	mirror *mirror
}

// Run implements ports.Executor.
func (e mirrored) Run(ctx context.Context, job ports.Job) (ports.Outcome, error) {
	job.Stdout = both{kept: job.Stdout, shown: e.mirror.stdout, mirror: e.mirror}
	job.Stderr = both{kept: job.Stderr, shown: e.mirror.stderr, mirror: e.mirror}
	outcome, err := e.Executor.Run(ctx, job)
	e.mirror.lost = err
	return outcome, err
}

// both writes to the task's own output and to this process's. A failure of the
// latter costs nothing but that, unless it is a pipe that was closed: that ends
// the program, as it would without a sandbox.
type both struct {
	kept, shown io.Writer
	mirror      *mirror
}

func (b both) Write(p []byte) (int, error) {
	if _, err := b.shown.Write(p); err != nil && b.mirror.err == nil {
		b.mirror.err = fmt.Errorf("writing the program's output: %w", err)
		if errors.Is(err, syscall.EPIPE) {
			b.mirror.closed()
		}
	}
	return b.kept.Write(p)
}
