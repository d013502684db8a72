// Command worker runs the tasks of a system of many machines, each in a fresh sandbox. Any
// number of workers may serve one system. It listens for health checks and metrics alone.
package main

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/serve"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/wire"
)

const (
	// lastProbes is how long whoever asks how the worker is may take once it has ended.
	lastProbes = time.Second
	// closeTimeout is how long sandboxes may take to go away.
	closeTimeout = 10 * time.Second
	// logsOutlast is for how long the store of logs keeps them at least after their
	// task is deleted, were they left behind by a crash.
	logsOutlast = 7 * 24 * time.Hour
	// forEver is for how long it keeps them where tasks are never deleted. A rule that it
	// was given before, for a time, has to go.
	forEver = 100 * 365 * 24 * time.Hour
)

func main() {
	w := newWorker()
	w.Main(w.run)
}

type worker struct {
	*serve.Program

	servers     options.Servers
	executor    *string
	languages   options.Languages
	queues      *[]string
	concurrency *int
	lease       *time.Duration
	retention   *time.Duration
	docker      options.Docker
	pool        *int
	policy      options.Policy
}

func newWorker() worker {
	w := worker{Program: serve.NewProgram("worker", "Run tasks, each in a fresh sandbox", "worker-addr", "127.0.0.1:8001")}
	s := w.Settings
	w.servers = options.NewServers(s)

	s.Group("Tasks")
	w.executor = options.Executor(s)
	w.languages = options.NewLanguages(s)
	w.queues = options.Queues(s, "queues that this worker claims from, separated by commas")
	w.concurrency = options.Concurrency(s)
	w.lease = settings.Var(s, "lease", "TIME", "10s", "how long a task stays with a worker that is not heard of", settings.Duration)
	w.retention = options.Retention(s)

	s.Group("Docker")
	w.docker = options.NewDocker(s)
	w.pool = options.DockerPool(s)

	s.Group("Policy")
	w.policy = options.NewPolicy(s)
	return w
}

// run runs tasks until ctx is done, then lets those that run come to their end, or
// gives them back.
func (f worker) run(ctx context.Context, p *serve.Process) error {
	if err := f.docker.CheckNetwork("allow-network", f.policy.Network()); err != nil {
		return err
	}
	languages, err := f.languages.Load()
	if err != nil {
		return err
	}
	places := f.servers.Config()
	places.LogsExpire = min(cmp.Or(*f.retention, forEver), forEver) + logsOutlast
	connections, err := wire.Connect(places)
	if err != nil {
		return err
	}
	defer connections.Close()

	docker := f.docker.Config()
	docker.Pool = *f.pool
	cfg := wire.Config{
		Executor: *f.executor, Docker: docker, Notify: func(news string) { p.Log.Info(news) }, WrapExecutor: p.Tracing.Executor,
		Languages: languages, Queues: *f.queues, Concurrency: *f.concurrency, Lease: *f.lease,
		Policy: f.policy.Policy(*f.queues...), Retention: *f.retention,
		Metrics: prometheus.NewRegistry(), Version: p.Version, Logger: p.Log,
	}
	// What cannot be is told at once, and not when the last server has been reached.
	if err := cfg.Validate(); err != nil {
		return err
	}
	var current atomic.Pointer[wire.Worker]
	probes, err := httpapi.NewProbes(httpapi.ProbesConfig{
		Ready:   append(connections.Checks(), readiness(&current)),
		Metrics: cfg.Metrics, AllowedHosts: serve.AllowedHosts(nil, p.Listener.Addr()), Logger: p.Log,
	})
	if err != nil {
		return err
	}
	servers, ctx := serve.NewServers(ctx, p.Log)
	servers.AddProbes(p.Flag, p.Listener, probes)
	defer func() { servers.Close(servers.Shutdown(), lastProbes) }()

	if cfg.Backend, err = connections.Open(ctx, p.Log); err != nil {
		return servers.Err() // it was told to stop before it could begin
	}
	w, err := wire.StartWorker(ctx, cfg)
	if err != nil && ctx.Err() != nil {
		return servers.Err()
	}
	if err != nil {
		return err
	}
	current.Store(w)
	p.Log.InfoContext(ctx, "every server is reached; claiming tasks", "executor", w.Executor.Name, "because", w.Executor.Reason)
	<-ctx.Done()
	probes.Drain()
	return errors.Join(servers.Err(), drain(ctx, w, p))
}

// readiness is whether the worker that will be there can run tasks.
func readiness(current *atomic.Pointer[wire.Worker]) httpapi.Check {
	return httpapi.Check{Name: "executor", Ready: func(ctx context.Context) error {
		w := current.Load()
		if w == nil {
			return errors.New("there is none yet")
		}
		return w.Check().Ready(ctx)
	}}
}

// drain lets the tasks that run come to their end, or gives them back once the time is
// over, and takes down all sandboxes.
func drain(ctx context.Context, w *wire.Worker, p *serve.Process) error {
	ctx = context.WithoutCancel(ctx)
	p.Log.InfoContext(ctx, "draining; a second signal stops at once", "at_most_seconds", p.Drain.Seconds())
	patience, cancel := context.WithTimeout(ctx, p.Drain)
	defer cancel()
	if err := w.Stop(patience); err != nil {
		p.Log.WarnContext(ctx, "tasks that were still running are given back for another worker", "after_seconds", p.Drain.Seconds())
	}
	closing, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	return w.Close(closing)
}
