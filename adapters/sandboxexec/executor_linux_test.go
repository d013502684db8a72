//go:build amd64 || arm64

package sandboxexec_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The languages by the absolute paths of Debian's packages.
var (
	python     = ports.Language{Name: "python", Source: "main.py", Run: []string{"/usr/bin/python3", ports.EntrypointArg}}
	javascript = ports.Language{Name: "javascript", Source: "main.js", Run: []string{"/usr/bin/node", ports.EntrypointArg}}
	bash       = ports.Language{Name: "bash", Source: "main.sh", Run: []string{"/bin/bash", ports.EntrypointArg}}
)

func harness() conformance.ExecutorHarness {
	return conformance.ExecutorHarness{
		New:        func(t *testing.T) ports.Executor { return newExecutor(t) },
		Python:     python,
		JavaScript: javascript,
		Bash:       bash,
		Lacks:      []conformance.Capability{conformance.Network},
	}
}

// newExecutor returns an executor, or skips where there can be none.
func newExecutor(t testing.TB) *sandboxexec.Executor {
	t.Helper()
	return newExecutorWith(t, sandboxexec.Config{})
}

func newExecutorWith(t testing.TB, cfg sandboxexec.Config) *sandboxexec.Executor {
	t.Helper()
	needRoot(t)
	x, err := sandboxexec.New(cfg)
	require.NoError(t, err)
	return x
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("TASKRUNNER_REQUIRE_SERVICES") == "1" {
			t.Fatal("the sandbox needs root")
		}
		t.Skip("the sandbox needs root")
	}
}

func TestExecutorConformance(t *testing.T) { conformance.Executor(t, harness()) }

func TestIsolationConformance(t *testing.T) { conformance.Isolation(t, harness()) }
