package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/ui"
	"github.com/task-runner/task-runner/apps/internal/wire"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

const (
	// lastWords is how long watchers of tasks that have ended are given to hear of
	// it, before the streams of those whose tasks have not are ended too.
	lastWords = time.Second
	// closeTimeout is how long what is left may take once the tasks are drained.
	closeTimeout = 10 * time.Second
)

type serveFlags struct {
	set *settings.Set

	apiAddr, webAddr     *string
	allowedHosts         *[]string
	executor             *string
	languages            languageFlags
	concurrency, depth   *int
	retention, drain     *time.Duration
	network              *bool
	docker               dockerFlags
	pool                 *int
	allowedLanguages     *[]string
	defaultLimits, limit limitFlags
	log                  logFlags
}

func newServeFlags() serveFlags {
	s := settings.New()
	f := serveFlags{set: s}
	policy := taskrunner.DefaultPolicy()

	s.Group("Addresses")
	f.apiAddr = settings.Var(s, "api-addr", "HOST:PORT", "127.0.0.1:8000", "where the API listens", settings.Addr)
	f.webAddr = settings.Var(s, "web-addr", "HOST:PORT", "127.0.0.1:5000", "where the web page listens", settings.Addr)
	f.allowedHosts = settings.Var(s, "allowed-hosts", "NAMES", "",
		"host names that the API answers to beside localhost, separated by commas", settings.Names)
	s.ShowDefault("allowed-hosts", "none where all listens on loopback, else any")

	s.Group("Tasks")
	f.executor = executorFlag(s)
	f.languages = newLanguageFlags(s)
	f.allowedLanguages = settings.Var(s, "allowed-languages", "NAMES", "", "languages that tasks may use, separated by commas", settings.Names)
	s.ShowDefault("allowed-languages", "all")
	f.concurrency = settings.Var(s, "concurrency", "N", "", "how many tasks run at once", settings.Count(1))
	s.ShowDefault("concurrency", "one for each processor")
	f.depth = settings.Var(s, "queue-depth", "N", "", "how many tasks may wait before more are refused", settings.Count(1))
	s.ShowDefault("queue-depth", strconv.Itoa(policy.QueueDepth))
	f.network = settings.Bool(s, "allow-network", "let tasks ask for a network; needs --docker-network")
	f.retention = settings.Var(s, "retention", "TIME", "24h", "how long finished tasks are kept; 0 is for ever", settings.Period)
	f.drain = settings.Var(s, "drain-timeout", "TIME", "30s", "how long running tasks may take to end when this process is told to stop", settings.Period)

	s.Group("Docker")
	f.docker = newDockerFlags(s)
	f.pool = settings.Var(s, "docker-pool", "N", "", "containers that are kept ready for each image in use; -1 is none", settings.Count(-1))
	s.ShowDefault("docker-pool", "twice the number of the engine's processors")

	s.Group("Limits of tasks that name none")
	f.defaultLimits = newLimitFlags(s, "default-", policy.Default)

	s.Group("The most that a task may ask for")
	f.limit = newLimitFlags(s, "max-", policy.Max)

	s.Group("Log")
	f.log = newLogFlags(s, "info")
	return f
}

// serve runs everything in this process until ctx is done, then drains.
func serve(ctx context.Context, p process) (int, error) {
	f := newServeFlags()
	if err := noArguments(f.set, p); err != nil {
		return 0, err
	}
	if err := f.docker.checkNetwork("allow-network", *f.network); err != nil {
		return 0, err
	}
	log := f.log.logger(p.stderr)

	// The addresses come first: that one is taken is the likeliest failure.
	api, err := listen(ctx, "api-addr", *f.apiAddr)
	if err != nil {
		return 0, err
	}
	defer api.Close()
	web, err := listen(ctx, "web-addr", *f.webAddr)
	if err != nil {
		return 0, err
	}
	defer web.Close()

	languages, err := f.languages.load()
	if err != nil {
		return 0, err
	}
	docker := f.docker.config()
	docker.Pool = *f.pool
	app, err := wire.New(ctx, wire.Config{
		Executor:    *f.executor,
		Docker:      docker,
		Notify:      func(news string) { log.Info(news) },
		Languages:   languages,
		Concurrency: *f.concurrency,
		Policy: taskrunner.Policy{
			Default: f.defaultLimits.limits(), Max: f.limit.limits(),
			Network: *f.network, Languages: *f.allowedLanguages, QueueDepth: *f.depth,
		},
		Retention:    *f.retention,
		AllowedHosts: allowedHosts(*f.allowedHosts, api.Addr(), web.Addr()),
		Version:      version(),
		Logger:       log,
	})
	if err != nil {
		return 0, err
	}
	docs := ""
	if isLoopback(web.Addr()) { // a browser elsewhere would look for it on its own machine
		docs = urlOf(api.Addr()) + "/docs"
	}
	page, err := ui.New(ui.Config{API: app.API, DocsURL: docs})
	if err != nil {
		return 0, errors.Join(err, shut(ctx, app))
	}
	if err := app.Start(ctx); err != nil {
		return 0, errors.Join(fmt.Errorf("starting the worker: %w", err), shut(ctx, app))
	}

	s := newServers(log)
	s.add("api-addr", api, app.API)
	s.add("web-addr", web, page)
	printBanner(p.stdout, f, app, urlOf(web.Addr()), urlOf(api.Addr()))

	failed := s.wait(ctx)
	return exitOK, errors.Join(failed, drain(ctx, app, s, *f.drain, log))
}

// drain ends everything in an order in which nobody is left waiting: no new
// connections; the tasks that run come to their end, which their watchers see;
// then the streams and the servers end, then the sandboxes.
func drain(ctx context.Context, app *wire.App, s *servers, patience time.Duration, log *slog.Logger) error {
	ctx = context.WithoutCancel(ctx)
	log.Info("draining; a second signal stops at once", "at_most", patience)
	closed := s.shutdown()

	drainCtx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := app.Stop(drainCtx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("tasks were still running after %s and were killed", patience)
	}
	if stats, statsErr := app.Client.Stats(ctx, ports.DefaultQueue); statsErr == nil && stats.Waiting+stats.Delayed > 0 {
		log.Warn("tasks that were waiting in memory are lost", "tasks", stats.Waiting+stats.Delayed)
	}
	if !within(lastWords, closed) {
		app.EndStreams()
		if !within(closeTimeout, closed) {
			s.cutOff()
			<-closed
		}
	}
	return errors.Join(err, shut(ctx, app))
}

// shut closes app, whatever has become of ctx.
func shut(ctx context.Context, app *wire.App) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return app.Close(ctx)
}

// within reports whether done is closed before d has passed.
func within(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
