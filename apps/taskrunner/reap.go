package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/wire"
)

type reapFlags struct {
	set    *settings.Set
	host   *string
	grace  *time.Duration
	dryRun *bool
}

func newReapFlags() reapFlags {
	s := settings.New()
	s.Group("Flags")
	return reapFlags{
		set:    s,
		dryRun: settings.Bool(s, "dry-run", "say what would be removed, and remove nothing"),
		grace:  settings.Var(s, "grace", "TIME", "5m", "how long a thing must have been of no use; at least 1m", settings.Duration),
		host:   options.DockerHost(s),
	}
}

// reap prints a line for each thing that it removes.
func reap(ctx context.Context, p process) (int, error) {
	f := newReapFlags()
	if err := noArguments(f.set, p); err != nil {
		return 0, err
	}
	leftovers, err := wire.Reap(ctx, *f.host, *f.grace, *f.dryRun)
	done := "removed"
	if *f.dryRun {
		done = "would remove"
	}
	for _, l := range leftovers {
		fmt.Fprintf(p.stdout, "%s %s %s, which %s\n", done, l.Kind, cmp.Or(l.Name, l.ID), l.Why)
	}
	return exitOK, err
}
