//go:build amd64 || arm64

package sandboxexec

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/seccomp"
)

// birth is what one sandbox is made from.
type birth struct {
	nursery *nursery
	// cgroups are the files that put whoever writes "0" into the sandbox's groups.
	cgroups []*os.File
	// requests, frames and complaints become the supervisor's standard input,
	// output and error.
	requests, frames, complaints *os.File
	network                      *network
	// uid is the host's user and group ID for this sandbox alone: limits that the
	// kernel counts by user are not shared between tasks.
	uid    int
	disk   int64
	filter []bpf.RawInstruction
	// lastCap is the number of the kernel's last capability.
	lastCap uintptr
}

// bornInto are the clone flags of the namespaces that a sandbox is born into. The
// mount namespace is a copy of the nursery's, the network namespace is made
// beforehand, and cgroup and user namespace are entered on the way.
const bornInto = unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// supervisorOOMScore is the supervisor's oom_score_adj (proc(5)).
const supervisorOOMScore = "500"

// The secure bits on the way and at the end: no identity change and no program
// file ever gives a capability, and none of this can be undone (capabilities(7)).
const (
	secKeepCaps      = 1<<4 | 1<<2 // KEEP_CAPS, NO_SETUID_FIXUP
	secLockedForEver = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7
)

const (
	seccompSetFilter = 1            // SECCOMP_SET_MODE_FILTER
	atFdcwd          = ^uintptr(99) // AT_FDCWD as an unsigned argument
	lastFile         = uintptr(^uint32(0))
)

// capHeader and capData are the arguments of capset(2), version 3.
type capHeader struct {
	version uint32
	_       int32 // the process; 0 is the caller
}
type capData [2]struct{ effective, permitted, inheritable uint32 }

// diskOptions are the options of the writable tmpfs.
func diskOptions(disk int64) (size, inodes string) {
	return strconv.FormatInt(disk, 10), strconv.FormatInt(runner.MaxInodes(disk), 10)
}

// program returns what turns a child, born into bornInto, into
// the sandbox and starts the supervisor in it.
//
// The order matters. What needs the host's root comes first: its namespaces
// therefore belong to the host, and even a process with every capability of its
// own user namespace could not change them. Then the child becomes a user that
// nobody else is and enters a user namespace in which no ID is mapped: it sees
// itself as 65534, nothing can become root there, and no capability is left.
func (b birth) program() *program {
	p := new(program)

	zero := p.str("0")
	for _, f := range b.cgroups {
		p.do("joining the control group", unix.SYS_WRITE, f.Fd(), zero, 1)
	}
	p.do("entering the prepared mount namespace", unix.SYS_SETNS, b.nursery.ns.Fd(), unix.CLONE_NEWNS)
	p.do("copying mount and cgroup namespaces", unix.SYS_UNSHARE, unix.CLONE_NEWNS|unix.CLONE_NEWCGROUP)
	p.do("entering the network namespace", unix.SYS_SETNS, b.network.ns.Fd(), unix.CLONE_NEWNET)
	for i, f := range []*os.File{b.requests, b.frames, b.complaints} {
		p.do("setting up the supervisor's files", unix.SYS_DUP3, f.Fd(), uintptr(i), 0)
	}
	p.do("closing all other files", unix.SYS_CLOSE_RANGE, 3, lastFile, 0) // 3 is the next one opened
	p.do("naming the host", unix.SYS_SETHOSTNAME, p.str("sandbox"), uintptr(len("sandbox")))
	// Processes only: no /proc/sys, /proc/kcore, /proc/sysrq-trigger, ...
	p.do("mounting /proc", unix.SYS_MOUNT, p.str("proc"), p.str("/proc"), p.str("proc"),
		unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, p.str("subset=pid"))
	// A sandbox is killed for want of memory before anything of the host, and its
	// programs, to which the supervisor gives the highest score, before that. They
	// can lower it to this one, which is their floor where root may set one.
	p.do("opening oom_score_adj", unix.SYS_OPENAT, atFdcwd, p.str("/proc/self/oom_score_adj"), unix.O_WRONLY)
	p.do("setting oom_score_adj", unix.SYS_WRITE, 3, p.str(supervisorOOMScore), uintptr(len(supervisorOOMScore)))
	p.do("closing oom_score_adj", unix.SYS_CLOSE, 3)
	size, inodes := diskOptions(b.disk)
	id := uintptr(b.uid)
	p.do("mounting "+writableDir, unix.SYS_MOUNT, p.str("tmpfs"), p.str(writableDir), p.str("tmpfs"),
		unix.MS_NOSUID|unix.MS_NODEV, p.str(fmt.Sprintf("mode=0700,uid=%d,gid=%d,size=%s,nr_inodes=%s", b.uid, b.uid, size, inodes)))
	p.do("leaving the session", unix.SYS_SETSID)

	p.do("keeping rights over the change of user", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, secKeepCaps)
	p.do("leaving all groups", unix.SYS_SETGROUPS, 0, 0)
	p.do("changing the group", unix.SYS_SETRESGID, id, id, id)
	p.do("changing the user", unix.SYS_SETRESUID, id, id, id)
	p.do("entering a user namespace", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)

	p.do("setting the file mode mask", unix.SYS_UMASK, 0o022)
	for _, dir := range []string{workDir, tmpDir, shmDir} {
		p.do("making "+dir, unix.SYS_MKDIRAT, atFdcwd, p.str(dir), 0o700)
	}
	p.do("changing to "+workDir, unix.SYS_CHDIR, p.str(workDir))

	for c := uintptr(0); c <= b.lastCap; c++ {
		p.do("emptying the capability bounding set", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
	}
	p.do("locking the secure bits", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, secLockedForEver)
	p.do("dropping all capabilities", unix.SYS_CAPSET, ptr(p, &capHeader{version: unix.LINUX_CAPABILITY_VERSION_3}), ptr(p, &capData{}))
	p.do("forbidding new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	p.do("installing the system call filter", unix.SYS_SECCOMP, seccompSetFilter, 0,
		ptr(p, seccomp.Fprog(b.filter)))
	// One processor from the start: the Go runtime then starts fewer threads.
	p.do("starting the supervisor", unix.SYS_EXECVE, p.str(supervisorPath), p.strs(supervisorPath), p.strs("GOMAXPROCS=1"))
	return p
}
