package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/ports"
)

// What passes to the backend and back; everything else stays here. Cookies belong
// to the page's origin, whose answers alone may set them. What a browser says of
// where a call comes from was judged before, by the page's own name, which the
// backend does not know. What proxies say of whom they speak for is made anew.
var (
	requestFields = []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Encoding", "Content-Type",
		"Idempotency-Key", "If-Modified-Since", "If-None-Match", "If-Range", "Last-Event-Id", "Range", "User-Agent",
	}
	answerFields = []string{
		"Accept-Ranges", "Allow", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language",
		"Content-Length", "Content-Range", "Content-Type", "Etag", "Last-Modified", "Location", "Retry-After",
		"Vary", "Www-Authenticate", "X-Accel-Buffering",
	}
)

const (
	// dialTimeout is how long connecting to the backend may take.
	dialTimeout = 3 * time.Second
	// headerTimeout is how long the backend may think before it answers: a part of it
	// that stands still costs it 10 s, and an answer may need more than one.
	headerTimeout = 30 * time.Second
	// waitTimeout is added to that where the caller asked for the end of a task: as
	// long as an API waits at most by default.
	waitTimeout = time.Minute
	// uploadTimeout is how long a body may take: a little longer than the API gives
	// it, so that it is the API that says so.
	uploadTimeout = 2*time.Minute + 5*time.Second
	// writeTimeout is how long a browser may take to accept one write. One that is
	// slower is cut off, and resumes.
	writeTimeout = 10 * time.Second
	// askFirst is the size from which on a body is sent only once the backend has
	// said that it wants it, so that what is too large is refused by its header.
	askFirst = 64 << 10
)

// Why the backend's answer did not come, or not whole.
const (
	failUnreachable = "unreachable" // it cannot be connected to
	failSlow        = "slow"        // its answer did not begin in time
	failBroken      = "broken"      // it went away while it answered
)

// BackendConfig says where the backend is.
type BackendConfig struct {
	// URL is the backend's address, such as http://127.0.0.1:8000. Required.
	URL string
	// Wrap, if set, stands between each request and the network.
	Wrap func(http.RoundTripper) http.RoundTripper
	// Metrics gets the count of what failed. Required.
	Metrics prometheus.Registerer
	// Logger gets what failed. Required.
	Logger *slog.Logger
}

// Backend passes what is below /api/ on to a backend that is another process, for
// Config.API. It is safe for concurrent use.
type Backend struct {
	url      *url.URL
	log      *slog.Logger
	failures *prometheus.CounterVec
	// prompt is for what the backend answers at once, patient for what waits.
	prompt, patient http.RoundTripper
	transports      []*http.Transport
	buffers         sync.Pool

	draining context.Context
	drain    context.CancelFunc
}

// NewBackend returns a Backend for cfg. ErrInvalid: its URL is none of a backend.
func NewBackend(cfg BackendConfig) (*Backend, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, ports.Invalid("backend_url", "must be an http or https URL of a host alone, such as http://127.0.0.1:8000")
	}
	b := &Backend{
		url: &url.URL{Scheme: u.Scheme, Host: u.Host},
		log: cfg.Logger,
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "taskrunner_web_backend_failures_total",
			Help: "Requests that the backend did not answer, or not to the end.",
		}, []string{"reason"}),
		buffers: sync.Pool{New: func() any { return make([]byte, 32<<10) }},
	}
	for _, reason := range []string{failUnreachable, failSlow, failBroken} {
		b.failures.WithLabelValues(reason)
	}
	if err := cfg.Metrics.Register(b.failures); err != nil {
		return nil, fmt.Errorf("%w: %w", ports.Invalid("metrics", "must not have another backend's metrics"), err)
	}
	b.prompt, b.patient = b.transport(cfg, headerTimeout), b.transport(cfg, headerTimeout+waitTimeout)
	b.draining, b.drain = context.WithCancel(context.Background())
	return b, nil
}

// transport returns a transport that gives the backend this long to begin its
// answer. Each stream has a connection to itself, so that a reader who is slow
// holds up nobody else; as many as there are, since it is the backend that bounds
// them. What is idle is kept for the next burst, for less long than the backend
// keeps it.
func (b *Backend) transport(cfg BackendConfig, patience time.Duration) http.RoundTripper {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: patience,
		ExpectContinueTimeout: headerTimeout,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // it is the browser's to ask for
		Protocols:             new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	b.transports = append(b.transports, t)
	if cfg.Wrap != nil {
		return cfg.Wrap(t)
	}
	return t
}

// Drain ends every stream, so that its reader connects again, to another instance.
// The rest is served as before. It may be called again.
func (b *Backend) Drain() { b.drain() }

// Close drains, and closes the connections that are idle.
func (b *Backend) Close() {
	b.Drain()
	for _, t := range b.transports {
		t.CloseIdleConnections()
	}
}

// Ready returns an error unless the backend and all it needs can serve.
func (b *Backend) Ready(ctx context.Context) error { return b.ask(ctx, "/readyz") }

// ask returns an error unless the backend says 200 to path.
func (b *Backend) ask(ctx context.Context, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.JoinPath(path).String(), nil)
	if err != nil {
		return err
	}
	res, err := b.prompt.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("asking the backend at %s: %w", b.url, err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the backend at %s answers %s with %s: %s", b.url, path, res.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := &passage{
		backend:  b,
		id:       httpapi.RequestID(r),
		in:       r,
		out:      &writer{ResponseWriter: w, control: http.NewResponseController(w)},
		policies: w.Header().Clone(),
	}
	clear(w.Header()) // answers begin with nothing but what answer lets pass
	if !strings.HasPrefix(r.URL.Path, "/api/") || strings.TrimSuffix(r.URL.Path, "/") != path.Clean(r.URL.Path) || r.Method == http.MethodConnect {
		p.problem(http.StatusNotFound, "not_found", "There is nothing at this path.")
		return
	}
	if r.Body != nil && r.Body != http.NoBody {
		_ = p.out.control.SetReadDeadline(time.Now().Add(uploadTimeout))
		p.upload = &upload{ReadCloser: r.Body, control: p.out.control}
		r = r.WithContext(r.Context()) // a copy whose body may be another
		r.Body = p.upload
	}
	proxy := httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      p,
		FlushInterval:  -1,
		BufferPool:     p,
		ModifyResponse: p.answer,
		ErrorHandler:   p.failed,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // what breaks off is told by its body
	}
	proxy.ServeHTTP(p.out, r)
}

// passage is one request on its way to the backend and back.
type passage struct {
	backend  *Backend
	id       string
	in       *http.Request
	out      *writer
	policies http.Header // what every answer has, whatever the backend says
	upload   *upload     // nil without a body
	stream   bool        // the answer is a stream of events
}

// rewrite makes the request that the backend gets.
func (p *passage) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(p.backend.url)
	r.Out.URL.RawQuery = p.in.URL.RawQuery // the API refuses what is bad in it
	r.Out.Trailer = nil
	r.Out.Header = pick(r.Out.Header, requestFields)
	r.Out.Header.Set("X-Request-Id", p.id)
	r.SetXForwarded()
	if p.upload != nil && (p.in.ContentLength < 0 || p.in.ContentLength >= askFirst) {
		r.Out.Header.Set("Expect", "100-continue")
	}
}

// pick returns what of h has one of the names.
func pick(h http.Header, names []string) http.Header {
	picked := make(http.Header, len(names))
	for _, name := range names {
		if values, ok := h[name]; ok {
			picked[name] = values
		}
	}
	return picked
}

// RoundTrip implements http.RoundTripper.
func (p *passage) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := p.backend.prompt
	if r.URL.Query().Has("wait") {
		transport = p.backend.patient
	}
	ctx, cancel := context.WithCancel(r.Context())
	res, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	// A copy: the transport adds what comes behind the body, which nobody wants, to its own.
	answer := *res
	body := &body{ReadCloser: res.Body, passage: p, cancel: cancel, release: func() bool { return true }}
	if p.stream = strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream"); p.stream {
		body.release = context.AfterFunc(p.backend.draining, cancel)
	}
	answer.Body, answer.Trailer = body, nil
	return &answer, nil
}

// answer makes the answer that the browser gets.
func (p *passage) answer(res *http.Response) error {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return errors.New("the backend switches protocols, which nobody asked for")
	}
	h := pick(res.Header, answerFields)
	if location := h.Get("Location"); location != "" {
		h.Set("Location", here(location))
	}
	maps.Copy(h, p.policies)
	h.Set("X-Request-Id", p.id)
	res.Header = h
	return nil
}

// here returns the URL of something of the API as the page's origin has it, below
// /api/ like all that is passed on: where else the API can be reached is not known to
// be reachable from the browser.
func here(location string) string {
	if i := strings.LastIndex(location, "/api/"); i >= 0 {
		return location[i:]
	}
	return location
}

// failed answers for the backend when it does not.
func (p *passage) failed(_ http.ResponseWriter, r *http.Request, err error) {
	switch {
	case p.upload.late():
		p.problem(http.StatusRequestTimeout, "timeout", "The body did not arrive in time.")
		return
	case p.upload.broken():
		p.problem(http.StatusBadRequest, "bad_body", "The body ended before its end.")
		return
	case p.in.Context().Err() != nil: // nobody is there to be told
		panic(http.ErrAbortHandler)
	}
	reason := failBroken
	if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Op == "dial" {
		reason = failUnreachable
	} else if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		reason = failSlow
	}
	p.report(reason, "the backend does not answer", err)
	p.out.Header().Set("Retry-After", "5")
	p.problem(http.StatusServiceUnavailable, "unavailable", "The service behind this page does not answer; try again.")
}

func (p *passage) report(reason, what string, err error) {
	p.backend.failures.WithLabelValues(reason).Inc()
	p.backend.log.WarnContext(p.in.Context(), what,
		"request_id", p.id, "method", p.in.Method, "path", p.in.URL.Path, "reason", reason, "error", err)
}

// problem answers as the API would.
func (p *passage) problem(status int, code, detail string) {
	h := p.out.Header()
	maps.Copy(h, p.policies)
	h.Set("X-Request-Id", p.id)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/problem+json")
	p.out.WriteHeader(status)
	_ = json.NewEncoder(p.out).Encode(httpapi.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code, RequestID: p.id,
	})
}

// streamBuffer is what a stream needs to be copied, of which there are thousands
// that mostly wait.
const streamBuffer = 2 << 10

// Get implements httputil.BufferPool. The answer's header is known by then.
func (p *passage) Get() []byte {
	if p.stream {
		return make([]byte, streamBuffer)
	}
	return p.backend.buffers.Get().([]byte)
}

// Put implements httputil.BufferPool.
func (p *passage) Put(buf []byte) {
	if !p.stream {
		p.backend.buffers.Put(buf) //nolint:staticcheck // boxing the slice costs less than it saves
	}
}

// body is the backend's answer. A stream that breaks off, or that is drained, ends
// like any other, and its reader connects again; of anything else only a cut
// connection can say that bytes are missing.
type body struct {
	io.ReadCloser
	passage *passage
	cancel  context.CancelFunc
	release func() bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF || b.passage.in.Context().Err() != nil {
		return n, err
	}
	if b.passage.stream && b.passage.backend.draining.Err() != nil {
		return n, io.EOF
	}
	b.passage.report(failBroken, "the backend broke off its answer", err)
	if b.passage.stream {
		return n, io.EOF
	}
	return n, err
}

func (b *body) Close() error {
	b.release()
	b.cancel()
	return b.ReadCloser.Close()
}

// upload is a request's body. The server's deadline for reading it ends with it,
// or it would end the wait for the answer too.
type upload struct {
	io.ReadCloser
	control *http.ResponseController
	err     atomic.Pointer[error] // why it could not be read to its end
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		_ = u.control.SetReadDeadline(time.Time{})
	case err != nil && !errors.Is(err, http.ErrBodyReadAfterClose):
		u.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (u *upload) broken() bool { return u != nil && u.err.Load() != nil }

func (u *upload) late() bool { return u.broken() && errors.Is(*u.err.Load(), os.ErrDeadlineExceeded) }

// writer gives each write to the browser a deadline.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader keeps what is said before the answer for itself: the server here
// says its own.
func (w *writer) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return w.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController. It ends the deadline too, since what
// comes next may be long in coming.
func (w *writer) FlushError() error {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	err := w.control.Flush()
	_ = w.control.SetWriteDeadline(time.Time{})
	return err
}
