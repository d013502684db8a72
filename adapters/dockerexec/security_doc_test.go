package dockerexec_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
)

// securityDoc is what operators read.
func securityDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	return string(text)
}

func TestTheDocumentShowsTheSettingsAsTheyAre(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(securityDoc(t), "\n| Setting | Value | Why |\n|---|---|---|\n")
	shown, _, _ := strings.Cut(rest, "\n\n")
	var want []string
	for _, s := range dockerexec.Settings() {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", s.Name, s.Value, s.Reason))
	}
	assert.Equal(t, strings.Join(want, "\n"), shown, "copy what is expected into docs/security.md")
}

func TestTheDocumentNamesEveryCallOfTheEngine(t *testing.T) {
	t.Parallel()
	var named []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(?:HEAD|GET|POST|PUT|DELETE)\\b").FindAllStringSubmatch(securityDoc(t), -1) {
		named = append(named, m[1])
	}
	assert.ElementsMatch(t, engineCalls(t), named, "the calls of package dockerexec, and those of docs/security.md")
}

// offline are methods of a client that ask the engine nothing.
var offline = []string{"ClientVersion", "Close", "DaemonHost", "NegotiateAPIVersionPing"}

// engineCalls returns the methods of a client that the package calls.
func engineCalls(t *testing.T) []string {
	t.Helper()
	api := reflect.TypeFor[client.APIClient]()
	calls := map[string]bool{}
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if method, ok := n.(*ast.SelectorExpr); ok && isClient(method.X) {
				if _, ok := api.MethodByName(method.Sel.Name); ok && !slices.Contains(offline, method.Sel.Name) {
					calls[method.Sel.Name] = true
				}
			}
			return true
		})
	}
	return slices.Collect(maps.Keys(calls))
}

// isClient reports whether the expression is what the package names its clients:
// "cli", or a field of that name.
func isClient(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "cli"
	case *ast.SelectorExpr:
		return x.Sel.Name == "cli"
	}
	return false
}

func TestTheDocumentTellsOfEveryAttack(t *testing.T) {
	t.Parallel()
	var attacks, told []string
	programs, err := fs.Glob(os.DirFS("../../testing/conformance/attacks"), "*")
	require.NoError(t, err)
	for _, name := range programs {
		if ext := filepath.Ext(name); name != "probe.py" && (ext == ".py" || ext == ".sh") { // probe.py is what the others import
			attacks = append(attacks, name)
		}
	}
	for _, m := range regexp.MustCompile("`(\\w+\\.(?:py|sh))`").FindAllStringSubmatch(securityDoc(t), -1) {
		told = append(told, m[1])
	}
	assert.ElementsMatch(t, attacks, told, "the programs of the catalogue, and those of docs/security.md")
}
