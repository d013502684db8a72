package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

func TestEveryAnswerForbidsABrowserToRunOrGuessAnything(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	for _, path := range []string{
		"/api/v1/tasks", "/api/v1/tasks/" + id, "/api/v1/tasks/" + id + "/logs", "/api/v1/tasks/" + id + "/logs/stdout",
		"/api/v1/languages", "/healthz", "/metrics", "/openapi.json", "/nowhere",
	} {
		h := s.get(path).Header
		assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		assert.Equal(t, "default-src 'none'; frame-ancestors 'none'; sandbox", h.Get("Content-Security-Policy"), path)
		assert.Equal(t, "no-store", h.Get("Cache-Control"), path)
		assert.NotContains(t, h.Get("Content-Type"), "html", path)
		assert.Empty(t, h.Get("Access-Control-Allow-Origin"), path)
	}
}

func TestOnlyAllowedHostNamesAreAnswered(t *testing.T) {
	t.Parallel()
	s := assemble(t, idle, func(s *setup) { s.AllowedHosts = []string{"localhost", "127.0.0.1", "::1", "Run.Example.com"} })
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8000": 200, "127.0.0.1:8000": 200, "[::1]:8000": 200, "[::1]": 200, "[0:0:0:0:0:0:0:1]:1": 200, "localhost.": 200,
		"run.example.com": 200,
		"evil.example":    421, "localhost.evil.example": 421, "127.0.0.1.evil.example:8000": 421, "": 421, "127.0.0.2": 421, "localhost:8000:1": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		assert.Equal(t, want, w.Code, host)
	}
}

func TestCallsFromForeignPagesAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, idle, func(s *setup) { s.AllowedOrigins = []string{"https://ui.example.com"} })
	post := func(header ...string) reply { return s.do(http.MethodPost, "/api/v1/tasks", hello, header...) }

	for _, foreign := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "same-site"},
	} {
		r := post(foreign...)
		assert.Equal(t, "cross_origin", problemIn(t, r, http.StatusForbidden).Code)
		assert.Empty(t, r.Header.Get("Access-Control-Allow-Origin"))
	}
	assert.Zero(t, s.count())

	r := post("Origin", "https://ui.example.com", "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusAccepted, r.StatusCode, r.body)
	assert.Equal(t, "https://ui.example.com", r.Header.Get("Access-Control-Allow-Origin"))
	assert.Contains(t, r.Header.Values("Vary"), "Origin")
	assert.Equal(t, http.StatusAccepted, post().StatusCode, "programs send no origin")

	preflight := s.do(http.MethodOptions, "/api/v1/tasks", "", "Origin", "https://ui.example.com", "Access-Control-Request-Method", "POST")
	assert.Equal(t, http.StatusNoContent, preflight.StatusCode)
	assert.Contains(t, preflight.Header.Get("Access-Control-Allow-Headers"), "Content-Type")
	refused := s.do(http.MethodOptions, "/api/v1/tasks", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	assert.Empty(t, refused.Header.Get("Access-Control-Allow-Origin"))
	problemIn(t, refused, http.StatusMethodNotAllowed)
}

// broken is a store that fails with a secret in its error, or panics.
type broken struct {
	ports.Store
	err error
}

func (b broken) Get(context.Context, ports.TaskID) (ports.Task, error) {
	if b.err == nil {
		panic("secret")
	}
	return ports.Task{}, b.err
}

func TestWhatBreaksInsideIsLoggedAndNotShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
		retry  string
	}{
		"a failure":             {errors.New("dial 10.0.0.7: secret"), 503, "5"},
		"a panic":               {nil, 500, ""},
		"a slow part":           {fmt.Errorf("secret: %w", context.DeadlineExceeded), 503, "5"},
		"a part that is closed": {fmt.Errorf("secret: %w", ports.ErrClosed), 503, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			s := serve(t, idle, func(s *setup) {
				s.core.Backend.Store = broken{s.core.Backend.Store, c.err}
				s.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			for _, path := range []string{"", "/stream", "/logs/stdout"} {
				log.Reset()
				r := s.get("/api/v1/tasks/1"+path, "X-Request-Id", "my-id.1")
				p := problemIn(t, r, c.status)
				assert.Equal(t, "my-id.1", p.RequestID)
				assert.Equal(t, c.retry, r.Header.Get("Retry-After"))
				assert.NotContains(t, r.body, "secret")
				assert.Contains(t, log.String(), "secret")
				assert.Contains(t, log.String(), "request_id=my-id.1")
			}
		})
	}
}

func TestAHarmfulRequestIDIsReplaced(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	for _, id := range []string{"a b", "a\"b", "é", "-" + string(bytes.Repeat([]byte("x"), 64)), "a=b"} {
		got := s.get("/healthz", "X-Request-Id", id).Header.Get("X-Request-Id")
		assert.NotEqual(t, id, got)
		assert.Regexp(t, `^[A-Z2-7]{26}$`, got)
	}
}

func TestEverySentinelHasItsStatusAndCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{ports.Invalid("a.b", "must not be"), 400, "invalid_input"}, {ports.ErrInvalid, 400, "invalid_input"}, {ports.ErrNotFound, 404, "not_found"},
		{ports.ErrExists, 409, "exists"}, {ports.ErrConflict, 409, "conflict"}, {ports.ErrGone, 410, "gone"}, {ports.ErrFull, 503, "full"},
		{ports.ErrClosed, 503, "unavailable"}, {errors.ErrUnsupported, 501, "unsupported"}, {errors.New("x"), 503, "unavailable"},
		{context.DeadlineExceeded, 503, "unavailable"},
	} {
		p := problemOf(fmt.Errorf("doing: %w", c.err))
		assert.Equal(t, c.status, p.Status)
		assert.Equal(t, c.code, p.Code)
	}
}

func TestAConfigThatIsNotSoundIsRefused(t *testing.T) {
	t.Parallel()
	client := assemble(t, idle).client
	for name, cfg := range map[string]Config{
		"no client":                {},
		"a negative bound":         {Client: client, MaxWait: -1},
		"a public URL of no kind":  {Client: client, PublicURL: "run.example.com"},
		"a public URL with query":  {Client: client, PublicURL: "https://run.example.com?x=1"},
		"a public URL with a user": {Client: client, PublicURL: "https://user:password@run.example.com"},
		"a host with a port":       {Client: client, AllowedHosts: []string{"localhost:8000"}},
		"an empty host":            {Client: client, AllowedHosts: []string{""}},
		"any origin":               {Client: client, AllowedOrigins: []string{"*"}},
		"an origin with a path":    {Client: client, AllowedOrigins: []string{"https://ui.example.com/x"}},
		"a queue without name":     {Client: client, Queues: []string{""}},
		"a check without function": {Client: client, Ready: []Check{{Name: "x"}}},
	} {
		_, err := New(cfg)
		assert.ErrorIs(t, err, taskrunner.ErrInvalid, name)
	}
	_, err := New(Config{Client: client})
	require.NoError(t, err)
}

func TestHTTP2ServesStreams(t *testing.T) {
	t.Parallel()
	s := assemble(t, idle)
	srv := httptest.NewUnstartedServer(s.api)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s.url, s.http = srv.URL, srv.Client()
	id := s.submit(hello)
	r := s.stream(id, "")
	require.Equal(t, 2, r.res.ProtoMajor)
	_, ok := r.next()
	require.True(t, ok)
	s.publish(id, running(1), stdout(0, "x"), end())
	assert.Equal(t, "x", output(t, "stdout", r.rest()))
	l := decode[Logs](t, s.get("/api/v1/tasks/"+id+"/logs"), http.StatusOK)
	assert.Contains(t, l.Stdout.URL, "https://", "the scheme is the request's")
}
