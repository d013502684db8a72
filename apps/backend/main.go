// Command backend serves the API of a system of many machines: REST and events over
// MongoDB, Redis and MinIO. Any number of backends may serve one system.
package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/serve"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/telemetry"
	"github.com/task-runner/task-runner/apps/internal/wire"
)

// beside is for how many connections there is room beside those of readers: for calls
// that are answered at once.
const beside = 4096

func main() {
	b := newBackend()
	b.Main(b.run)
}

type backend struct {
	*serve.Program

	hosts, origins *[]string
	publicURL      *string
	readers        *int
	servers        options.Servers
	languages      options.Languages
	queues         *[]string
	policy         options.Policy
}

func newBackend() backend {
	b := backend{Program: serve.NewProgram("backend", "Serve the API: take tasks in, and tell what becomes of them", "api-addr", "127.0.0.1:8000")}
	s := b.Settings
	s.Group("API")
	b.hosts = settings.Var(s, "allowed-hosts", "NAMES", "", "host names that the API answers to beside localhost, separated by commas", settings.Names)
	s.ShowDefault("allowed-hosts", "none where it listens on loopback, else any")
	b.origins = settings.Var(s, "allowed-origins", "ORIGINS", "", "origins of the web pages that may call the API from elsewhere, such as https://ui.example.com, separated by commas", settings.Names)
	s.ShowDefault("allowed-origins", "none")
	b.publicURL = settings.Var(s, "public-url", "URL", "", "where clients reach this API, which is what URLs in answers start with", settings.Text)
	s.ShowDefault("public-url", "where the request went")
	b.readers = settings.Var(s, "max-readers", "N", "20000", "streams and waiting submissions at once before more are refused", settings.Count(1))

	b.servers = options.NewServers(s)

	s.Group("Tasks")
	b.languages = options.NewLanguages(s)
	b.queues = options.Queues(s, "queues that tasks may name, separated by commas: those that workers serve")
	b.policy = options.NewPolicy(s)
	return b
}

// run serves until ctx is done. While a server that the API needs has not been reached
// yet, it says so.
func (b backend) run(ctx context.Context, p *serve.Process) error {
	languages, err := b.languages.Load()
	if err != nil {
		return err
	}
	connections, err := wire.Connect(b.servers.Config())
	if err != nil {
		return err
	}
	defer connections.Close()

	cfg := wire.Config{
		Languages: languages, Policy: b.policy.Policy(*b.queues...),
		API: wire.APIConfig{
			AllowedHosts: serve.AllowedHosts(*b.hosts, p.Listener.Addr()), AllowedOrigins: *b.origins,
			PublicURL: *b.publicURL, MaxReaders: *b.readers,
		},
		Ready: connections.Checks(), Metrics: prometheus.NewRegistry(), TraceParent: telemetry.TraceParent, Version: p.Version, Logger: p.Log,
	}
	// What cannot be is told at once, and not when the last server has been reached.
	if err := cfg.Validate(); err != nil {
		return err
	}
	starting, err := httpapi.NewProbes(httpapi.ProbesConfig{
		Ready: cfg.Ready, Starting: true, AllowedHosts: cfg.API.AllowedHosts, Metrics: cfg.Metrics, Logger: p.Log,
	})
	if err != nil {
		return err
	}
	handler := serve.NewHandler(starting)
	servers, ctx := serve.NewServers(ctx, p.Log)
	servers.Add(p.Flag, p.Listener, p.Tracing.Handler(handler), *b.readers+beside)
	drain := starting.Drain
	defer func() {
		p.Log.InfoContext(ctx, "draining; a second signal stops at once", "at_most_seconds", p.Drain.Seconds())
		drain() // readers of streams go to another backend
		servers.Close(servers.Shutdown(), p.Drain)
	}()

	if cfg.Backend, err = connections.Open(ctx, p.Log); err != nil {
		return servers.Err() // it was told to stop before it could begin
	}
	api, err := wire.NewAPI(cfg)
	if err != nil {
		return err
	}
	drain = api.Drain
	handler.Replace(api)
	p.Log.InfoContext(ctx, "every server is reached; the API serves")
	<-ctx.Done()
	return servers.Err()
}
