package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// This file has what the service tells of itself to Prometheus. No value of a
// label comes from a caller: their number is bounded by what this package and
// the operator name.

const metricsPath = "/metrics"

// Why a stream ended before its task did, other than by its reader's leaving.
const (
	dropTooMany  = "too_many" // refused: Config.MaxReaders
	dropDraining = "draining" // refused or ended: the server stops
	dropSlow     = "slow"     // ended: Config.WriteTimeout
	dropFailed   = "failed"   // ended: a backing part failed
)

// meters measures the API.
type meters struct {
	requests *prometheus.HistogramVec
	streams  prometheus.Gauge
	dropped  *prometheus.CounterVec
}

// newMeters returns meters that registry has, along with the queues' figures, the
// runtime's and the process's.
func newMeters(registry *prometheus.Registry, queues *queueMeter) (*meters, error) {
	m := &meters{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "taskrunner_http_request_duration_seconds",
			Help: "How long requests took, waits and whole streams included.",
			// From an answer out of memory to the greatest wait by default.
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"route", "method", "code"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "taskrunner_http_streams",
			Help: "Streams of events that are open now.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "taskrunner_http_streams_dropped_total",
			Help: "Streams of events that were refused, or ended before their task did while the reader was there.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{dropTooMany, dropDraining, dropSlow, dropFailed} {
		m.dropped.WithLabelValues(reason)
	}
	for _, c := range []prometheus.Collector{m.requests, m.streams, m.dropped, queues} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("%w: %w", ports.Invalid("metrics", "must not have another API's metrics"), err)
		}
	}
	return m, measureProcess(registry)
}

// measureProcess gives registry the figures of the runtime and of the process. One
// that has them keeps them.
func measureProcess(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil && !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			return fmt.Errorf("%w: %w", ports.Invalid("metrics", "must take the collectors of the runtime and the process"), err)
		}
	}
	return nil
}

// metricsHandler serves what registry gathers, without what failed.
func metricsHandler(registry *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError,
	})
}

// measure counts a request that took so long to serve.
func (m *meters) measure(x *exchange, took time.Duration) {
	method := x.r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		method = "other"
	}
	code := strconv.Itoa(cmp.Or(x.w.status, http.StatusOK)/100) + "xx"
	m.requests.WithLabelValues(cmp.Or(x.route, "none"), method, code).Observe(took.Seconds())
}

func (m *meters) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }

// routeOf returns the path in a pattern of the mux: one of ours, each of which
// begins with a method. What the mux makes of a request's own path does not.
func routeOf(pattern string) string {
	if method, path, ok := strings.Cut(pattern, " "); ok && !strings.HasPrefix(method, "/") {
		return path
	}
	return ""
}

// queueMeter collects the figures of queues when they are asked for, at most once
// in statsFor, so that whoever may ask does not load the queue.
type queueMeter struct {
	client *taskrunner.Client
	queues []string
	log    *slog.Logger

	mu   sync.Mutex
	at   time.Time
	last []prometheus.Metric
}

const (
	statsFor = time.Second
	// statsTimeout bounds how long the figures of all queues may take: well within
	// the 10 s that Prometheus waits by default.
	statsTimeout = 3 * time.Second
)

var (
	queueTasks = prometheus.NewDesc("taskrunner_queue_tasks",
		"Tasks in the queue: waiting for a worker, delayed until they are due, or leased by a worker.", []string{"queue", "state"}, nil)
	queueOldestWait = prometheus.NewDesc("taskrunner_queue_oldest_wait_seconds",
		"How long the task that waits longest has been due; 0 if none waits.", []string{"queue"}, nil)
	queueUp = prometheus.NewDesc("taskrunner_queue_up",
		"Whether the queue's figures could be had (1) or not (0).", []string{"queue"}, nil)
)

// Describe implements prometheus.Collector.
func (q *queueMeter) Describe(ch chan<- *prometheus.Desc) {
	ch <- queueTasks
	ch <- queueOldestWait
	ch <- queueUp
}

// Collect implements prometheus.Collector.
func (q *queueMeter) Collect(ch chan<- prometheus.Metric) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.at.IsZero() || time.Since(q.at) >= statsFor {
		q.last = q.read()
		q.at = time.Now()
	}
	for _, m := range q.last {
		ch <- m
	}
}

// read returns the figures of all queues, without those that cannot be had.
func (q *queueMeter) read() (figures []prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		figures = append(figures, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
	}
	for _, name := range q.queues {
		s, err := q.client.Stats(ctx, name)
		if err != nil {
			q.log.WarnContext(ctx, "the figures of a queue cannot be had", "queue", name, "error", err)
			gauge(queueUp, 0, name)
			continue
		}
		gauge(queueUp, 1, name)
		gauge(queueTasks, float64(s.Waiting), name, "waiting")
		gauge(queueTasks, float64(s.Delayed), name, "delayed")
		gauge(queueTasks, float64(s.Leased), name, "leased")
		gauge(queueOldestWait, s.OldestWait.Seconds(), name)
	}
	return figures
}
