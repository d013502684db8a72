package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/task-runner/task-runner/apps/internal/serve"
	"github.com/task-runner/task-runner/apps/internal/settings"
)

func printVersion(_ context.Context, p process) (int, error) {
	if err := noArguments(settings.New(), p); err != nil {
		return 0, err
	}
	fmt.Fprintf(p.stdout, "taskrunner %s %s %s/%s\n", serve.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK, nil
}

// noArguments parses flags for a command that takes nothing else.
func noArguments(s *settings.Set, p process) error {
	rest, err := s.Parse(p.args, p.env)
	if err == nil && len(rest) > 0 {
		err = settings.Usagef("unexpected argument %q", rest[0])
	}
	return err
}
