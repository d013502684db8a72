package seccomp

import (
	"fmt"
	"maps"

	"golang.org/x/net/bpf"
)

//go:generate go run ./mkpolicy

// verdict is what the policy says about a system call.
type verdict uint8

const (
	absent  verdict = iota // ENOSYS
	deny                   // EPERM
	allow                  // the kernel decides
	inspect                // the call's rule decides
)

// call is one system call of an architecture.
type call struct {
	number  uint32
	name    string
	verdict verdict
}

// What a filter returns: SECCOMP_RET_* of linux/seccomp.h with errno in the low
// half.
const (
	retKillProcess = 0x80000000
	retErrno       = 0x00050000
	retAllow       = 0x7fff0000
	retEPERM       = retErrno | 1
	retENOSYS      = retErrno | 38
)

// Offsets in struct seccomp_data. Both architectures are little endian, so that an
// argument's low half comes first.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// machine is an architecture that has a policy.
type machine struct {
	audit uint32 // AUDIT_ARCH_* of linux/audit.h
	scmp  string // SCMP_ARCH_*, as profiles name it
	calls []call // sorted by number
}

var machines = map[string]machine{
	"amd64": {audit: 0xc000003e, scmp: "SCMP_ARCH_X86_64", calls: callsAMD64},
	"arm64": {audit: 0xc00000b7, scmp: "SCMP_ARCH_AARCH64", calls: callsARM64},
}

// Filter returns the policy for programs of the architecture goarch ("amd64" or
// "arm64") as a classic BPF program for seccomp(SECCOMP_SET_MODE_FILTER). Each
// instruction has the layout of a struct sock_filter.
//
// It is meant for a sandbox with a network namespace of its own: Unix sockets are
// allowed, and abstract ones would otherwise lead to the host's services.
func Filter(goarch string) ([]bpf.RawInstruction, error) { return build(goarch, rules) }

// FilterUnixOnly returns the policy without sockets of the Internet's families, not
// even for loopback: for sandboxes whose limit on memory does not cover those, as in
// containers with control groups of version 1.
func FilterUnixOnly(goarch string) ([]bpf.RawInstruction, error) {
	stricter := maps.Clone(rules)
	stricter["socket"] = rule{then: true, cases: []conds{unixSocket}}
	return build(goarch, stricter)
}

func build(goarch string, rules map[string]rule) ([]bpf.RawInstruction, error) {
	m, ok := machines[goarch]
	if !ok {
		return nil, fmt.Errorf("no system call policy for architecture %q", goarch)
	}
	var a assembler
	a.load(offArch)
	a.jumpIf(bpf.JumpEqual, m.audit, "native", "kill")
	a.mark("native")
	a.load(offNumber)
	a.search(spans(m.calls))
	for _, c := range m.calls {
		if c.verdict == inspect {
			r, ok := rules[c.name]
			if !ok {
				return nil, fmt.Errorf("no rule for system call %q", c.name)
			}
			a.rule(c.name, r)
		}
	}
	a.ret("allow", retAllow)
	a.ret("deny", retEPERM)
	a.ret("absent", retENOSYS)
	a.ret("kill", retKillProcess)
	return a.assemble()
}

// span is a run of call numbers, up to the next span's first, that share a target.
type span struct {
	first  uint32
	target string
}

// spans merges the calls into runs. Numbers without a name are absent.
func spans(calls []call) []span {
	var out []span
	next := uint32(0)
	add := func(first uint32, target string) {
		if len(out) == 0 || out[len(out)-1].target != target {
			out = append(out, span{first, target})
		}
	}
	for _, c := range calls {
		if c.number > next {
			add(next, "absent")
		}
		add(c.number, c.target())
		next = c.number + 1
	}
	add(next, "absent")
	return out
}

func (c call) target() string {
	switch c.verdict {
	case allow:
		return "allow"
	case deny:
		return "deny"
	case inspect:
		return "rule " + c.name
	default:
		return "absent"
	}
}
