//go:build amd64 || arm64

package sandboxexec

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/cgroup"
)

// quotaPeriod is the period of the CPU quota in microseconds, the kernel's default.
const quotaPeriod = 100_000

// groupPrefix starts the name of every control group of an executor, so that a
// later one finds what a killed one left behind.
const groupPrefix = "taskrunner.sandboxes."

const (
	// groupRandom is how many random characters follow groupPrefix.
	groupRandom = 12
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
	name := groupPrefix + strings.ToLower(rand.Text()[:groupRandom])
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

// sweep removes the groups in dir that executors left which live no more.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, groupPrefix+strings.Repeat("[a-z2-7]", groupRandom)))
	for _, executor := range left {
		lock, err := lockDir(executor, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue
		}
		entries, _ := os.ReadDir(executor)
		for _, e := range entries {
			// Sandboxes' groups are named by their users; what else is there may be
			// somebody else's.
			_, err := strconv.Atoi(e.Name())
			if e.IsDir() && (err == nil || e.Name() == keeper) {
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
