package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/openapi.json anew")

func TestTheDescriptionIsAsItWasReviewed(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	r := s.get("/openapi.json")
	require.Equal(t, http.StatusOK, r.StatusCode)
	var got bytes.Buffer
	require.NoError(t, json.Indent(&got, []byte(r.body), "", "  "))
	got.WriteByte('\n')
	const golden = "testdata/openapi.json"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got.String(), "run go test -run TestTheDescription -update if the change is meant")
}

// spec is the part of a description that is checked.
type spec struct {
	OpenAPI string `json:"openapi"`
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Parameters  []struct {
			Name, In string
			Required bool
			Schema   map[string]any
		}
		RequestBody *struct {
			Content map[string]struct {
				Examples map[string]struct{ Value json.RawMessage }
			}
		} `json:"requestBody"`
		Responses map[string]struct {
			Description string
			Content     map[string]struct{ Schema map[string]any }
		}
	}
	Components struct{ Schemas map[string]any }
}

func TestTheDescriptionIsSoundAndWhole(t *testing.T) {
	t.Parallel()
	s := serve(t)
	body := s.get("/openapi.json").body
	var d spec
	require.NoError(t, json.Unmarshal([]byte(body), &d))
	assert.Equal(t, "3.1.0", d.OpenAPI)
	assert.NotEmpty(t, d.Info.Title)
	assert.NotEmpty(t, d.Info.Version)

	for _, route := range []string{
		"POST /api/v1/tasks", "GET /api/v1/tasks", "GET /api/v1/tasks/{id}", "POST /api/v1/tasks/{id}/cancel", "GET /api/v1/tasks/{id}/logs",
		"GET /api/v1/tasks/{id}/logs/{stream}", "GET /api/v1/tasks/{id}/metrics", "GET /api/v1/tasks/{id}/stream",
		"GET /api/v1/languages", "GET /api/v1/limits", "GET /healthz", "GET /readyz",
	} {
		method, path, _ := strings.Cut(route, " ")
		assert.Contains(t, d.Paths[path], strings.ToLower(method), route)
	}
	ids := map[string]bool{}
	for path, operations := range d.Paths {
		for method, op := range operations {
			name := method + " " + path
			assert.NotEmpty(t, op.Summary, name)
			assert.False(t, ids[op.OperationID], name)
			ids[op.OperationID] = true
			var inPath []string
			for _, p := range op.Parameters {
				assert.NotEmpty(t, p.Schema, name)
				if p.In == "path" {
					assert.True(t, p.Required, name)
					inPath = append(inPath, "{"+p.Name+"}")
				}
			}
			assert.ElementsMatch(t, regexp.MustCompile(`\{\w+\}`).FindAllString(path, -1), inPath, name)
			assert.NotContains(t, op.Responses, "422", name)
			for status, r := range op.Responses {
				assert.NotEmpty(t, r.Description, name+" "+status)
				if status >= "400" && path != "/readyz" {
					assert.Equal(t, "#/components/schemas/Problem", r.Content["application/problem+json"].Schema["$ref"], name+" "+status)
				}
			}
		}
	}
	for _, ref := range regexp.MustCompile(`"#/components/schemas/(\w+)"`).FindAllStringSubmatch(body, -1) {
		assert.Contains(t, d.Components.Schemas, ref[1])
	}
	assert.NotContains(t, d.Components.Schemas, "ErrorModel")
}

func TestTheExamplesOfTheDescriptionWork(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var d spec
	require.NoError(t, json.Unmarshal([]byte(s.get("/openapi.json").body), &d))
	examples := d.Paths["/api/v1/tasks"]["post"].RequestBody.Content["application/json"].Examples
	require.NotEmpty(t, examples)
	for name, e := range examples {
		assert.Equal(t, "succeeded", s.finish(string(e.Value)).Status, name)
	}
}

func TestTheDocumentationLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	page := s.get("/docs")
	assert.Equal(t, "text/html; charset=utf-8", page.Header.Get("Content-Type"))
	policy := page.Header.Get("Content-Security-Policy")
	assert.Contains(t, policy, "script-src 'self';")
	assert.NotContains(t, policy, "unsafe")
	assert.NotContains(t, page.body, "//", "no URL of another server")
	assert.NotRegexp(t, `<script>|<style|style=|\son\w+=`, page.body, "nothing inline, which the policy forbids")

	links := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		r := s.get("/" + link[1])
		assert.Equal(t, http.StatusOK, r.StatusCode, link[1])
		assert.NotEmpty(t, r.body)
		assert.NotContains(t, r.Header.Get("Content-Type"), "html")
	}
}

func TestCompressedAssetsAreServedToClientsThatDoNotTakeThem(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	const path = "/docs/swagger-ui.css"
	small := s.get(path, "Accept-Encoding", "br, gzip;q=0.5")
	assert.Equal(t, "gzip", small.Header.Get("Content-Encoding"))
	unpacked, err := gzip.NewReader(strings.NewReader(small.body))
	require.NoError(t, err)
	want, err := io.ReadAll(unpacked)
	require.NoError(t, err)
	plain := s.get(path, "Accept-Encoding", "gzip;q=0")
	assert.Empty(t, plain.Header.Get("Content-Encoding"))
	assert.Equal(t, string(want), plain.body)
}
