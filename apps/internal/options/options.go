// Package options declares the settings that several programs of this project have in
// common, so that each has one name, one default and one meaning everywhere.
package options

import (
	"cmp"
	"fmt"
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

// Executor declares what runs the tasks: one of wire.Executors.
func Executor(s *settings.Set) *string {
	return settings.Var(s, "executor", "NAME", wire.ExecutorAuto,
		"what runs the tasks: auto, docker or sandbox; auto takes Docker if every image is there, else the sandbox, "+
			"else Docker and pulls, and never one that cannot enforce every limit here",
		settings.OneOf(wire.Executors()...))
}

// Languages say which languages there are.
type Languages struct {
	file *string
	// images are by the names of the built-in languages.
	images map[string]*string
}

// NewLanguages declares them.
func NewLanguages(s *settings.Set) Languages {
	f := Languages{images: map[string]*string{}}
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

// Load returns the languages with their images.
func (f Languages) Load() ([]ports.Language, error) {
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

// DockerHost declares the address of the engine; "" is where Docker's own tools look.
func DockerHost(s *settings.Set) *string {
	host := settings.Var(s, "docker-host", "ADDRESS", "",
		"the engine's address, such as unix:///var/run/docker.sock or tcp://host:2376", settings.Text)
	s.ShowDefault("docker-host", "the local engine")
	return host
}

// Docker are about the Docker executor.
type Docker struct {
	host, pull, runtime, network *string
	allowedImages                *[]string
}

// NewDocker declares them.
func NewDocker(s *settings.Set) Docker {
	f := Docker{host: DockerHost(s)}
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

// Config returns what was given.
func (f Docker) Config() wire.DockerConfig {
	return wire.DockerConfig{Host: *f.host, AllowedImages: *f.allowedImages, Pull: *f.pull, Runtime: *f.runtime, Network: *f.network}
}

// CheckNetwork refuses a flag that allows tasks a network where there is none to
// give them.
func (f Docker) CheckNetwork(flag string, allowed bool) error {
	if allowed && *f.network == "" {
		return settings.Errorf(flag, "needs --docker-network (%s): which Docker network tasks get", settings.EnvName("docker-network"))
	}
	return nil
}

// Limits are one flag for each of ports.Limits.
type Limits struct {
	cpu     *float64
	memory  *int64
	timeout *time.Duration
	pids    *int
	output  *int64
	disk    *int64
}

// NewLimits declares them with a prefix to their names. The defaults are only
// shown, as it is the core that fills them in.
func NewLimits(s *settings.Set, prefix string, def ports.Limits) Limits {
	f := Limits{
		cpu:     settings.Var(s, prefix+"cpu", "CORES", "", "processor share in cores", settings.Cores),
		memory:  settings.Var(s, prefix+"memory", "SIZE", "", "memory of all processes together", settings.Size),
		timeout: settings.Var(s, prefix+"timeout", "TIME", "", "time until the program is killed", settings.Duration),
		pids:    settings.Var(s, prefix+"pids", "N", "", "processes and threads at once", settings.Count(1)),
		output:  settings.Var(s, prefix+"output", "SIZE", "", "how much of each of stdout and stderr is kept", settings.Size),
		disk:    settings.Var(s, prefix+"disk", "SIZE", "", "what the program can write to files", settings.Size),
	}
	s.ShowDefault(prefix+"cpu", fmt.Sprint(def.CPU))
	s.ShowDefault(prefix+"memory", SizeText(def.Memory))
	s.ShowDefault(prefix+"timeout", DurationText(def.Timeout))
	s.ShowDefault(prefix+"pids", strconv.Itoa(def.PIDs))
	s.ShowDefault(prefix+"output", SizeText(def.Output))
	s.ShowDefault(prefix+"disk", SizeText(def.Disk))
	return f
}

// SizeText is a size as settings.Size reads it.
func SizeText(n int64) string {
	return units.CustomSize("%.4g%s", float64(n), 1024, []string{"", "k", "m", "g", "t"})
}

// DurationText is d without the zero parts that its String has: "24h".
func DurationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Limits returns what was given, zero for the rest.
func (f Limits) Limits() ports.Limits {
	return ports.Limits{CPU: *f.cpu, Memory: *f.memory, Timeout: *f.timeout, PIDs: *f.pids, Output: *f.output, Disk: *f.disk}
}

// LanguageNames are the languages' names for people to read.
func LanguageNames(languages []ports.Language) string {
	all := make([]string, len(languages))
	for i, l := range languages {
		all[i] = l.Name
	}
	return strings.Join(all, ", ")
}

// Concurrency declares how many tasks a worker runs at once; 0 is one for each processor.
func Concurrency(s *settings.Set) *int {
	n := settings.Var(s, "concurrency", "N", "", "how many tasks run at once", settings.Count(1))
	s.ShowDefault("concurrency", "one for each processor")
	return n
}

// Retention declares how long finished tasks are kept.
func Retention(s *settings.Set) *time.Duration {
	return settings.Var(s, "retention", "TIME", "24h", "how long finished tasks are kept; 0 is for ever", settings.Period)
}

// DockerPool declares wire.DockerConfig.Pool.
func DockerPool(s *settings.Set) *int {
	n := settings.Var(s, "docker-pool", "N", "", "containers that are kept ready for each image in use; -1 is none", settings.Count(-1))
	s.ShowDefault("docker-pool", "twice the number of the engine's processors")
	return n
}
