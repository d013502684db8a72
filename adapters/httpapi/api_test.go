package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is an API over the memory adapters and a scripted executor.
type service struct {
	t       testing.TB
	api     *API
	client  *taskrunner.Client
	backend ports.Backend
	exec    *fakes.Executor
	url     string
	http    *http.Client
}

// setup is what a test may change of a service before it is made.
type setup struct {
	Config
	core   taskrunner.Config
	script []fakes.Step
	idle   bool // no worker
}

// assemble makes a service without a server.
func assemble(t testing.TB, changes ...func(*setup)) *service {
	t.Helper()
	s := setup{core: taskrunner.Config{Backend: memory.New(), Logger: slog.New(slog.DiscardHandler)}}
	s.Logger = slog.New(slog.DiscardHandler)
	for _, change := range changes {
		change(&s)
	}
	exec := fakes.NewExecutor(s.script...)
	s.core.Executor = exec
	client, err := taskrunner.NewClient(s.core)
	require.NoError(t, err)
	s.Client = client
	api, err := New(s.Config)
	require.NoError(t, err)
	if !s.idle {
		worker, err := taskrunner.NewWorker(s.core)
		require.NoError(t, err)
		require.NoError(t, worker.Start(t.Context()))
		t.Cleanup(func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = worker.Stop(ctx)
		})
	}
	return &service{t: t, api: api, client: client, backend: s.core.Backend, exec: exec}
}

// serve makes a service behind a real server.
func serve(t testing.TB, changes ...func(*setup)) *service {
	t.Helper()
	s := assemble(t, changes...)
	srv := httptest.NewUnstartedServer(s.api)
	srv.Config = NewServer("", s.api)
	srv.Start()
	t.Cleanup(func() {
		s.api.Drain()
		srv.Close()
	})
	s.url, s.http = srv.URL, srv.Client()
	return s
}

// in returns s for a subtest.
func (s service) in(t testing.TB) *service {
	s.t = t
	return &s
}

func script(steps ...fakes.Step) func(*setup) { return func(s *setup) { s.script = steps } }

func idle(s *setup) { s.idle = true }

// reply is a whole response.
type reply struct {
	*http.Response
	body string
}

func (s *service) do(method, path, body string, header ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header[http.CanonicalHeaderKey(header[i])] = nil
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := s.http.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return reply{res, string(data)}
}

func (s *service) get(path string, header ...string) reply {
	s.t.Helper()
	return s.do(http.MethodGet, path, "", header...)
}

func decode[T any](t testing.TB, r reply, status int) T {
	t.Helper()
	require.Equal(t, status, r.StatusCode, r.body)
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	var v T
	require.NoError(t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

// problemIn checks that r is a well-formed problem and returns it.
func problemIn(t testing.TB, r reply, status int) Problem {
	t.Helper()
	require.Equal(t, status, r.StatusCode, r.body)
	assert.Equal(t, "application/problem+json", r.Header.Get("Content-Type"))
	var p Problem
	require.NoError(t, json.Unmarshal([]byte(r.body), &p), r.body)
	assert.Equal(t, "about:blank", p.Type)
	assert.Equal(t, status, p.Status)
	assert.Equal(t, http.StatusText(status), p.Title)
	assert.NotEmpty(t, p.Detail)
	assert.NotEmpty(t, p.Code)
	assert.Equal(t, r.Header.Get("X-Request-Id"), p.RequestID)
	return p
}

const hello = `{"language":"python","code":"print('hi')"}`

// submit submits a program and returns its ID.
func (s *service) submit(body string) string {
	s.t.Helper()
	return decode[Accepted](s.t, s.do(http.MethodPost, "/api/v1/tasks", body), http.StatusAccepted).TaskID
}

// finish submits a program and returns it finished.
func (s *service) finish(body string) Task {
	s.t.Helper()
	return decode[Task](s.t, s.do(http.MethodPost, "/api/v1/tasks?wait=60s", body), http.StatusOK)
}

// count returns how many tasks there are.
func (s *service) count() int {
	s.t.Helper()
	page, err := s.client.List(s.t.Context(), taskrunner.ListQuery{Limit: ports.MaxPage})
	require.NoError(s.t, err)
	return len(page.Tasks)
}
