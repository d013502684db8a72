package runner_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/internal/runner"
)

func TestAProgramsOutputAndExitCodeComeBack(t *testing.T) {
	t.Parallel()
	o := run(t, shell("echo out; echo err >&2; exit 3"))
	assert.Equal(t, "out\n", o.stdout)
	assert.Equal(t, "err\n", o.stderr)
	assert.Equal(t, runner.EndExit, o.End)
	assert.Equal(t, 3, o.ExitCode)
	assert.Equal(t, []int{0}, o.started)
	assert.EqualValues(t, 4, o.StdoutBytes)
	assert.Positive(t, o.Wall)
	assert.Positive(t, o.CPU)
}
