package conformance

// isoHostAttacks go for what belongs to the host or to another task.
var isoHostAttacks = []isoAttack{
	{name: "the host's files and processes are not there", program: "secrets.py", harmless: true, ends: isoExit(0), probes: []isoProbe{
		{names: "read:* list:* host-file host-folder host-file-by-proc", verdicts: isoHidden},
		{names: "host-process", verdicts: "HIDDEN"},
		{names: "signal-host", verdicts: "ESRCH"},
		{"processes", "SEEN", 1, 4},
		{names: "walk", verdicts: "NOTHING"},
		{names: "mounts", verdicts: "READONLY"},
	}},
	{name: "the system is read-only", program: "files.py", ends: isoExit(0), probes: []isoProbe{
		{names: "create:* mkdir:* rename:*", verdicts: isoReadOnly},
		{names: "switch:*", verdicts: isoReadOnly},
		{names: "write:*", verdicts: isoReadOnly + " ETXTBSY"},
		{names: "truncate:*", verdicts: isoReadOnly + " ETXTBSY"},
		{names: "chmod:* chown:* unlink:* utime:*", verdicts: isoReadOnly},
		{names: "xattr:*", verdicts: isoReadOnly + " EOPNOTSUPP ENOTSUP"},
	}},
	{name: "devices and the kernel's own files are out of reach", program: "devices.py", ends: isoExit(0), probes: []isoProbe{
		{names: "dev", verdicts: "EXPECTED"},
		{names: "open:* read:* list:*", verdicts: isoHidden + " EINVAL"},
		{names: "read:kallsyms", verdicts: isoHidden + " ZEROS"},
		{names: "make-*", verdicts: "EPERM EACCES ENOSYS SIGSYS"},
		{names: "write:sysrq-trigger", verdicts: isoReadOnly},
		{names: "type-into-* console-*", verdicts: "EPERM EACCES ENOTTY EIO ENXIO ENOENT EBADF EINVAL"},
	}},
	{name: "control groups are not changed or left", program: "cgroups.py", ends: isoExit(0), probes: []isoProbe{
		{names: "group", verdicts: "ROOT"},
		{names: "mkdir:* write:*", verdicts: isoReadOnly},
	}},
	{name: "there is no network", program: "network.py", ends: isoExit(0), probes: []isoProbe{
		{names: "tcp-loopback tcp-any tcp6-loopback tcp6-mapped udp-loopback metadata metadata6", verdicts: isoUnreachable},
		{names: "unix-abstract unix-file unix:*", verdicts: isoUnreachable + " ENOTDIR"},
		{names: "dns", verdicts: "UNRESOLVED"},
		{names: "interfaces", verdicts: "NONE"},
		{names: "set-address", verdicts: isoRefused},
	}},
	{name: "nobody sees what others do with the system's files", program: "watches.py", ends: isoExit(0), probes: []isoProbe{
		{names: "inotify_init inotify_init1 inotify_add_watch cachestat", verdicts: isoAbsent},
		{names: "notify notify-high-bits lease delegation", verdicts: isoDenied},
	}},
	{name: "a neighbour's secrets stay secret, and it survives", program: "spy.py", args: []string{"a-neighbours-secret"}, beside: "victim.py", ends: isoExit(0), probes: []isoProbe{
		{names: "processes walk sockets", verdicts: "NOTHING"},
		{names: "connect", verdicts: isoUnreachable},
		{names: "shared-memory", verdicts: isoHidden + " ENOSYS"},
		{names: "everybody", verdicts: "OK ESRCH"},
	}},
}
