package main

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/wire"
	"github.com/task-runner/task-runner/ports"
)

// What several commands have in common.

func executorFlag(s *settings.Set) *string {
	return settings.Var(s, "executor", "NAME", wire.ExecutorAuto,
		"what runs the tasks: auto, docker or sandbox; auto takes one that can enforce every limit here",
		settings.OneOf(wire.Executors()...))
}

func languagesFlag(s *settings.Set) *string {
	return settings.Var(s, "languages", "FILE", "",
		"YAML file of languages that are added to the built-in ones, or replace them", settings.Text)
}

// limitFlags are one flag for each of ports.Limits.
type limitFlags struct {
	cpu     *float64
	memory  *int64
	timeout *time.Duration
	pids    *int
	output  *int64
	disk    *int64
}

// newLimitFlags declares them with a prefix to their names. The defaults are only
// shown, as it is the core that fills them in.
func newLimitFlags(s *settings.Set, prefix string, def ports.Limits) limitFlags {
	f := limitFlags{
		cpu:     settings.Var(s, prefix+"cpu", "CORES", "", "processor share in cores", settings.Cores),
		memory:  settings.Var(s, prefix+"memory", "SIZE", "", "memory of all processes together", settings.Size),
		timeout: settings.Var(s, prefix+"timeout", "TIME", "", "time until the program is killed", settings.Duration),
		pids:    settings.Var(s, prefix+"pids", "N", "", "processes and threads at once", settings.Count(1)),
		output:  settings.Var(s, prefix+"output", "SIZE", "", "how much of each of stdout and stderr is kept", settings.Size),
		disk:    settings.Var(s, prefix+"disk", "SIZE", "", "what the program can write to files", settings.Size),
	}
	s.ShowDefault(prefix+"cpu", fmt.Sprint(def.CPU))
	s.ShowDefault(prefix+"memory", sizeText(def.Memory))
	s.ShowDefault(prefix+"timeout", durationText(def.Timeout))
	s.ShowDefault(prefix+"pids", strconv.Itoa(def.PIDs))
	s.ShowDefault(prefix+"output", sizeText(def.Output))
	s.ShowDefault(prefix+"disk", sizeText(def.Disk))
	return f
}

// sizeText is a size as settings.Size reads it.
func sizeText(n int64) string {
	return units.CustomSize("%.4g%s", float64(n), 1024, []string{"", "k", "m", "g", "t"})
}

// durationText is d without the zero parts that its String has: "24h".
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// limits returns what was given, zero for the rest.
func (f limitFlags) limits() ports.Limits {
	return ports.Limits{CPU: *f.cpu, Memory: *f.memory, Timeout: *f.timeout, PIDs: *f.pids, Output: *f.output, Disk: *f.disk}
}

type logFlags struct{ level, format *string }

func newLogFlags(s *settings.Set, level string) logFlags {
	return logFlags{
		level:  settings.Var(s, "log-level", "LEVEL", level, "least level that is logged: debug, info, warn or error", settings.OneOf("debug", "info", "warn", "error")),
		format: settings.Var(s, "log-format", "FORMAT", "text", "text or json", settings.OneOf("text", "json")),
	}
}

func (f logFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(*f.level)) // the setting accepts nothing else
	opts := &slog.HandlerOptions{Level: level}
	if *f.format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// names are the languages' names for people to read.
func names(languages []ports.Language) string {
	all := make([]string, len(languages))
	for i, l := range languages {
		all[i] = l.Name
	}
	return strings.Join(all, ", ")
}
