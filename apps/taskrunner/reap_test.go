package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
)

// engineWithLeftovers is as much of a Docker engine as the reaper asks, at noon of the
// second of January 2030. It returns its address, and how to know what was removed
// from it.
func engineWithLeftovers(t *testing.T, refuses string) (host string, removed func() []string) {
	t.Helper()
	type object = map[string]any
	labels := func(role, expires string) map[string]string {
		return map[string]string{"com.github.task-runner.role": role, "com.github.task-runner.expires": expires}
	}
	answers := map[string]any{
		"/info": object{"SystemTime": "2030-01-02T12:00:00Z"},
		"/containers/json": []object{
			{"Id": "c1", "Names": []string{"/taskrunner-x-1"}, "State": "running", "Labels": labels("sandbox", "2030-01-02T11:48:00Z")},
			{"Id": "c2", "Names": []string{"/taskrunner-x-2"}, "State": "running", "Labels": labels("sandbox", "2030-01-02T11:58:00Z")},
		},
		"/images/json": []object{
			{"Id": "sha256:i1", "Labels": labels("runner", "2030-01-02T10:00:00Z")},
		},
		"/images/sha256:i1/json": object{"Id": "sha256:i1"}, // it is still there
		"/volumes": object{"Volumes": []object{
			{"Name": "taskrunner-runner-0", "CreatedAt": "2030-01-01T11:00:00Z", "Labels": labels("runner", "")},
		}},
	}
	var mu sync.Mutex
	var gone []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
		path = "/" + path
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		switch answer, ok := answers[path]; {
		case r.Method == http.MethodDelete && path == refuses:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(`{"message":"device or resource busy"}`))
		case r.Method == http.MethodDelete:
			mu.Lock()
			gone = append(gone, path)
			mu.Unlock()
			_, _ = w.Write([]byte("[]"))
		case ok:
			assert.NoError(t, json.NewEncoder(w).Encode(answer))
		case r.URL.Path != "/_ping":
			t.Errorf("unexpected request: %s %s", r.Method, path)
		}
	}))
	t.Cleanup(server.Close)
	return "tcp://" + server.Listener.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return gone
	}
}

func TestReapSaysWhatItRemoves(t *testing.T) {
	t.Parallel()
	const (
		container = "container taskrunner-x-1, which expired 12m0s ago\n"
		second    = "container taskrunner-x-2, which expired 2m0s ago\n"
		image     = "image sha256:i1, which expired 2h0m0s ago\n"
		volume    = "volume taskrunner-runner-0, which is of another version, unused and 25h0m0s old\n"
		did, may  = "removed ", "would remove "
	)
	all := []string{"/containers/c1", "/images/sha256:i1", "/volumes/taskrunner-runner-0"}
	for name, tt := range map[string]struct {
		args    []string
		refuses string
		want    outcome
		removed []string
	}{
		"by default":             {want: outcome{0, did + container + did + image + did + volume, ""}, removed: all},
		"with a shorter grace":   {args: []string{"--grace=1m"}, want: outcome{0, did + container + did + second + did + image + did + volume, ""}, removed: []string{all[0], "/containers/c2", all[1], all[2]}},
		"with a longer grace":    {args: []string{"--grace=48h"}, want: outcome{0, "", ""}},
		"in a dry run":           {args: []string{"--dry-run"}, want: outcome{0, may + container + may + image + may + volume, ""}},
		"where one cannot be":    {refuses: all[1], want: outcome{1, did + container + did + volume, "taskrunner: reaping: removing the image sha256:i1: Error response from daemon: device or resource busy\n"}, removed: []string{all[0], all[2]}},
		"with a grace too short": {args: []string{"--grace=30s"}, want: outcome{2, "", "taskrunner: --grace (TASKRUNNER_GRACE): must be at least 1m0s\n"}},
		"with an argument":       {args: []string{"all"}, want: outcome{2, "", "taskrunner: unexpected argument \"all\"\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, removed := engineWithLeftovers(t, tt.refuses)
			got := call(t.Context(), "", nil, append([]string{"reap", "--docker-host", host}, tt.args...)...)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.removed, removed())
		})
	}
}

func TestReapNeedsAnEngine(t *testing.T) {
	t.Parallel()
	got := call(t.Context(), "", nil, "reap")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "unix:///nonexistent/docker.sock")
	assert.Equal(t, 2, call(t.Context(), "", nil, "reap", "--docker-host=ssh://host").code)
}

func TestReapTalksWithARealEngine(t *testing.T) {
	t.Parallel()
	host := testenv.Docker(t).DaemonHost()
	got := call(t.Context(), "", nil, "reap", "--dry-run", "--docker-host", host)
	require.Zero(t, got.code, got.stderr)
	for line := range strings.Lines(got.stdout) {
		assert.True(t, strings.HasPrefix(line, "would remove "), line)
	}
}
