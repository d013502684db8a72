package wire

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
)

// measured is an executor that tells Prometheus of its runs. Its labels are
// bounded: languages are those configured, by their canonical names.
type measured struct {
	ports.Executor
	running  *prometheus.GaugeVec
	duration *prometheus.HistogramVec
}

func measure(e ports.Executor, registry prometheus.Registerer) *measured {
	m := &measured{
		Executor: e,
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "taskrunner_attempts_running",
			Help: "Attempts of tasks that run now.",
		}, []string{"language"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "taskrunner_attempt_duration_seconds",
			Help: "How long attempts of tasks took, from the call of the executor until no process was left, by why they ended.",
			// From an interpreter's start to the greatest timeout by default.
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 600},
		}, []string{"language", "cause"}),
	}
	registry.MustRegister(m.running, m.duration)
	return m
}

// Run implements ports.Executor.
func (m *measured) Run(ctx context.Context, job ports.Job) (ports.Outcome, error) {
	running := m.running.WithLabelValues(job.Language.Name)
	running.Inc()
	begin, cause := time.Now(), ports.CauseInfrastructure // of a run that panics, too
	defer func() {
		running.Dec()
		m.duration.WithLabelValues(job.Language.Name, string(cause)).Observe(time.Since(begin).Seconds())
	}()
	outcome, err := m.Executor.Run(ctx, job)
	cause = cmp.Or(outcome.Cause, cause)
	return outcome, err
}

// countedQueue is a queue that counts what is claimed from it.
type countedQueue struct {
	ports.Queue
	claims *prometheus.CounterVec
}

// countClaims counts the claims of one worker. Its label is bounded by the queues that the
// worker is for.
func countClaims(q ports.Queue, registry prometheus.Registerer) ports.Queue {
	c := &countedQueue{q, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "taskrunner_claims_total",
		Help: "Attempts of tasks that this worker has claimed.",
	}, []string{"queue"})}
	registry.MustRegister(c.claims)
	return c
}

// Claim implements ports.Queue.
func (c *countedQueue) Claim(ctx context.Context, r ports.ClaimRequest) (ports.Lease, error) {
	lease, err := c.Queue.Claim(ctx, r)
	if err == nil && !strings.HasPrefix(lease.Queue, ports.SystemQueue) { // nor whose turn it is to keep house
		c.claims.WithLabelValues(lease.Queue).Inc()
	}
	return lease, err
}

// meter collects an executor's counts of its sandboxes, whatever they are made of.
type meter struct {
	executor string // its name
	stats    func() dockerexec.Stats
}

// meterOf returns the meter of an executor that counts.
func meterOf(executor ports.Executor) (m meter, ok bool) {
	switch e := executor.(type) {
	case *dockerExecutor:
		return meter{ExecutorDocker, e.Stats}, true
	case *sandboxexec.Executor:
		return meter{ExecutorSandbox, func() dockerexec.Stats {
			s := e.Stats()
			return dockerexec.Stats{Warm: s.Warm, Cold: s.Cold, Ready: s.Ready, Alive: s.Alive, Leaked: s.Leaked}
		}}, true
	}
	return meter{}, false
}

var (
	sandboxClaims = prometheus.NewDesc("taskrunner_sandbox_claims_total",
		"Attempts that found a sandbox ready (warm), or had to wait for one to be made (cold).", []string{"executor", "start"}, nil)
	sandboxesReady = prometheus.NewDesc("taskrunner_sandboxes_ready",
		"Sandboxes that wait for a task.", []string{"executor"}, nil)
	sandboxesAlive = prometheus.NewDesc("taskrunner_sandboxes_alive",
		"Sandboxes that there are in all.", []string{"executor"}, nil)
	sandboxesLeaked = prometheus.NewDesc("taskrunner_sandboxes_leaked_total",
		"Sandboxes that could not be taken down whole.", []string{"executor"}, nil)
	// The sandbox executor has no such things, and so no figure of them.
	sandboxUpdates = prometheus.NewDesc("taskrunner_sandbox_updates_total",
		"Attempts that found a sandbox ready whose limits had to be changed.", []string{"executor"}, nil)
	sandboxesFailed = prometheus.NewDesc("taskrunner_sandboxes_failed_total",
		"Sandboxes that could not be made in advance.", []string{"executor"}, nil)
)

// Describe implements prometheus.Collector.
func (m meter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sandboxClaims, sandboxesReady, sandboxesAlive, sandboxesLeaked, sandboxUpdates, sandboxesFailed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m meter) Collect(ch chan<- prometheus.Metric) {
	s := m.stats()
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{m.executor}, labels...)...)
	}
	count(sandboxClaims, s.Warm, "warm")
	count(sandboxClaims, s.Cold, "cold")
	count(sandboxesLeaked, s.Leaked)
	if m.executor == ExecutorDocker {
		count(sandboxUpdates, s.Updated)
		count(sandboxesFailed, s.Failed)
	}
	ch <- prometheus.MustNewConstMetric(sandboxesReady, prometheus.GaugeValue, float64(s.Ready), m.executor)
	ch <- prometheus.MustNewConstMetric(sandboxesAlive, prometheus.GaugeValue, float64(s.Alive), m.executor)
}
