package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/apps/internal/servetest"
	"github.com/task-runner/task-runner/apps/internal/wire"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/taskrunner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds the waits for what normally takes seconds at most.
const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 50*time.Millisecond, what)
}

// start starts a backend on servers.
func start(t *testing.T, servers wire.Servers, args ...string) *servetest.Service {
	t.Helper()
	b := newBackend()
	return servetest.Start(t, b.Program, b.run, servetest.Env(servers), append([]string{"--api-addr=127.0.0.1:0"}, args...)...)
}

func isReady(s *servetest.Service) func() bool {
	return func() bool {
		status, _ := s.Ready()
		return status == http.StatusOK
	}
}

// work runs a worker with the sandbox until the end of the test.
func work(t *testing.T, servers wire.Servers) {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv("TASKRUNNER_REQUIRE_SERVICES") != "1" {
		t.Skip("the sandbox needs root")
	}
	log := slog.New(slog.DiscardHandler)
	connections, err := wire.Connect(servers)
	require.NoError(t, err)
	t.Cleanup(connections.Close)
	backend, err := connections.Open(t.Context(), log)
	require.NoError(t, err)
	w, err := wire.StartWorker(t.Context(), wire.Config{
		Backend: backend, Executor: wire.ExecutorSandbox, Languages: taskrunner.BuiltinLanguages(),
		Metrics: prometheus.NewRegistry(), Logger: log,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, w.Stop(context.Background()))
		assert.NoError(t, w.Close(context.Background()))
	})
}

func TestABackendWaitsForItsServersAndOutlivesThem(t *testing.T) {
	t.Parallel()
	redis, mongo, minio := testenv.OwnRedis(t, testenv.RedisOptions{}), testenv.OwnMongo(t, testenv.MongoOptions{}), testenv.OwnMinIO(t, testenv.MinIOOptions{})
	servers := wire.Servers{
		MongoURI: mongo.URI, MongoDB: "tasks", RedisURL: "redis://" + redis.Addr(), EventRetention: time.Hour,
		MinIOEndpoint: "http://" + minio.Endpoint, MinIOAccessKey: minio.AccessKey, MinIOSecretKey: minio.SecretKey, MinIOBucket: "logs",
	}
	all := []*testenv.Server{redis.Server, mongo.Server, minio.Server}
	for _, server := range all {
		server.Kill(t)
	}
	b := start(t, servers)
	assert.Equal(t, http.StatusOK, b.Do(http.MethodGet, "/healthz", "").Status)
	status, checks := b.Ready()
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, map[string]string{"mongodb": "failed", "redis": "failed", "minio": "failed"}, checks)
	answer := b.Do(http.MethodPost, "/api/v1/tasks", `{"language":"bash","code":"true"}`)
	assert.Equal(t, http.StatusServiceUnavailable, answer.Status, answer.Body)
	assert.NotEmpty(t, answer.Header.Get("Retry-After"))

	for _, server := range all {
		server.Start(t)
	}
	eventually(t, "it is ready once its servers are there", isReady(b))
	work(t, servers)
	run := func() {
		t.Helper()
		var said, end string
		b.Stream(b.Submit("echo hello"), "", func(e servetest.Event) {
			if e.Kind == "stdout" {
				said += e.Data.Text
			}
			end = e.Data.Status
		})
		assert.Equal(t, "hello\n", said)
		assert.Equal(t, "succeeded", end)
	}
	run()

	redis.Kill(t)
	eventually(t, "it says what is gone", func() bool {
		status, checks := b.Ready()
		return status == http.StatusServiceUnavailable && checks["redis"] == "failed" && checks["mongodb"] == "ok" && checks["minio"] == "ok"
	})
	redis.Start(t)
	eventually(t, "it is ready again", isReady(b))
	run()

	assert.Equal(t, 0, b.Stop(), b.Log())
	seen := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(b.Log())); ; {
		var line struct {
			Msg, Service, Task string
			RequestID          string `json:"request_id"`
		}
		err := dec.Decode(&line)
		if err == io.EOF {
			break
		}
		require.NoError(t, err, "every line is JSON: %s", b.Log())
		assert.Equal(t, "backend", line.Service)
		seen[line.Msg] = true
		if line.Msg == "request" && line.Task != "" {
			seen["a task's request"] = line.RequestID != ""
		}
	}
	for _, msg := range []string{"starting", "reached", "every server is reached; the API serves", "a task's request", "stopped"} {
		assert.True(t, seen[msg], "%q is not in %s", msg, b.Log())
	}
	assert.NotContains(t, b.Log(), servers.MinIOSecretKey)
}

func TestAReaderGoesOnAtAnotherBackend(t *testing.T) {
	t.Parallel()
	redis, mongo, minio := testenv.OwnRedis(t, testenv.RedisOptions{}), testenv.OwnMongo(t, testenv.MongoOptions{}), testenv.OwnMinIO(t, testenv.MinIOOptions{})
	servers := wire.Servers{
		MongoURI: mongo.URI, MongoDB: "tasks", RedisURL: "redis://" + redis.Addr(), EventRetention: time.Hour,
		MinIOEndpoint: "http://" + minio.Endpoint, MinIOAccessKey: minio.AccessKey, MinIOSecretKey: minio.SecretKey, MinIOBucket: "logs",
	}
	first, second := start(t, servers), start(t, servers)
	eventually(t, "the first is ready", isReady(first))
	eventually(t, "the second is ready", isReady(second))
	work(t, servers)

	const lines = 60
	task := first.Submit(fmt.Sprintf("for i in {1..%d}; do echo $i; sleep 0.1; done", lines))
	var want strings.Builder
	for i := range lines {
		fmt.Fprintln(&want, i+1)
	}
	said, end := "", ""
	stopped := make(chan int, 1)
	read := func(e servetest.Event) {
		if e.Kind == "stdout" {
			if said == "" {
				go func() { stopped <- first.Stop() }()
			}
			said += e.Data.Text
		}
		if e.Kind == "end" {
			end = e.Data.Status
		}
	}
	last := first.Stream(task, "", read)
	assert.Equal(t, 0, <-stopped)
	assert.Empty(t, end, "it has stopped in the middle")
	assert.NotEmpty(t, last)
	second.Stream(task, last, read)
	assert.Equal(t, want.String(), said, "nothing is missing, and nothing comes twice")
	assert.Equal(t, "succeeded", end)
}

func TestABackendThatCannotBeStopsAtOnceAndSaysWhy(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"MONGO_URI":                    "mongodb://u:a-secret@/",
		"MONGO_DB_NAME":                "my tasks",
		"REDIS_URL":                    "http://:a-secret@h",
		"MINIO_ENDPOINT":               "h:9000",
		"MINIO_PUBLIC_ENDPOINT":        "h",
		"MINIO_BUCKET":                 "My Logs",
		"TASKRUNNER_QUEUES":            "a b",
		"TASKRUNNER_MAX_READERS":       "0",
		"TASKRUNNER_PUBLIC_URL":        "run.example.com",
		"TASKRUNNER_ALLOWED_HOSTS":     "run.example.com:80",
		"TASKRUNNER_ALLOWED_ORIGINS":   "run.example.com",
		"TASKRUNNER_ALLOWED_LANGUAGES": "cobol",
		"TASKRUNNER_LANGUAGES":         "/nowhere",
		"TASKRUNNER_DEFAULT_MEMORY":    "100t",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			b := newBackend()
			var stderr strings.Builder
			code := b.Run(t.Context(), []string{"--api-addr=127.0.0.1:0"}, []string{"MINIO_SECRET_KEY=mine", variable + "=" + value}, io.Discard, &stderr, b.run)
			assert.Equal(t, 2, code, stderr.String())
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			last := lines[len(lines)-1]
			assert.True(t, strings.HasPrefix(last, "backend: "), last)
			assert.Contains(t, last, variable)
			assert.NotContains(t, stderr.String(), "a-secret")
		})
	}
}
