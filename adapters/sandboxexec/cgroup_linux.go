//go:build amd64 || arm64

package sandboxexec

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/ports"
)

// quotaPeriod is the period of the CPU quota in microseconds, the kernel's default.
const quotaPeriod = 100_000

// groupPrefix starts the name of every control group of an executor, so that a
// later one finds what a killed one left behind.
const groupPrefix = "taskrunner-"

const (
	// keeper is the name of a group that only has limits.
	keeper = "keeper"
	// leafName is the group that processes move into which are in the way.
	leafName = "taskrunner.self"
	// socketLimit bounds the memory of sockets, which version 1 counts apart.
	socketLimit = "memory.kmem.tcp.limit_in_bytes"
)

// cgroups makes control groups for sandboxes, under one group of its own that no
// other executor shares.
type cgroups struct {
	v2 bool
	// dirs is the executor's own group in each hierarchy, by controller: in
	// version 2 all are the same folder, in version 1 some may be.
	dirs map[string]string
	// swapless: this host has no way to bound swap, and no swap.
	swapless bool
	// locks are held on the folders of dirs for as long as the executor lives.
	locks []*os.File
}

// controllers are what limits need; cpuacct counts CPU time in version 1.
var (
	controllersV1 = []string{"memory", "cpu", "cpuacct", "pids"}
	controllersV2 = []string{"memory", "cpu", "pids"}
)

// newCgroups finds the hierarchies of this host, removes what killed executors
// left, and makes the executor's own group. parent is the path of the group to
// put it in, within each hierarchy; empty for the one this process is in.
func newCgroups(parent string) (*cgroups, error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	c := &cgroups{dirs: map[string]string{}}
	parents, err := c.findParents(string(mountinfo), cgroup.Membership(string(membership)), parent)
	if err != nil {
		return nil, err
	}
	// One executor at a time: another one's sweep must not take this one's groups
	// for left behind before they are locked.
	turn, err := lockDir(parents["memory"], unix.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("waiting for another executor's start: %w", err)
	}
	defer turn.Close()
	for dir := range uniqueValues(parents) {
		sweep(dir)
	}
	name := groupPrefix + strings.ToLower(rand.Text()[:12])
	for controller, dir := range parents {
		c.dirs[controller] = filepath.Join(dir, name)
	}
	if err := c.setUp(); err != nil {
		_ = c.remove() // the first error is the one to tell
		return nil, err
	}
	return c, nil
}

// findParents returns the folder to make the executor's group in, by controller:
// in version 1 if that has all of them, else in version 2.
func (c *cgroups) findParents(mountinfo string, own map[string]string, parent string) (map[string]string, error) {
	parents := map[string]string{}
	for _, name := range controllersV1 {
		if dir := cgroup.Folder(mountinfo, name, cmp.Or(parent, own[name])); dir != "" {
			parents[name] = dir
		}
	}
	if len(parents) == len(controllersV1) {
		return parents, nil
	}
	path := cmp.Or(parent, strings.TrimSuffix(own[""], "/"+leafName), "/")
	dir := cgroup.Folder(mountinfo, "", path)
	if dir == "" {
		return nil, fmt.Errorf("the control group %s is not mounted: mount cgroup version 2 at /sys/fs/cgroup, or version 1 with the controllers %s",
			path, strings.Join(controllersV1, ", "))
	}
	c.v2 = true
	if err := makeRoomFor(dir); err != nil {
		return nil, err
	}
	for _, name := range controllersV2 {
		parents[name] = dir
	}
	return parents, nil
}

func (c *cgroups) setUp() error {
	for dir := range uniqueValues(c.dirs) {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("making a control group: %w", err)
		}
		lock, err := lockDir(dir, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			return fmt.Errorf("locking a control group: %w", err)
		}
		c.locks = append(c.locks, lock)
	}
	if c.v2 {
		if err := enableControllers(c.dirs["memory"]); err != nil {
			return err
		}
	}
	if err := c.checkMemoryFiles(); err != nil {
		return err
	}
	return c.keep()
}

// keep makes a group that is always limited. The kernel rewrites its own code on
// every CPU when the first quota of all is set and when the last one goes, and so
// it does for the limit on socket memory; this spares every task that.
func (c *cgroups) keep() error {
	for dir := range uniqueValues(c.dirs) {
		if err := os.Mkdir(filepath.Join(dir, keeper), 0o755); err != nil {
			return fmt.Errorf("making a control group: %w", err)
		}
	}
	// As little as can be, so that it is less than the parent's.
	if err := c.setQuota(filepath.Join(c.dirs["cpu"], keeper), 0.01); err != nil || c.v2 {
		return err
	}
	return write(filepath.Join(c.dirs["memory"], keeper), socketLimit, "4096")
}

// checkMemoryFiles refuses a host where a task could escape its memory limit into
// swap or sockets.
func (c *cgroups) checkMemoryFiles() error {
	swapLimit := "memory.memsw.limit_in_bytes"
	if c.v2 {
		swapLimit = "memory.swap.max"
	} else if _, err := os.Stat(filepath.Join(c.dirs["memory"], socketLimit)); err != nil {
		return fmt.Errorf("the memory limit cannot be enforced for sockets: this kernel's cgroup version 1 lacks it (%w); boot with version 2", err)
	}
	if _, err := os.Stat(filepath.Join(c.dirs["memory"], swapLimit)); err == nil {
		return nil
	}
	swaps, err := os.ReadFile("/proc/swaps")
	if err != nil || strings.Count(string(swaps), "\n") > 1 {
		return errors.New("the memory limit cannot be enforced: this host has swap and its kernel does not count it for control groups; boot with swapaccount=1 or turn swap off (swapoff -a)")
	}
	c.swapless = true
	return nil
}

// remove takes down the executor's own group. The groups of its sandboxes are
// gone by then.
func (c *cgroups) remove() error {
	var errs []error
	for dir := range uniqueValues(c.dirs) {
		errs = append(errs, removeDir(filepath.Join(dir, keeper)), removeDir(dir))
	}
	for _, lock := range c.locks {
		lock.Close()
	}
	return errors.Join(errs...)
}

// group is the control group of one sandbox, in every hierarchy.
type group struct {
	parent *cgroups
	dirs   map[string]string
	// joiners are files that put whoever writes "0" into them into the group;
	// none in version 2, where a child is born into dir.
	joiners []*os.File
	dir     *os.File
}

// make makes the group called name.
func (c *cgroups) make(name string) (*group, error) {
	g := &group{parent: c, dirs: map[string]string{}}
	for controller, dir := range c.dirs {
		g.dirs[controller] = filepath.Join(dir, name)
	}
	for dir := range uniqueValues(g.dirs) {
		if err := os.Mkdir(dir, 0o755); err != nil {
			_ = g.remove() // the first error is the one to tell
			return nil, fmt.Errorf("making a control group: %w", err)
		}
		// In version 1 a thread that moves itself by way of "tasks" needs no lock
		// over all threads of the system, as it does by way of "cgroup.procs".
		path, flags := filepath.Join(dir, "tasks"), os.O_WRONLY
		if c.v2 {
			path, flags = dir, os.O_RDONLY
		}
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			_ = g.remove() // the first error is the one to tell
			return nil, fmt.Errorf("opening a control group: %w", err)
		}
		if c.v2 {
			g.dir = f
		} else {
			g.joiners = append(g.joiners, f)
		}
	}
	return g, nil
}

// counters returns a reader of what the kernel counts for the group.
func (g *group) counters() *cgroup.Reader {
	if g.parent.v2 {
		return cgroup.OpenV2(g.dirs["memory"])
	}
	return cgroup.OpenV1(g.dirs["cpuacct"], g.dirs["memory"])
}

// born closes what only the birth of a sandbox needs.
func (g *group) born() {
	for _, f := range g.joiners {
		f.Close()
	}
	g.joiners = nil
	if g.dir != nil {
		g.dir.Close()
		g.dir = nil
	}
}

// limit sets the limits. The supervisor's own memory and threads come on top, so
// that the program gets all that was promised to it. memory is what the
// supervisor holds now, threads how many it may have.
func (g *group) limit(l ports.Limits, memory int64, threads int) error {
	bytes := strconv.FormatInt(l.Memory+memory, 10)
	pids := strconv.Itoa(l.PIDs + threads)
	err := g.parent.setQuota(g.dirs["cpu"], l.CPU)
	if errors.Is(err, unix.EINVAL) && !g.parent.v2 {
		// More than a group above this one has, in version 1: that one bounds it.
		err = g.unthrottle()
	}
	if err != nil {
		return err
	}
	if err := write(g.dirs["pids"], "pids.max", pids); err != nil {
		return err
	}
	if g.parent.v2 {
		if err := write(g.dirs["memory"], "memory.max", bytes); err != nil || g.parent.swapless {
			return err
		}
		return write(g.dirs["memory"], "memory.swap.max", "0")
	}
	if err := write(g.dirs["memory"], socketLimit, bytes); err != nil {
		return err
	}
	if err := write(g.dirs["memory"], "memory.limit_in_bytes", bytes); err != nil || g.parent.swapless {
		return err
	}
	return write(g.dirs["memory"], "memory.memsw.limit_in_bytes", bytes)
}

// unthrottle lifts the CPU quota: what is to die needs time to do so.
func (g *group) unthrottle() error { return g.parent.setQuota(g.dirs["cpu"], 0) }

// remove removes the group once no process is in it.
func (g *group) remove() error {
	g.born()
	var errs []error
	for dir := range uniqueValues(g.dirs) {
		errs = append(errs, removeDir(dir))
	}
	return errors.Join(errs...)
}

// setQuota bounds the group in dir to so many cores; 0 means no bound.
func (c *cgroups) setQuota(dir string, cores float64) error {
	// The kernel takes no quota below 1 ms.
	quota := strconv.Itoa(max(1000, int(math.Round(cores*quotaPeriod))))
	if c.v2 {
		if cores == 0 {
			quota = "max"
		}
		return write(dir, "cpu.max", quota+" "+strconv.Itoa(quotaPeriod))
	}
	if cores == 0 {
		quota = "-1"
	}
	return write(dir, "cpu.cfs_quota_us", quota)
}

func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("setting %s to %s: %w", file, value, err)
	}
	return nil
}

// makeRoomFor enables the controllers of version 2 for the children of dir. The
// kernel refuses that for a group with processes in it, other than the root; they
// then move into a child.
func makeRoomFor(dir string) error {
	if err := inherit(dir); err != nil {
		return err
	}
	err := enableControllers(dir)
	// What a process starts while it is being moved stays behind: look again.
	for range 10 {
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		if err := moveProcesses(dir, filepath.Join(dir, leafName)); err != nil {
			return err
		}
		err = enableControllers(dir)
	}
	return err
}

// inherit makes the groups above dir hand down the controllers that dir lacks. On
// a host under systemd nobody may have asked for them there yet.
func inherit(dir string) error {
	offered, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return needControllers(dir, err)
	}
	has := strings.Fields(string(offered))
	if !slices.ContainsFunc(controllersV2, func(name string) bool { return !slices.Contains(has, name) }) {
		return nil
	}
	above := filepath.Dir(dir)
	if _, err := os.Stat(filepath.Join(above, "cgroup.controllers")); err != nil {
		return needControllers(dir, fmt.Errorf("it has only %q and nothing above it is mounted", has))
	}
	if err := inherit(above); err != nil {
		return err
	}
	return enableControllers(above)
}

// moveProcesses moves every process of the group from, threads and all, to the
// group to.
func moveProcesses(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making a control group for this process: %w", err)
	}
	procs, err := os.ReadFile(filepath.Join(from, "cgroup.procs"))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(procs)) {
		if pid == "0" {
			return fmt.Errorf("the control group %s has a process from outside of this PID namespace, which cannot be moved out of the way", from)
		}
		if err := write(to, "cgroup.procs", pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

func enableControllers(dir string) error {
	if err := write(dir, "cgroup.subtree_control", "+"+strings.Join(controllersV2, " +")); err != nil {
		return needControllers(dir, err)
	}
	return nil
}

func needControllers(dir string, cause error) error {
	return fmt.Errorf("the control group %s must offer the controllers %s to groups in it: %w (have them delegated, as by systemd-run -p Delegate=yes; a container must be a privileged one)",
		dir, strings.Join(controllersV2, ", "), cause)
}

// sweep removes the groups in dir that executors left which live no more.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, groupPrefix+"*"))
	for _, executor := range left {
		lock, err := lockDir(executor, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue
		}
		entries, _ := os.ReadDir(executor)
		for _, e := range entries {
			if e.IsDir() {
				killGroup(filepath.Join(executor, e.Name()))
				os.Remove(filepath.Join(executor, e.Name()))
			}
		}
		os.Remove(executor) // what is dying now is left to the next sweep
		lock.Close()
	}
}

func killGroup(dir string) {
	procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for pid := range strings.FieldsSeq(string(procs)) {
		if n, err := strconv.Atoi(pid); err == nil && n > 1 {
			unix.Kill(n, unix.SIGKILL)
		}
	}
}

// lockDir opens dir and locks it for this process until the file is closed. How
// is that of flock(2).
func lockDir(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// uniqueValues returns the values of m as a set: in version 1 several
// controllers may share a hierarchy.
func uniqueValues(m map[string]string) map[string]struct{} {
	set := map[string]struct{}{}
	for _, v := range m {
		set[v] = struct{}{}
	}
	return set
}

// removeDir removes the folder of a group. For a moment after its last process
// was reaped the kernel may still call the group busy.
func removeDir(dir string) error {
	delay := time.Millisecond
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || delay > time.Second {
			return fmt.Errorf("removing a control group: %w", err)
		}
		time.Sleep(delay) //nolint:forbidigo // no event tells that the kernel has finished
		delay *= 2
	}
}
