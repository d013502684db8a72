//go:build linux

package main

import (
	"strings"
	"syscall"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// start starts the step with these descriptors as its stdin, stdout and stderr.
// The error is for the user to read.
func start(s *frame.Step, workDir string, g guard, stdin, stdout, stderr int) (pid int, err error) {
	dir := s.Dir
	if dir == "" {
		dir = workDir
	}
	const search = 1 // X_OK
	if err := syscall.Access(dir, search); err != nil {
		return 0, &problem{dir, err}
	}
	path, err := lookPath(s, dir)
	if err != nil {
		return 0, &problem{s.Argv[0], err}
	}
	g.offerChildren()
	defer g.protectSelf()
	pid, err = syscall.ForkExec(path, s.Argv, &syscall.ProcAttr{
		Dir:   dir,
		Env:   s.Env,
		Files: []uintptr{uintptr(stdin), uintptr(stdout), uintptr(stderr)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, &problem{s.Argv[0], err}
	}
	return pid, nil
}

// notInPath is the error for a name that lookPath does not find.
type notInPath struct{}

func (notInPath) Error() string { return "executable not found in PATH" }

// lookPath returns the path of the step's program. A name without a slash is
// looked up in the PATH of the step's own environment, as a shell would there.
func lookPath(s *frame.Step, dir string) (string, error) {
	name := s.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	list := ""
	for _, v := range s.Env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			list = value // the last one counts
		}
	}
	var found error = notInPath{}
	for folder := range strings.SplitSeq(list, ":") {
		candidate := folder + "/" + name
		if !strings.HasPrefix(folder, "/") {
			candidate = dir + "/" + candidate // also an empty one: the current folder
		}
		switch err := executable(candidate); err {
		case nil:
			return candidate, nil
		case syscall.EACCES:
			found = err // there is one, but it may not be run; perhaps a later one may
		}
	}
	return "", found
}

func executable(path string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return syscall.EISDIR
	}
	const execute = 1 // X_OK
	return syscall.Access(path, execute)
}
