package chaos

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// A caller that dies between two steps of a submission has been told nothing. When it
// comes again, with the same key, there is one task for it, and that runs.
func TestACallerThatDiesWhileItSubmitsHasOneTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.RedisOptions{})
	w.crowd(1)
	for _, op := range []fakes.Op{"queue.Stats", "store.Create", "events.Publish queued", "queue.Enqueue"} {
		for _, phase := range both {
			s, mark := w.spec(hello)
			caller := w.start(w.orders("caller-"+string(phase)+"-"+string(op), func(o *order) {
				o.Spec = &s
				o.Trap = trap{Op: op, Phase: phase, Nth: 1, Signal: syscall.SIGKILL}
			}))
			eventually(t, caller.died, "the caller to die %s", caller.order.Trap)
			w.faults++
			w.track(hello, w.accept(s), mark)
		}
	}
	w.settle()
	w.disperse()
	w.requireOver()
}

// The same without coming again: what is in the store all the same is run, too.
func TestATaskWhoseCallerDiedIsNotForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.RedisOptions{})
	s, mark := w.spec(hello)
	caller := w.start(w.orders("caller", func(o *order) {
		o.Spec = &s
		o.Trap = trap{Op: "queue.Enqueue", Phase: fakes.Before, Nth: 1, Signal: syscall.SIGKILL}
	}))
	eventually(t, caller.died, "the caller to die")
	w.faults++
	left := slices.Collect(maps.Keys(w.snapshot()))
	require.Len(t, left, 1)
	w.track(hello, left[0], mark)
	w.crowd(1) // its reconciler finds the task
	w.settle()
	w.disperse()
	w.requireOver()
}

// While a server is away, a caller is told so within its patience, and to try again; and
// no task is there that nobody was told of.
func TestASubmissionWithoutAServerIsRefusedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		of   func(servers) server
		at   fakes.Op // when it goes away; empty: before
	}{
		{"Redis is away", func(s servers) server { return s.redis }, ""},
		{"Redis goes away when the task is stored", func(s servers) server { return s.redis }, "store.Create"},
		{"MongoDB is away", func(s servers) server { return s.mongo }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testenv.RedisOptions{})
			w.unsteady = true
			failing := tt.of(w.servers)
			view := fakes.Wrap(w.backend)
			view.Use(func(_ context.Context, c fakes.Call) error {
				if c.Op == tt.at && c.Phase == fakes.After && c.Nth == 1 {
					failing.Kill(t)
				}
				return nil
			})
			api := w.api(view.Ports())
			if tt.at == "" {
				failing.Kill(t)
			}
			w.faults++

			began := time.Now()
			status, header, _ := post(t, api)
			assert.Equal(t, http.StatusServiceUnavailable, status)
			assert.NotEmpty(t, header.Get("Retry-After"))
			// Two bounds of 10 s: the submission's own and that of taking it back.
			assert.Less(t, time.Since(began), 30*time.Second, "a caller's patience")

			failing.Start(t)
			assert.Empty(t, w.snapshot(), "tasks that nobody was told of")

			w.crowd(1)
			status, _, id := post(t, api)
			require.Equal(t, http.StatusAccepted, status, "when the server is back")
			w.track(program{kind: "posted", stdout: "hello\n"}, id, "")
			w.settle()
			w.disperse()
			w.requireOver()
		})
	}
}

// api serves the HTTP API on a backend.
func (w *world) api(b ports.Backend) string {
	w.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	client, err := taskrunner.NewClient(taskrunner.Config{Backend: b, Languages: languages, Logger: quiet})
	require.NoError(w.t, err)
	api, err := httpapi.New(httpapi.Config{Client: client, Logger: quiet})
	require.NoError(w.t, err)
	srv := httptest.NewServer(api)
	w.t.Cleanup(srv.Close)
	return srv.URL
}

// post submits a task.
func post(t *testing.T, url string) (status int, header http.Header, id ports.TaskID) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v1/tasks",
		strings.NewReader(`{"language":"python","code":"print('hello')"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	var body struct {
		ID ports.TaskID `json:"task_id"`
	}
	_ = json.Unmarshal(text, &body) // a problem has none
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return res.StatusCode, res.Header, body.ID
}
