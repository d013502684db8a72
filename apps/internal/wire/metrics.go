package wire

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// sandboxMeter collects the counts of a sandbox executor.
type sandboxMeter func() sandboxexec.Stats

var (
	sandboxClaims = prometheus.NewDesc("taskrunner_sandbox_claims_total",
		"Attempts that found a sandbox ready (warm), or had to wait for one to be made (cold).", []string{"start"}, nil)
	sandboxesReady = prometheus.NewDesc("taskrunner_sandboxes_ready",
		"Sandboxes that wait for a task.", nil, nil)
	sandboxesAlive = prometheus.NewDesc("taskrunner_sandboxes_alive",
		"Sandboxes that there are in all.", nil, nil)
	sandboxesLeaked = prometheus.NewDesc("taskrunner_sandboxes_leaked_total",
		"Sandboxes that could not be taken down whole.", nil, nil)
)

// Describe implements prometheus.Collector.
func (sandboxMeter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sandboxClaims, sandboxesReady, sandboxesAlive, sandboxesLeaked} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (stats sandboxMeter) Collect(ch chan<- prometheus.Metric) {
	s := stats()
	ch <- prometheus.MustNewConstMetric(sandboxClaims, prometheus.CounterValue, float64(s.Warm), "warm")
	ch <- prometheus.MustNewConstMetric(sandboxClaims, prometheus.CounterValue, float64(s.Cold), "cold")
	ch <- prometheus.MustNewConstMetric(sandboxesReady, prometheus.GaugeValue, float64(s.Ready))
	ch <- prometheus.MustNewConstMetric(sandboxesAlive, prometheus.GaugeValue, float64(s.Alive))
	ch <- prometheus.MustNewConstMetric(sandboxesLeaked, prometheus.CounterValue, float64(s.Leaked))
}
