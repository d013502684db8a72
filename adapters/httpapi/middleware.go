package httpapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// exchange is one request with its response, as handlers see them.
type exchange struct {
	api *API
	// id names the request in the log and in problems.
	id string
	r  *http.Request
	w  *response
	// route is the path that the request is for, as routes has it; empty if none.
	route string
	// query is set before a handler is called.
	query query
	// task is what the request turned out to be about; empty if it is about none.
	task taskrunner.TaskID
}

type exchangeKey struct{}

// exchangeOf returns the exchange that ServeHTTP put into ctx.
func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

func (x *exchange) context() context.Context { return x.r.Context() }

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{api: a, id: RequestID(r)}
	x.w = newResponse(w, r, x.id, a.cfg.WriteTimeout)
	x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	defer x.served(time.Now())
	defer x.recoverPanic()

	if p := a.hosts.refuse(r); p != nil {
		x.fail(p)
		return
	}
	if a.cors(x) {
		return
	}
	if a.csrf.Check(r) != nil {
		x.fail(newProblem(http.StatusForbidden, "cross_origin", "Calls from web pages of other origins are not allowed."))
		return
	}
	handler, pattern := a.mux.Handler(x.r)
	if pattern == "" {
		x.fail(unrouted(handler, x.r, w.Header()))
		return
	}
	if x.route = routeOf(pattern); x.route != "" {
		r.Pattern = pattern // for what stands before the API, which knows this request and not the mux's
	}
	a.mux.ServeHTTP(x.w, x.r)
}

// served measures and logs a request that began then. What may have changed
// something is worth a line; those who only look, among them pages that ask again and
// again, would drown it, and whoever asks how the service is has metrics.
func (x *exchange) served(begin time.Time) {
	took := time.Since(begin)
	x.api.meters.measure(x, took)
	level := slog.LevelDebug
	if x.r.Method == http.MethodPost {
		level = slog.LevelInfo
	}
	if forOperators(x.r) || !x.api.log.Enabled(x.context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.id), slog.String("method", x.r.Method), slog.String("path", x.path()),
		slog.Int("status", cmp.Or(x.w.status, http.StatusOK)), slog.Float64("seconds", took.Seconds()),
	}
	if x.task != "" {
		attrs = append(attrs, slog.String("task", string(x.task)))
	}
	x.api.log.LogAttrs(x.context(), level, "request", attrs...)
}

// maxLoggedPath is longer than every path that there is.
const maxLoggedPath = 256

// path returns the request's path as the log has it: cut where it is so long that it
// would fill the log.
func (x *exchange) path() string {
	path := x.r.URL.Path
	return path[:min(len(path), maxLoggedPath)]
}

// cors lets the allowed origins read answers, and answers their preflights; it
// reports whether it did the latter. What operators see is for no web page.
func (a *API) cors(x *exchange) bool {
	if len(a.origins) == 0 || x.r.URL.Path == metricsPath {
		return false
	}
	h := x.w.Header()
	h.Add("Vary", "Origin")
	origin := x.r.Header.Get("Origin")
	if !a.origins[origin] {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Content-Range, ETag, Location, Retry-After, X-Request-Id")
	if x.r.Method != http.MethodOptions || x.r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
	h.Set("Access-Control-Allow-Headers", "Content-Type, Idempotency-Key, If-Range, Last-Event-ID, Range, X-Request-Id")
	h.Set("Access-Control-Max-Age", "600")
	x.w.WriteHeader(http.StatusNoContent)
	return true
}

// unrouted turns the mux's own answer to a request that no route takes into a
// problem, keeping its Allow header.
func unrouted(mux http.Handler, r *http.Request, h http.Header) *Problem {
	answer := &discard{header: http.Header{}}
	mux.ServeHTTP(answer, r)
	if answer.status == http.StatusMethodNotAllowed {
		h.Set("Allow", answer.header.Get("Allow"))
		return newProblem(answer.status, "method_not_allowed", "This resource does not have that method.")
	}
	return newProblem(http.StatusNotFound, "not_found", "There is nothing at this path.")
}

// discard is a ResponseWriter that keeps the status and the header.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// recoverPanic turns a panic into a problem where that can still be sent, and
// cuts the connection where it cannot.
func (x *exchange) recoverPanic() {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	x.api.log.ErrorContext(x.context(), "panic while serving a request",
		"request_id", x.id, "method", x.r.Method, "path", x.path(), "panic", v, "stack", string(debug.Stack()))
	if x.w.started {
		panic(http.ErrAbortHandler)
	}
	x.fail(newProblem(http.StatusInternalServerError, "internal", internalDetail))
}

// response gives each write a deadline and knows whether one happened.
type response struct {
	http.ResponseWriter
	control  *http.ResponseController
	timeout  time.Duration
	deadline time.Time
	started  bool
	status   int // 0 until it is set
}

// newResponse returns a response to r with the header that every answer has, and
// timeout for each write.
func newResponse(w http.ResponseWriter, r *http.Request, id string, timeout time.Duration) *response {
	res := &response{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
	if r.Body != nil && r.Body != http.NoBody {
		// The server reads what a handler left of a body before it sends the answer.
		_ = res.control.SetReadDeadline(time.Now().Add(timeout / 2))
	}
	h := w.Header()
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if isSpare(r) {
		h.Set("Connection", "close")
	}
	return res
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	w.started, w.status = true, status
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.started = true
	w.extend()
	return w.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController. It ends the deadline too, which
// would otherwise reset an HTTP/2 stream that has nothing to say for a while.
func (w *response) FlushError() error {
	w.started = true
	w.extend()
	err := w.control.Flush()
	_ = w.control.SetWriteDeadline(time.Time{})
	return err
}

// extend renews the deadline for writing. A writer that has none, as in tests,
// has no slow client either.
func (w *response) extend() {
	w.deadline = time.Now().Add(w.timeout)
	_ = w.control.SetWriteDeadline(w.deadline)
}

// late reports whether a write that has just failed did so because of its
// deadline, for which every protocol has another error.
func (w *response) late() bool { return !time.Now().Before(w.deadline) }

// RequestID returns the name of a request: the caller's X-Request-Id if it is
// harmless, else a new one. Whoever stands before an API passes it on in that field.
func RequestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	harmful := func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-_.", c)
	}
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, harmful) {
		return rand.Text()
	}
	return id
}

// hosts are the names and addresses that a server answers to; all if there are none.
type hosts map[string]bool

func hostsOf(list []string) (hosts, error) {
	all := hosts{}
	for _, h := range list {
		name := hostName(h)
		if name == "" || (name != canonicalHost(strings.Trim(h, "[]")) && net.ParseIP(h) == nil) {
			return nil, ports.Invalid("allowed_hosts", "must be names or addresses without port, not %q", h)
		}
		all[name] = true
	}
	return all, nil
}

func (h hosts) allow(r *http.Request) bool { return len(h) == 0 || h[hostName(r.Host)] }

// refuse returns the problem of a request that is not for these hosts, or came on a
// connection that is not for it; else nil.
func (h hosts) refuse(r *http.Request) *Problem {
	switch {
	case !h.allow(r):
		return unknownHost()
	case isSpare(r) && !forOperators(r):
		return newProblem(http.StatusServiceUnavailable, "too_many_connections", "Too many clients are connected; try again later.").retry("5")
	}
	return nil
}

// AllowHosts returns a handler that passes to next the requests whose Host header
// has one of the names or addresses, without port, and refuses the others, as an API
// does; without names it passes all. On connections beyond the bound of
// LimitConnections it refuses too. ErrInvalid: one is no name.
func AllowHosts(names []string, next http.Handler) (http.Handler, error) {
	allowed, err := hostsOf(names)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := allowed.refuse(r)
		if p == nil {
			next.ServeHTTP(w, r)
			return
		}
		p.RequestID = RequestID(r)
		p.write(newResponse(w, r, p.RequestID, probeTimeout))
	}), nil
}

func unknownHost() *Problem {
	return newProblem(http.StatusMisdirectedRequest, "unknown_host", "This server does not answer to that host name.")
}

// hostName returns the name or address in a Host header, without the port, in
// one canonical form.
func hostName(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return canonicalHost(host)
	}
	return canonicalHost(strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]"))
}

func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// publicURL returns the absolute URL of a path of this API.
func (x *exchange) publicURL(path string) string {
	if x.api.cfg.PublicURL != "" {
		return x.api.cfg.PublicURL + path
	}
	scheme := "http"
	if x.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + x.r.Host + path
}
