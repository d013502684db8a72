package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goList runs go list in the module's root for an operating system.
func goList(t *testing.T, goos string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	return out
}

// packages returns all packages of the module as they are on an operating system.
func packages(t *testing.T, goos string) []pkg {
	t.Helper()
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(goList(t, goos, "-json=ImportPath,Imports,TestImports,XTestImports", "./..."))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		require.NoError(t, err)
		pkgs = append(pkgs, pkg{p.ImportPath, p.Imports, slices.Concat(p.TestImports, p.XTestImports)})
	}
}

func TestThisModuleFollowsTheRules(t *testing.T) {
	t.Parallel()
	pkgs := merge(packages(t, "linux"), packages(t, "darwin"), packages(t, "windows"))
	assert.Greater(t, len(pkgs), 10, "go list saw the whole module")
	for _, broken := range check(pkgs) {
		t.Error(broken)
	}
}

func TestTheCoreLinksTheStandardLibraryAlone(t *testing.T) {
	t.Parallel()
	own := map[string][]string{
		module + "/ports":      {module + "/ports"},
		module + "/taskrunner": {module + "/ports", module + "/taskrunner"},
	}
	for path, want := range own {
		for _, goos := range []string{"linux", "darwin", "windows"} {
			deps := goList(t, goos, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", path)
			assert.Equal(t, want, strings.Fields(string(deps)), "what a program links that imports %s on %s", path, goos)
		}
	}
}

func TestTheProgramsLinkNothingThatIsForTests(t *testing.T) {
	t.Parallel()
	deps := strings.Fields(string(goList(t, "linux", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./apps/...")))
	require.NotEmpty(t, deps)
	for _, dep := range deps {
		assert.False(t, strings.HasPrefix(dep, module+"/") && isForTests(within(dep)), dep)
		for _, tool := range testTools {
			assert.False(t, inModule(dep, tool), dep)
		}
	}
}
