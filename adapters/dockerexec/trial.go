package dockerexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/ports"
)

// trial runs a program that prints "hello" and returns how long that took, the making
// of its container included, or an error if it did not go as it should.
type trial func(ctx context.Context, l ports.Language, code string) (time.Duration, error)

// newTrial returns a trial of a whole executor. Nothing of it is left but the volume
// with the supervisor.
func newTrial(cli client.APIClient, cfg Config) trial {
	return func(ctx context.Context, l ports.Language, code string) (took time.Duration, err error) {
		cfg, err := cfg.complete()
		if err != nil {
			return 0, err
		}
		cfg.Pool, cfg.Warm = -1, nil
		cfg.Limits.Timeout, cfg.Limits.Output = 30*time.Second, 64<<10
		x, err := newExecutor(ctx, cli, cfg)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, x.Close(ctx)) }()
		var stdout, stderr bytes.Buffer
		begin := time.Now()
		o, err := x.Run(ctx, ports.Job{
			Task: "trial", Attempt: 1, Language: l,
			Spec:   ports.Spec{Language: l.Name, Code: code, Limits: cfg.Limits},
			Stdout: &stdout, Stderr: &stderr,
		})
		switch {
		case err != nil:
			return 0, err
		case o.Cause != ports.CauseExit || o.ExitCode != 0 || strings.TrimSpace(stdout.String()) != "hello":
			return 0, fmt.Errorf("it ended by %s with code %d and printed %.100q, and %.300q as errors", o.Cause, o.ExitCode, stdout.String(), stderr.String())
		}
		return time.Since(begin), nil
	}
}
