package wire

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// scrape returns what app's /metrics says: by name, and the values of the labels
// where there are some, the value or, of a histogram, the count.
func scrape(t *testing.T, app *App) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	app.API.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	require.NoError(t, err)
	all := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			parts := []string{strings.TrimPrefix(name, "taskrunner_")}
			for _, l := range m.GetLabel() {
				parts = append(parts, l.GetValue())
			}
			all[strings.Join(parts, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func TestRunsAreMeasuredByLanguageAndCause(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	e := fakes.NewExecutor().
		Next(fakes.Do(func(ports.Job) { close(started) }), fakes.Until(release)).
		Next(fakes.End(ports.Outcome{Cause: ports.CauseOOM, ExitCode: -1})).
		Next(fakes.Fail(errors.New("lost")))
	app := testApp(t, Config{Concurrency: 1}, e)
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { _ = app.Close(t.Context()) })

	first, err := app.Client.Submit(t.Context(), taskrunner.Spec{Language: "py", Code: "x"})
	require.NoError(t, err)
	<-started
	got := scrape(t, app)
	assert.EqualValues(t, 1, got["attempts_running python"], "by the canonical name")
	assert.EqualValues(t, 1, got["queue_tasks default leased"])
	assert.NotContains(t, got, "attempt_duration_seconds exit python")
	close(release)
	_, err = app.Client.Wait(t.Context(), first.ID)
	require.NoError(t, err)
	for range 2 {
		_, err = app.Client.Run(t.Context(), taskrunner.Spec{Language: "bash", Code: "x", MaxAttempts: 1})
		require.NoError(t, err)
	}

	got = scrape(t, app)
	assert.Zero(t, got["attempts_running python"])
	assert.EqualValues(t, 1, got["attempt_duration_seconds exit python"])
	assert.EqualValues(t, 1, got["attempt_duration_seconds oom bash"])
	assert.EqualValues(t, 1, got["attempt_duration_seconds infrastructure bash"], "an attempt that was lost")
	assert.Positive(t, got["go_goroutines"])
	for name := range got {
		assert.NotContains(t, name, string(first.ID))
	}
}

func TestARunThatPanicsIsMeasuredAsLost(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m := measure(fakes.NewExecutor(fakes.Panic("x")), registry)
	assert.Panics(t, func() { _, _ = m.Run(t.Context(), ports.Job{Language: ports.Language{Name: "bash"}}) })
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 2)
	assert.EqualValues(t, 1, families[0].GetMetric()[0].GetHistogram().GetSampleCount())
	assert.Zero(t, families[1].GetMetric()[0].GetGauge().GetValue())
}

func TestAnExecutorsCountsAreCollected(t *testing.T) {
	t.Parallel()
	stats := dockerexec.Stats{Warm: 1, Cold: 2, Updated: 3, Ready: 4, Alive: 5, Failed: 6, Leaked: 7}
	common := map[string]float64{
		"sandbox_claims_total warm": 1, "sandbox_claims_total cold": 2,
		"sandboxes_ready": 4, "sandboxes_alive": 5, "sandboxes_leaked_total": 7,
	}
	docker := maps.Clone(common)
	docker["sandbox_updates_total"], docker["sandboxes_failed_total"] = 3, 6
	for executor, want := range map[string]map[string]float64{ExecutorSandbox: common, ExecutorDocker: docker} {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(meter{executor, func() dockerexec.Stats { return stats }})
		families, err := registry.Gather()
		require.NoError(t, err)
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name, labels := strings.TrimPrefix(f.GetName(), "taskrunner_"), m.GetLabel()
				assert.Equal(t, "executor", labels[0].GetName())
				assert.Equal(t, executor, labels[0].GetValue())
				for _, l := range labels[1:] {
					name += " " + l.GetValue()
				}
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		assert.Equal(t, want, got, executor)
	}
}

func TestBothExecutorsAreMetered(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]ports.Executor{
		ExecutorSandbox: &sandboxexec.Executor{},
		ExecutorDocker:  &dockerExecutor{},
	} {
		m, ok := meterOf(e)
		assert.True(t, ok)
		assert.Equal(t, name, m.executor)
	}
	_, ok := meterOf(&executor{})
	assert.False(t, ok, "one that counts nothing")
}
