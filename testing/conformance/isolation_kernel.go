package conformance

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// isoKernelAttacks go for what lies behind a system call.
var isoKernelAttacks = []isoAttack{
	{name: "namespaces are neither made nor entered", program: "namespaces.py", ends: isoExit(0), probes: []isoProbe{
		{names: "unshare-* clone-* clone3-* setns-*", verdicts: isoRefused},
	}},
	{name: "mounts stay as they are", program: "mounts.py", ends: isoExit(0), probes: []isoProbe{
		{names: "tmpfs proc sysfs cgroup cgroup2 overlay bind remount-root remount-usr move umount-proc umount-usr pivot_root chroot chroot-first", verdicts: isoRefused},
		{names: "fsopen fsconfig fsmount fspick open_tree move_mount mount_setattr", verdicts: isoRefused},
	}},
	{name: "no process is traced, not even a child", program: "tracing.py", ends: isoExit(0), probes: []isoProbe{
		{names: "traceme attach-* seize-* readv-* writev-* getfd-* kcmp-first", verdicts: isoRefused},
	}},
	{name: "key rings are out of reach", program: "keys.py", ends: isoExit(0), probes: []isoProbe{
		{names: "add_key-session add_key-user request_key keyctl-join keyctl-get keyctl-search", verdicts: isoRefused},
		{names: "proc-keys proc-key-users", verdicts: isoHidden},
	}},
	{name: "bpf, perf, userfaultfd and io_uring are out of reach", program: "kernel.py", ends: isoExit(0), probes: []isoProbe{
		{names: "bpf-map bpf-program perf_event_open userfaultfd userfaultfd-user", verdicts: isoRefused},
		{names: "io_uring_setup io_uring_enter io_uring_register", verdicts: isoRefused},
		{names: "fanotify_init fanotify_init-fid open_by_handle_at lookup_dcookie", verdicts: isoRefused},
		// A handle alone opens nothing.
		{names: "name_to_handle_at", verdicts: isoRefused + " OK EOPNOTSUPP EOVERFLOW"},
	}},
	{name: "the machine is not administered", program: "administration.py", ends: isoExit(0), probes: []isoProbe{
		{names: "reboot kexec_load kexec_file_load init_module finit_module delete_module swapon swapoff", verdicts: isoRefused},
		{names: "sync syncfs", verdicts: isoDenied},
		{names: "settimeofday clock_settime adjtimex sethostname setdomainname", verdicts: isoRefused},
		{names: "acct quotactl quotactl_fd syslog-read syslog-size vhangup iopl ioperm uselib", verdicts: isoRefused},
	}},
	{name: "no filter is added, since many of them stop the kernel", program: "filters.py", ends: isoExit(0), probes: []isoProbe{
		{names: "prctl prctl-high-bits seccomp seccomp-listener attach-* reuseport-cbpf reuseport-ebpf", verdicts: isoRefused},
	}},
	{name: "the kernel's other doors lead nowhere", program: "old_abis.py", ends: isoExit(0), probes: []isoProbe{
		// A kernel without 32-bit programs answers int 0x80 with a fault.
		{names: "i386-*", verdicts: isoRefused + " SIGSEGV"},
		{names: "x32-* high-bits-*", verdicts: isoRefused},
	}},
	{name: "sockets are of the few families that programs need", program: "sockets.py", ends: isoExit(0), probes: []isoProbe{
		{names: "*", verdicts: isoRefused + " EAFNOSUPPORT"},
	}},
	{name: "no request to a socket loads a module or outlives it", program: "requests.py", ends: isoExit(0), probes: []isoProbe{
		{names: "bridges* set-bridge* add-bridge* remove-bridge* add-relay* remove-relay* vlan* set-vlan* udp-*", verdicts: isoDenied},
		{names: "udp6-* label*", verdicts: isoDenied + " EAFNOSUPPORT"},
	}},
	{name: "nobody becomes somebody else", program: "privileges.py", ends: isoExit(0), probes: []isoProbe{
		{names: "CapInh CapPrm CapEff CapBnd CapAmb", verdicts: "NONE"},
		{names: "NoNewPrivs", verdicts: "SET"},
		{names: "Seccomp", verdicts: "FILTER"},
		{names: "Uid Gid", verdicts: "NOBODY"},
		{names: "setuid seteuid setreuid setresuid setgid setresgid", verdicts: isoRefused + " EINVAL"}, // EINVAL: there is no such user
		{names: "setgroups capset ambient securebits set-mm", verdicts: isoRefused + " EINVAL"},
		{names: "setfsuid", verdicts: "UNCHANGED"},
		{names: "set-user-id", verdicts: "UNCHANGED EACCES"}, // where nothing that was written may be executed
		{names: "uid_map gid_map setgroups-file oom-score", verdicts: isoReadOnly},
		{names: "chown", verdicts: isoReadOnly + " EINVAL"},
	}},
	{name: "nobody gets more of the machine than a share", program: "scheduling.py", ends: isoExit(0), probes: []isoProbe{
		{names: "fifo rr deadline nice ioprio migrate_pages-first move_pages-first", verdicts: isoRefused},
		{names: "core", verdicts: isoDenied},
		{names: "mlock mlockall", verdicts: isoRefused + " ENOMEM EAGAIN"},
		{names: "raise-CORE raise-NOFILE", verdicts: isoRefused},
		{"files", "BOUNDED", 64, 1 << 16},
		{names: "affinity batch mbind set_mempolicy move_pages personality dumpable", verdicts: isoRefused + " OK EINVAL"},
	}},
	{name: "the supervisor is neither read nor changed", program: "supervisor.py", ends: isoExit(7), probes: []isoProbe{
		{names: "read:* write:* list:* link:* enter-root enter-cwd", verdicts: isoHidden},
		{names: "change:*", verdicts: isoHidden + " EINVAL EOPNOTSUPP"},
		{names: "limit-memory limit-files limit-cpu", verdicts: isoRefused + " ESRCH"},
	}},
	{name: "the supervisor survives every signal", program: "signals.py", ends: isoExit(7), probes: []isoProbe{
		// What the kernel lets pass, it does not deliver; the end of this run tells.
		{names: "kill tgkill sigqueue pidfd owner threads group renice", verdicts: isoRefused + " OK OWN ESRCH EINVAL"},
		{names: "everybody", verdicts: "OK"},
		{names: "child", verdicts: "SIGKILL"},
	}},
	{name: "core is not dumped", program: "dump.py", ends: isoAborted, probes: []isoProbe{
		{names: "limit dumped files", verdicts: "NONE"},
	}, then: func(t *testing.T, _ *execBench, r execRun) {
		assert.Empty(t, r.Message)
	}},
}
