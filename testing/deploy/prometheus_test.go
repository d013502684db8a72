package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/dns"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	promqlparser "github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	prometheusFile = root + "/deploy/prometheus/prometheus.yml"
	alertsFile     = root + "/deploy/prometheus/alerts.yml"
	dashboards     = root + "/deploy/grafana/dashboards"
)

func TestPrometheusFindsEveryReplica(t *testing.T) {
	c, err := config.LoadFile(prometheusFile, false, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Len(t, c.RuleFiles, 1)
	rules, err := filepath.Abs(alertsFile)
	require.NoError(t, err)
	named, err := filepath.Abs(c.RuleFiles[0])
	require.NoError(t, err)
	assert.Equal(t, rules, named)

	// The ports are those that the manifests have, and so those of the defaults.
	f, err := read(build(t, "base"))
	require.NoError(t, err)
	found := map[string]int{}
	for _, job := range c.ScrapeConfigs {
		for _, d := range job.ServiceDiscoveryConfigs {
			if d, ok := d.(*dns.SDConfig); ok {
				assert.Equal(t, []string{job.JobName}, d.Names)
				assert.Equal(t, "A", d.Type)
				found[job.JobName] = d.Port
			}
		}
	}
	assert.Len(t, found, len(services))
	for name, d := range f.deployments {
		assert.Equal(t, int(d.Spec.Template.Spec.Containers[0].Ports[0].ContainerPort), found[name], name)
	}
}

func readAlerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(alertsFile, false, model.UTF8Validation, promqlparser.NewParser(promqlparser.Options{}), slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	m := readMetrics(t)
	seen := map[string]bool{}
	for _, r := range readAlerts(t) {
		assert.False(t, seen[r.Alert], "%s is there twice", r.Alert)
		seen[r.Alert] = true
		assert.Contains(t, []string{"page", "warning"}, r.Labels["severity"], r.Alert)
		assert.NotEmpty(t, r.Annotations["summary"], r.Alert)
		assert.Regexp(t, `\.$`, r.Annotations["description"], r.Alert)
		_, err := m.check(r.Expr)
		assert.NoError(t, err, r.Alert)
	}
}

// well is what a fleet looks like that nobody has to look at, over half an hour.
const well = `
up{job="backend", instance="b1"} 1x30
up{job="worker", instance="w1"} 1x30
up{job="web", instance="u1"} 1x30
taskrunner_queue_up{job="backend", instance="b1", queue="default"} 1x30
taskrunner_queue_tasks{job="backend", instance="b1", queue="default", state="waiting"} 5x30
taskrunner_queue_oldest_wait_seconds{job="backend", instance="b1", queue="default"} 2x30
taskrunner_claims_total{job="worker", instance="w1", queue="default"} 0+600x30
taskrunner_attempt_duration_seconds_count{job="worker", instance="w1", language="python", cause="exit"} 0+600x30
taskrunner_attempt_duration_seconds_count{job="worker", instance="w1", language="python", cause="infrastructure"} 0x30
taskrunner_sandboxes_alive{job="worker", instance="w1", executor="docker"} 8x30
taskrunner_sandboxes_leaked_total{job="worker", instance="w1", executor="docker"} 0x30
taskrunner_sandboxes_failed_total{job="worker", instance="w1", executor="docker"} 0x30
taskrunner_sandbox_claims_total{job="worker", instance="w1", executor="docker", start="warm"} 0+590x30
taskrunner_sandbox_claims_total{job="worker", instance="w1", executor="docker", start="cold"} 0+10x30
taskrunner_http_streams{job="backend", instance="b1"} 1000x30
taskrunner_http_streams_dropped_total{job="backend", instance="b1", reason="too_many"} 0x30
taskrunner_http_streams_dropped_total{job="backend", instance="b1", reason="failed"} 0x30
taskrunner_http_streams_dropped_total{job="backend", instance="b1", reason="slow"} 0+1x30
taskrunner_http_request_duration_seconds_count{job="backend", instance="b1", route="/api/v1/tasks", method="POST", code="2xx"} 0+600x30
taskrunner_http_request_duration_seconds_count{job="backend", instance="b1", route="/api/v1/tasks", method="POST", code="5xx"} 0x30
taskrunner_http_request_duration_seconds_count{job="backend", instance="b1", route="/readyz", method="GET", code="2xx"} 0+12x30
taskrunner_http_request_duration_seconds_count{job="backend", instance="b1", route="/readyz", method="GET", code="5xx"} 0x30
taskrunner_http_request_duration_seconds_bucket{job="backend", instance="b1", route="/api/v1/tasks/{id}", method="GET", code="2xx", le="0.01"} 0+600x30
taskrunner_http_request_duration_seconds_bucket{job="backend", instance="b1", route="/api/v1/tasks/{id}", method="GET", code="2xx", le="2.5"} 0+600x30
taskrunner_http_request_duration_seconds_bucket{job="backend", instance="b1", route="/api/v1/tasks/{id}", method="GET", code="2xx", le="+Inf"} 0+600x30
taskrunner_web_backend_failures_total{job="web", instance="u1", reason="unreachable"} 0x30
process_open_fds{job="backend", instance="b1"} 1000x30
process_max_fds{job="backend", instance="b1"} 65536x30
`

func TestEveryAlertIsRaisedByWhatItIsForAndByNothingElse(t *testing.T) {
	// A line in place of the one of the same series above; with a minus, that one is gone.
	ills := []struct{ alert, line string }{
		{"TaskRunnerServiceMissing", `-up{job="web", instance="u1"}`},
		{"TaskRunnerDown", `up{job="worker", instance="w1"} 1x20 0x10`},
		{"TaskRunnerNotReady", `taskrunner_http_request_duration_seconds_count{job="backend", instance="b1", route="/readyz", method="GET", code="5xx"} 0+12x30`},
		{"TaskRunnerNotReady", `-taskrunner_queue_up{job="backend", instance="b1", queue="default"}`},
		{"TaskRunnerNotReady", `-taskrunner_sandboxes_alive{job="worker", instance="w1", executor="docker"}`},
		{"TaskRunnerQueueDown", `taskrunner_queue_up{job="backend", instance="b1", queue="default"} 1x20 0x10`},
		{"TaskRunnerQueueWaits", `taskrunner_queue_oldest_wait_seconds{job="backend", instance="b1", queue="default"} 0+60x30`},
		{"TaskRunnerQueueGrows", `taskrunner_queue_tasks{job="backend", instance="b1", queue="default", state="waiting"} 0+100x30`},
		{"TaskRunnerNoClaims", `taskrunner_claims_total{job="worker", instance="w1", queue="default"} 100x30`},
		{"TaskRunnerInfrastructureFailures", `taskrunner_attempt_duration_seconds_count{job="worker", instance="w1", language="python", cause="infrastructure"} 0+60x30`},
		{"TaskRunnerSandboxesLeaked", `taskrunner_sandboxes_leaked_total{job="worker", instance="w1", executor="docker"} 0x20 1x10`},
		{"TaskRunnerSandboxesFail", `taskrunner_sandboxes_failed_total{job="worker", instance="w1", executor="docker"} 0+2x30`},
		{"TaskRunnerPoolMisses", `taskrunner_sandbox_claims_total{job="worker", instance="w1", executor="docker", start="cold"} 0+1200x30`},
		{"TaskRunnerStreamsDropped", `taskrunner_http_streams_dropped_total{job="backend", instance="b1", reason="too_many"} 0+60x30`},
		{"TaskRunnerSlowReaders", `taskrunner_http_streams_dropped_total{job="backend", instance="b1", reason="slow"} 0+200x30`},
		{"TaskRunnerServerErrors", `taskrunner_http_request_duration_seconds_count{job="backend", instance="b1", route="/api/v1/tasks", method="POST", code="5xx"} 0+60x30`},
		{"TaskRunnerSlowAnswers", `taskrunner_http_request_duration_seconds_bucket{job="backend", instance="b1", route="/api/v1/tasks/{id}", method="GET", code="2xx", le="0.01"} 0+6x30`},
		{"TaskRunnerBackendAway", `taskrunner_web_backend_failures_total{job="web", instance="u1", reason="unreachable"} 0+60x30`},
		{"TaskRunnerFileDescriptors", `process_open_fds{job="backend", instance="b1"} 60000x30`},
	}
	alerts := readAlerts(t)
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery)
	raised := func(t *testing.T, series string) (names []string) {
		var load strings.Builder
		load.WriteString("load 1m\n")
		for line := range strings.Lines(series) {
			if line != "\n" { // which would end it
				load.WriteString("  " + line)
			}
		}
		store := promqltest.LoadedStorage(t, load.String())
		for _, r := range alerts {
			q, err := engine.NewInstantQuery(t.Context(), store, nil, r.Expr, time.Unix(0, 0).Add(30*time.Minute))
			require.NoError(t, err)
			result := q.Exec(t.Context())
			require.NoError(t, result.Err, r.Alert)
			v, err := result.Vector()
			require.NoError(t, err, r.Alert)
			if len(v) > 0 {
				names = append(names, r.Alert)
			}
			for _, s := range v {
				summary(t, r, s)
			}
			q.Close()
		}
		return names
	}

	assert.Empty(t, raised(t, well), "a fleet that is well")
	tried := map[string]bool{}
	for _, ill := range ills {
		tried[ill.alert] = true
		t.Run(ill.alert, func(t *testing.T) {
			line, gone := strings.CutPrefix(ill.line, "-")
			id := line[:strings.LastIndex(line, "}")+1]
			require.Contains(t, well, "\n"+id+" ")
			if gone {
				line = ""
			}
			series := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(id)+` .*$`).ReplaceAllLiteralString(well, line)
			assert.Equal(t, []string{ill.alert}, raised(t, series))
		})
	}
	assert.Len(t, tried, len(alerts), "each alert is tried")
}

// summary makes the sentence that people get, of labels that have to be there.
func summary(t *testing.T, r rulefmt.Rule, s promql.Sample) {
	t.Helper()
	for _, l := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
		assert.NotEmpty(t, s.Metric.Get(l[1]), "%s tells of %s, which it does not have", r.Alert, l[1])
	}
}

func TestTheAutoscalersFigureIsMadeOfWhatTheBackendTells(t *testing.T) {
	m, rule := readMetrics(t), readAdapterRule(t)
	// As prometheus-adapter makes the query for an autoscaler in the namespace.
	query, err := template.New("").Delims("<<", ">>").Option("missingkey=error").Parse(rule.MetricsQuery)
	require.NoError(t, err)
	var expr bytes.Buffer
	require.NoError(t, query.Execute(&expr, map[string]string{
		"Series": "taskrunner_queue_tasks", "LabelMatchers": `queue="default",namespace="taskrunner"`, "GroupBy": "namespace",
	}))
	assert.Equal(t, `{__name__="taskrunner_queue_tasks",namespace!=""}`, rule.SeriesQuery)
	assert.Equal(t, "namespace", rule.Resources.Overrides["namespace"].Resource)
	_, err = m.check(expr.String())
	require.NoError(t, err)

	// Two backends tell the same; what is delayed needs no worker yet.
	store := promqltest.LoadedStorage(t, `load 1m
  taskrunner_queue_tasks{namespace="taskrunner", instance="b1", queue="default", state="waiting"} 7
  taskrunner_queue_tasks{namespace="taskrunner", instance="b1", queue="default", state="leased"} 4
  taskrunner_queue_tasks{namespace="taskrunner", instance="b1", queue="default", state="delayed"} 100
  taskrunner_queue_tasks{namespace="taskrunner", instance="b2", queue="default", state="waiting"} 7
  taskrunner_queue_tasks{namespace="taskrunner", instance="b2", queue="default", state="leased"} 4
  taskrunner_queue_tasks{namespace="taskrunner", instance="b1", queue="other", state="waiting"} 50
  taskrunner_queue_tasks{namespace="another", instance="b3", queue="default", state="waiting"} 50
`)
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery)
	q, err := engine.NewInstantQuery(t.Context(), store, nil, expr.String(), time.Unix(0, 0))
	require.NoError(t, err)
	defer q.Close()
	v, err := q.Exec(t.Context()).Vector()
	require.NoError(t, err)
	require.Len(t, v, 1)
	assert.Equal(t, 11.0, v[0].F)
}

// dashboard is what Grafana reads of one.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name, Type, Definition string
		}
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ UID string }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Options struct {
		YAxis struct{ Unit string } `json:"yAxis"`
	}
	Targets []struct{ RefID, Expr, LegendFormat, Format string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dashboards, "taskrunner.json"))
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(content, &d))
	return d
}

// plain replaces Grafana's own variables, and those of the dashboard.
func plain(expr string, variables []string) (string, error) {
	var unknown error
	expr = regexp.MustCompile(`\$\{?(\w+)\}?`).ReplaceAllStringFunc(expr, func(v string) string {
		switch name := strings.Trim(v, "${}"); {
		case name == "__rate_interval":
			return "5m"
		case slices.Contains(variables, name):
			return ".*"
		default:
			unknown = fmt.Errorf("there is no variable %s", name)
			return v
		}
	})
	return expr, unknown
}

func TestTheDashboardShowsWhatThereIs(t *testing.T) {
	m, d := readMetrics(t), readDashboard(t)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type != "query" {
			continue
		}
		parts := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(v.Definition)
		require.NotNil(t, parts, v.Definition)
		used, err := m.check(parts[1])
		require.NoError(t, err)
		assert.NoError(t, m.checkLabels([]string{parts[2]}, used))
	}
	require.Subset(t, variables, []string{"datasource", "queue", "language", "instance"})

	shown, ids, taken := map[string]bool{}, map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		assert.False(t, ids[p.ID], "%s has the ID of another panel", p.Title)
		ids[p.ID] = true
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				require.Empty(t, taken[at], "%s covers %s", p.Title, taken[at])
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		assert.Contains(t, []string{"timeseries", "stat", "heatmap"}, p.Type, "no plugin has to be installed")
		assert.NotEmpty(t, p.Description, p.Title)
		assert.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		assert.NotEmpty(t, p.FieldConfig.Defaults.Unit+p.Options.YAxis.Unit, "%s has no unit", p.Title)
		assert.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			expr, err := plain(target.Expr, variables)
			require.NoError(t, err, p.Title)
			used, err := m.check(expr)
			assert.NoError(t, err, p.Title)
			for _, name := range used {
				shown[name] = true
			}
			for _, l := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				assert.NoError(t, m.checkLabels(l[1:], used), "%s: %s", p.Title, target.LegendFormat)
			}
		}
	}
	for name := range m {
		histogram, bucket := strings.CutSuffix(name, "_bucket")
		sum := strings.HasSuffix(name, "_sum")
		if ownMetric.MatchString(name) && !shown[name] && !sum && !(bucket && shown[histogram+"_count"]) && name != "taskrunner_queue_up" {
			t.Errorf("nobody sees %s", name)
		}
	}
}

func TestGrafanaFindsItsDashboards(t *testing.T) {
	var sources struct {
		APIVersion  int `json:"apiVersion"`
		Datasources []struct{ Name, UID, Type, URL string }
	}
	readYAML(t, filepath.Join(root, "deploy/grafana/provisioning/datasources/prometheus.yml"), &sources)
	require.Len(t, sources.Datasources, 1)
	assert.Equal(t, "prometheus", sources.Datasources[0].Type)
	assert.Equal(t, "http://prometheus:9090", sources.Datasources[0].URL)

	var providers struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	readYAML(t, filepath.Join(root, "deploy/grafana/provisioning/dashboards/taskrunner.yml"), &providers)
	require.Len(t, providers.Providers, 1)
	assert.Equal(t, "file", providers.Providers[0].Type)
	assert.Equal(t, "/var/lib/grafana/dashboards", providers.Providers[0].Options.Path)
}
