package main

import (
	"fmt"
	"io"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/serve"
	"github.com/task-runner/task-runner/apps/internal/wire"
)

// printBanner says what runs where, and why.
func printBanner(w io.Writer, f serveFlags, app *wire.App, webURL, apiURL string) {
	kept := "for ever"
	if *f.retention > 0 {
		kept = "for " + options.DurationText(*f.retention)
	}
	fmt.Fprintf(w, "Task Runner %s\n\n", serve.Version())
	for _, line := range [][2]string{
		{"Web", webURL},
		{"API", apiURL + " (reference: " + apiURL + "/docs)"},
		{"Executor", app.Executor.Name + ", " + app.Executor.Reason},
		{"Languages", options.LanguageNames(app.Client.Languages())},
		{"Storage", "memory; finished tasks are kept " + kept + ", and nothing outlives this process"},
	} {
		fmt.Fprintf(w, "  %-10s %s\n", line[0], line[1])
	}
	fmt.Fprintln(w, "\nCtrl-C drains and stops.")
}
