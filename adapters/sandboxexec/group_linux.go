//go:build amd64 || arm64

package sandboxexec

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/ports"
)

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
// supervisor may hold, threads how many it has.
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
