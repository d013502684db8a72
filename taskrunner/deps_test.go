package taskrunner_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program that imports the core alone links the standard library and this
// project's two packages, and nothing else.
func TestTheCoreNeedsTheStandardLibraryAlone(t *testing.T) {
	t.Parallel()
	const module = "github.com/task-runner/task-runner/"
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	var failure strings.Builder
	list.Stderr = &failure
	out, err := list.Output()
	require.NoError(t, err, failure.String())
	require.ElementsMatch(t, []string{module + "ports", module + "taskrunner"}, strings.Fields(string(out)))
}
