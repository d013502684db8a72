package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"golang.org/x/time/rate"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/ports"
)

const (
	// bodyTimeout bounds how long a worker may take to send a body, maxBodies how many
	// there are at once: they are held in memory, and what is read from them, of which a
	// hundred megabytes may come. More wait.
	bodyTimeout = 10 * time.Second
	maxBodies   = 16
	// maxKnown bounds how many containers are remembered.
	maxKnown = 8192
)

// gate passes on to an engine what workers need of it. It reads each request to the
// end, refuses what is not in calls, and sends one that it wrote itself.
type gate struct {
	cli      *client.Client
	requests *dockerexec.Requests
	network  string
	proxy    *httputil.ReverseProxy
	log      *slog.Logger
	// tell bounds how often a refusal is logged; untold counts those that were not.
	tell   *rate.Limiter
	untold atomic.Int64

	// bodies has an element for each request with a body; patience is bodyTimeout.
	bodies   chan struct{}
	patience time.Duration

	// lines are the connections to containers. They end with cut.
	lines sync.WaitGroup
	ctx   context.Context
	cut   context.CancelFunc

	mu sync.Mutex
	// known are containers by ID, and whether each is a task's.
	known map[string]bool
}

// newGate returns a gate before the engine of cli.
func newGate(cli *client.Client, cfg dockerexec.RequestsConfig, log *slog.Logger) (*gate, error) {
	requests, err := dockerexec.NewRequests(cli, cfg)
	if err != nil {
		return nil, err
	}
	g := &gate{
		cli: cli, requests: requests, network: cfg.Network, log: log, known: map[string]bool{},
		tell: rate.NewLimiter(rate.Every(time.Second), 20), bodies: make(chan struct{}, maxBodies), patience: bodyTimeout,
	}
	g.ctx, g.cut = context.WithCancel(context.Background())
	g.proxy = &httputil.ReverseProxy{
		Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return cli.Dialer()(ctx) },
			DisableCompression:  true,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
		},
		FlushInterval: -1, // a pull tells how far it is
		Rewrite:       rewrite,
		ErrorHandler:  func(w http.ResponseWriter, r *http.Request, err error) { g.fail(w, r, err) },
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return g, nil
}

// close gives up every connection.
func (g *gate) close() {
	g.cut()
	g.lines.Wait()
	g.proxy.Transport.(*http.Transport).CloseIdleConnections()
}

// asked is the key of the request in its context.
type asked struct{}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := understand(r)
	if err == nil && q.maxBody > 0 {
		select {
		case g.bodies <- struct{}{}:
			free := sync.OnceFunc(func() { <-g.bodies })
			defer free()
			if q.body, err = g.readBody(w, r, q.maxBody); len(q.body) == 0 {
				free() // a pull takes long
			}
		case <-r.Context().Done():
			return
		}
	}
	if err == nil && q.check != nil {
		err = q.check(r.Context(), g, q)
	}
	switch {
	case err != nil:
		g.fail(w, r, err)
	case q.line:
		g.attach(w, r, q)
	default:
		r.Header.Del("Upgrade")
		g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), asked{}, q)))
	}
}

// patterns are how calls are recognized.
var patterns = func() (all []*regexp.Regexp) {
	parts := strings.NewReplacer(
		`\{id\}`, `([a-zA-Z0-9][a-zA-Z0-9_.-]{0,255})`,
		`\{name\}`, `([a-zA-Z0-9][a-zA-Z0-9_.:@/-]{0,511})`)
	for _, c := range calls {
		all = append(all, regexp.MustCompile("^"+parts.Replace(regexp.QuoteMeta(c.path))+"$"))
	}
	return all
}()

// understand returns the call that a request is, with all that it says but its body, or
// an error that matches ports.ErrInvalid.
func understand(r *http.Request) (*request, error) {
	q, err := find(r)
	if err != nil {
		return nil, err
	}
	if q.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, ports.Invalid("the query", "cannot be read: %v", err)
	}
	for name, values := range q.query {
		allowed := q.params[name]
		switch {
		case allowed == nil:
			return nil, ports.Invalid("the parameter", "%.100q is none that executors use", name)
		case len(values) > 1 && !slices.Contains(many, name):
			return nil, ports.Invalid("the parameter", "%q must be there once", name)
		}
		for _, v := range values {
			if !allowed.MatchString(v) {
				return nil, ports.Invalid("the parameter", "%q must not be %.100q", name, v)
			}
		}
	}
	if q.line && !strings.EqualFold(r.Header.Get("Upgrade"), "tcp") {
		return nil, ports.Invalid("the connection", "must be upgraded to tcp")
	}
	if q.maxBody == 0 && r.ContentLength != 0 {
		return nil, ports.Invalid("the body", "must be empty")
	}
	return q, nil
}

// find returns the call that a request is by its method and path.
func find(r *http.Request) (*request, error) {
	path := r.URL.Path
	if r.URL.EscapedPath() != path {
		return nil, ports.Invalid("the path", "must have nothing escaped in it")
	}
	version := versionPrefix.FindString(path)
	if version != "" && versions.LessThan(version[len("/v"):], dockerexec.MinAPI) {
		return nil, ports.Invalid("the version", "must be at least %s", dockerexec.MinAPI)
	}
	path = path[len(version):]
	for i := range calls {
		c := &calls[i]
		if c.method != r.Method {
			continue
		}
		if found := patterns[i].FindStringSubmatch(path); found != nil {
			q := &request{call: c, version: version}
			if len(found) > 1 {
				q.name = found[1]
			}
			return q, nil
		}
	}
	return nil, ports.Invalid("this", "is none of the calls that executors make")
}

var versionPrefix = regexp.MustCompile(`^/v[0-9]{1,3}\.[0-9]{1,3}`)

// readBody reads a body of at most so many bytes.
func (g *gate) readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(g.patience)); err != nil {
		return nil, fmt.Errorf("bounding the time of a request: %w", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		return nil, ports.Invalid("the body", "cannot be read: %v", err)
	}
	return body, control.SetReadDeadline(time.Time{})
}

// target is where the engine is asked.
func (q *request) target() *url.URL {
	path := strings.NewReplacer("{id}", q.name, "{name}", q.name).Replace(q.path)
	return &url.URL{Scheme: "http", Host: engineHost, Path: q.version + path, RawQuery: q.query.Encode()}
}

// engineHost stands for the engine where a name is needed; none is looked up.
const engineHost = "engine"

// rewrite makes the request that the engine gets: of what the worker sent it has nothing
// that was not looked at.
func rewrite(p *httputil.ProxyRequest) {
	q := p.In.Context().Value(asked{}).(*request)
	p.Out.URL, p.Out.Host = q.target(), engineHost
	p.Out.Header, p.Out.Trailer, p.Out.TransferEncoding = http.Header{}, nil, nil
	p.Out.Body, p.Out.ContentLength = http.NoBody, 0
	if len(q.body) > 0 {
		p.Out.Body, p.Out.ContentLength = io.NopCloser(bytes.NewReader(q.body)), int64(len(q.body))
		p.Out.Header.Set("Content-Type", q.content)
	}
}

// own has the request name a container of this project by its ID, which unlike a name
// never means another one, and reports whether it is a task's.
func (g *gate) own(ctx context.Context, q *request) (task bool, err error) {
	g.mu.Lock()
	task, ok := g.known[q.name]
	g.mu.Unlock()
	if ok {
		return task, nil
	}
	q.name, task, err = g.requests.OwnContainer(ctx, q.name)
	if err != nil {
		return false, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= maxKnown {
		clear(g.known)
	}
	g.known[q.name] = task
	return task, nil
}

// fail answers with an error, as an engine would.
func (g *gate) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, message := http.StatusBadGateway, "enginegate: "+err.Error()
	switch {
	case errors.Is(err, ports.ErrInvalid):
		status, message = http.StatusForbidden, fmt.Sprintf("enginegate refuses %s %.200s: %v", r.Method, r.URL.Path, err)
		g.refused(r, err)
	case r.Context().Err() != nil: // nobody listens any more
	case cerrdefs.IsNotFound(err):
		status = http.StatusNotFound
	case cerrdefs.IsInvalidArgument(err):
		status = http.StatusBadRequest
	default:
		g.log.Warn("the engine does not answer", "method", r.Method, "path", clip(r.URL.Path), "error", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) // or nobody listens
}

// refused logs a refusal, but no flood of them.
func (g *gate) refused(r *http.Request, err error) {
	if !g.tell.Allow() {
		g.untold.Add(1)
		return
	}
	g.log.Warn("refused", "method", r.Method, "path", clip(r.URL.Path), "why", err, "unlogged_before", g.untold.Swap(0))
}

// clip shortens what somebody else wrote.
func clip(s string) string { return fmt.Sprintf("%.200s", s) }
