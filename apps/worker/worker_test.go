package main

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
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
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds the waits for what normally takes seconds at most.
const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 50*time.Millisecond, what)
}

// system is what workers share, and a client of it.
type system struct {
	servers wire.Servers
	redis   *testenv.RedisServer
	minio   *testenv.MinIOServer
	client  *taskrunner.Client
}

func newSystem(t *testing.T) system {
	t.Helper()
	redis, mongo, minio := testenv.OwnRedis(t, testenv.RedisOptions{}), testenv.OwnMongo(t, testenv.MongoOptions{}), testenv.OwnMinIO(t, testenv.MinIOOptions{})
	s := system{redis: redis, minio: minio, servers: wire.Servers{
		MongoURI: mongo.URI, MongoDB: "tasks", RedisURL: "redis://" + redis.Addr(), EventRetention: time.Hour,
		MinIOEndpoint: "http://" + minio.Endpoint, MinIOAccessKey: minio.AccessKey, MinIOSecretKey: minio.SecretKey, MinIOBucket: "logs",
	}}
	log := slog.New(slog.DiscardHandler)
	connections, err := wire.Connect(s.servers)
	require.NoError(t, err)
	t.Cleanup(connections.Close)
	backend, err := connections.Open(t.Context(), log)
	require.NoError(t, err)
	api, err := wire.NewAPI(wire.Config{
		Backend: backend, Languages: taskrunner.BuiltinLanguages(), Metrics: prometheus.NewRegistry(), Logger: log,
		Policy: taskrunner.Policy{Queues: []string{ports.DefaultQueue, "other"}},
	})
	require.NoError(t, err)
	s.client = api.Client
	return s
}

// start starts a worker of the system.
func (s system) start(t *testing.T, env []string, args ...string) *servetest.Service {
	t.Helper()
	w := newWorker()
	return servetest.Start(t, w.Program, w.run, append(servetest.Env(s.servers), env...), append([]string{"--worker-addr=127.0.0.1:0"}, args...)...)
}

func needSandbox(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv("TASKRUNNER_REQUIRE_SERVICES") != "1" {
		t.Skip("the sandbox needs root")
	}
}

func (s system) submit(t *testing.T, code, queue string) taskrunner.TaskID {
	t.Helper()
	task, err := s.client.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: code, Queue: queue})
	require.NoError(t, err)
	return task.ID
}

func (s system) status(t *testing.T, id taskrunner.TaskID) taskrunner.Task {
	t.Helper()
	task, err := s.client.Get(t.Context(), id)
	require.NoError(t, err)
	return task
}

// logsLast returns for how many days the store keeps logs by itself.
func (s system) logsLast(t *testing.T) int {
	t.Helper()
	rules, err := s.minio.Client(t).GetBucketLifecycle(t.Context(), s.servers.MinIOBucket)
	require.NoError(t, err)
	require.Len(t, rules.Rules, 1)
	return int(rules.Rules[0].Expiration.Days)
}

func isReady(s *servetest.Service) func() bool {
	return func() bool {
		status, _ := s.Ready()
		return status == http.StatusOK
	}
}

func TestAWorkerRunsTasksAlsoAfterRedisWasAway(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	s := newSystem(t)
	w := s.start(t, nil, "--executor=sandbox", "--queues=default,other", "--concurrency=2")
	eventually(t, "it is ready", isReady(w))
	for _, queue := range []string{"default", "other"} {
		task, err := s.client.Wait(t.Context(), s.submit(t, "echo hello", queue))
		require.NoError(t, err)
		assert.Equal(t, ports.StatusSucceeded, task.Status)
		assert.Equal(t, "hello\n", string(task.Result.Stdout.Head))
	}
	metrics := w.Do(http.MethodGet, "/metrics", "").Body
	for _, want := range []string{
		`taskrunner_claims_total{queue="default"} 1`, `taskrunner_claims_total{queue="other"} 1`,
		`taskrunner_attempt_duration_seconds_count{cause="exit",language="bash"} 2`, `taskrunner_attempts_running{language="bash"} 0`,
		`taskrunner_sandboxes_alive{executor="sandbox"}`, `taskrunner_sandboxes_leaked_total{executor="sandbox"} 0`,
		`taskrunner_sandbox_claims_total{executor="sandbox",start="warm"}`, "process_open_fds",
	} {
		assert.Contains(t, metrics, want)
	}

	s.redis.Kill(t)
	eventually(t, "it says what is gone", func() bool {
		status, checks := w.Ready()
		return status == http.StatusServiceUnavailable && checks["redis"] == "failed" && checks["mongodb"] == "ok" && checks["executor"] == "ok"
	})
	s.redis.Start(t)
	eventually(t, "it is ready again", isReady(w))
	task, err := s.client.Wait(t.Context(), s.submit(t, "exit 3", ""))
	require.NoError(t, err)
	assert.Equal(t, ports.StatusFailed, task.Status)
	assert.Equal(t, 3, task.Result.ExitCode)

	assert.Equal(t, 0, w.Stop(), w.Log())
	assert.NotContains(t, w.Log(), "THERE IS NO ACCESS CONTROL")
	assert.Contains(t, w.Log(), `"service":"worker"`)
	assert.Contains(t, w.Log(), `"task":"`+string(task.ID)+`"`)
	assert.NotContains(t, w.Log(), s.servers.MinIOSecretKey)
}

func TestAWorkerThatIsStoppedGivesItsTaskToAnother(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	s := newSystem(t)
	first := s.start(t, nil, "--executor=sandbox", "--concurrency=1", "--drain-timeout=100ms")
	eventually(t, "the first is ready", isReady(first))
	id := s.submit(t, "echo started; sleep 300", "")
	eventually(t, "it runs", func() bool { return s.status(t, id).Status == ports.StatusRunning })
	assert.Equal(t, 0, first.Stop(), first.Log())
	assert.Contains(t, first.Log(), "given back for another worker")
	assert.Equal(t, ports.StatusQueued, s.status(t, id).Status, "it waits, and not for a lease to run out")

	assert.Equal(t, 1+7, s.logsLast(t), "longer than tasks are kept")
	second := s.start(t, nil, "--executor=sandbox", "--concurrency=1", "--retention=0")
	eventually(t, "the second runs it", func() bool {
		task := s.status(t, id)
		return task.Status == ports.StatusRunning && task.Attempt == 2
	})
	_, err := s.client.Cancel(t.Context(), id)
	require.NoError(t, err)
	task, err := s.client.Wait(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, ports.StatusCancelled, task.Status)
	assert.Equal(t, 0, second.Stop(), second.Log())
	assert.Greater(t, s.logsLast(t), 100*365, "as long as tasks, which are kept for ever now")
}

func TestAWorkerThatDrainsEndsWhatItRuns(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	s := newSystem(t)
	w := s.start(t, nil, "--executor=sandbox", "--concurrency=1")
	eventually(t, "it is ready", isReady(w))
	running := s.submit(t, "sleep 1; echo whole", "")
	eventually(t, "it runs", func() bool { return s.status(t, running).Status == ports.StatusRunning })
	waiting := s.submit(t, "echo never", "")
	assert.Equal(t, 0, w.Stop(), w.Log())
	task := s.status(t, running)
	require.Equal(t, ports.StatusSucceeded, task.Status)
	assert.Equal(t, "whole\n", string(task.Result.Stdout.Head))
	assert.Equal(t, ports.StatusQueued, s.status(t, waiting).Status)
}

// A backend may allow what a worker does not, until somebody tells both the same: the task
// is left to another worker, and fails where there is none.
func TestAWorkerThatMayNotRunATaskSaysSo(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	s := newSystem(t)
	w := s.start(t, nil, "--executor=sandbox", "--allowed-languages=python")
	eventually(t, "it is ready", isReady(w))
	task, err := s.client.Wait(t.Context(), s.submit(t, "echo hello", ""))
	require.NoError(t, err)
	assert.Equal(t, ports.StatusFailed, task.Status)
	assert.Equal(t, 3, task.Attempt)
	assert.Contains(t, task.Result.Message, "lost")
	assert.Contains(t, w.Log(), `"error":"this worker has no language \"bash\""`)
}

func TestAWorkerWaitsForItsExecutor(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	w := s.start(t, []string{"DOCKER_HOST=unix://" + filepath.Join(t.TempDir(), "none.sock")}, "--executor=docker")
	eventually(t, "the servers are reached", func() bool {
		status, checks := w.Ready()
		return status == http.StatusServiceUnavailable && checks["redis"] == "ok" && checks["mongodb"] == "ok" && checks["minio"] == "ok" && checks["executor"] == "failed"
	})
	eventually(t, "it says what is missing", func() bool { return strings.Contains(w.Log(), "none.sock") })
	assert.Equal(t, http.StatusOK, w.Do(http.MethodGet, "/healthz", "").Status)
	assert.Equal(t, 0, w.Stop(), w.Log())
	assert.Contains(t, w.Log(), "cannot be used yet; trying again")
}

func TestAWorkerThatCannotBeStopsAtOnceAndSaysWhy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ variable, value, more string }{
		"an engine's address":               {"DOCKER_HOST", "somewhere", ""},
		"an engine's address of ssh":        {"DOCKER_HOST", "ssh://somewhere", "TASKRUNNER_EXECUTOR=docker"},
		"a pool":                            {"TASKRUNNER_DOCKER_POOL", "1000000000", ""},
		"an executor":                       {"TASKRUNNER_EXECUTOR", "chroot", ""},
		"a network without one of Docker's": {"TASKRUNNER_ALLOW_NETWORK", "true", ""},
		"a network of a sandbox":            {"TASKRUNNER_ALLOW_NETWORK", "true", "TASKRUNNER_EXECUTOR=sandbox\nTASKRUNNER_DOCKER_NETWORK=tasks"},
		"a lease":                           {"TASKRUNNER_LEASE", "1ms", ""},
		"the name of a queue":               {"TASKRUNNER_QUEUES", "a b", ""},
		"a URI":                             {"MONGO_URI", "mongodb://u:a-secret@/", ""},
		"a URL":                             {"REDIS_URL", "redis://:a-secret@h/x", ""},
		"a bucket":                          {"MINIO_BUCKET", "Logs", ""},
		"a limit":                           {"TASKRUNNER_MAX_MEMORY", "1k", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorker()
			var stderr strings.Builder
			env := append([]string{tt.variable + "=" + tt.value}, strings.Split(tt.more, "\n")...)
			code := w.Run(t.Context(), []string{"--worker-addr=127.0.0.1:0"}, env, io.Discard, &stderr, w.run)
			assert.Equal(t, 2, code, stderr.String())
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			last := lines[len(lines)-1]
			assert.True(t, strings.HasPrefix(last, "worker: "), last)
			assert.Contains(t, last, tt.variable)
			assert.NotContains(t, stderr.String(), "a-secret")
		})
	}
}
