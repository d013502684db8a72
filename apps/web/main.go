// Command web serves the web page and passes its calls on to a backend. It keeps
// nothing: any number of them may serve one system.
package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/serve"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/ui"
)

// lastWords is how long requests are given to end when the process is told to
// stop, before streams, which end by themselves only with their tasks, are ended.
const lastWords = time.Second

func main() {
	w := newWeb()
	w.Main(w.run)
}

type web struct {
	*serve.Program

	backendURL, docsURL, secret *string
	hosts                       *[]string
	connections                 *int
}

func newWeb() web {
	w := web{Program: serve.NewProgram("web", "Serve the web page, and pass its calls on to the backend", "web-addr", "127.0.0.1:5000")}
	s := w.Settings
	s.Group("Web")
	w.backendURL = settings.Var(s, "backend-url", "URL", "http://127.0.0.1:8000", "where the backend is; browsers need not reach it", settings.Text)
	w.hosts = settings.Var(s, "allowed-hosts", "NAMES", "", "host names that the page answers to beside localhost, separated by commas", settings.Names)
	s.ShowDefault("allowed-hosts", "none where it listens on loopback, else any")
	w.connections = settings.Var(s, "max-connections", "N", "8192", "connections at once before more are refused; each reader of a stream is one", settings.Count(1))
	w.docsURL = settings.Var(s, "docs-url", "URL", "", "where browsers find the API's documentation, which the page links to", docsURL)
	s.ShowDefault("docs-url", "the backend's /docs where it and the page are on loopback, else no link")
	w.secret = options.SecretKey(s, options.InsecureSecret)
	return w
}

func docsURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("must be an http or https URL, such as https://run.example.com/docs")
	}
	return s, nil
}

// run serves until ctx is done, whether the backend is there or not.
func (w web) run(ctx context.Context, p *serve.Process) error {
	metrics := prometheus.NewRegistry()
	backend, err := ui.NewBackend(ui.BackendConfig{URL: *w.backendURL, Wrap: p.Tracing.Transport, Metrics: metrics, Logger: p.Log})
	if err != nil {
		return err
	}
	defer backend.Close()
	page, err := ui.New(ui.Config{API: backend, Secret: *w.secret, DocsURL: w.docs(p.Listener.Addr()), Logger: p.Log})
	if err != nil {
		return err
	}
	hosts := serve.AllowedHosts(*w.hosts, p.Listener.Addr())
	if page, err = httpapi.AllowHosts(hosts, page); err != nil {
		return err
	}
	probes, err := httpapi.NewProbes(httpapi.ProbesConfig{
		Ready:        []httpapi.Check{{Name: "backend", Ready: backend.Ready}},
		AllowedHosts: hosts, Metrics: metrics, Logger: p.Log,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, probes)
	}
	servers, ctx := serve.NewServers(ctx, p.Log)
	servers.Add(p.Flag, p.Listener, p.Tracing.Handler(measure(metrics, mux)), *w.connections)
	p.Log.InfoContext(ctx, "the page is served", "url", serve.URL(p.Listener.Addr()), "backend", *w.backendURL)

	<-ctx.Done()
	p.Log.InfoContext(ctx, "draining; a second signal stops at once", "at_most_seconds", p.Drain.Seconds())
	probes.Drain()
	closed := servers.Shutdown()
	if !serve.Within(min(lastWords, p.Drain), closed) {
		backend.Drain() // readers of streams go to another web
		servers.Close(closed, p.Drain)
	}
	return servers.Err()
}

// docs returns the address of the documentation for browsers of a page that listens
// on addr: those elsewhere would look for the backend's on their own machines.
func (w web) docs(addr net.Addr) string {
	if *w.docsURL != "" {
		return *w.docsURL
	}
	u, err := url.Parse(*w.backendURL)
	if err != nil || !serve.IsLoopback(addr) || u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback() {
		return ""
	}
	return u.JoinPath("/docs").String()
}
