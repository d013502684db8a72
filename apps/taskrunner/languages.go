package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/settings"
)

type languagesFlags struct {
	set       *settings.Set
	languages options.Languages
}

func newLanguagesFlags() languagesFlags {
	s := settings.New()
	s.Group("Flags")
	return languagesFlags{set: s, languages: options.NewLanguages(s)}
}

func listLanguages(_ context.Context, p process) (int, error) {
	f := newLanguagesFlags()
	if err := noArguments(f.set, p); err != nil {
		return 0, err
	}
	all, err := f.languages.Load()
	if err != nil {
		return exitUsage, err
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tALIASES\tIMAGE\tCOMMAND")
	for _, l := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", l.Name, l.Version, strings.Join(l.Aliases, ", "), l.Image, strings.Join(l.Run, " "))
	}
	return exitOK, table.Flush()
}
