package wire

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

func TestTheSamplesOfTheBuiltInLanguagesRunInASandbox(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		const why = "the sandbox needs Linux and root"
		if os.Getenv("TASKRUNNER_REQUIRE_SERVICES") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	runSamples(t, Config{Executor: ExecutorSandbox, Languages: taskrunner.BuiltinLanguages()})
}

func TestTheSamplesOfTheBuiltInLanguagesRunInContainers(t *testing.T) {
	t.Parallel()
	images := testenv.Languages(t, testenv.Docker(t))
	image := map[string]string{"bash": images.Bash.Image, "javascript": images.JavaScript.Image, "python": images.Python.Image}
	languages := taskrunner.BuiltinLanguages()
	for i, l := range languages {
		require.Contains(t, image, l.Name)
		languages[i].Image = image[l.Name]
	}
	runSamples(t, Config{Executor: ExecutorDocker, Languages: languages, Docker: DockerConfig{Pull: "never", Pool: -1}})
}

// runSamples runs every sample with nothing, with input and with arguments.
func runSamples(t *testing.T, cfg Config) {
	t.Helper()
	cfg.Concurrency, cfg.Logger = 3, slog.New(slog.DiscardHandler)
	app, err := New(t.Context(), cfg)
	require.NoError(t, err)
	// Cleanup, as the tests below are parallel and outlast this function.
	t.Cleanup(func() { assert.NoError(t, app.Close(context.Background())) })
	require.NoError(t, app.Start(t.Context()))
	for _, l := range cfg.Languages {
		for name, test := range map[string]struct {
			spec  taskrunner.Spec
			greet string
		}{
			"alone":          {taskrunner.Spec{}, "world"},
			"with input":     {taskrunner.Spec{Stdin: []byte("Ada Lovelace\n")}, "Ada Lovelace"},
			"with arguments": {taskrunner.Spec{Stdin: []byte("nobody"), Args: []string{"Ada", "Lovelace"}}, "Ada Lovelace"},
		} {
			t.Run(l.Name+" "+name, func(t *testing.T) {
				t.Parallel()
				test.spec.Language, test.spec.Code = l.Name, l.Sample
				stdout := runSample(t, app, test.spec)
				assert.Contains(t, stdout, "\x1b[1mHello, "+test.greet+"!\x1b[0m", "the greeting is bold")
				assert.Contains(t, stdout, "\x1b[32m", "something is green")
				assert.Contains(t, stdout, "█", "what is drawn is UTF-8")
			})
		}
	}
}

// runSample returns what a program that succeeds says.
func runSample(t *testing.T, app *App, spec taskrunner.Spec) string {
	t.Helper()
	task, err := app.Client.Run(t.Context(), spec)
	require.NoError(t, err)
	require.NotNil(t, task.Result)
	assert.Equal(t, ports.StatusSucceeded, task.Status, task.Result.Message)
	assert.Equal(t, 0, task.Result.ExitCode)
	assert.Empty(t, string(task.Result.Stderr.Head))
	return string(task.Result.Stdout.Head)
}
