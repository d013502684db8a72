//go:build amd64 || arm64

package sandboxexec

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/criyle/go-sandbox/pkg/forkexec/vfork"
	"golang.org/x/sys/unix"
)

// A program is a list of bare system calls that a new process makes between its
// birth and the start of the supervisor: everything that turns a child of this
// process into a sandbox. It is prepared in full beforehand, since the child
// shares this process's memory (as after vfork) and may neither allocate nor
// call into the runtime. Sharing is the point: copying the page tables of a Go
// process costs more than all the rest. Its price is that the kernel makes a
// process undumpable whose memory somebody of another user shares: after the first
// sandbox, this one leaves no core dump.
type program struct {
	calls []call
	what  []string // what each call does, for errors
	// keep holds the memory that the calls' arguments point to.
	keep []any
}

type call struct {
	nr   uintptr
	args [6]uintptr
}

// failure is where the child, in memory that it shares, says which call failed.
type failure struct {
	call  int
	errno syscall.Errno
}

func (p *program) do(what string, nr uintptr, args ...uintptr) {
	c := call{nr: nr}
	copy(c.args[:], args)
	p.calls, p.what = append(p.calls, c), append(p.what, what)
}

// str returns the address of s as a C string that lives as long as p.
func (p *program) str(s string) uintptr {
	b := append([]byte(s), 0)
	return ptr(p, &b[0])
}

// strs returns the address of ss as a C array of C strings.
func (p *program) strs(ss ...string) uintptr {
	array := make([]uintptr, len(ss)+1)
	for i, s := range ss {
		array[i] = p.str(s)
	}
	return ptr(p, &array[0])
}

// ptr returns the address of what v points to, which lives as long as p.
func ptr[T any](p *program, v *T) uintptr {
	p.keep = append(p.keep, v)
	return uintptr(unsafe.Pointer(v))
}

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls, setTID, setTIDSize     uint64
	cgroup                                        uint64
}

// start makes a child with the given clone flags run p, which ends with an
// execve. It returns when that has happened, with the child's process ID and a
// file that stands for it (see pidfd_open(2)), which no later process can take
// over. A cgroup other than nil is a folder of version 2 that the child is born
// into.
func (p *program) start(flags uint64, cgroup *os.File) (int, *os.File, error) {
	pidfd := new(int32)
	// As p keeps it, it is on the heap: a stack may move before the kernel writes.
	pidfdAddr := ptr(p, pidfd)
	args := &cloneArgs{
		flags:      flags | unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PIDFD,
		pidfd:      uint64(pidfdAddr),
		exitSignal: uint64(unix.SIGCHLD),
	}
	if cgroup != nil {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(cgroup.Fd())
	}
	failed := &failure{call: -1}
	syscall.ForkLock.Lock()
	pid, errno := cloneAndRun(args, p.calls, failed)
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(p)
	if errno != 0 {
		return 0, nil, fmt.Errorf("making a process in new namespaces: %w", errno)
	}
	file := os.NewFile(uintptr(*pidfd), "pidfd")
	if failed.call >= 0 {
		reap(pid)
		file.Close()
		return 0, nil, fmt.Errorf("%s: %w", p.what[failed.call], failed.errno)
	}
	return pid, file, nil
}

// reap waits until the child has ended.
func reap(pid int) {
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

//go:linkname runtimeAfterForkInChild syscall.runtime_AfterForkInChild
func runtimeAfterForkInChild()

// cloneAndRun follows forkAndExecInChild1 of the standard library's package
// syscall: between the clone and the end of the child nothing may be called that
// allocates, grows the stack or asks the scheduler. It never returns in the
// child. The parent's thread stands still until the child has ended or started
// its program, so that the two never run on this stack at once.
//
//go:noinline
//go:norace
//go:nocheckptr
func cloneAndRun(args *cloneArgs, calls []call, failed *failure) (int, syscall.Errno) {
	runtimeBeforeFork()
	pid, errno := vfork.RawVforkSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0)
	if errno != 0 || pid != 0 {
		runtimeAfterFork()
		return int(pid), errno
	}
	runtimeAfterForkInChild()
	for i := range calls {
		c := &calls[i]
		_, _, errno := syscall.RawSyscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		if errno != 0 {
			failed.call, failed.errno = i, errno
			break
		}
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT, 1, 0, 0)
	}
}
