package deploy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/model"
	promql "github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// metrics are the labels of each metric that there is, by name.
type metrics map[string][]string

// ofTargets are labels that Prometheus itself gives.
var ofTargets = []string{"job", "instance", "namespace", "pod"}

// readMetrics returns the metrics of the product, by what its code says to the library
// of Prometheus, with those that come with the library.
func readMetrics(t *testing.T) metrics {
	t.Helper()
	all := metrics{"up": nil}
	for _, folder := range []string{"adapters", "apps", "internal", "taskrunner"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, folder), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && err == nil {
					err = all.declare(call)
				}
				return err == nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		all[f.GetName()] = nil
	}
	require.Contains(t, all, "taskrunner_queue_tasks")
	require.Contains(t, all, "taskrunner_attempt_duration_seconds_bucket")
	require.Contains(t, all, "process_open_fds")
	return all
}

var (
	constructor = regexp.MustCompile(`^New(Gauge|Counter|Histogram|Summary)(Vec|Func)?$`)
	ownMetric   = regexp.MustCompile(`^taskrunner_`)
)

// declare adds the metric that a call makes, if it makes one.
func (m metrics) declare(call *ast.CallExpr) error {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return nil
	}
	if pkg, ok := f.X.(*ast.Ident); !ok || pkg.Name != "prometheus" {
		return nil
	}
	kind := constructor.FindStringSubmatch(f.Sel.Name)
	var name, list ast.Expr
	switch {
	case f.Sel.Name == "NewDesc":
		name, list = call.Args[0], call.Args[2]
	case kind != nil:
		opts, ok := call.Args[0].(*ast.CompositeLit)
		if !ok {
			return fmt.Errorf("the options of a metric are not written where it is made")
		}
		for _, e := range opts.Elts {
			if e, ok := e.(*ast.KeyValueExpr); ok && e.Key.(*ast.Ident).Name == "Name" {
				name = e.Value
			}
		}
		if kind[2] == "Vec" {
			list = call.Args[1]
		}
	default:
		return nil
	}
	id, err := text(name)
	if err != nil {
		return err
	}
	var of []string
	if lit, ok := list.(*ast.CompositeLit); ok {
		for _, e := range lit.Elts {
			label, err := text(e)
			if err != nil {
				return err
			}
			of = append(of, label)
		}
	}
	if kind != nil && kind[1] == "Histogram" {
		m[id+"_bucket"] = append(slices.Clone(of), "le")
		m[id+"_count"], m[id+"_sum"] = of, of
		return nil
	}
	m[id] = of
	return nil
}

// text returns what a literal says.
func text(e ast.Expr) (string, error) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", fmt.Errorf("the name of a metric or of a label is no literal")
	}
	return strconv.Unquote(lit.Value)
}

// check says which names of metrics and labels in an expression do not exist.
func (m metrics) check(expr string) (used []string, err error) {
	e, err := promql.NewParser(promql.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	promql.Inspect(e, func(n promql.Node, _ []promql.Node) error {
		if s, ok := n.(*promql.VectorSelector); ok && err == nil {
			err = m.checkSelector(s)
			used = append(used, s.Name)
		}
		return nil
	})
	promql.Inspect(e, func(n promql.Node, _ []promql.Node) error {
		if a, ok := n.(*promql.AggregateExpr); ok && err == nil {
			err = m.checkLabels(a.Grouping, selected(a.Expr))
		}
		if b, ok := n.(*promql.BinaryExpr); ok && b.VectorMatching != nil && err == nil {
			err = m.checkLabels(b.VectorMatching.MatchingLabels, selected(b))
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", expr, err)
	}
	return used, err
}

func (m metrics) checkSelector(s *promql.VectorSelector) error {
	if _, ok := m[s.Name]; !ok {
		return fmt.Errorf("there is no metric %q", s.Name)
	}
	for _, l := range s.LabelMatchers {
		if l.Name == model.MetricNameLabel {
			continue
		}
		if err := m.checkLabels([]string{l.Name}, []string{s.Name}); err != nil {
			return err
		}
	}
	return nil
}

// checkLabels says which of some labels each of the metrics lacks.
func (m metrics) checkLabels(names, of []string) error {
	for _, metric := range of {
		for _, l := range names {
			if !slices.Contains(m[metric], l) && !slices.Contains(ofTargets, l) {
				return fmt.Errorf("%s has no label %q", metric, l)
			}
		}
	}
	return nil
}

// selected returns the names of all metrics in an expression.
func selected(e promql.Expr) (names []string) {
	promql.Inspect(e, func(n promql.Node, _ []promql.Node) error {
		if s, ok := n.(*promql.VectorSelector); ok {
			names = append(names, s.Name)
		}
		return nil
	})
	return names
}

func TestNamesThatTheCodeDoesNotHaveAreNoticed(t *testing.T) {
	m := readMetrics(t)
	for _, expr := range []string{
		`taskrunner_queue_task`,
		`sum(rate(taskrunner_attempt_duration_seconds[5m]))`,
		`taskrunner_queue_tasks{stat="waiting"}`,
		`sum by (cause) (taskrunner_attempts_running)`,
		`sum by (le) (taskrunner_attempt_duration_seconds_count)`,
		`taskrunner_queue_up unless on (language) taskrunner_queue_up`,
		`{job="backend"}`,
		`sum(taskrunner_queue_up`,
	} {
		_, err := m.check(expr)
		assert.Error(t, err, expr)
	}
	_, err := m.check(`sum by (queue, instance) (taskrunner_queue_tasks{state="waiting",job="backend"}) / on (queue) taskrunner_queue_up`)
	assert.NoError(t, err)
}

func TestTheTableOfMetricsIsThatOfTheCode(t *testing.T) {
	code := metrics{}
	for name, labels := range readMetrics(t) {
		// Of a histogram, the table has the name that the code gives.
		name = strings.TrimSuffix(name, "_count")
		if !ownMetric.MatchString(name) || strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_sum") {
			continue
		}
		code[name] = slices.Sorted(slices.Values(labels))
	}
	page, err := os.ReadFile(root + "/docs/operations.md")
	require.NoError(t, err)
	table := metrics{}
	for _, row := range metricRow.FindAllStringSubmatch(string(page), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			table[strings.Trim(name, "`")] = slices.Sorted(strings.FieldsFuncSeq(row[2], func(r rune) bool { return r == ',' || r == ' ' }))
		}
	}
	assert.Equal(t, code, table)
}

// metricRow is a row of the table: names, and labels.
var metricRow = regexp.MustCompile("(?m)^\\| (`taskrunner_[^|]*) \\|([^|]*)\\|")

// adapterRule is a rule of prometheus-adapter.
type adapterRule struct {
	SeriesQuery string `json:"seriesQuery"`
	Resources   struct {
		Overrides map[string]struct {
			Resource string `json:"resource"`
		} `json:"overrides"`
	} `json:"resources"`
	Name struct {
		As string `json:"as"`
	} `json:"name"`
	MetricsQuery string `json:"metricsQuery"`
}

// readAdapterRule returns the rule of which the workers' autoscaler has its figure.
func readAdapterRule(t *testing.T) adapterRule {
	t.Helper()
	var values struct {
		Rules struct {
			External []adapterRule `json:"external"`
		} `json:"rules"`
	}
	readYAML(t, filepath.Join(manifests, "prometheus-adapter/rules.yaml"), &values)
	require.Len(t, values.Rules.External, 1)
	return values.Rules.External[0]
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(content, into))
}
