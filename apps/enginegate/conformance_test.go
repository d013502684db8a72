package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestMain(m *testing.M) {
	if os.Getenv(actAsProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// through returns a client that reaches the engine of cli through a gate.
func through(t *testing.T, cli *client.Client, cfg dockerexec.RequestsConfig) *client.Client {
	t.Helper()
	worker, err := client.NewClientWithOpts(client.WithHost("unix://"+opened(t, cli, cfg)), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { _ = worker.Close() })
	return worker
}

// opened starts a gate and returns its socket.
func opened(t *testing.T, cli *client.Client, cfg dockerexec.RequestsConfig) string {
	t.Helper()
	return serveTestGate(t, newTestGate(t, cli, cfg, t.Output()))
}

func newTestGate(t *testing.T, cli *client.Client, cfg dockerexec.RequestsConfig, log io.Writer) *gate {
	t.Helper()
	g, err := newGate(cli, cfg, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	return g
}

// serveTestGate has a gate serve, and returns its socket. At the end of the test all its
// connections must end by themselves.
func serveTestGate(t *testing.T, g *gate) string {
	t.Helper()
	socket := socketOf(t)
	l, err := listen(t.Context(), socket)
	require.NoError(t, err)
	server := &http.Server{Handler: g}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Shutdown(context.Background()))
		g.close()
		assert.ErrorIs(t, <-ended, http.ErrServerClosed)
		assert.Empty(t, l.(*limited).taken, "connections that are counted")
	})
	return socket
}

// socketOf returns a path for a socket, which must be short.
func socketOf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gate") //nolint:usetesting // the test's own folder's name may be too long
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	return filepath.Join(dir, "s")
}

func harness(t *testing.T) conformance.ExecutorHarness {
	cli := testenv.Docker(t)
	langs := testenv.Languages(t, cli)
	worker := through(t, cli, dockerexec.RequestsConfig{AllowedImages: []string{langs.Python.Image, langs.JavaScript.Image, langs.Bash.Image}})
	return conformance.ExecutorHarness{
		New: func(t *testing.T) ports.Executor {
			x, err := dockerexec.New(t.Context(), worker, dockerexec.Config{
				Pull: dockerexec.PullNever, Warm: []ports.Language{langs.Bash},
				Limits: ports.Limits{Disk: 16 << 20}, // as the suite's jobs have it, so that they use the pool
			})
			require.NoError(t, err)
			return x
		},
		Python:     langs.Python,
		JavaScript: langs.JavaScript,
		Bash:       langs.Bash,
		Lacks:      []conformance.Capability{conformance.Network},
	}
}

func TestTheExecutorWorksThroughTheGate(t *testing.T) { conformance.Executor(t, harness(t)) }

// A worker and an engine that has nothing yet: the supervisor is delivered, and what is
// lost is delivered again.
func TestAWorkerBehindTheGateSetsUpAnEngine(t *testing.T) {
	t.Parallel()
	shared := testenv.Docker(t)
	bash := testenv.Languages(t, shared).Bash
	d := testenv.Dockerd(t)
	d.Load(t, shared, bash.Image)
	engine := d.Client(t)
	worker := through(t, engine, dockerexec.RequestsConfig{AllowedImages: []string{bash.Image}})
	cfg := dockerexec.Config{Pull: dockerexec.PullNever, Pool: -1, AllowedImages: []string{bash.Image}, Warm: []ports.Language{bash}}
	for _, f := range dockerexec.Examine(t.Context(), worker, cfg) {
		assert.NotEqual(t, dockerexec.Failure, f.Verdict, "%s: %s", f.Name, f.Detail)
	}
	x, err := dockerexec.New(t.Context(), worker, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, x.Close(context.Background())) })
	runs := func() {
		t.Helper()
		var out bytes.Buffer
		o, err := x.Run(t.Context(), ports.Job{Task: "task", Attempt: 1, Language: bash, Stdout: &out, Spec: ports.Spec{
			Code: "cat", Stdin: []byte("hello"), Limits: ports.Limits{CPU: 1, Memory: 64 << 20, PIDs: 32, Disk: 16 << 20, Timeout: time.Minute, Output: 1 << 20},
		}})
		require.NoError(t, err)
		assert.Equal(t, ports.CauseExit, o.Cause)
		assert.Equal(t, "hello", out.String())
	}
	runs()
	volumes := ownVolumesOf(t, engine)
	require.Len(t, volumes, 1)
	require.Eventually(t, func() bool { return engine.VolumeRemove(t.Context(), volumes[0], false) == nil }, time.Minute, 10*time.Millisecond)
	runs()
	assert.Equal(t, volumes, ownVolumesOf(t, engine), "it was delivered again")
	_, err = dockerexec.Reap(t.Context(), worker, dockerexec.ReapOptions{})
	assert.NoError(t, err)
}

func ownVolumesOf(t *testing.T, cli *client.Client) (names []string) {
	t.Helper()
	all, err := cli.VolumeList(t.Context(), volume.ListOptions{})
	require.NoError(t, err)
	for _, v := range all.Volumes {
		names = append(names, v.Name)
	}
	return names
}

func TestAWorkerThatWasTakenOverGetsNothingFromTheEngine(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	bash := testenv.Languages(t, engine).Bash
	worker := through(t, engine, dockerexec.RequestsConfig{AllowedImages: []string{bash.Image}})
	img, err := engine.ImageInspect(t.Context(), bash.Image)
	require.NoError(t, err)
	others, err := engine.ContainerCreate(t.Context(), &container.Config{Image: img.ID, Cmd: []string{"true"}}, &container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, engine.ContainerRemove(context.Background(), others.ID, container.RemoveOptions{Force: true}))
	})
	for name, try := range map[string]func(context.Context) error{
		"a container that is privileged": func(ctx context.Context) error {
			_, err := worker.ContainerCreate(ctx, &container.Config{
				Image: img.ID, Cmd: []string{"cat", "/host/etc/shadow"}, Labels: map[string]string{dockerexec.OwnLabel: "sandbox"},
			}, &container.HostConfig{Privileged: true, Binds: []string{"/:/host"}}, nil, nil, "taskrunner-abcdefghij23-1")
			return err
		},
		"a container of somebody else": func(ctx context.Context) error {
			return worker.ContainerStart(ctx, others.ID, container.StartOptions{})
		},
		"removing it": func(ctx context.Context) error {
			return worker.ContainerRemove(ctx, others.ID, container.RemoveOptions{Force: true})
		},
		"attaching to it": func(ctx context.Context) error {
			_, err := worker.ContainerAttach(ctx, others.ID, container.AttachOptions{Stream: true})
			return err
		},
		"a command in it": func(ctx context.Context) error {
			_, err := worker.ContainerExecCreate(ctx, others.ID, container.ExecOptions{Cmd: []string{"true"}})
			return err
		},
		"an image from elsewhere": func(ctx context.Context) error {
			_, err := worker.ImagePull(ctx, "127.0.0.1:1/evil:1", image.PullOptions{})
			return err
		},
		"an image of its own": func(ctx context.Context) error {
			_, err := worker.ImageImport(ctx, image.ImportSource{Source: strings.NewReader(""), SourceName: "-"}, "taskrunner-runner:x", image.ImportOptions{})
			return err
		},
		"a volume that is the host": func(ctx context.Context) error {
			_, err := worker.VolumeCreate(ctx, volume.CreateOptions{Name: "taskrunner-runner-000000000000", DriverOpts: map[string]string{"type": "none", "o": "bind", "device": "/"}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := try(t.Context())
			require.Error(t, err)
			if name == "attaching to it" { // of which the client tells no more
				assert.ErrorContains(t, err, "received 403")
				return
			}
			assert.True(t, cerrdefs.IsPermissionDenied(err), "%v", err)
			assert.ErrorContains(t, err, "enginegate refuses ")
		})
	}
	t.Run("what is listed", func(t *testing.T) {
		t.Parallel()
		all, err := worker.ContainerList(t.Context(), container.ListOptions{All: true})
		require.NoError(t, err)
		for _, c := range all {
			assert.NotEmpty(t, c.Labels[dockerexec.OwnLabel])
		}
	})
	t.Run("a pull that is allowed reaches the engine", func(t *testing.T) {
		t.Parallel()
		worker := through(t, engine, dockerexec.RequestsConfig{AllowedImages: []string{"127.0.0.1:1/*"}})
		_, err := worker.ImagePull(t.Context(), "127.0.0.1:1/none:1", image.PullOptions{})
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "enginegate")
		assert.ErrorContains(t, err, "127.0.0.1:1")
	})
}
