package wire

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestTheExecutorsThatAreAskedForAreExamined(t *testing.T) {
	t.Parallel()
	nobody := DockerConfig{Host: "unix://" + filepath.Join(t.TempDir(), "engine.sock")}
	for executor, want := range map[string][]string{
		ExecutorAuto:    {ExecutorDocker, ExecutorSandbox},
		ExecutorDocker:  {ExecutorDocker},
		ExecutorSandbox: {ExecutorSandbox},
	} {
		all, err := Diagnose(t.Context(), Config{Executor: executor, Docker: nobody})
		require.NoError(t, err)
		var got []string
		for _, d := range all {
			got = append(got, d.Executor)
			if d.Executor == ExecutorDocker {
				assert.False(t, d.Usable())
				require.Len(t, d.Findings, 1)
				assert.Contains(t, d.Findings[0].Detail, "no Docker engine answers at "+nobody.Host)
			} else {
				assert.Equal(t, runtime.GOOS == "linux" && os.Geteuid() == 0, d.Usable(), "%+v", d.Findings)
			}
		}
		assert.Equal(t, want, got)
	}
}

func TestAnAddressThatCannotBeUsedIsNoDiagnosis(t *testing.T) {
	t.Parallel()
	_, err := Diagnose(t.Context(), Config{Executor: ExecutorAuto, Docker: DockerConfig{Host: "ssh://host"}})
	var field *ports.FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "docker_host", field.Field)
}

func TestAnEnvironmentThatCannotBeUsedIsOne(t *testing.T) {
	t.Setenv("DOCKER_HOST", "ssh://host")
	all, err := Diagnose(t.Context(), Config{Executor: ExecutorDocker})
	require.NoError(t, err)
	assert.False(t, all[0].Usable())
	assert.Contains(t, all[0].Findings[0].Detail, "ssh://")
	assert.Contains(t, all[0].Findings[0].Mend, "DOCKER_HOST")
}

func TestADiagnosisThatIsInterruptedIsNone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Diagnose(ctx, Config{Executor: ExecutorAuto})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestWarningsKeepNothingFromRunning(t *testing.T) {
	t.Parallel()
	assert.True(t, Diagnosis{}.Usable())
	assert.True(t, Diagnosis{Findings: []Finding{{Verdict: OK}, {Verdict: Warning}}}.Usable())
	assert.False(t, Diagnosis{Findings: []Finding{{Verdict: Failure}, {Verdict: OK}}}.Usable())
}
