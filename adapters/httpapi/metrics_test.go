package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// metrics is what /metrics says, as name{label="value",...} and the value; of a
// histogram it is the count.
type metrics map[string]float64

// scrape asks the handler itself, so that the time may be a bubble's.
func (s *service) scrape() metrics {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, metricsPath, nil))
	require.Equal(s.t, http.StatusOK, w.Code)
	require.Contains(s.t, w.Header().Get("Content-Type"), "text/plain; version=0.0.4")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	require.NoError(s.t, err)
	all := metrics{}
	for name, family := range families {
		assert.NotEmpty(s.t, family.GetHelp(), name)
		for _, m := range family.GetMetric() {
			labels := make([]string, 0, len(m.GetLabel()))
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			all[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// of returns the metrics of one name.
func (m metrics) of(name string) metrics {
	some := metrics{}
	for k, v := range m {
		if strings.HasPrefix(k, name+"{") {
			some[strings.TrimPrefix(k, name)] = v
		}
	}
	return some
}

const requestMetric = "taskrunner_http_request_duration_seconds"

func TestRequestsAreCountedByRouteMethodAndClassOfStatus(t *testing.T) {
	t.Parallel()
	s := serve(t)
	id := s.finish(hello).TaskID
	for range 2 {
		s.get("/api/v1/tasks/" + id)
	}
	s.get("/api/v1/tasks/none")
	s.do(http.MethodHead, "/api/v1/tasks/"+id, "")
	s.do(http.MethodPost, "/api/v1/tasks", "{}")
	s.get("/api/v1/tasks/" + id + "/logs/stdout")
	assert.Equal(t, metrics{
		"{code=2xx,method=POST,route=/api/v1/tasks}":                   1,
		"{code=4xx,method=POST,route=/api/v1/tasks}":                   1,
		"{code=2xx,method=GET,route=/api/v1/tasks/{id}}":               2,
		"{code=4xx,method=GET,route=/api/v1/tasks/{id}}":               1,
		"{code=2xx,method=HEAD,route=/api/v1/tasks/{id}}":              1,
		"{code=2xx,method=GET,route=/api/v1/tasks/{id}/logs/{stream}}": 1,
	}, s.scrape().of(requestMetric))
	assert.EqualValues(t, 1, s.scrape()[requestMetric+"{code=2xx,method=GET,route=/metrics}"])
}

func TestWhatCallersMakeUpIsNoLabel(t *testing.T) {
	t.Parallel()
	s := assemble(t, idle, func(s *setup) {
		s.AllowedHosts = []string{"example.com"}
		s.AllowedOrigins = []string{"https://ui.example.com"}
	})
	for _, c := range []struct{ method, host, path, origin string }{
		{"GET", "example.com", "/mine", ""}, {"MINE", "example.com", "/healthz", ""}, {"MINE", "example.com", "/mine", ""},
		{"GET", "mine.example", "/healthz", ""}, {"POST", "example.com", "/api/v1/tasks", "https://mine.example"},
		{"OPTIONS", "example.com", "/mine", "https://ui.example.com"}, {"CONNECT", "example.com", "/mine", ""},
		{"GET", "example.com", "/api/v1/tasks/mine/", ""}, {"GET", "example.com", "//mine/../api/v1//tasks/mine", ""},
		{"GET", "example.com", "/a%20mine/", ""}, {"GET", "example.com", "/docs/mine", ""}, {"GET", "example.com", "/api/v1/tasks?mine=1", ""},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
		}
		s.api.ServeHTTP(httptest.NewRecorder(), r)
	}
	after := s.scrape()
	for k := range after {
		assert.NotContains(t, strings.ToLower(k), "mine")
	}
	requests := after.of(requestMetric)
	assert.EqualValues(t, 3, requests["{code=4xx,method=other,route=none}"], "methods that are none, and CONNECT")
	assert.EqualValues(t, 1, requests["{code=3xx,method=GET,route=/api/v1/tasks/{id}}"])
	assert.EqualValues(t, 1, requests["{code=2xx,method=OPTIONS,route=none}"])
}

func TestARouteIsOneOfOurs(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "/a/{b}", routeOf("GET /a/{b}"))
	assert.Empty(t, routeOf("/a b/"), "what the mux redirects to has no method")
	assert.Empty(t, routeOf(""))
}

func TestAPanicIsCountedAsWhatTheCallerGot(t *testing.T) {
	t.Parallel()
	s := serve(t, idle, func(s *setup) { s.core.Backend.Store = broken{s.core.Backend.Store, nil} })
	s.get("/api/v1/tasks/1")
	assert.EqualValues(t, 1, s.scrape()[requestMetric+"{code=5xx,method=GET,route=/api/v1/tasks/{id}}"])
}

func TestStreamsAreCountedWhileTheyAreOpen(t *testing.T) {
	t.Parallel()
	const open, dropped = "taskrunner_http_streams{}", "taskrunner_http_streams_dropped_total"
	bubble(t, func(t *testing.T, s *service, p *pipes) {
		none := metrics{"{reason=too_many}": 0, "{reason=draining}": 0, "{reason=slow}": 0, "{reason=failed}": 0}
		assert.Equal(t, none, s.scrape().of(dropped))

		finished, flooded, idle := s.submit(hello), s.submit(hello), s.submit(hello)
		r := s.stream(finished, "")
		left := s.stream(finished, "")
		for _, r := range []*sseReader{r, left} {
			_, ok := r.next()
			require.True(t, ok)
		}
		assert.EqualValues(t, 2, s.scrape()[open])
		time.Sleep(heartbeat - time.Second) // the deadline of the last write is past
		left.close()
		s.publish(finished, end())
		r.rest()
		synctest.Wait()
		assert.Zero(t, s.scrape()[open])
		assert.Equal(t, none, s.scrape().of(dropped), "whose task ended and whose reader left")

		conn, _ := s.stall(p, flooded)
		s.publish(flooded, running(1), stdout(0, strings.Repeat("x", 100_000)))
		time.Sleep(s.api.cfg.WriteTimeout + time.Second)
		assert.EqualValues(t, 1, s.scrape()[dropped+"{reason=slow}"])
		require.NoError(t, conn.Close())

		s.api.cfg.MaxReaders = 1
		path := "/api/v1/tasks/" + idle + "/stream"
		r = s.stream(idle, "")
		_, ok := r.next()
		require.True(t, ok)
		require.Equal(t, http.StatusServiceUnavailable, s.get(path).StatusCode)
		assert.EqualValues(t, 1, s.scrape()[dropped+"{reason=too_many}"])

		s.api.Drain()
		r.rest()
		require.Equal(t, http.StatusServiceUnavailable, s.get(path).StatusCode)
		assert.EqualValues(t, 2, s.scrape()[dropped+"{reason=draining}"], "one ended, one refused")
		assert.Zero(t, s.scrape()[open])
	})
}

func TestAStreamThatBreaksOffIsCounted(t *testing.T) {
	t.Parallel()
	backend := fakes.NewBackend()
	s := serve(t, idle, func(s *setup) { s.core.Backend = backend.Ports() })
	id := s.submit(hello)
	backend.Use(fakes.FailAll("events.Next", errors.New("broken")))
	s.stream(id, "").rest()
	assert.EqualValues(t, 1, s.scrape()["taskrunner_http_streams_dropped_total{reason=failed}"])
}

// figures is a queue that counts how often it was asked, and fails or hangs.
type figures struct {
	ports.Queue
	asked atomic.Int32
	err   error
	hang  bool
}

func (f *figures) Stats(ctx context.Context, queue string) (ports.QueueStats, error) {
	f.asked.Add(1)
	switch {
	case f.err != nil:
		return ports.QueueStats{}, f.err
	case f.hang && queue == "slow":
		<-ctx.Done()
		return ports.QueueStats{}, ctx.Err()
	}
	return f.Queue.Stats(ctx, queue)
}

func TestQueuesAreMeasuredWhenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		backend := memory.New()
		queue := &figures{Queue: backend.Queue}
		backend.Queue = queue
		s := assemble(t, idle, func(s *setup) {
			s.core.Backend = backend
			s.Queues = []string{"b", "default", "b"}
		})
		assert.Zero(t, s.scrape()["taskrunner_queue_tasks{queue=default,state=waiting}"])
		for range 3 {
			_, err := s.client.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true"})
			require.NoError(t, err)
		}
		_, err := queue.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"default"}, TTL: time.Hour})
		require.NoError(t, err)
		require.NoError(t, queue.Enqueue(t.Context(), ports.Entry{Task: "later", Queue: "b", Delay: time.Hour}))
		time.Sleep(10 * time.Second)
		queue.asked.Store(0)
		got := s.scrape()
		assert.Equal(t, metrics{
			"{queue=b,state=waiting}": 0, "{queue=b,state=delayed}": 1, "{queue=b,state=leased}": 0,
			"{queue=default,state=waiting}": 2, "{queue=default,state=delayed}": 0, "{queue=default,state=leased}": 1,
		}, got.of("taskrunner_queue_tasks"))
		assert.Equal(t, metrics{"{queue=b}": 0, "{queue=default}": 10}, got.of("taskrunner_queue_oldest_wait_seconds"))
		assert.Equal(t, metrics{"{queue=b}": 1, "{queue=default}": 1}, got.of("taskrunner_queue_up"))
		s.scrape()
		assert.EqualValues(t, 2, queue.asked.Load(), "whoever asks at once does not load the queue")
	})
}

func TestAQueueThatFailsCostsItsOwnFiguresAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue *figures
		up    metrics
		after time.Duration
	}{
		"it fails": {&figures{err: errors.New("secret")}, metrics{"{queue=default}": 0, "{queue=slow}": 0}, 0},
		"it hangs": {&figures{hang: true}, metrics{"{queue=default}": 1, "{queue=slow}": 0}, statsTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := assemble(t, idle, func(s *setup) {
					c.queue.Queue = s.core.Backend.Queue
					s.core.Backend.Queue = c.queue
					s.Queues = []string{"default", "slow"}
				})
				begin := time.Now()
				got := s.scrape()
				assert.Equal(t, c.after, time.Since(begin))
				assert.Equal(t, c.up, got.of("taskrunner_queue_up"))
				assert.NotContains(t, got, "taskrunner_queue_tasks{queue=slow,state=waiting}", "unknown is not 0")
				assert.Contains(t, got, "taskrunner_http_streams{}")
				assert.Contains(t, got, "go_goroutines{}")
			})
		})
	}
}

func TestARegistryMayBringItsOwnMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "mine", Help: "Mine."}, func() float64 { return 7 }))
	s := assemble(t, idle, func(s *setup) { s.Metrics = registry })
	got := s.scrape()
	assert.EqualValues(t, 7, got["mine{}"])
	assert.Positive(t, got["go_goroutines{}"])
	assert.Contains(t, got, "taskrunner_http_streams{}")

	_, err := New(Config{Client: s.client, Metrics: registry})
	assert.ErrorIs(t, err, ports.ErrInvalid, "it is another API's")
}

func TestMetricsAreForNoWebPage(t *testing.T) {
	t.Parallel()
	s := serve(t, idle, func(s *setup) {
		s.AllowedOrigins = []string{"https://ui.example.com"}
		s.AllowedHosts = []string{"127.0.0.1"}
	})
	r := s.get(metricsPath, "Origin", "https://ui.example.com")
	assert.Equal(t, http.StatusOK, r.StatusCode)
	assert.Empty(t, r.Header.Get("Access-Control-Allow-Origin"))
	preflight := s.do(http.MethodOptions, metricsPath, "", "Origin", "https://ui.example.com", "Access-Control-Request-Method", "GET")
	problemIn(t, preflight, http.StatusMethodNotAllowed)
	assert.Empty(t, preflight.Header.Get("Access-Control-Allow-Origin"))
	problemIn(t, s.get(metricsPath, "Host", "evil.example"), http.StatusMisdirectedRequest)
}
