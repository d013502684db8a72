package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const apiDoc = "../../docs/api.md"

// example is a block of commands in the document, with the answer behind it.
type example struct {
	line     int
	commands string
	// kind is how the answer is written, statuses are those of its calls.
	kind, statuses, answer string
}

// examples returns the examples of a document in their order.
func examples(t *testing.T, path string) (all []example) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	fence := regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")
	for _, m := range fence.FindAllSubmatchIndex(text, -1) {
		info, body := string(text[m[2]:m[3]]), string(text[m[4]:m[5]])
		kind, statuses, _ := strings.Cut(info, " ")
		if kind == "sh" {
			all = append(all, example{line: 1 + strings.Count(string(text[:m[0]]), "\n"), commands: body})
			continue
		}
		require.NotEmpty(t, all, "an answer without a command")
		last := &all[len(all)-1]
		require.Empty(t, last.kind, "a second answer to the commands of line %d", last.line)
		last.kind, last.statuses, last.answer = kind, statuses, body
	}
	return all
}

// tracing makes curl say on standard error what it asked, and what it was answered.
const tracing = `set -e -o pipefail
curl() { command curl -w '%{stderr}call: %{http_code} %{method} %{url}\n' "$@"; }
`

var callLine = regexp.MustCompile(`(?m)^call: (\d+) (\w+) http://[^/]+([^?\n]*).*$`)

func TestTheExamplesOfTheAPIsDocumentWork(t *testing.T) {
	t.Parallel()
	s := serving(t)
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			require.NotEqual(t, "1", os.Getenv("TASKRUNNER_REQUIRE_SERVICES"), err)
			t.Skip(err)
		}
	}
	all := examples(t, apiDoc)
	require.NotEmpty(t, all)

	// One shell runs them all, so that one can build on another's variables.
	dir := t.TempDir()
	script := tracing
	for i, e := range all {
		script += fmt.Sprintf("exec >%d.out 2>%d.err\n%s", i, i, e.commands)
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script)
	shell.Dir = dir
	shell.Env = []string{"API=" + s.api, "PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	failed := shell.Run()

	called := map[string]bool{}
	for i, e := range all {
		where := fmt.Sprintf("%s:%d", apiDoc, e.line)
		out, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.out", i)))
		require.NoError(t, errors.Join(err, failed), "the example before %s failed", where)
		trace, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.err", i)))
		require.NoError(t, err)
		var statuses []string
		for _, call := range callLine.FindAllStringSubmatch(string(trace), -1) {
			statuses = append(statuses, call[1])
			called[call[2]+" "+call[3]] = true
		}
		assert.Empty(t, strings.TrimSpace(callLine.ReplaceAllString(string(trace), "")), where)
		assert.Equal(t, e.statuses, strings.Join(statuses, " "), "%s: %s", where, out)
		switch e.kind {
		case "":
			assert.Empty(t, string(out), where)
		case "json":
			assert.Equal(t, shapes(t, e.answer), shapes(t, string(out)), where)
		case "sse":
			assert.Equal(t, eventShapes(t, e.answer), eventShapes(t, string(out)), where)
		case "text":
			assert.Equal(t, shapeOfText(e.answer), shapeOfText(string(out)), where)
		default:
			assert.Fail(t, "an answer of no known kind", "%s: %s", where, e.kind)
		}
	}
	require.NoError(t, failed)

	_, body := s.do(http.MethodGet, s.api+"/openapi.json", "")
	var described struct {
		Paths map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(body), &described))
	require.NotEmpty(t, described.Paths)
	for path, methods := range described.Paths {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		for method := range methods {
			found := false
			for call := range called {
				verb, asked, _ := strings.Cut(call, " ")
				found = found || strings.EqualFold(verb, method) && pattern.MatchString(asked)
			}
			assert.True(t, found, "no example calls %s %s", method, path)
		}
	}
}

// shapes decodes JSON values, in which what no two runs have in common is replaced.
func shapes(t *testing.T, text string) (all []any) {
	t.Helper()
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err, text)
		all = append(all, shape("", v))
	}
}

// measured are the members whose values a run decides.
var measured = regexp.MustCompile(`_ms$|^(peak_)?memory_bytes$|^cpu_percent$|^version$|^request_id$|^next_cursor$`)

func shape(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			if v[k] = shape(k, member); k == "samples" {
				delete(v, k) // as many as there were
			}
		}
	case []any:
		for i := range v {
			v[i] = shape(name, v[i])
		}
	case string:
		if measured.MatchString(name) {
			return "TEXT"
		}
		return shapeOfText(v)
	case float64:
		if measured.MatchString(name) {
			return "NUMBER"
		}
	}
	return v
}

var volatile = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
}

func shapeOfText(s string) string {
	for _, v := range volatile {
		s = v.pattern.ReplaceAllString(s, v.name)
	}
	return s
}

// eventShapes decodes Server-Sent Events but those of usage, which come or not.
func eventShapes(t *testing.T, text string) (all []string) {
	t.Helper()
	for event := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		head, data, ok := strings.Cut(event, "\ndata: ")
		if ok && strings.Contains(head, "event: usage") {
			continue
		}
		head = regexp.MustCompile(`id: [^~\n]*`).ReplaceAllString(head, "id: ID")
		for _, v := range shapes(t, data) {
			head += fmt.Sprint("\n", v)
		}
		all = append(all, head)
	}
	return all
}

func TestTheAPIsDocumentHasEveryCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(apiDoc)
	require.NoError(t, err)
	written := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| \\d{3} \\|").FindAllSubmatch(text, -1) {
		written[string(row[1])] = true
	}
	sources, err := filepath.Glob("../../adapters/httpapi/*.go")
	require.NoError(t, err)
	given := map[string]bool{}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?:http\.Status\w+|answer\.status), "(\w+)",\s`).FindAllSubmatch(source, -1) {
			given[string(m[1])] = true
		}
	}
	require.NotEmpty(t, given)
	assert.Equal(t, given, written)
}
