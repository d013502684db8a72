package conformance

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/ports"
)

// Limits that are quickly reached, in MiB. The programs get them as an argument.
const (
	isoMemory = 64
	isoDisk   = 8
)

func isoSmallMemory(l *ports.Limits) { l.Memory, l.Disk = isoMemory<<20, 4*isoMemory<<20 }

func isoSmallDisk(l *ports.Limits) { l.Disk = isoDisk << 20 }

func isoSmallOutput(l *ports.Limits) { l.Output = execSmallOutput }

func isoBriefly(l *ports.Limits) { l.Timeout = execBrief + execBrief/2 }

// isoPIDs is how many processes a program may have. It must get half of them at
// least, whatever the supervisor takes, and never one more than all.
const isoPIDs = 32

func isoFewPIDs(l *ports.Limits) { l.PIDs = isoPIDs }

// isoCatalogue is every attack there is.
var isoCatalogue = []isoChapter{
	{"processes", []isoAttack{
		{name: "a fork bomb is held at the PID limit", program: "processes.py", args: []string{"fork"}, limits: isoFewPIDs, ends: isoExit(0),
			probes: []isoProbe{{"fork", "EAGAIN", isoPIDs / 2, isoPIDs}}},
		{name: "a bomb of threads is held at the PID limit", program: "processes.py", args: []string{"threads"}, limits: isoFewPIDs, ends: isoExit(0),
			probes: []isoProbe{{"threads", "EAGAIN", isoPIDs / 2, isoPIDs}}},
		{name: "a storm of zombies is held at the PID limit", program: "processes.py", args: []string{"zombies"}, limits: isoFewPIDs, ends: isoExit(0),
			probes: []isoProbe{{"zombies", "EAGAIN", isoPIDs / 2, isoPIDs}}},
		{name: "orphans are reaped", program: "processes.py", args: []string{"orphans"}, ends: isoExit(0),
			limits: func(l *ports.Limits) { isoFewPIDs(l); l.Timeout *= 2 }, // they are many
			probes: []isoProbe{{"orphans", "OK", 1, 400}}},
		{name: "processes that ignore every signal are gone", program: "processes.py", args: []string{"deaf"}, ends: isoExit(0),
			probes: []isoProbe{{names: "deaf", verdicts: "OK"}}},
		{name: "a process that is always another one is gone", program: "processes.py", args: []string{"runaway"}, ends: isoExit(0),
			probes: []isoProbe{{names: "runaway", verdicts: "OK"}}},
		{name: "a storm of short programs passes", program: "processes.py", args: []string{"vforks"}, ends: isoExit(0),
			probes: []isoProbe{{names: "vforks", verdicts: "OK"}}},
		{name: "a bomb in the shell burns out", program: "fork_bomb.sh", limits: isoFewPIDs, ends: isoExit(0)},
		{name: "a daemon that holds the streams is gone", program: "daemon.sh", ends: isoExit(4),
			then: func(t *testing.T, b *execBench, r execRun) {
				assert.Equal(t, "parent is done\n", r.stdout)
				assert.Less(t, *r.Usage.WallTime, b.Patience)
			}},
	}},
	{"time", []isoAttack{
		isoStays("sleeps"), isoStays("spins"), isoStays("ignores every signal"), isoStays("blocks every signal"),
		isoStays("stops itself and its children"), isoStays("stops everybody"), isoStays("is a crowd that spins"),
		isoStays("adopts its orphans"), isoStays("waits for a stopped vfork"), isoStays("clogs its own stdin"),
	}},
	{"memory", []isoAttack{
		isoEats("parent", "a memory bomb is out of memory", isoOOM),
		{name: "a memory bomb in a child takes the child alone", program: "memory.py", args: []string{"child", "64"}, limits: isoSmallMemory, ends: isoExit(0),
			probes: []isoProbe{{names: "child", verdicts: "SIGKILL"}}},
		{name: "many processes share one memory limit", program: "memory.py", args: []string{"many", "64"}, limits: isoSmallMemory,
			ends: append(isoOOMChild, isoOOM...), probes: []isoProbe{{names: "many", verdicts: "SIGKILL"}}},
		isoEats("shared", "shared memory counts", isoOOM),
		isoEats("memfd", "files that only live in memory count", isoOOM),
		isoEats("files", "files alone can be out of memory", isoOOM),
		isoEats("small", "the supervisor survives a sandbox that is full of files", append(isoOOMChild, isoOOM...)),
		{name: "exit code 137 is no want of memory", program: "exit_137.sh", ends: isoExit(137)},
		isoHoards("memory.py", "sysv", "System V shared memory"),
		isoHoards("buffers.py", "pipes", "memory in pipes"),
		isoHoards("buffers.py", "sockets", "memory in sockets"),
		isoHoards("buffers.py", "messages", "memory in message queues"),
		{name: "memory in connections is bounded", program: "buffers.py", args: []string{"connections", "64"}, limits: isoSmallMemory, ends: append(isoExit(0), isoOOM...),
			probes: []isoProbe{{"connections", isoFull + " ENOBUFS " + isoUnreachable, 0, isoMemory << 20 * 3 / 2}}},
		isoHoards("buffers.py", "queues", "memory in descriptors under way"),
		{name: "huge pages, which no limit counts, are not to be had", program: "huge.py", ends: isoExit(0),
			probes: []isoProbe{{names: "mmap* memfd_create* shmget*", verdicts: isoDenied}}},
	}},
	{"disk", []isoAttack{
		{name: "all places together hold no more than the disk limit", program: "disk.py", args: []string{"fill", "8"}, limits: isoSmallDisk, ends: isoExit(0),
			probes: []isoProbe{{"fill", isoFull, isoDisk << 19, isoDisk << 20}}},
		{name: "empty files run out", program: "disk.py", args: []string{"inodes", "8"}, limits: isoSmallDisk, ends: isoExit(0),
			probes: []isoProbe{{"inodes", isoFull, 100, 49999}}},
		{name: "a big file does not get bigger than the disk", program: "disk.py", args: []string{"big", "8"}, limits: isoSmallDisk, ends: isoExit(0),
			probes: []isoProbe{{names: "write allocate sparse", verdicts: isoFull}, {names: "mapped", verdicts: "SIGBUS"}, {names: "endless", verdicts: "OK EFBIG"}}},
		{name: "folders nested beyond every path are no trouble", program: "nesting.py", ends: isoExit(0),
			probes: []isoProbe{{names: "nesting", verdicts: "OK ENOSPC"}}},
		{name: "file names for whoever lists them are no trouble", program: "names.py", ends: isoExit(0)},
		{name: "links lead nowhere, and sealed folders are no trouble", program: "links.py", ends: isoExit(0), probes: []isoProbe{
			{names: "symlink-*", verdicts: isoReadOnly},
			{names: "symlink-loop", verdicts: "ELOOP"},
			{names: "hard-*", verdicts: isoReadOnly + " EXDEV"},
			// What it does to its own folder is the program's business.
			{names: "replace remove", verdicts: "OK EBUSY EPERM EACCES EROFS ENOTEMPTY ENOTDIR EXDEV"},
		}},
	}},
	{"descriptors", []isoAttack{
		{name: "descriptors run out", program: "descriptors.py", limits: func(l *ports.Limits) { l.Memory = 512 << 20 }, ends: isoExit(0), probes: []isoProbe{
			{"files sockets polls events timers memories", "EMFILE ENFILE", 16, 19999},
			{names: "high", verdicts: "EBADF"},
		}},
		{name: "a hoarder takes nothing from its neighbour", program: "neighbour.py", beside: "hoarder.py", ends: isoExit(0),
			probes: []isoProbe{{names: "descriptor pipe", verdicts: "OK"}}},
	}},
	{"output", []isoAttack{
		isoFloods("line", "a line without end"), isoFloods("lines", "empty lines"), isoFloods("bytes", "single bytes"), isoFloods("stderr", "errors"),
		isoFloods("both", "two streams"), isoFloods("children", "children"), isoFloods("reopened", "a stream opened again"),
		{name: "output that imitates the supervisor is output, piece by piece", program: "frames.py", args: []string{"7"}, stdin: isoForgeries, ends: isoExit(3), then: isoEchoed},
		{name: "output that imitates the supervisor is output, all at once", program: "frames.py", args: []string{"1000000"}, stdin: isoForgeries, ends: isoExit(3), then: isoEchoed},
		{name: "no other descriptor leads to the supervisor", program: "every_descriptor.py", stdin: isoForgeries, ends: isoExit(3), probes: []isoProbe{
			{names: "inherited written others", verdicts: "NONE"},
			{names: "read-own-stdout", verdicts: "OK EAGAIN EACCES EPERM ENXIO"}, // its own pipe
		}},
	}},
	{"kernel", isoKernelAttacks},
	{"host", isoHostAttacks},
	// Nothing runs beside this one, so that its followers get what it has left.
	{"leftovers", []isoAttack{
		{name: "what a task leaves in its network does not meet another one", program: "leftovers.py", args: []string{"leave"}, ends: isoExit(0), probes: []isoProbe{
			{names: "sockets", verdicts: "OK"},
			{names: "connection", verdicts: "OK " + isoUnreachable},
			{names: "label", verdicts: isoDenied + " EAFNOSUPPORT"},
		}, followed: &isoAttack{program: "leftovers.py", args: []string{"look"}, ends: isoExit(0), probes: []isoProbe{
			{names: "table-unix table-tcp table-udp table-ip6_flowlabel", verdicts: "NOTHING " + isoHidden},
			{names: "name-stream name-datagram", verdicts: "OK"},
			{names: "port", verdicts: "OK EADDRNOTAVAIL EPERM"},
		}}},
	}},
}

// isoStays is an attack by a program that stays past its timeout.
func isoStays(how string) isoAttack {
	return isoAttack{name: "a program that stays is killed: it " + how, program: "stubborn.py", args: []string{how}, limits: isoBriefly, ends: isoTimeout}
}

// isoEats is an attack by a program that takes twice its memory.
func isoEats(how, name string, ends []isoEnd) isoAttack {
	return isoAttack{name: name, program: "memory.py", args: []string{how, "64"}, limits: isoSmallMemory, ends: ends}
}

// isoHoards is an attack by a program that hides twice its memory in the kernel:
// it is refused, or runs out of memory as any other.
func isoHoards(program, how, what string) isoAttack {
	return isoAttack{name: what + " is bounded", program: program, args: []string{how, "64"}, limits: isoSmallMemory, ends: append(isoExit(0), isoOOM...),
		probes: []isoProbe{{names: how, verdicts: isoFull + " " + isoRefused}}}
}

// isoFloods is an attack by a program that writes without end.
func isoFloods(how, what string) isoAttack {
	return isoAttack{name: "a flood is stopped: " + what, program: "flood.py", args: []string{how}, limits: isoSmallOutput, ends: isoFlooded}
}

// isoEchoed demands that both streams are the forgeries, byte by byte.
func isoEchoed(t *testing.T, b *execBench, r execRun) {
	want := string(isoForgeries(b))
	assert.True(t, want == r.stdout, "stdout has %d bytes and others than the program's %d", len(r.stdout), len(want))
	assert.True(t, want == r.stderr, "stderr has %d bytes and others than the program's %d", len(r.stderr), len(want))
}
