// Package seccomp is the one policy of system calls for every sandbox: which
// calls a program may make, as data, and the BPF program that enforces it.
//
// # The policy
//
// It starts from the default profile of moby (Docker), which the programs of
// today are known to live with, as a process without any capability gets it, and
// takes away what a program nobody trusts has no need for. mkpolicy holds what is
// taken away, each group with its reason, and generates calls.go: every system
// call of Linux on amd64 and arm64 by number and name, with its verdict. A change
// of the policy, be it ours or moby's, is thus a diff that can be reviewed.
//
// The verdicts:
//
//   - allow: the kernel decides alone.
//   - deny: EPERM, what moby's profile answers, and what programs know from it.
//   - absent: ENOSYS, as an older kernel would answer. So it is for every number
//     that has no name in calls.go: a C library that tries a newer call then falls
//     back to an older one, which it would not do after EPERM. clone3 is absent too:
//     its flags lie in memory where no filter can see them, and libraries fall back
//     to clone. So are inotify and cachestat, which programs know how to do without.
//   - inspect: the arguments decide, by the rules in rules.go; a refusal is EPERM.
//
// A call made through another architecture's entry (32-bit calls on amd64 or
// arm64) has other numbers and kills the process. The x32 calls of amd64 have
// numbers from 0x40000000 on, which no table names: they are absent.
//
// Arguments are compared by their low 32 bits. Every argument that the rules look
// at is an int or an unsigned int to the kernel, or flags of which only those bits
// mean something, so that it ignores the high half; a filter that looked at the
// high half would take 16|1<<32 for something else than the kernel does.
//
// Profile is the same policy in the coarser language of container engines, for a
// sandbox that one of them makes: there it is the first wall, and Filter, which the
// supervisor installs before any program starts, the exact second one.
//
// What lies behind a pointer cannot be inspected without a race, and is not.
package seccomp
