package httpapi

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/taskrunner"
)

// logged returns the lines about requests that a handler wrote.
func logged(t *testing.T, log *bytes.Buffer) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var l map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		if l["msg"] == "request" {
			lines = append(lines, l)
		}
	}
	log.Reset()
	return lines
}

func TestARequestThatMayChangeSomethingHasALineWithItsIDAndItsTasks(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := assemble(t, idle, func(s *setup) { s.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	do := func(method, path, body string) reply {
		t.Helper()
		return ask(t, s.api, method, path, body, "X-Request-Id", "my-id.1", "Content-Type", "application/json")
	}
	id := decode[Accepted](t, do("POST", "/api/v1/tasks", hello), http.StatusAccepted).TaskID
	do("POST", "/api/v1/tasks/"+id+"/cancel", "")
	do("POST", "/api/v1/tasks", `{"language":"python","code":"secret","stdin":"secret","timeout":0}`)
	all := log.String()
	lines := logged(t, &log)
	require.Len(t, lines, 3)
	for i, want := range []map[string]any{
		{"path": "/api/v1/tasks", "status": 202.0, "task": id},
		{"path": "/api/v1/tasks/" + id + "/cancel", "status": 202.0, "task": id},
		{"path": "/api/v1/tasks", "status": 400.0},
	} {
		for _, volatile := range []string{"time", "seconds"} {
			assert.Contains(t, lines[i], volatile)
			delete(lines[i], volatile)
		}
		want["level"], want["msg"], want["method"], want["request_id"] = "INFO", "request", "POST", "my-id.1"
		assert.Equal(t, want, lines[i])
	}
	assert.NotContains(t, all, "secret")
	assert.NotContains(t, all, "print(")

	do("GET", "/api/v1/tasks/"+id, "")
	assert.Empty(t, logged(t, &log), "who only looks is not told of")
}

func TestALongPathDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := assemble(t, idle, func(s *setup) { s.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	ask(t, s.api, "POST", "/"+strings.Repeat("x", 10_000), "")
	lines := logged(t, &log)
	require.Len(t, lines, 1)
	assert.Equal(t, "/"+strings.Repeat("x", maxLoggedPath-1), lines[0]["path"])
}

func TestEveryOtherRequestHasALineForWhoWantsIt(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := assemble(t, idle, func(s *setup) {
		s.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	task, err := s.client.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true"})
	require.NoError(t, err)
	id := string(task.ID)
	for path, status := range map[string]float64{
		"/api/v1/tasks/" + id: 200, "/api/v1/tasks/" + id + "/logs/stdout": 200, "/api/v1/languages": 200, "/nowhere\n": 404,
	} {
		ask(t, s.api, "GET", strings.ReplaceAll(path, "\n", "%0A"), "")
		lines := logged(t, &log)
		require.Len(t, lines, 1, path)
		assert.Equal(t, path, lines[0]["path"])
		assert.InDelta(t, status, lines[0]["status"], 0, path)
		if strings.Contains(path, id) {
			assert.Equal(t, id, lines[0]["task"])
		} else {
			assert.NotContains(t, lines[0], "task")
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		ask(t, s.api, "GET", path, "")
		assert.Empty(t, logged(t, &log), path)
	}
}
