package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/serve"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/ui"
	"github.com/task-runner/task-runner/apps/internal/wire"
	"github.com/task-runner/task-runner/ports"
)

const (
	// lastWords is how long watchers of tasks that have ended are given to hear of
	// it, before the streams of those whose tasks have not are ended too.
	lastWords = time.Second
	// closeTimeout is how long what is left may take once the tasks are drained.
	closeTimeout = 10 * time.Second
	// maxConnections bounds those of each address: as many as there may be readers, and
	// some for calls that are answered at once.
	maxConnections = 20000 + 4096
)

type serveFlags struct {
	set *settings.Set

	apiAddr, webAddr *string
	allowedHosts     *[]string
	secret           *string
	executor         *string
	languages        options.Languages
	concurrency      *int
	retention, drain *time.Duration
	docker           options.Docker
	pool             *int
	policy           options.Policy
	log              settings.Log
}

func newServeFlags() serveFlags {
	s := settings.New()
	f := serveFlags{set: s}
	s.Group("Addresses")
	f.apiAddr = settings.Var(s, "api-addr", "HOST:PORT", "127.0.0.1:8000", "where the API listens", settings.Addr)
	f.webAddr = settings.Var(s, "web-addr", "HOST:PORT", "127.0.0.1:5000", "where the web page listens", settings.Addr)
	f.allowedHosts = settings.Var(s, "allowed-hosts", "NAMES", "",
		"host names that the API answers to beside localhost, separated by commas", settings.Names)
	s.ShowDefault("allowed-hosts", "none where all listens on loopback, else any")
	f.secret = options.SecretKey(s, "")
	s.ShowDefault("secret-key", "a random one at each start: browsers are forgotten, as tasks are")

	s.Group("Tasks")
	f.executor = options.Executor(s)
	f.languages = options.NewLanguages(s)
	f.concurrency = options.Concurrency(s)
	f.retention = options.Retention(s)
	f.drain = settings.Var(s, "drain-timeout", "TIME", "30s", "how long running tasks may take to end when this process is told to stop", settings.Period)

	s.Group("Docker")
	f.docker = options.NewDocker(s)
	f.pool = options.DockerPool(s)

	// In groups of its own but for the first.
	s.Group("Policy")
	f.policy = options.NewPolicy(s)

	s.Group("Log")
	f.log = settings.NewLog(s, "info", "text")
	return f
}

// serveAll runs everything in this process until ctx is done, then drains.
func serveAll(ctx context.Context, p process) (int, error) {
	f := newServeFlags()
	if err := noArguments(f.set, p); err != nil {
		return 0, err
	}
	if err := f.docker.CheckNetwork("allow-network", f.policy.Network()); err != nil {
		return 0, err
	}
	log := f.log.Logger(p.stderr)

	// The addresses come first: that one is taken is the likeliest failure.
	api, err := serve.Listen(ctx, "api-addr", *f.apiAddr)
	if err != nil {
		return 0, err
	}
	defer api.Close()
	web, err := serve.Listen(ctx, "web-addr", *f.webAddr)
	if err != nil {
		return 0, err
	}
	defer web.Close()

	languages, err := f.languages.Load()
	if err != nil {
		return 0, err
	}
	docker := f.docker.Config()
	docker.Pool = *f.pool
	app, err := wire.New(ctx, wire.Config{
		Executor:    *f.executor,
		Docker:      docker,
		Notify:      func(news string) { log.Info(news) },
		Languages:   languages,
		Concurrency: *f.concurrency,
		Policy:      f.policy.Policy(),
		Retention:   *f.retention,
		API:         wire.APIConfig{AllowedHosts: serve.AllowedHosts(*f.allowedHosts, api.Addr(), web.Addr())},
		Version:     serve.Version(),
		Logger:      log,
	})
	if err != nil {
		return 0, err
	}
	docs := ""
	if serve.IsLoopback(web.Addr()) { // a browser elsewhere would look for it on its own machine
		docs = serve.URL(api.Addr()) + "/docs"
	}
	secret := cmp.Or(*f.secret, rand.Text()+rand.Text()) // one alone is too short for a secret
	page, err := ui.New(ui.Config{API: app.API, Secret: secret, DocsURL: docs, Logger: log})
	if err != nil {
		return 0, errors.Join(err, shut(ctx, app))
	}
	if err := app.Start(ctx); err != nil {
		return 0, errors.Join(fmt.Errorf("starting the worker: %w", err), shut(ctx, app))
	}

	s, ctx := serve.NewServers(ctx, log)
	s.Add("api-addr", api, app.API, maxConnections)
	s.Add("web-addr", web, page, maxConnections)
	printBanner(p.stdout, f, app, serve.URL(web.Addr()), serve.URL(api.Addr()))

	<-ctx.Done()
	return exitOK, errors.Join(s.Err(), drain(ctx, app, s, *f.drain, log))
}

// drain ends everything in an order in which nobody is left waiting: no new
// connections; the tasks that run come to their end, which their watchers see;
// then the streams and the servers end, then the sandboxes.
func drain(ctx context.Context, app *wire.App, s *serve.Servers, patience time.Duration, log *slog.Logger) error {
	ctx = context.WithoutCancel(ctx)
	log.Info("draining; a second signal stops at once", "at_most_seconds", patience.Seconds())
	closed := s.Shutdown()

	drainCtx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := app.Stop(drainCtx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("tasks were still running after %s and were killed", patience)
	}
	if stats, statsErr := app.Client.Stats(ctx, ports.DefaultQueue); statsErr == nil && stats.Waiting+stats.Delayed > 0 {
		log.Warn("tasks that were waiting in memory are lost", "tasks", stats.Waiting+stats.Delayed)
	}
	if !serve.Within(lastWords, closed) {
		app.EndStreams()
		s.Close(closed, closeTimeout)
	}
	return errors.Join(err, shut(ctx, app))
}

// shut closes app, whatever has become of ctx.
func shut(ctx context.Context, app *wire.App) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return app.Close(ctx)
}
