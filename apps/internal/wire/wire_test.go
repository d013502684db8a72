package wire

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
