//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheDocumentShowsWhatIsRefusedAndWhy(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/security.md")
	require.NoError(t, err)
	for header, groups := range map[string][]group{
		"| Denied with EPERM | Why |": removed, "| Absent, with ENOSYS | Why |": hidden,
	} {
		_, rest, _ := strings.Cut(string(text), "\n"+header+"\n|---|---|\n")
		shown, _, _ := strings.Cut(rest, "\n\n")
		var want []string
		for _, g := range groups {
			want = append(want, fmt.Sprintf("| `%s` | %s |", strings.Join(g.calls, " "), g.reason))
		}
		assert.Equal(t, strings.Join(want, "\n"), shown, "copy what is expected into docs/security.md, below %q", header)
	}
}
