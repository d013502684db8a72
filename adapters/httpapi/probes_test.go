package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// probe asks a handler itself.
func probe(t *testing.T, h http.Handler, method, path string, header ...string) reply {
	t.Helper()
	return ask(t, h, method, path, "", header...)
}

// ask is probe with a body.
func ask(t *testing.T, h http.Handler, method, path, body string, header ...string) reply {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Result(), w.Body.String()}
}

func probes(t *testing.T, cfg ProbesConfig) *Probes {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	p, err := NewProbes(cfg)
	require.NoError(t, err)
	return p
}

// part is a condition of readiness that a test sets.
type part struct{ err error }

func (p *part) check(name string) Check {
	return Check{Name: name, Ready: func(context.Context) error { return p.err }}
}

func TestProbesTellWhichPartIsNotThere(t *testing.T) {
	t.Parallel()
	secret := &part{errors.New("dial 10.0.0.7: secret")}
	p := probes(t, ProbesConfig{Ready: []Check{secret.check("mongodb"), new(part).check("redis")}})
	assert.Equal(t, Health{Status: "ok"}, decode[Health](t, probe(t, p, "GET", "/healthz"), http.StatusOK))
	r := probe(t, p, "GET", "/readyz")
	assert.Equal(t, Health{Status: "unavailable", Checks: map[string]string{"mongodb": "failed", "redis": "ok"}},
		decode[Health](t, r, http.StatusServiceUnavailable))
	assert.NotContains(t, r.body, "secret")

	well := probes(t, ProbesConfig{Ready: []Check{new(part).check("redis")}})
	assert.Equal(t, Health{Status: "ready", Checks: map[string]string{"redis": "ok"}},
		decode[Health](t, probe(t, well, "GET", "/readyz"), http.StatusOK))
	well.Drain()
	well.Drain()
	assert.Equal(t, Health{Status: "draining"}, decode[Health](t, probe(t, well, "GET", "/readyz"), http.StatusServiceUnavailable))
	assert.Equal(t, Health{Status: "ok"}, decode[Health](t, probe(t, well, "GET", "/healthz"), http.StatusOK))
}

func TestProbesThatStandInForAnAPIAreNeverReady(t *testing.T) {
	t.Parallel()
	p := probes(t, ProbesConfig{Starting: true, Ready: []Check{new(part).check("redis")}})
	assert.Equal(t, Health{Status: "ok"}, decode[Health](t, probe(t, p, "GET", "/healthz"), http.StatusOK))
	assert.Equal(t, Health{Status: "starting", Checks: map[string]string{"redis": "ok"}},
		decode[Health](t, probe(t, p, "GET", "/readyz"), http.StatusServiceUnavailable))
	for _, path := range []string{"/api/v1/tasks", "/api/v1/tasks/1/stream", "/openapi.json", "/docs", "/nowhere"} {
		for _, method := range []string{"GET", "POST", "HEAD"} {
			r := probe(t, p, method, path)
			assert.Equal(t, "unavailable", problemIn(t, r, http.StatusServiceUnavailable).Code)
			assert.Equal(t, "5", r.Header.Get("Retry-After"))
		}
	}
	assert.Equal(t, "GET, HEAD", func() string {
		r := probe(t, p, "POST", "/readyz")
		problemIn(t, r, http.StatusMethodNotAllowed)
		return r.Header.Get("Allow")
	}())
}

func TestProbesHaveNothingElse(t *testing.T) {
	t.Parallel()
	p := probes(t, ProbesConfig{})
	assert.Equal(t, "not_found", problemIn(t, probe(t, p, "GET", "/api/v1/tasks", "X-Request-Id", "my-id.1"), http.StatusNotFound).Code)
	assert.Equal(t, Health{Status: "ready"}, decode[Health](t, probe(t, p, "GET", "/readyz"), http.StatusOK), "who has no checks is always ready")
	assert.Empty(t, probe(t, p, "GET", "/healthz").Header.Get("Retry-After"))
}

func TestProbesAndTheirAPIAnswerAlike(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	failing := &part{errors.New("gone")}
	checks := []Check{failing.check("redis")}
	hosts := []string{"localhost"}
	p := probes(t, ProbesConfig{Starting: true, Ready: checks, AllowedHosts: hosts, Metrics: registry})
	s := assemble(t, idle, func(s *setup) { s.Ready, s.AllowedHosts, s.Metrics = checks, hosts, registry })
	for _, c := range []struct{ method, path, host string }{
		{"GET", "/healthz", "localhost"}, {"GET", "/readyz", "localhost"}, {"GET", "/metrics", "localhost"},
		{"HEAD", "/healthz", "localhost"}, {"PUT", "/healthz", "localhost"}, {"GET", "/healthz", "evil.example"},
	} {
		header := []string{"Host", c.host, "X-Request-Id", "my-id.1"}
		before, after := probe(t, p, c.method, c.path, header...), probe(t, s.api, c.method, c.path, header...)
		assert.Equal(t, after.StatusCode, before.StatusCode, c)
		assert.Equal(t, after.Header, before.Header, c)
		if c.path != metricsPath {
			assert.Equal(t, after.body, before.body, c)
		}
	}
	assert.Contains(t, probe(t, p, "GET", "/metrics", "Host", "localhost").body, "taskrunner_http_streams 0", "the figures of both are one")
}

func TestProbesThatAreNotSoundAreRefused(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]ProbesConfig{
		"a host with a port":       {AllowedHosts: []string{"localhost:8000"}},
		"a check without function": {Ready: []Check{{Name: "x"}}},
		"a check without name":     {Ready: []Check{new(part).check("")}},
	} {
		_, err := NewProbes(cfg)
		assert.ErrorIs(t, err, ports.ErrInvalid, name)
	}
	_, err := NewProbes(ProbesConfig{})
	require.NoError(t, err)
}

func TestOnlyAllowedHostsReachWhatIsBehindThem(t *testing.T) {
	t.Parallel()
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	h, err := AllowHosts([]string{"localhost", "::1", "run.example.com"}, next)
	require.NoError(t, err)
	for _, host := range []string{"localhost", "localhost:5000", "[::1]:5000", "RUN.example.com."} {
		assert.Equal(t, http.StatusNoContent, probe(t, h, "GET", "/", "Host", host).StatusCode, host)
	}
	for _, host := range []string{"evil.example", "localhost.evil.example", "127.0.0.1", ""} {
		r := probe(t, h, "GET", "/", "Host", host, "X-Request-Id", "my-id.1")
		assert.Equal(t, "unknown_host", problemIn(t, r, http.StatusMisdirectedRequest).Code, host)
	}
	open, err := AllowHosts(nil, next)
	require.NoError(t, err)
	assert.Equal(t, http.StatusNoContent, probe(t, open, "GET", "/", "Host", "evil.example").StatusCode)
	_, err = AllowHosts([]string{"localhost:5000"}, next)
	assert.ErrorIs(t, err, ports.ErrInvalid)
}
