package taskrunner

import (
	"fmt"
	"slices"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Units of sizes.
const (
	kiB = 1 << 10
	miB = 1 << 20
	giB = 1 << 30
)

// Policy is what an operator allows. Submit checks every Spec against it. The
// zero value of a field means DefaultPolicy's.
type Policy struct {
	// Default fills the limits that a Spec leaves at zero. Where it is left out
	// itself, it is DefaultPolicy's, or Max if that is less.
	Default ports.Limits
	// Max are the greatest values of each limit. A Default above Max is refused.
	Max ports.Limits
	// Network allows tasks to ask for a network. Default: false.
	Network bool
	// Languages are the names of the languages allowed. Default: all configured.
	Languages []string
	// Queues are the names of the queues that tasks may wait in. Default: any. An
	// operator names those that workers claim from, since a task in another one
	// would wait for ever.
	Queues []string
	// MaxCode is the greatest size in bytes of one source, be it Code or one of
	// Files. Default: 1 MiB.
	MaxCode int64
	// MaxInput is the greatest size in bytes of all sources, standard input,
	// arguments, environment and labels together. Default: 10 MiB.
	MaxInput int64
	// MaxFiles is the greatest number of files. Default: 100.
	MaxFiles int
	// QueueDepth is how many tasks may wait in a queue before Submit refuses
	// with ErrFull. Default: 10000.
	QueueDepth int
}

// DefaultPolicy returns the policy that holds where an operator says nothing:
// small enough that a machine of two cores stays usable under hostile load,
// large enough for exercises, scripts and tests.
func DefaultPolicy() Policy {
	return Policy{
		Default: ports.Limits{
			CPU:     1,                // one core
			Memory:  256 * miB,        // an interpreter and a good deal of data
			Timeout: 30 * time.Second, // somebody waits for the answer
			PIDs:    64,               // node alone starts about a dozen threads
			Output:  10 * miB,         // of each stream
			Disk:    64 * miB,         // lives in memory, and counts as such
		},
		Max: ports.Limits{
			CPU:     4,
			Memory:  2 * giB,
			Timeout: 10 * time.Minute,
			PIDs:    512,
			Output:  100 * miB,
			Disk:    1 * giB,
		},
		MaxCode:    1 * miB,
		MaxInput:   10 * miB,
		MaxFiles:   100,
		QueueDepth: 10_000,
	}
}

// The least limits that make sense: below them no program of any language can
// start, so that a request for less is a mistake.
var minLimits = ports.Limits{
	CPU:     0.01,
	Memory:  6 * miB, // Docker's own minimum
	Timeout: time.Millisecond,
	PIDs:    1,
	Output:  1,
	Disk:    pageSize,
}

// pageSize is what the kernel gives memory and in-memory files out by.
const pageSize = 4 * kiB

// complete returns p with every default filled in, or a *FieldError under
// "policy".
func (p Policy) complete() (Policy, error) {
	d := DefaultPolicy()
	p.MaxCode = orElse(p.MaxCode, d.MaxCode)
	p.MaxInput = orElse(p.MaxInput, d.MaxInput)
	p.MaxFiles = orElse(p.MaxFiles, d.MaxFiles)
	p.QueueDepth = orElse(p.QueueDepth, d.QueueDepth)
	p.Max = fillLimits(p.Max, d.Max)
	p.Default = fillLimits(p.Default, leastLimits(d.Default, p.Max))

	for _, bound := range []struct {
		field string
		value int64
	}{
		{"max_code", p.MaxCode},
		{"max_input", p.MaxInput},
		{"max_files", int64(p.MaxFiles)},
		{"queue_depth", int64(p.QueueDepth)},
	} {
		if bound.value < 0 {
			return p, ports.Invalid("policy."+bound.field, "must not be negative")
		}
	}
	p.Queues = slices.Clone(p.Queues)
	for i, q := range p.Queues {
		if err := checkQueueName(fmt.Sprintf("policy.queues[%d]", i), q); err != nil {
			return p, err
		}
	}
	if p.MaxInput > maxMaxInput {
		return p, ports.Invalid("policy.max_input", "must be at most %s", size(maxMaxInput))
	}
	if err := checkLimits("policy.max.", p.Max, topLimits); err != nil {
		return p, err
	}
	return p, checkLimits("policy.default.", p.Default, p.Max)
}

// topLimits bound what even an operator can allow, so that sums of limits stay
// far from overflowing and a mistyped unit is noticed.
var topLimits = ports.Limits{
	CPU:     1024,
	Memory:  64 << 40, // 64 TiB
	Timeout: 7 * 24 * time.Hour,
	PIDs:    1 << 22, // the kernel's PID_MAX_LIMIT
	Output:  64 * giB,
	Disk:    64 << 40,
}

// maxMaxInput bounds Policy.MaxInput: a Spec is one record of a Store, and one
// frame of a sandbox.
const maxMaxInput = 12 * miB

// fillLimits returns l with d's value wherever l has none.
func fillLimits(l, d ports.Limits) ports.Limits {
	return ports.Limits{
		CPU:     orElse(l.CPU, d.CPU),
		Memory:  orElse(l.Memory, d.Memory),
		Timeout: orElse(l.Timeout, d.Timeout),
		PIDs:    orElse(l.PIDs, d.PIDs),
		Output:  orElse(l.Output, d.Output),
		Disk:    orElse(l.Disk, d.Disk),
	}
}

// leastLimits returns the lesser of each limit.
func leastLimits(a, b ports.Limits) ports.Limits {
	return ports.Limits{
		CPU:     min(a.CPU, b.CPU),
		Memory:  min(a.Memory, b.Memory),
		Timeout: min(a.Timeout, b.Timeout),
		PIDs:    min(a.PIDs, b.PIDs),
		Output:  min(a.Output, b.Output),
		Disk:    min(a.Disk, b.Disk),
	}
}

// checkLimits returns a *FieldError unless every limit of l lies between
// minLimits and most.
func checkLimits(prefix string, l, most ports.Limits) error {
	// A comparison with NaN is false, so each condition says what is right.
	if !(l.CPU >= minLimits.CPU && l.CPU <= most.CPU) {
		return ports.Invalid(prefix+"cpu_limit", "must be from %g to %g cores", minLimits.CPU, most.CPU)
	}
	if l.Timeout < minLimits.Timeout || l.Timeout > most.Timeout {
		return ports.Invalid(prefix+"timeout", "must be from %s to %s", minLimits.Timeout, most.Timeout)
	}
	if l.PIDs < minLimits.PIDs || l.PIDs > most.PIDs {
		return ports.Invalid(prefix+"pids_limit", "must be from %d to %d", minLimits.PIDs, most.PIDs)
	}
	for _, s := range []struct {
		field              string
		value, least, most int64
	}{
		{"memory_limit", l.Memory, minLimits.Memory, most.Memory},
		{"output_limit", l.Output, minLimits.Output, most.Output},
		{"disk_limit", l.Disk, minLimits.Disk, most.Disk},
	} {
		if s.value < s.least || s.value > s.most {
			return ports.Invalid(prefix+s.field, "must be from %s to %s", size(s.least), size(s.most))
		}
	}
	return nil
}

// orElse returns v, or d if v is zero.
func orElse[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// size writes a number of bytes for people, exactly.
func size(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{giB, "GiB"}, {miB, "MiB"}, {kiB, "KiB"}} {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", n/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
