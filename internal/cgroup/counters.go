// Package cgroup reads what the kernel counted for a control group: CPU time,
// memory held now and at most, and processes killed for want of memory. It
// reads both versions of the kernel's interface, from outside a sandbox (the
// launcher knows the folders) and from inside (Find looks for the caller's own).
//
// It only reads; whoever starts sandboxes makes groups and sets limits. It is
// linked into the supervisor, so it imports nothing heavy: no fmt, no os.
package cgroup

import "time"

// Counters are a control group's figures. Each is nil where the kernel or the
// mounts do not offer it: unknown is never 0.
type Counters struct {
	// CPU is the user and system time of all processes that are or were in the
	// group.
	CPU *time.Duration
	// Memory is the memory in bytes held now, page cache and in-memory files
	// included.
	Memory *int64
	// PeakMemory is the greatest Memory there was at any moment.
	PeakMemory *int64
	// OOMKills counts the processes that the kernel killed for want of memory.
	OOMKills *int64
}
