package ui_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/apps/internal/ui"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestMain(m *testing.M) {
	// A library's clock, which ends by itself when no expression has been matched for a second.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock"))
}

// site is the web interface before a backend of its own.
type site struct {
	t       testing.TB
	url     string
	client  *http.Client
	backend *ui.Backend
	metrics *prometheus.Registry
}

// before serves the web interface before the backend at url.
func before(t testing.TB, url string, changes ...func(*ui.BackendConfig)) *site {
	t.Helper()
	s := &site{t: t, metrics: prometheus.NewRegistry()}
	cfg := ui.BackendConfig{URL: url, Metrics: s.metrics, Logger: slog.New(slog.DiscardHandler)}
	for _, change := range changes {
		change(&cfg)
	}
	backend, err := ui.NewBackend(cfg)
	require.NoError(t, err)
	page, err := ui.New(ui.Config{API: backend, Secret: secret})
	require.NoError(t, err)
	srv := httptest.NewServer(page)
	t.Cleanup(func() {
		backend.Close()
		srv.Close()
		backend.Close()
	})
	s.url, s.client, s.backend = srv.URL, srv.Client(), backend
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

// beforeHandler serves the web interface before a backend that is h.
func beforeHandler(t testing.TB, h http.HandlerFunc) *site {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return before(t, srv.URL)
}

type reply struct {
	*http.Response
	body string
}

func (s *site) do(method, path, body string, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.send(r)
}

func (s *site) send(r *http.Request) reply {
	s.t.Helper()
	res, err := s.client.Do(r.WithContext(s.t.Context()))
	require.NoError(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return reply{res, string(text)}
}

func (s *site) problem(r reply, status int) httpapi.Problem {
	s.t.Helper()
	require.Equal(s.t, status, r.StatusCode, r.body)
	assert.Equal(s.t, "application/problem+json", r.Header.Get("Content-Type"))
	var p httpapi.Problem
	require.NoError(s.t, json.Unmarshal([]byte(r.body), &p))
	assert.Equal(s.t, status, p.Status)
	assert.Equal(s.t, http.StatusText(status), p.Title)
	assert.NotEmpty(s.t, p.Detail)
	assert.Equal(s.t, r.Header.Get("X-Request-Id"), p.RequestID)
	return p
}

// submit submits a program and returns its ID.
func (s *site) submit() string {
	s.t.Helper()
	r := s.do("POST", "/api/v1/tasks", `{"language":"python","code":"x"}`)
	require.Equal(s.t, http.StatusAccepted, r.StatusCode, r.body)
	var a httpapi.Accepted
	require.NoError(s.t, json.Unmarshal([]byte(r.body), &a))
	return a.TaskID
}

func (s *site) failures(reason string) float64 {
	s.t.Helper()
	all, err := s.metrics.Gather()
	require.NoError(s.t, err)
	for _, m := range all[0].Metric {
		if m.Label[0].GetValue() == reason {
			return m.Counter.GetValue()
		}
	}
	s.t.Fatalf("no count of %s", reason)
	return 0
}

// service is a real API over the memory adapters and a scripted executor, which
// may go away and come back at the same address.
type service struct {
	t    testing.TB
	cfg  httpapi.Config
	addr string
	api  *httpapi.API
	srv  *http.Server
}

func serve(t testing.TB, policy taskrunner.Policy, script ...fakes.Step) *service {
	t.Helper()
	return serveOn(t, policy, fakes.NewExecutor(script...))
}

func serveOn(t testing.TB, policy taskrunner.Policy, executor ports.Executor) *service {
	t.Helper()
	core := taskrunner.Config{Backend: memory.New(), Executor: executor, Policy: policy, Logger: slog.New(slog.DiscardHandler)}
	client, err := taskrunner.NewClient(core)
	require.NoError(t, err)
	worker, err := taskrunner.NewWorker(core)
	require.NoError(t, err)
	require.NoError(t, worker.Start(t.Context()))
	s := &service{t: t, cfg: httpapi.Config{Client: client, Logger: core.Logger}, addr: "127.0.0.1:0"}
	s.start()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = worker.Stop(ctx)
		s.kill()
	})
	return s
}

func (s *service) start() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	require.NoError(s.t, err)
	s.addr = l.Addr().String()
	s.api, err = httpapi.New(s.cfg)
	require.NoError(s.t, err)
	s.srv = httpapi.NewServer("", s.api)
	go func(srv *http.Server) { _ = srv.Serve(l) }(s.srv)
}

// kill closes every connection, in the middle of whatever it is.
func (s *service) kill() { _ = s.srv.Close() }

// reader reads a stream of events.
type reader struct {
	t      testing.TB
	lines  *bufio.Reader
	lastID string
}

func (s *site) follow(id, after string) *reader {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/tasks/"+id+"/stream", nil)
	require.NoError(s.t, err)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	res, err := s.client.Do(r)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = res.Body.Close() })
	require.Equal(s.t, http.StatusOK, res.StatusCode)
	require.Equal(s.t, "text/event-stream", res.Header.Get("Content-Type"))
	return &reader{t: s.t, lines: bufio.NewReader(res.Body)}
}

// next returns the next event's name and data; two empty ones at the stream's end,
// which is as clean as that of any other answer.
func (r *reader) next() (name, data string) {
	r.t.Helper()
	for {
		line, err := r.lines.ReadString('\n')
		if err == io.EOF {
			return "", ""
		}
		require.NoError(r.t, err)
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case field == "id":
			r.lastID = value
		case field == "event":
			name = value
		case field == "data":
			data = value
		case line == "\n" && name != "":
			return name, data
		}
	}
}

// until returns the data of the next event of that name.
func (r *reader) until(name string) string {
	r.t.Helper()
	for {
		got, data := r.next()
		require.NotEmpty(r.t, got, "the stream ended before %s", name)
		if got == name {
			return data
		}
	}
}

func TestThePageHasTheAPIOfTheBackend(t *testing.T) {
	t.Parallel()
	api := serve(t, taskrunner.Policy{}, fakes.Stdout("hello\n"))
	s := before(t, "http://"+api.addr)

	r := s.do("POST", "/api/v1/tasks?wait=60s", `{"language":"python","code":"x"}`)
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	location := r.Header.Get("Location")
	assert.Regexp(t, `^/api/v1/tasks/[^/]+$`, location)
	assert.Contains(t, s.do("GET", location, "").body, `"status":"succeeded"`)

	log := s.do("GET", location+"/logs/stdout", "", "Range", "bytes=1-3")
	assert.Equal(t, http.StatusPartialContent, log.StatusCode)
	assert.Equal(t, "ell", log.body)
	assert.Equal(t, "bytes 1-3/6", log.Header.Get("Content-Range"))
	assert.Contains(t, log.Header.Get("Content-Disposition"), "stdout.txt")

	for name, tt := range map[string]struct {
		method, path, body, code string
		status                   int
	}{
		"a bad field":             {"POST", "/api/v1/tasks", `{"language":"cobol","code":"x"}`, "invalid_input", 400},
		"a query that is broken":  {"GET", "/api/v1/tasks?limit=%zz", "", "invalid_input", 400},
		"a parameter of nobody's": {"GET", "/api/v1/tasks?limti=1", "", "invalid_input", 400},
		"a task that is not":      {"GET", "/api/v1/tasks/0199", "", "not_found", 404},
		"a method that is not":    {"PUT", "/api/v1/tasks", "", "method_not_allowed", 405},
	} {
		p := s.problem(s.do(tt.method, tt.path, tt.body, "X-Request-Id", "my-id.1"), tt.status)
		assert.Equal(t, tt.code, p.Code, name)
		assert.Equal(t, "my-id.1", p.RequestID, name)
	}
}

func TestEventsArriveOneByOneAndAreResumed(t *testing.T) {
	t.Parallel()
	second, end := make(chan struct{}), make(chan struct{})
	api := serve(t, taskrunner.Policy{}, fakes.Stdout("first"), fakes.Until(second), fakes.Stdout("second"), fakes.Until(end))
	s := before(t, "http://"+api.addr)
	id := s.submit()

	idle := s.follow(id, "") // is not read until the end, and holds up nobody
	r := s.follow(id, "")
	assert.Contains(t, r.until("stdout"), `"first"`)
	place := r.lastID
	close(second) // which is not written before the first was read
	assert.Contains(t, r.until("stdout"), `"second"`)
	assert.Contains(t, s.follow(id, place).until("stdout"), `"second"`, "a reader that resumes sees nothing twice")
	close(end)
	r.until("end")
	name, _ := r.next()
	assert.Empty(t, name, "nothing follows the end")
	assert.Contains(t, idle.until("stdout"), `"first"`)
	idle.until("end")
	assert.Equal(t, http.StatusNoContent, s.do("GET", "/api/v1/tasks/"+id+"/stream", "", "Last-Event-ID", r.lastID).StatusCode)
}

func TestABackendThatGoesAwayIsMissedAndComesBack(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	api := serve(t, taskrunner.Policy{}, fakes.Stdout("first"), fakes.Until(second), fakes.Stdout("second"))
	s := before(t, "http://"+api.addr)
	id := s.submit()
	r := s.follow(id, "")
	assert.Contains(t, r.until("stdout"), `"first"`)

	api.kill()
	name, _ := r.next()
	assert.Empty(t, name, "the stream ends, so that its reader connects again")
	assert.Equal(t, 1.0, s.failures("broken"))
	for _, request := range [][3]string{
		{"GET", "/api/v1/tasks", ""}, {"GET", "/api/v1/tasks/" + id + "/stream", ""}, {"POST", "/api/v1/tasks", `{"language":"python","code":"x"}`},
	} {
		answer := s.do(request[0], request[1], request[2])
		assert.Equal(t, "unavailable", s.problem(answer, http.StatusServiceUnavailable).Code)
		assert.Equal(t, "5", answer.Header.Get("Retry-After"))
		assert.Equal(t, "default-src 'none'; sandbox; frame-ancestors 'none'", answer.Header.Get("Content-Security-Policy"))
		assert.NotContains(t, answer.body, api.addr, "where the backend is, is nobody's business")
	}
	assert.GreaterOrEqual(t, s.failures("unreachable"), 3.0)
	page := s.do("GET", "/tasks/"+id, "")
	assert.Equal(t, http.StatusServiceUnavailable, page.StatusCode)
	assert.Contains(t, page.body, "Task Runner is not available right now.")
	assert.Equal(t, http.StatusOK, s.do("GET", "/static/base.css", "").StatusCode)
	assert.Equal(t, http.StatusNotFound, s.do("GET", "/nothing", "").StatusCode)
	assert.Error(t, s.backend.Ready(t.Context()))

	api.start()
	require.NoError(t, s.backend.Ready(t.Context()))
	r = s.follow(id, r.lastID)
	close(second)
	assert.Contains(t, r.until("stdout"), `"second"`)
	r.until("end")
}

// answers is a backend in this process.
type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (f answers) wrap(cfg *ui.BackendConfig) {
	cfg.Wrap = func(http.RoundTripper) http.RoundTripper { return f }
}

func answer(status int) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}
}

func TestABackendThatIsNotReadySaysSo(t *testing.T) {
	t.Parallel()
	s := beforeHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"status":"unavailable","checks":{"redis":"failed"}}`)
		}
	})
	assert.ErrorContains(t, s.backend.Ready(t.Context()), `"redis":"failed"`)
}

func TestEachFailureHasItsReason(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err    error
		reason string
	}{
		"it cannot be dialled":   {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, "unreachable"},
		"it does not answer":     {&net.OpError{Op: "read", Err: context.DeadlineExceeded}, "slow"},
		"it closes a connection": {io.EOF, "broken"},
	} {
		s := before(t, "http://backend", answers(func(*http.Request) (*http.Response, error) { return nil, tt.err }).wrap)
		assert.Equal(t, "unavailable", s.problem(s.do("GET", "/api/v1/tasks", ""), http.StatusServiceUnavailable).Code, name)
		assert.Equal(t, 1.0, s.failures(tt.reason), name)
	}
}

func TestOnlyWhoWaitsIsWaitedForForLong(t *testing.T) {
	t.Parallel()
	var used atomic.Pointer[http.Transport]
	s := before(t, "http://backend", func(cfg *ui.BackendConfig) {
		cfg.Wrap = func(next http.RoundTripper) http.RoundTripper {
			return answers(func(*http.Request) (*http.Response, error) {
				used.Store(next.(*http.Transport))
				return answer(http.StatusOK), nil
			})
		}
	})
	s.do("POST", "/api/v1/tasks", "{}")
	assert.Equal(t, 30*time.Second, used.Load().ResponseHeaderTimeout)
	s.do("POST", "/api/v1/tasks?wait=60s", "{}")
	assert.Equal(t, 90*time.Second, used.Load().ResponseHeaderTimeout)
}

func TestWhatACallerSaysOfItselfPassesOnlyByName(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	s := beforeHandler(t, func(_ http.ResponseWriter, r *http.Request) { got <- r })
	r, err := http.NewRequest(http.MethodGet, s.url+"/api/v1/tasks?limit=1", nil)
	require.NoError(t, err)
	r.Header = http.Header{
		"Accept": {"application/json"}, "Authorization": {"Bearer x"}, "Accept-Encoding": {"identity"}, "User-Agent": {"me/1"},
		"Cookie": {"session=secret"}, "Origin": {s.url}, "Referer": {s.url + "/tasks/1"}, "Sec-Fetch-Site": {"same-origin"},
		"Forwarded": {"for=6.6.6.6"}, "X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"https"},
		"X-Forwarded-Port": {"1"}, "X-Real-Ip": {"6.6.6.6"}, "X-Original-Url": {"/metrics"}, "X-Http-Method-Override": {"PUT"},
		"Connection": {"Authorization, X-Request-Id, Upgrade"}, "Upgrade": {"websocket"}, "Te": {"trailers"},
		"Proxy-Authorization": {"Basic x"}, "Keep-Alive": {"timeout=1"}, "Traceparent": {"00-1-1-01"}, "Expect": {"100-continue"},
	}
	r.Header["X-Request-Id"] = []string{"not\tharmless"}
	s.send(r)
	in := <-got
	id := in.Header.Get("X-Request-Id")
	assert.Regexp(t, `^[A-Z2-7]{26}$`, id)
	in.Header.Del("X-Request-Id")
	assert.Equal(t, http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {"me/1"},
		"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {strings.TrimPrefix(s.url, "http://")}, "X-Forwarded-Proto": {"http"},
	}, in.Header, "the caller itself said that Authorization is for the next hop alone")
	assert.NotEqual(t, strings.TrimPrefix(s.url, "http://"), in.Host)
	assert.Equal(t, "/api/v1/tasks?limit=1", in.RequestURI)

	s.do("GET", "/api/v1/tasks", "", "Authorization", "Bearer x", "X-Request-Id", "my-id.1")
	in = <-got
	assert.Equal(t, "Bearer x", in.Header.Get("Authorization"))
	assert.Equal(t, "my-id.1", in.Header.Get("X-Request-Id"))
}

func TestAllThatTheAPIHasForOtherPagesPassesForThisOne(t *testing.T) {
	t.Parallel()
	api := serve(t, taskrunner.Policy{})
	cfg := api.cfg
	cfg.AllowedOrigins = []string{"https://ui.example.com"}
	foreign, err := httpapi.New(cfg)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodOptions, "/api/v1/tasks", nil)
	r.Header.Set("Origin", "https://ui.example.com")
	r.Header.Set("Access-Control-Request-Method", "POST")
	w := httptest.NewRecorder()
	foreign.ServeHTTP(w, r)
	list := func(field string) []string { return strings.Split(w.Header().Get(field), ", ") }

	asked := list("Access-Control-Allow-Headers")
	require.Contains(t, asked, "Idempotency-Key")
	answered := list("Access-Control-Expose-Headers")
	require.Contains(t, answered, "Retry-After")
	s := beforeHandler(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range asked {
			assert.Equal(t, "harmless", r.Header.Get(name), name)
		}
		for _, name := range answered {
			w.Header().Set(name, "harmless")
		}
	})
	var header []string
	for _, name := range asked {
		header = append(header, name, "harmless")
	}
	got := s.do("GET", "/api/v1/tasks", "", header...)
	for _, name := range answered {
		assert.Equal(t, "harmless", got.Header.Get(name), name)
	}
}

func TestWhatTheBackendSaysOfItselfPassesOnlyByName(t *testing.T) {
	t.Parallel()
	s := beforeHandler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</x>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		for name, value := range map[string]string{
			"Set-Cookie": "session=theirs", "Access-Control-Allow-Origin": "*", "Content-Security-Policy": "default-src *",
			"Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "unsafe-url",
			"Server": "secret/1", "X-Request-Id": "theirs", "Trailer": "Set-Cookie", "Location": "https://run.example.com/path/api/v1/tasks/1%2Fapi%2F",
			"Content-Type": "application/json", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, value)
		}
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("Set-Cookie", "session=theirs")
	})
	r := s.do("GET", "/api/v1/tasks", "", "X-Request-Id", "mine")
	r.Header.Del("Date")
	r.Header.Del("Content-Length")
	assert.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "Location": {"/api/v1/tasks/1%2Fapi%2F"}, "X-Request-Id": {"mine"},
		"Content-Security-Policy": {"default-src 'none'; sandbox; frame-ancestors 'none'"}, "X-Content-Type-Options": {"nosniff"},
		"Referrer-Policy": {"same-origin"}, "Cross-Origin-Opener-Policy": {"same-origin"}, "Cross-Origin-Resource-Policy": {"same-origin"},
	}, r.Header)
	assert.Empty(t, r.Trailer)
}

func TestABackendCannotTurnACallIntoSomethingElse(t *testing.T) {
	t.Parallel()
	s := beforeHandler(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			_ = conn.Close()
		}
	})
	assert.Equal(t, "unavailable", s.problem(s.do("GET", "/api/v1/tasks", "", "Connection", "Upgrade", "Upgrade", "websocket"), http.StatusServiceUnavailable).Code)
}

// raw sends bytes as they are, and nothing behind them if they are to end there, and
// returns the statuses of the answers.
func (s *site) raw(text string, ends bool) (statuses []string) {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(s.t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, text)
	require.NoError(s.t, err)
	if ends {
		require.NoError(s.t, conn.(*net.TCPConn).CloseWrite())
	}
	all, err := io.ReadAll(conn)
	require.NoError(s.t, err)
	for line := range strings.Lines(string(all)) {
		if version, rest, _ := strings.Cut(line, " "); version == "HTTP/1.1" {
			status, _, _ := strings.Cut(rest, " ")
			statuses = append(statuses, status)
		}
	}
	return statuses
}

func TestNoPathLeadsOutOfTheAPI(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 1)
	s := beforeHandler(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" { // the page's own question
			reached <- r.RequestURI
		}
	})
	for _, path := range []string{
		"/metrics", "/healthz", "/readyz", "/openapi.json", "/docs", "/api", "//api/v1/tasks", "/API/v1/tasks", "/apis/",
		"/api/../metrics", "/api/v1/../../metrics", "/api/%2e%2e/metrics", "/api/%2E%2E%2Fmetrics", "/api/..%2fmetrics", "/api%2f..%2fmetrics",
		"/api/./v1/tasks", "/api//v1/tasks", "/api/v1/%2e/tasks", "/api/v1/tasks/..", "/api/v1/tasks/%2e%2e", "/api/v1/tasks/x%2f..%2f..", "/%61pi/../metrics",
		"http://evil.example/metrics", "*",
	} {
		for _, method := range []string{"GET", "POST", "CONNECT"} {
			s.raw(method+" "+path+" HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n", false)
			assert.Empty(t, asked(reached), "%s %s", method, path)
		}
	}
	for path, want := range map[string]string{
		"/api/v1/tasks/a%2Fb":         "/api/v1/tasks/a%2Fb",
		"/api/v1/tasks/":              "/api/v1/tasks/",
		"/api/v1/tasks/%252e%252e":    "/api/v1/tasks/%252e%252e",
		"/%61pi/v1/tasks":             "/%61pi/v1/tasks",
		"http://web/api/v1/tasks?a=b": "/api/v1/tasks?a=b",
	} {
		assert.Equal(t, []string{"200"}, s.raw("GET "+path+" HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n", false), path)
		assert.Equal(t, want, asked(reached), path)
	}
}

// asked returns what has come out of reached, if anything did.
func asked[T any](reached chan T) (v T) {
	select {
	case v = <-reached:
	default:
	}
	return v
}

func TestOneRequestIsOneRequest(t *testing.T) {
	t.Parallel()
	type seen struct{ method, uri, body string }
	reached := make(chan seen, 9)
	s := beforeHandler(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		reached <- seen{r.Method, r.RequestURI, string(body)}
	})
	const inner = "GET /api/smuggled HTTP/1.1\r\nHost: web\r\n\r\n"
	for name, tt := range map[string]struct {
		head, body string
		status     string
		want       seen
	}{
		"a length and chunks, where chunks hide a request": {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "29\r\n" + inner + "\r\n0\r\n\r\n",
			"200", seen{"POST", "/api/v1/tasks", inner}},
		"two lengths":                 {"Content-Length: 0\r\nContent-Length: 43\r\n", inner, "400", seen{}},
		"a length that is a list":     {"Content-Length: 0, 43\r\n", inner, "400", seen{}},
		"a coding nobody knows":       {"Transfer-Encoding: xchunked\r\n", inner, "501", seen{}},
		"chunks twice":                {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + inner, "501", seen{}},
		"a space before the colon":    {"Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + inner, "400", seen{}},
		"a chunk size that overflows": {"Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n", "400", seen{}},
		"a line break in a field":     {"X-Request-Id: a\rTransfer-Encoding: chunked\r\n", "", "400", seen{}},
	} {
		text := "POST /api/v1/tasks HTTP/1.1\r\nHost: web\r\nConnection: close\r\n" + tt.head + "\r\n" + tt.body
		assert.Equal(t, []string{tt.status}, s.raw(text, false), name)
		assert.Equal(t, tt.want, asked(reached), name)
		assert.Empty(t, reached, name)
	}
}

// unread is a body that must not be asked for.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was sent")
	return 0, io.EOF
}

func TestABodyIsRefusedWhereTheAPIRefusesIt(t *testing.T) {
	t.Parallel()
	api := serve(t, taskrunner.Policy{MaxInput: 1 << 20, MaxCode: 1 << 20}, fakes.Exit(0))
	s := before(t, "http://"+api.addr)
	const limit = 2<<20 + 64<<10
	program := func(size int) string {
		const head, tail = `{"language":"python","code":"x"`, `}`
		return head + strings.Repeat(" ", size-len(head)-len(tail)) + tail
	}
	post := func(body io.Reader, length int64) reply {
		r, err := http.NewRequest(http.MethodPost, s.url+"/api/v1/tasks", body)
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = length
		if length > limit {
			r.Header.Set("Expect", "100-continue")
		}
		return s.send(r)
	}
	s.client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	onlyReader := func(text string) io.Reader { return struct{ io.Reader }{strings.NewReader(text)} }

	assert.Equal(t, http.StatusAccepted, post(onlyReader(program(limit)), limit).StatusCode)
	assert.Equal(t, http.StatusAccepted, post(onlyReader(program(limit)), -1).StatusCode)
	assert.Equal(t, "too_large", s.problem(post(unread{t}, limit+1), http.StatusRequestEntityTooLarge).Code)
	assert.Equal(t, "too_large", s.problem(post(unread{t}, 1<<40), http.StatusRequestEntityTooLarge).Code)
	assert.Equal(t, "too_large", s.problem(post(onlyReader(program(limit+1)), -1), http.StatusRequestEntityTooLarge).Code)
	assert.Zero(t, s.failures("broken"))
}

func TestABodyThatEndsBeforeItsEndIsTheCallersFault(t *testing.T) {
	t.Parallel()
	s := beforeHandler(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	for name, body := range map[string]string{
		"it has fewer bytes":  "Content-Length: 10\r\n\r\nabc",
		"it has fewer chunks": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		text := "POST /api/v1/tasks HTTP/1.1\r\nHost: web\r\nConnection: close\r\n" + body
		assert.Equal(t, []string{"400"}, s.raw(text, true), name)
	}
	assert.Zero(t, s.failures("broken")+s.failures("unreachable")+s.failures("slow"))
}

func TestAReaderWhoGoesIsNotReadForAnyLonger(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	s := beforeHandler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ": hello\n\n")
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/tasks/1/stream", nil)
	require.NoError(t, err)
	res, err := s.client.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	cancel()
	<-gone
	assert.Zero(t, s.failures("broken"))
}

func TestAnAnswerThatBreaksOffIsNotTakenForAWholeOne(t *testing.T) {
	t.Parallel()
	s := beforeHandler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "the first ha")
		assert.NoError(t, http.NewResponseController(w).Flush())
		panic(http.ErrAbortHandler)
	})
	res, err := s.client.Get(s.url + "/api/v1/tasks/1/logs/stdout")
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	assert.Error(t, err)
	assert.Equal(t, "the first ha", string(text))
	assert.Equal(t, 1.0, s.failures("broken"))
}

func TestADrainEndsStreamsAndNothingElse(t *testing.T) {
	t.Parallel()
	drained := make(chan struct{})
	s := beforeHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: status\ndata: {}\n\n")
			assert.NoError(t, http.NewResponseController(w).Flush())
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusOK)
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-drained
		_, _ = io.WriteString(w, "whole")
	})
	r := s.follow("1", "")
	r.until("status")
	res, err := s.client.Get(s.url + "/api/v1/tasks/1/logs/stdout")
	require.NoError(t, err)
	defer res.Body.Close()
	s.backend.Drain()
	s.backend.Drain()
	name, _ := r.next()
	assert.Empty(t, name)
	late := s.follow("1", "") // one that is asked for meanwhile ends too
	for name, _ = late.next(); name != ""; name, _ = late.next() {
	}
	close(drained)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, "whole", string(text))
	assert.Zero(t, s.failures("broken"))
}

// deadlines notes what deadlines a response is given.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = append(d.read, at)
	return nil
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.write = append(d.write, at)
	return nil
}

func TestABrowserHasTenSecondsForEachWriteAndTwoMinutesForABody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := ui.BackendConfig{URL: "http://backend", Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)}
		answers(func(r *http.Request) (*http.Response, error) {
			_, err := io.Copy(io.Discard, r.Body)
			assert.NoError(t, err)
			return answer(http.StatusOK), nil
		}).wrap(&cfg)
		b, err := ui.NewBackend(cfg)
		require.NoError(t, err)
		defer b.Close()
		w, begin := &deadlines{ResponseRecorder: httptest.NewRecorder()}, time.Now()
		b.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/tasks", strings.NewReader("{}")))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		assert.Equal(t, []time.Time{begin.Add(125 * time.Second), {}}, w.read, "none is left for the wait")
		require.NotEmpty(t, w.write)
		assert.Equal(t, begin.Add(10*time.Second), w.write[0])
		assert.Zero(t, w.write[len(w.write)-1], "none is left for the silence between two events")
	})
}

func TestFailuresAreLoggedUnderTheRequestsID(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := before(t, "http://backend", answers(func(*http.Request) (*http.Response, error) { return nil, io.EOF }).wrap,
		func(cfg *ui.BackendConfig) { cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	s.do("GET", "/api/v1/tasks", "", "X-Request-Id", "my-id.1", "Authorization", "Bearer secret")
	var line map[string]any
	require.NoError(t, json.Unmarshal(log.Bytes(), &line))
	assert.Equal(t, "my-id.1", line["request_id"])
	assert.Equal(t, "broken", line["reason"])
	assert.NotContains(t, log.String(), "secret")
}

func TestAnAddressThatIsNoBackendsIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "backend:8000", "127.0.0.1:8000", "ftp://backend", "http://", "http://:8000", "http://u:p@backend", "http://backend/path",
		"http://backend?x=1", "http://backend#x", "http://backend:port", "http://back end",
	} {
		_, err := ui.NewBackend(ui.BackendConfig{URL: url, Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
		field, ok := errors.AsType[*ports.FieldError](err)
		if assert.True(t, ok, url) {
			assert.Equal(t, "backend_url", field.Field)
		}
	}
	for _, url := range []string{"http://127.0.0.1:8000", "https://backend.example.com/", "http://[::1]:8000"} {
		_, err := ui.NewBackend(ui.BackendConfig{URL: url, Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
		assert.NoError(t, err, url)
	}
}

func TestTheCountOfFailuresIsSound(t *testing.T) {
	t.Parallel()
	s := before(t, "http://backend", answers(func(*http.Request) (*http.Response, error) { return nil, io.EOF }).wrap)
	problems, err := testutil.GatherAndLint(s.metrics)
	require.NoError(t, err)
	assert.Empty(t, problems)
	reasons := map[string]bool{}
	all, err := s.metrics.Gather()
	require.NoError(t, err)
	for _, m := range all[0].Metric {
		reasons[m.Label[0].GetValue()] = true
	}
	assert.Equal(t, []string{"broken", "slow", "unreachable"}, slices.Sorted(maps.Keys(reasons)), "all are there before anything failed")
}
