package dockerexec_test

import (
	"testing"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func harness(t *testing.T) conformance.ExecutorHarness {
	cli := testenv.Docker(t)
	langs := testenv.Languages(t, cli)
	return conformance.ExecutorHarness{
		New: func(t *testing.T) ports.Executor {
			return newExecutor(t, cli, dockerexec.Config{
				Pull: dockerexec.PullNever, Warm: []ports.Language{langs.Bash},
				Limits: ports.Limits{Disk: 16 << 20}, // as the suites' jobs have it, so that they use the pool
			})
		},
		Python:     langs.Python,
		JavaScript: langs.JavaScript,
		Bash:       langs.Bash,
		Lacks:      []conformance.Capability{conformance.Network},
	}
}

// newExecutor returns an executor, which whoever asks for it closes.
func newExecutor(t testing.TB, cli *client.Client, cfg dockerexec.Config) *dockerexec.Executor {
	t.Helper()
	x, err := dockerexec.New(t.Context(), cli, cfg)
	require.NoError(t, err)
	return x
}

func TestExecutorConformance(t *testing.T) { conformance.Executor(t, harness(t)) }

func TestIsolationConformance(t *testing.T) { conformance.Isolation(t, harness(t)) }
