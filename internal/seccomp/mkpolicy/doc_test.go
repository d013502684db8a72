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
	for _, groups := range [][]group{removed, hidden} {
		var table strings.Builder
		table.WriteString("\n| Calls | Why |\n|---|---|\n")
		for _, g := range groups {
			fmt.Fprintf(&table, "| `%s` | %s |\n", strings.Join(g.calls, " "), g.reason)
		}
		table.WriteString("\n") // nothing else is in it
		assert.True(t, strings.Contains(string(text), table.String()), "docs/security.md must have this table:\n%s", table.String())
	}
}
