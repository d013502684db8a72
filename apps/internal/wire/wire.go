// Package wire is the one place where adapters meet: it turns a configuration
// into the parts of a running program, in the right order, and takes them down
// in the reverse one. Programs parse and serve; they never name an adapter.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/distribution/reference"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/adapters/languagefile"
	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// Config says what is made. The zero value of every field but Executor means the
// default of the part that it is for.
type Config struct {
	// Backend is where tasks live. Default: in the memory of this process.
	Backend ports.Backend
	// Executor is one of Executors. An API alone has no use for it.
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
	// Queues are those that a worker claims from.
	Queues []string
	// Concurrency is how many tasks a worker runs at once.
	Concurrency int
	// Lease is how long a task stays with a worker that is not heard of.
	Lease time.Duration
	// Policy is what the operator allows.
	Policy taskrunner.Policy
	// Retention is how long finished tasks are kept; 0 is for ever.
	Retention time.Duration
	// API says how tasks are served.
	API APIConfig
	// TraceParent tells the trace that a submission is part of, if any.
	TraceParent func(context.Context) string
	// Ready are checks of what all this needs, beside the executor's.
	Ready []httpapi.Check
	// Metrics gets the metrics of all parts. Default: a new one.
	Metrics *prometheus.Registry
	// Version is shown in the API's description.
	Version string
	// Logger gets what operators should know.
	Logger *slog.Logger
}

// APIConfig has what httpapi.Config has under the same names.
type APIConfig struct {
	AllowedHosts, AllowedOrigins []string
	PublicURL                    string
	MaxReaders                   int
}

// App is a whole Task Runner in this process: one worker with its executor, and the API.
type App struct {
	*API
	*Worker
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
// a field of DockerConfig, and others are the core's or the API's.
func New(ctx context.Context, cfg Config) (*App, error) { return newApp(ctx, cfg, chooseExecutor) }

// chooser chooses an executor for a configuration and makes it.
type chooser func(context.Context, Config) (Choice, ports.Executor, error)

func newApp(ctx context.Context, cfg Config, choose chooser) (*App, error) {
	if cfg.Backend == (ports.Backend{}) {
		cfg.Backend = memory.New(memoryOptions(cfg.Policy)...)
	}
	// The one worker here serves this queue.
	cfg.Policy.Queues = []string{ports.DefaultQueue}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	worker, err := newWorker(ctx, cfg, choose)
	if err != nil {
		return nil, err
	}
	cfg.Ready = append(cfg.Ready, worker.Check())
	api, err := NewAPI(cfg)
	if err != nil {
		return nil, errors.Join(err, worker.Close(context.WithoutCancel(ctx)))
	}
	return &App{api, worker}, nil
}

// Close does what Stop and EndStreams do and takes down the executor with every
// sandbox. It may be called again.
func (a *App) Close(ctx context.Context) error {
	err := a.Stop(ctx)
	a.EndStreams()
	return errors.Join(err, a.Worker.Close(ctx))
}

// Validate refuses what NewAPI or NewWorker would, before there is a backend. Without an
// executor cfg is of an API alone.
func (cfg Config) Validate() error {
	cfg.Backend, cfg.Metrics = memory.New(), prometheus.NewRegistry()
	api, err := NewAPI(cfg)
	switch {
	case err != nil || cfg.Executor == "":
		return err
	case !slices.Contains(Executors(), cfg.Executor):
		return unknownExecutor(cfg.Executor)
	case cfg.Executor == ExecutorSandbox && cfg.Policy.Network:
		return ports.Invalid("allow_network", "must be off, as a sandbox has no network")
	case cfg.Executor == ExecutorSandbox:
		return nil
	}
	cfg.Languages, cfg.Policy = api.Client.Languages(), api.Client.Policy()
	return validateDocker(cfg)
}

// core is the core's configuration, all but the executor.
func (cfg Config) core() taskrunner.Config {
	return taskrunner.Config{
		Backend:     cfg.Backend,
		Languages:   cfg.Languages,
		Policy:      cfg.Policy,
		Queues:      cfg.Queues,
		Concurrency: cfg.Concurrency,
		LeaseTTL:    cfg.Lease,
		Retention:   cfg.Retention,
		TraceParent: cfg.TraceParent,
		Logger:      cfg.Logger,
	}
}

// API serves REST, events and their documentation.
type API struct {
	// Client is what it serves.
	Client *taskrunner.Client
	*httpapi.API
}

// NewAPI assembles an API.
func NewAPI(cfg Config) (*API, error) {
	client, err := taskrunner.NewClient(cfg.core())
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	api, err := httpapi.New(httpapi.Config{
		Client:         client,
		Ready:          cfg.Ready,
		PublicURL:      cfg.API.PublicURL,
		AllowedHosts:   cfg.API.AllowedHosts,
		AllowedOrigins: cfg.API.AllowedOrigins,
		MaxReaders:     cfg.API.MaxReaders,
		Metrics:        cfg.Metrics,
		Queues:         client.Policy().Queues,
		Version:        cfg.Version,
		Logger:         cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("making the API: %w", err)
	}
	return &API{client, api}, nil
}

// EndStreams ends the API's streams and waiting requests, so that their readers
// know that nothing more comes from here. It may be called again.
func (a *API) EndStreams() { a.Drain() }

// Worker runs tasks.
type Worker struct {
	// Executor says which executor was chosen and why.
	Executor Choice

	worker   *taskrunner.Worker
	executor ports.Executor
}

// NewWorker assembles a worker, with an executor that works. Nothing runs until Start.
func NewWorker(ctx context.Context, cfg Config) (*Worker, error) {
	return newWorker(ctx, cfg, chooseExecutor)
}

// StartWorker is NewWorker and Start. While the executor cannot be had, as where an engine
// is away, it tries again and again. The error is that of ctx, or a *ports.FieldError.
func StartWorker(ctx context.Context, cfg Config) (*Worker, error) {
	return startWorker(ctx, cfg, chooseExecutor)
}

func startWorker(ctx context.Context, cfg Config, choose chooser) (w *Worker, err error) {
	err = persist(ctx, cfg.Logger.With("executor", cfg.Executor), retryExecutor, func(ctx context.Context) (err error) {
		if w == nil {
			if w, err = newWorker(ctx, cfg, choose); err != nil {
				return err
			}
		}
		return w.Start(ctx)
	}, func(err error) bool {
		field, ok := errors.AsType[*ports.FieldError](err)
		return ok && field.Field != "executor"
	})
	if err != nil && w != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, w.Close(closing))
		w = nil
	}
	return w, err
}

func newWorker(ctx context.Context, cfg Config, choose chooser) (*Worker, error) {
	core := cfg.core()
	client, err := taskrunner.NewClient(core)
	if err != nil {
		return nil, fmt.Errorf("making the worker: %w", err)
	}
	// From here on every default is filled in, and what is not allowed is left out.
	cfg.Languages, cfg.Policy = client.Languages(), client.Policy()
	choice, executor, err := choose(ctx, cfg)
	if err != nil {
		return nil, err
	}
	w := &Worker{Executor: choice, executor: executor}
	if cfg.Metrics != nil {
		if m, ok := meterOf(executor); ok {
			cfg.Metrics.MustRegister(m)
		}
		executor = measure(executor, cfg.Metrics)
		core.Backend.Queue = countClaims(core.Backend.Queue, cfg.Metrics)
	}
	if cfg.WrapExecutor != nil {
		executor = cfg.WrapExecutor(executor)
	}
	core.Executor = executor
	if w.worker, err = taskrunner.NewWorker(core); err != nil {
		return nil, errors.Join(fmt.Errorf("making the worker: %w", err), w.Close(context.WithoutCancel(ctx)))
	}
	return w, nil
}

// Check is whether its executor can run tasks now.
func (w *Worker) Check() httpapi.Check {
	return httpapi.Check{Name: "executor", Ready: w.executor.Check}
}

// Start starts the worker and returns.
func (w *Worker) Start(ctx context.Context) error { return w.worker.Start(ctx) }

// Stop claims no more tasks and waits for those that run; once ctx is done it
// kills them, gives them back and returns its error. It may be called again.
func (w *Worker) Stop(ctx context.Context) error { return w.worker.Stop(ctx) }

// Close takes down the executor with every sandbox. It may be called again.
func (w *Worker) Close(ctx context.Context) error { return w.executor.Close(ctx) }

// memoryOptions makes room in memory for as many tasks as may wait, and as many
// again that are finished.
func memoryOptions(p taskrunner.Policy) []memory.Option {
	if p.QueueDepth == 0 {
		return nil
	}
	return []memory.Option{memory.WithMaxTasks(2 * p.QueueDepth), memory.WithMaxQueueEntries(2 * p.QueueDepth)}
}
