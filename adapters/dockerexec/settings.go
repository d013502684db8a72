package dockerexec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/task-runner/task-runner/internal/runner"
)

// Where a container has what it needs.
const (
	tmpDir    = "/tmp"
	workDir   = tmpDir + "/work"
	shmDir    = "/dev/shm"
	ptsDir    = "/dev/pts"
	mqueueDir = "/dev/mqueue"
)

// blueprint is what one container is made from.
type blueprint struct {
	name string // no other container has it
	kind
	id      string   // the image's
	path    string   // PATH of its environment, "" if it sets none
	covers  []string // folders that the image declares as volumes
	limits  limits
	user    int
	filter  string // the file with the exact system call policy
	volume  runnerVolume
	profile string // the system call policy, as Docker reads it
	runtime string
	network string // of jobs that ask for one
	labels  map[string]string
}

// Setting is one of the settings of every container, and why it is so.
type Setting struct {
	// Name is the field's in Docker's API, or several of them.
	Name string
	// Value is what it is set to, in words where it depends on the task.
	Value string
	// Reason is what would be possible without.
	Reason string
	apply  func(b *blueprint, c *container.Config, h *container.HostConfig)
}

// Settings returns the table of what every container gets, whatever the task says:
// docs/security.md shows it.
func Settings() []Setting { return slices.Clone(settings) }

var settings = []Setting{
	{"Image", "the image's ID", "a tag that moves while tasks run would change what they run in",
		func(b *blueprint, c *container.Config, _ *container.HostConfig) { c.Image = b.id }},
	{"Entrypoint, Init, Healthcheck", "the supervisor alone", "the image's own entrypoint, the engine's init or a health check would be processes that nobody supervises",
		func(b *blueprint, c *container.Config, h *container.HostConfig) {
			c.Entrypoint = []string{runnerFolder + "/" + supervisorFile, runnerFolder + "/" + b.filter}
			c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
			h.Init = new(false)
		}},
	{"OpenStdin, StdinOnce, Attach*", "one line to the supervisor, which ends when it is cut", "closing stdin would close the output, too; a container whose launcher died would run on",
		func(_ *blueprint, c *container.Config, _ *container.HostConfig) {
			c.OpenStdin, c.StdinOnce = true, true
			c.AttachStdin, c.AttachStdout, c.AttachStderr = true, true, true
		}},
	{"User", "one that hardly any other container has, of the group 65534", "root in a container is root outside, should it get there; of one user, one task could use up what the kernel counts by user (pipes, descriptors under way, signals)",
		func(b *blueprint, c *container.Config, _ *container.HostConfig) {
			c.User = fmt.Sprintf("%d:%d", b.user, group)
		}},
	{"ReadonlyRootfs", "true", "the image's file system is on the host's disk, which no limit covers",
		func(_ *blueprint, _ *container.Config, h *container.HostConfig) { h.ReadonlyRootfs = true }},
	{"Tmpfs", "/tmp (with the work folder) and /dev/shm, together as large as the disk limit, with bounded inodes; noexec unless the language compiles. Empty ones cover the image's volumes, /dev/pts and /dev/mqueue",
		"files would be unbounded, by size or by number; downloaded programs would be one chmod away; one task could take every terminal that the host has for containers",
		func(b *blueprint, _ *container.Config, h *container.HostConfig) { h.Tmpfs = b.tmpfs() }},
	{"Mounts", "the supervisor's volume and an /etc/passwd with the users of containers, both read-only", "a program could replace the next one's supervisor; programs that ask for their user's name would fail",
		func(b *blueprint, _ *container.Config, h *container.HostConfig) {
			h.Mounts = []mount.Mount{{
				Type: mount.TypeVolume, Source: b.volume.name, Target: runnerFolder, ReadOnly: true,
				VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: volumeLabels()},
			}, {
				Type: mount.TypeBind, Source: path.Join(b.volume.folder, passwdFile), Target: "/etc/passwd", ReadOnly: true,
			}}
		}},
	{"MaskedPaths, ReadonlyPaths", "Docker's, and most of what else in /proc and /sys is about the host; what programs look at (cpuinfo, meminfo, stat, their processes and control group) is there", "the kernel's command line, devices, modules, keys and interrupts tell who else is there and what they do",
		func(_ *blueprint, _ *container.Config, h *container.HostConfig) {
			h.MaskedPaths, h.ReadonlyPaths = maskedPaths, readonlyPaths
		}},
	{"CapDrop", "ALL", "of what makes a root a root, nothing is needed",
		func(_ *blueprint, _ *container.Config, h *container.HostConfig) { h.CapDrop = []string{"ALL"} }},
	{"SecurityOpt", "no-new-privileges, and a seccomp profile of our own", "a program of the image with the set-user-ID bit would be a way up; the kernel's rarely used calls are where its holes are",
		func(b *blueprint, _ *container.Config, h *container.HostConfig) {
			h.SecurityOpt = []string{"no-new-privileges", "seccomp=" + b.profile}
		}},
	{"NetworkMode, NetworkDisabled", "none; for a task that asks for one and may, the operator's network", "the host's services, the neighbours and the cloud's metadata are a connection away",
		func(b *blueprint, c *container.Config, h *container.HostConfig) {
			c.NetworkDisabled, h.NetworkMode = true, "none"
			if b.networked {
				c.NetworkDisabled, h.NetworkMode = false, container.NetworkMode(b.network)
			}
		}},
	{"Memory, MemorySwap", "the memory limit with what the supervisor holds, and no swap", "a task would take the host's memory, or push others out to its disk",
		func(b *blueprint, _ *container.Config, h *container.HostConfig) {
			h.Memory, h.MemorySwap = b.limits.memory, b.limits.memory
		}},
	{"NanoCPUs", "the CPU limit", "a task would take the others' time",
		func(b *blueprint, _ *container.Config, h *container.HostConfig) { h.NanoCPUs = b.limits.nanoCPUs }},
	{"PidsLimit", "the limit on processes with the supervisor's threads", "a fork bomb would take every process number there is",
		func(b *blueprint, _ *container.Config, h *container.HostConfig) { h.PidsLimit = new(b.limits.pids) }},
	{"IpcMode", "none", "shared memory and semaphores would reach across containers",
		func(_ *blueprint, _ *container.Config, h *container.HostConfig) { h.IpcMode = container.IPCModeNone }},
	{"CgroupnsMode", "private", "a program would see where it is among the host's control groups",
		func(_ *blueprint, _ *container.Config, h *container.HostConfig) {
			h.CgroupnsMode = container.CgroupnsModePrivate
		}},
	{"LogConfig", "none", "the engine would write what a program prints to the host's disk, a second time and without a limit",
		func(_ *blueprint, _ *container.Config, h *container.HostConfig) {
			h.LogConfig = container.LogConfig{Type: "none"}
		}},
	{"RestartPolicy", "no", "a container would be used twice",
		func(_ *blueprint, _ *container.Config, h *container.HostConfig) {
			h.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
		}},
	{"StopSignal", "SIGKILL", "an engine that is stopped would wait ten seconds for supervisors, which take no signals",
		func(_ *blueprint, c *container.Config, _ *container.HostConfig) { c.StopSignal = "SIGKILL" }},
	{"Hostname, WorkingDir", "sandbox, /", "the engine's name for it would be another each time; the image's folder may be anything",
		func(_ *blueprint, c *container.Config, _ *container.HostConfig) {
			c.Hostname, c.WorkingDir = "sandbox", "/"
		}},
	{"Runtime", "the operator's choice", "with runc the kernel is the host's, and its holes are open to every program; runsc has one of its own",
		func(b *blueprint, _ *container.Config, h *container.HostConfig) { h.Runtime = b.runtime }},
	{"Labels", "whose it is, and until when", "what a killed worker left could not be told from what is in use",
		func(b *blueprint, c *container.Config, _ *container.HostConfig) { c.Labels = b.labels }},
}

// configs returns the two halves of what the engine is asked for.
func (b *blueprint) configs() (*container.Config, *container.HostConfig) {
	c, h := new(container.Config), new(container.HostConfig)
	for _, s := range settings {
		s.apply(b, c, h)
	}
	return c, h
}

// tmpfs returns the writable file systems, and covers the image's volumes, each of
// which would be a folder without limit on the host's disk, and the engine's own
// mounts that are shared more than they look: there are some thousands of terminals
// for all containers together.
func (b *blueprint) tmpfs() map[string]string {
	all := map[string]string{}
	for _, folder := range append([]string{ptsDir, mqueueDir}, b.covers...) {
		// As the engine writes it: two mounts in one place have no order.
		all[path.Clean(folder)] = "ro,nosuid,nodev,noexec,size=4k,nr_inodes=1,mode=555"
	}
	exec := "noexec"
	if b.executable {
		exec = "exec"
	}
	options := func(size int64) string {
		return strings.Join([]string{
			"rw", "nosuid", "nodev", exec, "mode=1777",
			"size=" + strconv.FormatInt(size, 10), "nr_inodes=" + strconv.FormatInt(runner.MaxInodes(size), 10),
		}, ",")
	}
	maps.Copy(all, map[string]string{tmpDir: options(filesRoom(b.disk)), shmDir: options(shmRoom(b.disk))})
	return all
}

// shmRoom and filesRoom divide the whole pages of the disk limit: an eighth is for
// shared memory, the rest for files. An engine cannot mount one file system in two
// places. A limit of less than two pages has no room for files, and must not be used:
// of size 0, a tmpfs has no limit.
func shmRoom(disk int64) int64   { return max(disk/8/pageSize, 1) * pageSize }
func filesRoom(disk int64) int64 { return max(disk/pageSize*pageSize-shmRoom(disk), 0) }

// maskedPaths are empty in containers. Those that do not exist are no trouble.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/buddyinfo", "/proc/bus", "/proc/cmdline", "/proc/config.gz", "/proc/consoles",
	"/proc/crypto", "/proc/devices", "/proc/diskstats", "/proc/dma", "/proc/driver", "/proc/fb", "/proc/fs", "/proc/interrupts",
	"/proc/iomem", "/proc/ioports", "/proc/irq", "/proc/kallsyms", "/proc/kcore", "/proc/key-users", "/proc/keys",
	"/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/locks", "/proc/mdstat",
	"/proc/misc", "/proc/modules", "/proc/mtrr", "/proc/pagetypeinfo", "/proc/partitions", "/proc/pressure", "/proc/sched_debug",
	"/proc/schedstat", "/proc/scsi", "/proc/slabinfo", "/proc/softirqs", "/proc/swaps", "/proc/timer_list", "/proc/timer_stats",
	"/proc/tty", "/proc/vmallocinfo", "/proc/zoneinfo",
	"/sys/block", "/sys/bus", "/sys/class", "/sys/dev", "/sys/devices/virtual", "/sys/firmware", "/sys/fs/btrfs", "/sys/fs/ext4", "/sys/fs/f2fs", "/sys/fs/xfs", "/sys/hypervisor",
	"/sys/kernel", "/sys/module", "/sys/power",
}

// readonlyPaths are as Docker has them, less what is masked.
var readonlyPaths = []string{"/proc/sys", "/proc/sysrq-trigger"}

// pageSize is a tmpfs's unit.
const pageSize = 4096

// kind is what containers in the pool must have in common to serve the same jobs.
type kind struct {
	image      string // as the language names it
	disk       int64
	executable bool // what is written may be executed
	networked  bool
	// budget is how long a job may take at most.
	budget time.Duration
}

// limits are those of a container, the supervisor's share included.
type limits struct {
	memory, nanoCPUs, pids int64
}
