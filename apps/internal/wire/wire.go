// Package wire is the one place where adapters meet: it turns a configuration
// into the parts of a running program, in the right order, and takes them down
// in the reverse one. Programs parse and serve; they never name an adapter.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/distribution/reference"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/adapters/languagefile"
	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// Config says what an App is made of. The zero value of every field but Executor
// means the default of the part that it is for.
type Config struct {
	// Executor is one of Executors.
	Executor string
	// Docker says how the Docker executor is made, if it is.
	Docker DockerConfig
	// Notify, if set, gets a sentence now and then about what tasks wait for, such
	// as an image that is pulled. It must be safe for concurrent use, and quick.
	Notify func(string)
	// WrapExecutor, if set, stands between the worker and its executor.
	WrapExecutor func(ports.Executor) ports.Executor
	// Languages are those that tasks may be written in.
	Languages []ports.Language
	// Concurrency is how many tasks run at once.
	Concurrency int
	// Policy is what the operator allows.
	Policy taskrunner.Policy
	// Retention is how long finished tasks are kept; 0 is for ever.
	Retention time.Duration
	// AllowedHosts are the host names that the API answers to; none means any.
	AllowedHosts []string
	// Version is shown in the API's description.
	Version string
	// Logger gets what operators should know.
	Logger *slog.Logger
}

// App is a whole Task Runner in this process: the memory adapters, one worker
// with its executor, and the API over them.
type App struct {
	Client *taskrunner.Client
	// API serves REST, events and their documentation.
	API http.Handler
	// Executor says which executor was chosen and why.
	Executor Choice

	api      *httpapi.API
	worker   *taskrunner.Worker
	executor ports.Executor
}

// Languages returns the built-in languages with those of a YAML file, or of none if
// its name is "", added or in their place. The error is a *ports.FieldError for
// "languages".
func Languages(file string) ([]ports.Language, error) {
	if file == "" {
		return taskrunner.BuiltinLanguages(), nil
	}
	added, err := languagefile.Load(file)
	if err != nil {
		return nil, ports.Invalid("languages", "cannot be used: %v", err)
	}
	for _, l := range added {
		if _, err := reference.ParseDockerRef(l.Image); l.Image != "" && err != nil {
			return nil, ports.Invalid("languages", "cannot be used: the image %q of %s is none: %v", l.Image, l.Name, err)
		}
	}
	all, err := taskrunner.MergeLanguages(taskrunner.BuiltinLanguages(), added)
	if err != nil {
		return nil, ports.Invalid("languages", "cannot be used: %v", err)
	}
	return all, nil
}

// New assembles an App. Nothing runs until Start. A *ports.FieldError names what of
// the configuration cannot be: "executor" one that cannot be had here, "docker_..."
// a field of DockerConfig, and others are the core's.
func New(ctx context.Context, cfg Config) (*App, error) {
	core, client, err := newCore(cfg)
	if err != nil {
		return nil, err
	}
	// From here on every default is filled in, and what is not allowed is left out.
	cfg.Languages, cfg.Policy = client.Languages(), client.Policy()
	choice, executor, err := chooseExecutor(ctx, cfg)
	if err != nil {
		return nil, err
	}
	app, err := assemble(cfg, core, client, executor)
	if err != nil {
		return nil, errors.Join(err, executor.Close(context.WithoutCancel(ctx)))
	}
	app.Executor = choice
	return app, nil
}

// newCore returns the core's configuration, all but the executor, and its client.
func newCore(cfg Config) (taskrunner.Config, *taskrunner.Client, error) {
	// The one worker here serves this queue.
	cfg.Policy.Queues = []string{ports.DefaultQueue}
	core := taskrunner.Config{
		Backend:     memory.New(memoryOptions(cfg.Policy)...),
		Languages:   cfg.Languages,
		Policy:      cfg.Policy,
		Concurrency: cfg.Concurrency,
		Retention:   cfg.Retention,
		Logger:      cfg.Logger,
	}
	client, err := taskrunner.NewClient(core)
	if err != nil {
		return core, nil, fmt.Errorf("making the client: %w", err)
	}
	return core, client, nil
}

func assemble(cfg Config, core taskrunner.Config, client *taskrunner.Client, executor ports.Executor) (*App, error) {
	metrics := prometheus.NewRegistry()
	if m, ok := meterOf(executor); ok {
		metrics.MustRegister(m)
	}
	executor = measure(executor, metrics)
	if cfg.WrapExecutor != nil {
		executor = cfg.WrapExecutor(executor)
	}
	core.Executor = executor
	worker, err := taskrunner.NewWorker(core)
	if err != nil {
		return nil, fmt.Errorf("making the worker: %w", err)
	}
	api, err := httpapi.New(httpapi.Config{
		Client:       client,
		Ready:        []httpapi.Check{{Name: "executor", Ready: executor.Check}},
		AllowedHosts: cfg.AllowedHosts,
		Metrics:      metrics,
		Version:      cfg.Version,
		Logger:       cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("making the API: %w", err)
	}
	return &App{Client: client, API: api, api: api, worker: worker, executor: executor}, nil
}

// Start starts the worker and returns.
func (a *App) Start(ctx context.Context) error { return a.worker.Start(ctx) }

// Stop claims no more tasks and waits for those that run; once ctx is done it
// kills them and returns its error. The client and the API serve on, so that
// whoever watches sees the end. It may be called again.
func (a *App) Stop(ctx context.Context) error { return a.worker.Stop(ctx) }

// EndStreams ends the API's streams and waiting requests, so that their readers
// know that nothing more comes from here. It may be called again.
func (a *App) EndStreams() { a.api.Drain() }

// Close does what Stop and EndStreams do and takes down the executor with every
// sandbox. It may be called again.
func (a *App) Close(ctx context.Context) error {
	err := a.Stop(ctx)
	a.EndStreams()
	return errors.Join(err, a.executor.Close(ctx))
}

// memoryOptions makes room in memory for as many tasks as may wait, and as many
// again that are finished.
func memoryOptions(p taskrunner.Policy) []memory.Option {
	if p.QueueDepth == 0 {
		return nil
	}
	return []memory.Option{memory.WithMaxTasks(2 * p.QueueDepth), memory.WithMaxQueueEntries(2 * p.QueueDepth)}
}
