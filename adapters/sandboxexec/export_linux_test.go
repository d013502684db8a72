//go:build amd64 || arm64

package sandboxexec

import (
	"maps"
	"slices"
)

// Groups returns the folders of the executor's own control group.
func (x *Executor) Groups() []string {
	return slices.Collect(maps.Keys(uniqueValues(x.cgroups.dirs)))
}
