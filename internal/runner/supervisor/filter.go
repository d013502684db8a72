//go:build linux

package main

import (
	"strings"
	"syscall"
	"unsafe"
)

// A launcher that cannot install the system call filter itself, because others start
// the supervisor for it, names it as the supervisor's one argument: a file of
// struct sock_filter as the kernel takes it.

const (
	// maxFilter is the kernel's BPF_MAXINSNS.
	maxFilter       = 4096
	instructionSize = int(unsafe.Sizeof(syscall.SockFilter{}))
)

// argument returns the supervisor's argument, or "". It cannot be that a filter was
// asked for and is not noticed: whatever is unclear ends the supervisor.
func argument() string {
	// The runtime has the arguments, but gives them to package os alone.
	var buf [4096]byte
	n, err := readFile("/proc/self/cmdline", buf[:])
	if err != nil {
		die("reading its arguments: " + err.Error())
	}
	if n == 0 || n == len(buf) {
		die("its arguments are none or too long")
	}
	args := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	switch {
	case len(args) == 1:
		return ""
	case len(args) > 2 || args[1] == "":
		die("it takes one argument, the path of a system call filter")
	}
	return args[1]
}

// filter holds what is read from the file, and room to see that there is more.
var filter [maxFilter + 1]syscall.SockFilter

// installFilter installs the filter in the file at path on all threads, and thereby
// on every program. Without its filter the supervisor ends.
func installFilter(path string) {
	size, err := readFile(path, unsafe.Slice((*byte)(unsafe.Pointer(&filter)), unsafe.Sizeof(filter)))
	switch n := size / instructionSize; {
	case err != nil:
		die("reading the system call filter " + path + ": " + err.Error())
	case size == 0 || size%instructionSize != 0 || n > maxFilter:
		die("the system call filter " + path + " must be 1 to 4096 instructions of 8 bytes")
	}
	program := syscall.SockFprog{Len: uint16(size / instructionSize), Filter: &filter[0]}
	tid, errno := seccomp(&program)
	if errno != 0 {
		die("installing the system call filter " + path + ": " + errno.Error())
	}
	if tid != 0 {
		die("installing the system call filter " + path + ": a thread has another one")
	}
}

// seccomp gives up new privileges, without which the kernel takes no filter from an
// ordinary user, and installs the program on all threads. The first thread that
// cannot have it is returned, and then none has it.
//
// The first call is about the calling thread. Nothing can move the goroutine to
// another one before the second: neither call tells the scheduler, and there is no
// other point at which it could be preempted (runtime.LockOSThread would cost a
// thread more).
func seccomp(program *syscall.SockFprog) (tid uintptr, errno syscall.Errno) {
	const (
		setNoNewPrivs = 38 // PR_SET_NO_NEW_PRIVS
		setModeFilter = 1  // SECCOMP_SET_MODE_FILTER
		tsync         = 1  // SECCOMP_FILTER_FLAG_TSYNC
	)
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return 0, errno
	}
	tid, _, errno = syscall.RawSyscall(sysSeccomp, setModeFilter, tsync, uintptr(unsafe.Pointer(program)))
	return tid, errno
}

// readFile reads the beginning of a file into p and returns how much that was.
func readFile(path string, p []byte) (int, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer syscall.Close(fd)
	n := 0
	for n < len(p) {
		k, err := read(fd, p[n:])
		if err != nil {
			return 0, err
		}
		if k == 0 {
			break
		}
		n += k
	}
	return n, nil
}
