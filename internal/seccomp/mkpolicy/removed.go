//go:build linux

package main

// group is a number of system calls that no sandbox has, for one reason. The
// groups also name calls that moby refuses, or grants with a capability only, so
// that a change of its profile cannot bring them in.
type group struct {
	reason string
	calls  []string
}

var removed = []group{
	{"another way to make system calls, past this filter", []string{
		"io_uring_setup", "io_uring_enter", "io_uring_register",
	}},
	{"looking into and steering other processes", []string{
		"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
		"pidfd_getfd", "kcmp",
	}},
	{"stopping the kernel in the middle of a copy, the helper of many exploits", []string{
		"userfaultfd",
	}},
	{"keys of the kernel's keyring are not separated by namespaces", []string{
		"keyctl", "add_key", "request_key",
	}},
	{"programs inside the kernel, and filters on top of this one", []string{
		"bpf", "seccomp",
	}},
	{"measuring the kernel and other processes", []string{
		"perf_event_open", "lookup_dcookie", "syslog",
	}},
	{"namespaces and mounts: the sandbox's walls", []string{
		"unshare", "setns", "mount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
		"fspick", "mount_setattr", "statmount", "listmount", "pivot_root", "chroot",
	}},
	{"opening files without walking to them", []string{
		"name_to_handle_at", "open_by_handle_at",
	}},
	{"watching and holding up a whole file system", []string{
		"fanotify_init", "fanotify_mark",
	}},
	{"waiting for the host's disks, without an end that a signal could bring", []string{
		"sync", "syncfs",
	}},
	{"the machine's administration", []string{
		"acct", "quotactl", "quotactl_fd", "reboot", "kexec_load", "kexec_file_load", "init_module",
		"finit_module", "delete_module", "swapon", "swapoff", "settimeofday", "clock_settime", "adjtimex",
		"clock_adjtime", "sethostname", "setdomainname", "vhangup", "iopl", "ioperm", "nfsservctl",
		"lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules",
	}},
	{"placing memory on nodes, which is the machine's and not the task's", []string{
		"mbind", "get_mempolicy", "set_mempolicy", "set_mempolicy_home_node", "migrate_pages", "move_pages",
	}},
	{"the number of asynchronous requests is one for the whole machine (fs.aio-max-nr)", []string{
		"io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents",
	}},
	{"memory that cannot be swapped or inspected, not needed by anybody here", []string{
		"memfd_secret",
	}},
	{"code that needs 16-bit segments is older than this architecture", []string{
		"modify_ldt",
	}},
}

// hidden are further calls that no sandbox has. They answer ENOSYS, as on a kernel
// built without them: programs do without, where EPERM would be a failure to them.
var hidden = []group{
	// tail -f, for one, then looks every second. A program without such a way gets
	// "function not implemented", as node's fs.watch does; fs.watchFile works.
	{"the system's files are the host's and every sandbox's: who watches them sees others start programs", []string{
		"inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
	}},
	{"what is in memory of a file tells what others have read, and not every kernel asks for a right", []string{
		"cachestat",
	}},
}
