package wire

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

func TestMain(m *testing.M) {
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)})
	goleak.VerifyTestMain(m)
}

// executor is one that says whether it works, and prints what it was given.
type executor struct {
	broken error
	closed bool
}

func (e *executor) Check(context.Context) error { return e.broken }

func (e *executor) Run(_ context.Context, job ports.Job) (ports.Outcome, error) {
	_, err := job.Stdout.Write([]byte(job.Spec.Code))
	return ports.Outcome{Cause: ports.CauseExit, StdoutBytes: int64(len(job.Spec.Code))}, err
}

func (e *executor) Close(context.Context) error {
	e.closed = true
	return nil
}

func TestLanguagesOfAFileAreAddedOrReplace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "l.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
languages:
  perl: {source: main.pl, run: [perl, "{entrypoint}"]}
  python: {source: prog.py, run: [pypy, "{entrypoint}"]}
`), 0o600))
	all, err := Languages(file)
	require.NoError(t, err)
	var names []string
	for _, l := range all {
		names = append(names, l.Name)
		if l.Name == "python" {
			assert.Equal(t, "prog.py", l.Source)
		}
	}
	assert.Equal(t, []string{"bash", "javascript", "perl", "python"}, names)

	_, err = Languages(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, ports.ErrInvalid)

	require.NoError(t, os.WriteFile(file, []byte(`languages: {perl: {source: main.pl, image: "A B", run: [perl]}}`), 0o600))
	_, err = Languages(file)
	assert.ErrorIs(t, err, ports.ErrInvalid)
	assert.ErrorContains(t, err, `languages cannot be used: the image "A B" of perl is none: invalid reference format`)
}

func testApp(t *testing.T, cfg Config, e ports.Executor) *App {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	app, err := newApp(t.Context(), cfg, func(context.Context, Config) (Choice, ports.Executor, error) { return Choice{}, e, nil })
	require.NoError(t, err)
	return app
}

func TestAnAppRunsTasksAndClosesItsExecutor(t *testing.T) {
	t.Parallel()
	e := &executor{}
	app := testApp(t, Config{Policy: taskrunner.Policy{QueueDepth: 5}}, e)
	require.NoError(t, app.Start(t.Context()))
	task, err := app.Client.Run(t.Context(), taskrunner.Spec{Language: "bash", Code: "hello"})
	require.NoError(t, err)
	assert.Equal(t, taskrunner.Status("succeeded"), task.Status)
	assert.Equal(t, "hello", string(task.Result.Stdout.Head))
	assert.False(t, e.closed)

	require.NoError(t, app.Close(t.Context()))
	assert.True(t, e.closed)
	require.NoError(t, app.Close(t.Context()), "it may be closed again")
}

func TestAnAppThatCannotStartIsClosedAllTheSame(t *testing.T) {
	t.Parallel()
	e := &executor{broken: errors.New("broken")}
	app := testApp(t, Config{}, e)
	assert.ErrorIs(t, app.Start(t.Context()), e.broken)
	require.NoError(t, app.Close(t.Context()))
	assert.True(t, e.closed)
}

func TestAPolicyThatContradictsItselfIsRefused(t *testing.T) {
	t.Parallel()
	policy := taskrunner.Policy{Default: ports.Limits{PIDs: 10}, Max: ports.Limits{PIDs: 5}}
	_, err := New(t.Context(), Config{Policy: policy})
	var field *ports.FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "policy.default.pids_limit", field.Field)
}

func TestAQueueHasRoomForItsWholeDepth(t *testing.T) {
	t.Parallel()
	app := testApp(t, Config{Policy: taskrunner.Policy{QueueDepth: 3}}, &executor{}) // never started
	for range 3 {
		_, err := app.Client.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true"})
		require.NoError(t, err)
	}
	_, err := app.Client.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true"})
	assert.ErrorIs(t, err, ports.ErrFull)
	require.NoError(t, app.Close(t.Context()))
}

func TestATaskForAQueueThatNobodyServesIsRefused(t *testing.T) {
	t.Parallel()
	app := testApp(t, Config{}, &executor{})
	defer func() { assert.NoError(t, app.Close(t.Context())) }()
	_, err := app.Client.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true", Queue: "other"})
	require.ErrorIs(t, err, ports.ErrInvalid)
	assert.ErrorContains(t, err, "queue must be one of default")
}

func TestWhatAWorkerCannotBeIsRefusedBeforeThereIsABackend(t *testing.T) {
	t.Parallel()
	nowhere := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	for name, tt := range map[string]struct {
		cfg   Config
		field string // "" for none
	}{
		"an API alone, whatever the engine":     {Config{Docker: DockerConfig{Host: "nowhere"}}, ""},
		"an engine that is away":                {Config{Executor: ExecutorDocker, Docker: DockerConfig{Host: nowhere}}, ""},
		"a sandbox, whatever the engine":        {Config{Executor: ExecutorSandbox, Docker: DockerConfig{Host: "nowhere"}}, ""},
		"an executor that is none":              {Config{Executor: "chroot"}, "executor"},
		"an engine whose address is none":       {Config{Executor: ExecutorDocker, Docker: DockerConfig{Host: "nowhere"}}, "docker_host"},
		"one that auto would look for":          {Config{Executor: ExecutorAuto, Docker: DockerConfig{Host: "ssh://host"}}, "docker_host"},
		"a pool of more than there can be":      {Config{Executor: ExecutorDocker, Docker: DockerConfig{Host: nowhere, Pool: 1 << 30}}, "docker_pool"},
		"a network that a sandbox has not":      {Config{Executor: ExecutorSandbox, Policy: taskrunner.Policy{Network: true}}, "allow_network"},
		"a queue whose name is none":            {Config{Executor: ExecutorSandbox, Queues: []string{"a b"}}, "queues[0]"},
		"a lease too short to be kept":          {Config{Executor: ExecutorSandbox, Lease: time.Millisecond}, "lease_ttl"},
		"limits that contradict each other":     {Config{Executor: ExecutorSandbox, Policy: taskrunner.Policy{Default: ports.Limits{PIDs: 9}, Max: ports.Limits{PIDs: 8}}}, "policy.default.pids_limit"},
		"a language that may be used but isn't": {Config{Executor: ExecutorSandbox, Policy: taskrunner.Policy{Languages: []string{"cobol"}}}, "policy.languages[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.cfg.Validate()
			if tt.field == "" {
				assert.NoError(t, err)
				return
			}
			var field *ports.FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, tt.field, field.Field)
		})
	}
}

// healing is an executor that cannot be used yet when it is asked the first times.
type healing struct {
	executor
	ill int
}

func (h *healing) Check(context.Context) error {
	if h.ill--; h.ill >= 0 {
		return errors.New("no memory")
	}
	return nil
}

func TestAWorkerStartsOnceItsExecutorCanBeHad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logged
		cfg := Config{Backend: memory.New(), Executor: ExecutorDocker, Metrics: prometheus.NewRegistry(), Logger: log.logger()}
		e := &healing{ill: 2}
		tries := 0
		begin := time.Now()
		w, err := startWorker(t.Context(), cfg, func(context.Context, Config) (Choice, ports.Executor, error) {
			if tries++; tries < 4 {
				return Choice{}, nil, ports.Invalid("executor", "cannot be docker: the engine is away")
			}
			return Choice{}, e, nil
		})
		require.NoError(t, err)
		assert.Equal(t, 4, tries, "one that was made is checked again, and not made anew")
		assert.Equal(t, 5*retryExecutor, time.Since(begin))
		assert.Equal(t, 1, strings.Count(log.String(), "the engine is away"))
		assert.Equal(t, 1, strings.Count(log.String(), "no memory"))
		require.NoError(t, w.Stop(t.Context()))
		require.NoError(t, w.Close(t.Context()))
	})
}

func TestAWorkerThatIsStoppedBeforeItStartsTakesItsExecutorDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &executor{broken: errors.New("no memory")}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		cfg := Config{Backend: memory.New(), Executor: ExecutorDocker, Logger: slog.New(slog.DiscardHandler)}
		w, err := startWorker(ctx, cfg, func(context.Context, Config) (Choice, ports.Executor, error) { return Choice{}, e, nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Nil(t, w)
		assert.True(t, e.closed)
	})
}

func TestASettingThatCannotBeIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	cfg := Config{Backend: memory.New(), Executor: ExecutorDocker, Logger: slog.New(slog.DiscardHandler)}
	_, err := startWorker(t.Context(), cfg, func(context.Context, Config) (Choice, ports.Executor, error) {
		return Choice{}, nil, ports.Invalid("docker_runtime", "is not there")
	})
	assert.ErrorContains(t, err, "docker_runtime is not there")
}
