package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/wire"
	"github.com/task-runner/task-runner/taskrunner"
)

type doctorFlags struct {
	set       *settings.Set
	executor  *string
	languages options.Languages
	docker    options.Docker
}

func newDoctorFlags() doctorFlags {
	s := settings.New()
	f := doctorFlags{set: s}
	s.Group("Tasks")
	f.executor = options.Executor(s)
	f.languages = options.NewLanguages(s)
	s.Group("Docker")
	f.docker = options.NewDocker(s)
	return f
}

// examine prints what keeps tasks from running here, and what should be mended. Its
// code is exitOK if they can run with the executor that is asked for, or with any.
func examine(ctx context.Context, p process) (int, error) {
	f := newDoctorFlags()
	if err := noArguments(f.set, p); err != nil {
		return 0, err
	}
	languages, err := f.languages.Load()
	if err != nil {
		return exitUsage, err
	}
	all, err := wire.Diagnose(ctx, wire.Config{
		Executor: *f.executor, Docker: f.docker.Config(), Languages: languages, Policy: taskrunner.DefaultPolicy(),
	})
	if err != nil {
		return 0, err
	}
	var usable []string
	for _, d := range all {
		fmt.Fprintf(p.stdout, "%s\n", d.Executor)
		for _, finding := range d.Findings {
			printFinding(p.stdout, finding)
		}
		if d.Usable() {
			usable = append(usable, d.Executor)
		}
	}
	if usable == nil {
		fmt.Fprintln(p.stdout, "\nNo task can run here as it should.")
		return exitError, nil
	}
	fmt.Fprintf(p.stdout, "\nTasks can run with the executor %s.\n", strings.Join(usable, ", and with "))
	return exitOK, nil
}

// printFinding prints what was found in one line, and below it what belongs to it.
func printFinding(w io.Writer, f wire.Finding) {
	word := "ok"
	switch f.Verdict {
	case wire.Warning:
		word = "warn"
	case wire.Failure:
		word = "FAIL"
	}
	detail := strings.ReplaceAll(f.Detail, "\n", "\n          ")
	fmt.Fprintf(w, "  %-4s  %s: %s\n", word, f.Name, detail)
	if f.Mend != "" {
		fmt.Fprintf(w, "        mend: %s\n", f.Mend)
	}
}
