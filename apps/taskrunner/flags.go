package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/wire"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// What several commands have in common.

func executorFlag(s *settings.Set) *string {
	return settings.Var(s, "executor", "NAME", wire.ExecutorAuto,
		"what runs the tasks: auto, docker or sandbox; auto takes Docker if every image is there, else the sandbox, "+
			"else Docker and pulls, and never one that cannot enforce every limit here",
		settings.OneOf(wire.Executors()...))
}

// languageFlags say which languages there are.
type languageFlags struct {
	file *string
	// images are by the names of the built-in languages.
	images map[string]*string
}

func newLanguageFlags(s *settings.Set) languageFlags {
	f := languageFlags{images: map[string]*string{}}
	f.file = settings.Var(s, "languages", "FILE", "",
		"YAML file of languages that are added to the built-in ones, or replace them", settings.Text)
	for _, l := range taskrunner.BuiltinLanguages() {
		flag := "image-" + l.Name
		f.images[l.Name] = settings.Var(s, flag, "IMAGE", "",
			"container image of "+l.Name+"; it beats the one in the file of languages", image)
		s.ShowDefault(flag, l.Image)
	}
	return f
}

// load returns the languages with their images.
func (f languageFlags) load() ([]ports.Language, error) {
	all, err := wire.Languages(*f.file)
	for i, l := range all {
		if image := f.images[l.Name]; image != nil {
			all[i].Image = cmp.Or(*image, l.Image)
		}
	}
	return all, err
}

// image accepts a reference to a container image.
func image(s string) (string, error) {
	if _, err := reference.ParseDockerRef(s); err != nil {
		return "", fmt.Errorf("must be an image, such as python:3.13-slim: %w", err)
	}
	return s, nil
}

// imagePattern accepts what image does, with "*" anywhere. Of a digest it leaves the
// judgement to the executor.
func imagePattern(s string) (string, error) {
	name, _, _ := strings.Cut(s, "@")
	_, err := image(strings.ReplaceAll(name, "*", "1"))
	return s, err
}

func dockerHostFlag(s *settings.Set) *string {
	host := settings.Var(s, "docker-host", "ADDRESS", "",
		"the engine's address, such as unix:///var/run/docker.sock or tcp://host:2376", settings.Text)
	s.ShowDefault("docker-host", "DOCKER_HOST, or else the local engine")
	return host
}

// dockerFlags are about the Docker executor.
type dockerFlags struct {
	host, pull, runtime, network *string
	allowedImages                *[]string
}

func newDockerFlags(s *settings.Set) dockerFlags {
	f := dockerFlags{host: dockerHostFlag(s)}
	f.pull = settings.Var(s, "docker-pull", "WHEN", wire.PullPolicies()[0],
		"when an image is pulled: if it is missing, always before its first task, or never", settings.OneOf(wire.PullPolicies()...))
	f.allowedImages = settings.Repeated(s, "docker-allowed-images", "IMAGE",
		"image that languages may name, where * stands for any characters; may be repeated", imagePattern)
	s.ShowDefault("docker-allowed-images", "the images of the languages, and no others")
	f.runtime = settings.Var(s, "docker-runtime", "NAME", "", "the engine's runtime that runs containers, such as runsc", settings.Text)
	s.ShowDefault("docker-runtime", "the engine's own")
	f.network = settings.Var(s, "docker-network", "NAME", "",
		"Docker network of tasks that ask for a network; all that can be reached from it can be reached by strangers' programs", settings.Text)
	s.ShowDefault("docker-network", "none")
	return f
}

// config returns what was given.
func (f dockerFlags) config() wire.DockerConfig {
	return wire.DockerConfig{Host: *f.host, AllowedImages: *f.allowedImages, Pull: *f.pull, Runtime: *f.runtime, Network: *f.network}
}

// checkNetwork refuses a flag that allows tasks a network where there is none to
// give them.
func (f dockerFlags) checkNetwork(flag string, allowed bool) error {
	if allowed && *f.network == "" {
		return settings.Errorf(flag, "needs --docker-network (%s): which Docker network tasks get", settings.EnvName("docker-network"))
	}
	return nil
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
