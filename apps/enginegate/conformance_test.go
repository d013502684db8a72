package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// through returns a client that reaches the engine of cli through a gate.
func through(t *testing.T, cli *client.Client, cfg dockerexec.RequestsConfig) *client.Client {
	t.Helper()
	worker, err := client.NewClientWithOpts(client.WithHost("unix://"+opened(t, cli, cfg)), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { _ = worker.Close() })
	return worker
}

// opened starts a gate and returns its socket. At the end of the test all its
// connections must end by themselves.
func opened(t *testing.T, cli *client.Client, cfg dockerexec.RequestsConfig) string {
	t.Helper()
	g, err := newGate(cli, cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	require.NoError(t, err)
	socket := filepath.Join(t.TempDir(), "s")
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

var _ net.Listener = (*limited)(nil)
