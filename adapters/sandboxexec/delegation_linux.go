//go:build amd64 || arm64

package sandboxexec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

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
