//go:build !linux || !(amd64 || arm64)

package sandboxexec

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/task-runner/task-runner/ports"
)

// Executor cannot be had on this system.
type Executor struct{}

var errUnsupported = fmt.Errorf("the sandbox executor needs Linux on amd64 or arm64, this is %s on %s: %w",
	runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)

// New refuses with errors.ErrUnsupported.
func New(Config) (*Executor, error) { return nil, errUnsupported }

// Check implements ports.Executor.
func (*Executor) Check(context.Context) error { return errUnsupported }

// Run implements ports.Executor.
func (*Executor) Run(context.Context, ports.Job) (ports.Outcome, error) {
	return ports.Outcome{}, errUnsupported
}

// Close implements ports.Executor.
func (*Executor) Close(context.Context) error { return nil }

// Stats returns nothing.
func (*Executor) Stats() Stats { return Stats{} }
