package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// engine is a server in the place of a Docker engine, which has the images named.
func engine(t *testing.T, images ...string) (host string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("API-Version", "1.41") })
	for _, known := range []string{"info", "version"} {
		mux.HandleFunc("/v1.41/"+known, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
	}
	mux.HandleFunc("/v1.41/images/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"message":"No such image"}`))
	})
	for _, image := range images {
		mux.HandleFunc("/v1.41/images/"+image+"/json", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"Id":"sha256:x"}`))
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return "tcp://" + server.Listener.Addr().String()
}

func TestTheProbeSaysWhatAnEngineLacks(t *testing.T) {
	t.Parallel()
	languages := []ports.Language{{Name: "b", Image: "bash:5"}, {Name: "p", Image: "python:3.13-slim"}, {Name: "q", Image: "python:3.13-slim"}}
	all := []string{"docker.io/library/bash:5", "docker.io/library/python:3.13-slim"}
	file := filepath.Join(t.TempDir(), "s")
	for name, tt := range map[string]struct {
		host      string
		languages []ports.Language
		want      string
	}{
		"nothing":                        {engine(t, all...), languages, ""},
		"one image":                      {engine(t, all[0]), languages, "the engine at HOST lacks python:3.13-slim"},
		"every image, each is told once": {engine(t), languages, "the engine at HOST lacks bash:5, python:3.13-slim"},
		"a language without an image":    {engine(t, all...), append(languages, ports.Language{Name: "perl"}), "the language perl names no image to make its containers of"},
		"an engine":                      {"unix://" + file, languages, "no Docker engine answers at HOST"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := probeDocker(t.Context(), Config{Languages: tt.languages, Docker: DockerConfig{Host: tt.host}})
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Equal(t, tt.want, strings.ReplaceAll(err.Error(), tt.host, "HOST"))
		})
	}
}

func TestAnEngineThatAnswersNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	err = probeDocker(t.Context(), Config{
		Languages: taskrunner.BuiltinLanguages(), Docker: DockerConfig{Host: "tcp://" + silent.Addr().String()},
	})
	assert.EqualError(t, err, "the Docker engine at tcp://"+silent.Addr().String()+" does not answer in time")
}

func TestAHostThatCannotBeUsedIsRefusedAtTheDoor(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"ssh://user@host":    "docker_host cannot be used: ssh:// is for Docker's own command; forward the engine's socket",
		"http://127.0.0.1:1": `docker_host cannot be used: "http://127.0.0.1:1" is no address such as unix:///var/run/docker.sock`,
		"127.0.0.1:2375":     "docker_host cannot be used: unable to parse docker host `127.0.0.1:2375`",
		"unix://":            "docker_host cannot be used: unable to parse docker host `unix://`",
	} {
		for _, asked := range []string{ExecutorAuto, ExecutorDocker} {
			_, err := New(t.Context(), Config{Executor: asked, Docker: DockerConfig{Host: host}})
			assert.ErrorIs(t, err, ports.ErrInvalid, host)
			assert.ErrorContains(t, err, want)
		}
	}
}

func TestTheEnvironmentSaysWhichEngine(t *testing.T) {
	t.Setenv("DOCKER_HOST", "ssh://host")
	_, err := dockerClient("")
	assert.NotErrorIs(t, err, ports.ErrInvalid, "auto can do without it")
	assert.ErrorContains(t, err, "DOCKER_HOST")
	assert.ErrorContains(t, err, "ssh://")

	t.Setenv("DOCKER_HOST", "unix:///of/the/environment")
	cli, err := dockerClient("")
	require.NoError(t, err)
	assert.Equal(t, "unix:///of/the/environment", cli.DaemonHost())

	t.Setenv("DOCKER_CERT_PATH", "/nonexistent")
	_, err = dockerClient("tcp://127.0.0.1:1")
	assert.ErrorIs(t, err, ports.ErrInvalid)
	cli, err = dockerClient("unix:///of/the/flag")
	require.NoError(t, err, "certificates are for another engine")
	assert.Equal(t, "unix:///of/the/flag", cli.DaemonHost())
}

func TestWhatTheDockerExecutorIsTold(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Languages: []ports.Language{{Name: "a", Image: "x"}, {Name: "b", Image: "x"}, {Name: "c"}, {Name: "d", Image: "y"}},
		Policy:    taskrunner.Policy{Default: ports.Limits{Memory: 1}},
		Docker:    DockerConfig{Pull: "never", Runtime: "runsc", Network: "n", Pool: -1},
	}
	want := dockerexec.Config{
		AllowedImages: []string{"x", "y"}, Pull: dockerexec.PullNever, Runtime: "runsc", Network: "n", Pool: -1,
		Limits: ports.Limits{Memory: 1}, Warm: cfg.Languages,
	}
	assert.Equal(t, want, dockerConfig(cfg))

	cfg.Docker.AllowedImages = []string{"*"}
	want.AllowedImages = []string{"*"}
	assert.Equal(t, want, dockerConfig(cfg))

	var told string
	cfg.Notify = func(s string) { told = s }
	dockerConfig(cfg).Progress(dockerexec.PullProgress{Image: "x"})
	assert.Equal(t, "pulling x", told)
}

func TestWhatIsNotKeptReadyIsTriedWhereThereIsAChoice(t *testing.T) {
	t.Parallel()
	cfg := Config{Languages: taskrunner.BuiltinLanguages(), Docker: DockerConfig{Pool: -1}}
	cfg.Executor = ExecutorAuto
	assert.Equal(t, cfg.Languages, dockerConfig(cfg).Warm)
	cfg.Executor = ExecutorDocker
	assert.Empty(t, dockerConfig(cfg).Warm)
}

func TestACheckThatWasJustPassedCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, broken := 0, errors.New("broken")
		result := broken
		l := &lately{check: func(context.Context) error { asked++; return result }}
		assert.Equal(t, broken, l.run(t.Context()))
		result = nil
		require.NoError(t, l.run(t.Context()), "a failure does not count")
		result = broken
		require.NoError(t, l.run(t.Context()))
		assert.Equal(t, 2, asked)
		time.Sleep(checkedFor) // of made up time
		assert.Equal(t, broken, l.run(t.Context()))
	})
}

func TestAutoTakesAnEngineThatHasEveryImage(t *testing.T) {
	t.Parallel()
	images := testenv.Languages(t, testenv.Docker(t))
	app, err := New(t.Context(), Config{
		Executor: ExecutorAuto, Docker: DockerConfig{Pull: "never", Pool: 1},
		Languages:   []ports.Language{images.Bash, {Name: "left-out", Source: "x", Run: []string{"x"}}},
		Policy:      taskrunner.Policy{Languages: []string{"bash"}},
		Concurrency: 1, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	defer func() { assert.NoError(t, app.Close(context.Background())) }()
	assert.Equal(t, Choice{ExecutorDocker, "chosen because its engine can enforce every limit and has every image"}, app.Executor)
	require.NoError(t, app.Start(t.Context()))
	task, err := app.Client.Run(t.Context(), taskrunner.Spec{Language: "bash", Code: "echo hello"})
	require.NoError(t, err)
	require.NotNil(t, task.Result)
	assert.Equal(t, "hello\n", string(task.Result.Stdout.Head), task.Result.Message)
	got := scrape(t, app)
	assert.EqualValues(t, 1, got["sandbox_claims_total docker warm"]+got["sandbox_claims_total docker cold"])
	assert.Zero(t, got["sandboxes_leaked_total docker"])
}
