//go:build amd64 || arm64

package sandboxexec

import (
	"bufio"
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
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	own, err := ownCgroups()
	if err != nil {
		return nil, err
	}
	c := &cgroups{dirs: map[string]string{}}
	parents := map[string]string{}
	if missing := missingFrom(mounts, controllersV1); len(missing) == 0 {
		for _, name := range controllersV1 {
			parents[name] = filepath.Join(mounts[name], cmp.Or(parent, own[name]))
		}
	} else if mounts[""] != "" {
		c.v2 = true
		dir, err := delegated(mounts[""], cmp.Or(parent, own[""]))
		if err != nil {
			return nil, err
		}
		for _, name := range controllersV2 {
			parents[name] = dir
		}
	} else {
		return nil, fmt.Errorf("the control groups %s are not mounted: mount cgroup version 2 at /sys/fs/cgroup",
			strings.Join(missing, ", "))
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
	// The kernel rewrites its scheduler on every CPU when the first quota of all
	// is set and when the last one goes. A group that always has one spares every
	// task that.
	keeper := filepath.Join(c.dirs["cpu"], "quota")
	if err := os.Mkdir(keeper, 0o755); err != nil {
		return fmt.Errorf("making a control group: %w", err)
	}
	if err := c.setQuota(keeper, 1); err != nil {
		return err
	}
	return c.checkSwap()
}

// checkSwap refuses a host where a task could escape its memory limit into swap.
func (c *cgroups) checkSwap() error {
	limit := "memory.memsw.limit_in_bytes"
	if c.v2 {
		limit = "memory.swap.max"
	}
	if _, err := os.Stat(filepath.Join(c.dirs["memory"], limit)); err == nil {
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
	if dir := c.dirs["cpu"]; dir != "" {
		errs = append(errs, removeDir(filepath.Join(dir, "quota")))
	}
	for dir := range uniqueValues(c.dirs) {
		errs = append(errs, removeDir(dir))
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
	if err := g.parent.setQuota(g.dirs["cpu"], l.CPU); err != nil {
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

// cgroupMounts returns where each controller of version 1 is mounted, and under
// the empty name where version 2 is.
func cgroupMounts() (map[string]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mounts := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// ID parent major:minor root mountpoint options [fields] - type source options
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		switch right[0] {
		case "cgroup2":
			mounts[""] = left[4]
		case "cgroup":
			for option := range strings.SplitSeq(right[2], ",") {
				if slices.Contains(controllersV1, option) {
					mounts[option] = left[4]
				}
			}
		}
	}
	return mounts, lines.Err()
}

// ownCgroups returns the path of this process's group by controller, under the
// empty name that of version 2 (cgroups(7), /proc/PID/cgroup).
func ownCgroups() (map[string]string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			own[controller] = parts[2]
		}
	}
	return own, nil
}

// delegated returns the folder of version 2 to put the executor's group in: the
// given one of mount, or the mount itself when a container shows only that. Its
// controllers are enabled for children. The kernel refuses that for a group with
// processes in it, other than the root; they then move into a child.
func delegated(mount, path string) (string, error) {
	dir := filepath.Join(mount, path)
	if _, err := os.Stat(dir); err != nil || path == "" {
		dir = mount
	}
	err := enableControllers(dir)
	if !errors.Is(err, unix.EBUSY) {
		return dir, err
	}
	leaf := filepath.Join(dir, "taskrunner.self")
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("making a control group for this process: %w", err)
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return "", err
	}
	for pid := range strings.FieldsSeq(string(procs)) {
		if err := write(leaf, "cgroup.procs", pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return "", err
		}
	}
	return dir, enableControllers(dir)
}

func enableControllers(dir string) error {
	if err := write(dir, "cgroup.subtree_control", "+"+strings.Join(controllersV2, " +")); err != nil {
		return fmt.Errorf("%w (the group %s needs the controllers %s: run as root, or have them delegated, as by systemd-run -p Delegate=yes)",
			err, dir, strings.Join(controllersV2, ", "))
	}
	return nil
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

func missingFrom(mounts map[string]string, names []string) (missing []string) {
	for _, name := range names {
		if mounts[name] == "" {
			missing = append(missing, name)
		}
	}
	return missing
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
