package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/task-runner/task-runner/apps/internal/settings"
)

// version is the module's version, or the commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "dev"
}

func printVersion(_ context.Context, p process) (int, error) {
	if err := noArguments(settings.New(), p); err != nil {
		return 0, err
	}
	fmt.Fprintf(p.stdout, "taskrunner %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
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
