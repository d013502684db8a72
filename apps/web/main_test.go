package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/joho/godotenv"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "SECRET_KEY=0123456789abcdef0123456789abcdef"

// program is the program serving.
type program struct {
	t      *testing.T
	url    string
	client *http.Client
	stop   context.CancelFunc
	done   chan struct{}
	code   int
	log    bytes.Buffer // may be read once done is closed
}

// start starts the program on a free port. It is stopped at the end of the test at the
// latest.
func start(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	transport := &http.Transport{}
	p := &program{t: t, client: &http.Client{Transport: transport}, stop: cancel, done: make(chan struct{})}
	stderr, log := io.Pipe()
	go func() {
		w := newWeb()
		p.code = w.Run(ctx, append([]string{"--web-addr=127.0.0.1:0"}, args...), append(env, secret), io.Discard, log, w.run)
		_ = log.Close()
	}()
	served := make(chan string, 1)
	go func() {
		defer close(p.done)
		defer close(served)
		lines := bufio.NewScanner(io.TeeReader(stderr, &p.log))
		for lines.Scan() {
			var line struct{ Msg, URL string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.URL != "" {
				served <- line.URL
			}
		}
	}()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		p.end()
	})
	p.url = <-served
	require.NotEmpty(t, p.url, "it did not start")
	return p
}

// end stops the program and returns its exit code.
func (p *program) end() int {
	p.stop()
	<-p.done
	return p.code
}

func (p *program) get(path, host string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	require.NoError(p.t, err)
	r.Host = host
	res, err := p.client.Do(r)
	require.NoError(p.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	return res.StatusCode, string(body)
}

// backend serves an API whose tasks run the script, and returns its address.
func backend(t *testing.T, script ...fakes.Step) string {
	t.Helper()
	core := taskrunner.Config{Backend: memory.New(), Executor: fakes.NewExecutor(script...), Logger: slog.New(slog.DiscardHandler)}
	client, err := taskrunner.NewClient(core)
	require.NoError(t, err)
	worker, err := taskrunner.NewWorker(core)
	require.NoError(t, err)
	require.NoError(t, worker.Start(t.Context()))
	api, err := httpapi.New(httpapi.Config{Client: client, Logger: core.Logger})
	require.NoError(t, err)
	srv := httptest.NewServer(api)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = worker.Stop(ctx)
		api.Drain()
		srv.Close()
	})
	return srv.URL
}

// nowhere is an address at which nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestThePageIsServedBeforeItsBackend(t *testing.T) {
	t.Parallel()
	api := backend(t, fakes.Stdout("hello\n"))
	p := start(t, []string{"BACKEND_URL=" + api})
	status, page := p.get("/", "")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, page, `<a href="`+api+`/docs">`, "both are on loopback")
	res, err := p.client.Post(p.url+"/api/v1/tasks?wait=60s", "application/json", strings.NewReader(`{"language":"python","code":"x"}`))
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, http.StatusOK, res.StatusCode)
	for path, want := range map[string]string{
		"/healthz": `{"status":"ok"}`,
		"/readyz":  `{"status":"ready","checks":{"backend":"ok"}}`,
	} {
		status, body := p.get(path, "")
		assert.Equal(t, http.StatusOK, status)
		assert.JSONEq(t, want, body)
	}
	_, metrics := p.get("/metrics", "")
	for _, want := range []string{
		`taskrunner_web_request_duration_seconds_count{code="2xx",method="GET",route="/{$}"} 1`,
		`taskrunner_web_request_duration_seconds_count{code="2xx",method="POST",route="/api/"} 1`,
		`taskrunner_web_request_duration_seconds_count{code="2xx",method="GET",route="/readyz"} 1`,
		`taskrunner_web_backend_failures_total{reason="unreachable"} 0`,
		"go_goroutines", "process_open_fds",
	} {
		assert.Contains(t, metrics, want)
	}
	assert.NotContains(t, metrics, "taskrunner_queue", "the backend's figures are its own")
	for _, host := range []string{"evil.example", "127.0.0.2"} {
		for _, path := range []string{"/", "/api/v1/tasks", "/metrics", "/static/base.css"} {
			status, _ := p.get(path, host)
			assert.Equal(t, http.StatusMisdirectedRequest, status, "%s of %s", path, host)
		}
	}
	p.client.CloseIdleConnections()
	assert.Zero(t, p.end())
	assert.NotContains(t, p.log.String(), "0123456789abcdef")
}

func TestWithoutItsBackendThePageSaysSo(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "--backend-url="+nowhere(t), "--docs-url=https://run.example.com/docs", "--allowed-hosts=run.example.com")
	status, page := p.get("/", "run.example.com")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Contains(t, page, "Task Runner is not available right now.")
	assert.Contains(t, page, `<a href="https://run.example.com/docs">`)
	status, body := p.get("/readyz", "")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.JSONEq(t, `{"status":"unavailable","checks":{"backend":"failed"}}`, body)
	status, _ = p.get("/healthz", "")
	assert.Equal(t, http.StatusOK, status)
	status, body = p.get("/api/v1/tasks", "")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Contains(t, body, `"code":"unavailable"`)
	_, metrics := p.get("/metrics", "")
	assert.Contains(t, metrics, `taskrunner_web_backend_failures_total{reason="unreachable"} 2`, "of the page and the call")

	for command, want := range map[string]int{"health": 0, "ready": 1} {
		w := newWeb()
		var stderr bytes.Buffer
		addr := strings.TrimPrefix(p.url, "http://")
		assert.Equal(t, want, w.Run(t.Context(), []string{command, "--web-addr=" + addr}, nil, io.Discard, &stderr, w.run), command)
		if want != 0 {
			assert.Contains(t, stderr.String(), `"backend":"failed"`)
		}
	}
}

func TestEveryWebWithTheSecretKnowsASession(t *testing.T) {
	t.Parallel()
	api := "--backend-url=" + backend(t)
	one, other := start(t, nil, api), start(t, nil, api)
	one.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := one.client.PostForm(one.url+"/theme", url.Values{"theme": {"dark"}})
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.Len(t, res.Cookies(), 1)
	r, err := http.NewRequest(http.MethodGet, other.url, nil)
	require.NoError(t, err)
	r.AddCookie(res.Cookies()[0])
	res, err = other.client.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Contains(t, string(page), `data-theme="dark"`)
	assert.Empty(t, res.Cookies(), "who only looks is not given another one")
	for _, p := range []*program{one, other} {
		p.client.CloseIdleConnections()
		assert.Zero(t, p.end())
		assert.NotContains(t, p.log.String(), r.Header.Get("Cookie"))
		assert.NotContains(t, p.log.String(), "0123456789abcdef")
	}
}

func TestADrainLetsRequestsEndAndSendsReadersOn(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	p := start(t, nil, "--backend-url="+backend(t, fakes.Stdout("first"), fakes.Until(over)))
	res, err := p.client.Post(p.url+"/api/v1/tasks", "application/json", strings.NewReader(`{"language":"python","code":"x"}`))
	require.NoError(t, err)
	defer res.Body.Close()
	stream, err := p.client.Get(p.url + res.Header.Get("Location") + "/stream")
	require.NoError(t, err)
	defer stream.Body.Close()
	lines := bufio.NewReader(stream.Body)
	for line := ""; !strings.Contains(line, `"first"`); {
		line, err = lines.ReadString('\n')
		require.NoError(t, err)
	}
	p.stop()
	rest, err := io.ReadAll(lines)
	assert.NoError(t, err, "the stream ends like any other")
	assert.NotContains(t, string(rest), "event: end")
	close(over)
	assert.Zero(t, p.end())
	assert.Contains(t, p.log.String(), "draining")
}

func TestABadSettingIsNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args, env []string
		want      []string
	}{
		"a backend that is no URL": {env: []string{"BACKEND_URL=backend:8000"}, want: []string{"BACKEND_URL", "--backend-url", "http://127.0.0.1:8000"}},
		"a backend with a path":    {args: []string{"--backend-url=http://backend/path"}, want: []string{"BACKEND_URL", "a host alone"}},
		"documentation nowhere":    {env: []string{"TASKRUNNER_DOCS_URL=javascript:alert(1)"}, want: []string{"TASKRUNNER_DOCS_URL", "http or https"}},
		"a host with a port":       {env: []string{"TASKRUNNER_ALLOWED_HOSTS=web:5000"}, want: []string{"TASKRUNNER_ALLOWED_HOSTS", "without port"}},
		"an address without port":  {env: []string{"TASKRUNNER_WEB_ADDR=127.0.0.1"}, want: []string{"TASKRUNNER_WEB_ADDR", "HOST:PORT"}},
		"a short secret":           {env: []string{"SECRET_KEY=tooshort"}, want: []string{"SECRET_KEY", "at least 32 bytes"}},
		"a secret as a flag":       {args: []string{"--secret-key=tooshort"}, want: []string{"secret-key"}},
		"the default secret for strangers": {args: []string{"--web-addr=0.0.0.0:0"},
			want: []string{"SECRET_KEY", "TASKRUNNER_PUBLISHED_ON", "openssl rand -hex 32"}},
		"the default secret, published for strangers": {env: []string{"TASKRUNNER_PUBLISHED_ON=0.0.0.0"}, want: []string{"SECRET_KEY"}},
		"a word too many":  {args: []string{"serve"}, want: []string{`no command "serve"`}},
		"no such variable": {args: []string{"--no-such-flag"}, want: []string{"no-such-flag"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWeb()
			var stderr bytes.Buffer
			args := tt.args
			if len(args) == 0 || strings.HasPrefix(args[0], "--") {
				args = append([]string{"--web-addr=127.0.0.1:0"}, args...)
			}
			if strings.Contains(name, "address without") {
				args = nil
			}
			assert.Equal(t, 2, w.Run(t.Context(), args, tt.env, io.Discard, &stderr, w.run))
			for _, want := range tt.want {
				assert.Contains(t, stderr.String(), want)
			}
			assert.NotContains(t, stderr.String(), "tooshort")
		})
	}
}

func TestTheDefaultSecretIsForOneMachine(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"on loopback":           {"--web-addr=127.0.0.1:0"},
		"published on loopback": {"--web-addr=0.0.0.0:0", "--published-on=127.0.0.1"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it starts, and stops
		w := newWeb()
		var stderr bytes.Buffer
		assert.Zero(t, w.Run(ctx, args, nil, io.Discard, &stderr, w.run), stderr.String())
		assert.Contains(t, stderr.String(), "A DEFAULT SECRET IS IN USE", name)
	}
}

func TestTheDocumentationIsLinkedToWhereABrowserReachesIt(t *testing.T) {
	t.Parallel()
	loopback, everywhere := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4zero}
	for name, tt := range map[string]struct {
		args []string
		addr net.Addr
		want string
	}{
		"all on this machine":       {nil, loopback, "http://127.0.0.1:8000/docs"},
		"by name":                   {[]string{"--backend-url=http://localhost:1/"}, loopback, "http://localhost:1/docs"},
		"a page for others":         {nil, everywhere, ""},
		"a backend elsewhere":       {[]string{"--backend-url=http://backend:8000"}, loopback, ""},
		"where the operator says":   {[]string{"--docs-url=https://run.example.com/docs"}, everywhere, "https://run.example.com/docs"},
		"an address in version 6":   {[]string{"--backend-url=http://[::1]:8000"}, loopback, "http://[::1]:8000/docs"},
		"an address that is broken": {[]string{"--backend-url=http://["}, loopback, ""},
	} {
		w := newWeb()
		_, err := w.Settings.Parse(tt.args, nil)
		require.NoError(t, err)
		assert.Equal(t, tt.want, w.docs(tt.addr), name)
	}
}

func TestRequestsAreMeasuredUnderNamesOfOurs(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tasks/{id}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/api/", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h := measure(metrics, mux)
	do := func(method, path string) {
		defer func() { _ = recover() }()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
	}
	do("GET", "/tasks/1")
	do("HEAD", "/tasks/2")
	do("BREW", "/tasks/3")
	do("GET", "/nothing")
	do("GET", "/api/v1/tasks/1/stream")
	all, err := metrics.Gather()
	require.NoError(t, err)
	var got []string
	for _, m := range all[0].Metric {
		var labels []string
		for _, l := range m.Label {
			labels = append(labels, l.GetValue())
		}
		got = append(got, strings.Join(labels, " "))
	}
	assert.ElementsMatch(t, []string{"2xx GET /tasks/{id}", "2xx HEAD /tasks/{id}", "4xx other none", "4xx GET none", "aborted GET /api/"}, got)
	problems, err := testutil.GatherAndLint(metrics)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestTheExampleOfVariablesIsTrue(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	newWeb().Settings.PrintEnv(&want)
	got, err := os.ReadFile(".env.example")
	require.NoError(t, err)
	require.Equal(t, want.String(), string(got), `make it anew: go run ./apps/web env >apps/web/.env.example`)

	vars, err := godotenv.Read(".env.example")
	require.NoError(t, err)
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	_, err = newWeb().Settings.Parse(nil, env)
	assert.NoError(t, err, "every default is a value that may be given")
}
