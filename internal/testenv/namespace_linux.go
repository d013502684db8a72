package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespace is a set of namespaces of processes, mounts and networks. Its first
// process waits for the end of its input: when that comes, also because this process
// died, the kernel kills all others and unmounts everything.
type namespace struct {
	first *exec.Cmd
	input io.Closer
	pidfd int
}

// firstProcess is a shell, because it reaps what is reparented to it.
const firstProcess = `set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
echo ready
read -r`

func newNamespace() (*namespace, error) {
	var said strings.Builder
	n := &namespace{first: exec.CommandContext(context.Background(), "bash", "-c", firstProcess), pidfd: -1}
	n.first.Stderr = &said
	n.first.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		PidFD:      &n.pidfd,
	}
	input, err := n.first.StdinPipe()
	if err != nil {
		return nil, err
	}
	n.input = input
	output, err := n.first.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.first.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		return nil, fmt.Errorf("the first process is not ready: %w: %s", errors.Join(err, n.end()), said.String())
	}
	return n, nil
}

// start starts a process in the namespaces. It is a child of this one all the same.
func (n *namespace) start(cmd *exec.Cmd) error {
	result := make(chan error)
	go func() {
		// The thread is of no use to others any more: it ends with this goroutine.
		runtime.LockOSThread()
		result <- func() error {
			// A thread that shares its folders with others has no mounts of its own.
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unsharing a thread's folders: %w", err)
			}
			if err := unix.Setns(n.pidfd, unix.CLONE_NEWPID|unix.CLONE_NEWNS|unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("entering the namespaces: %w", err)
			}
			return cmd.Start()
		}()
	}()
	return <-result
}

// end ends all processes. Those that were started from outside must be waited for
// meanwhile.
func (n *namespace) end() error {
	err := n.input.Close()
	var exit *exec.ExitError
	if waited := n.first.Wait(); !errors.As(waited, &exit) { // read fails at the end of its input
		err = errors.Join(err, waited)
	}
	if n.pidfd >= 0 {
		err = errors.Join(err, unix.Close(n.pidfd))
	}
	return err
}
