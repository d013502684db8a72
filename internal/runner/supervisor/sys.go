//go:build linux

package main

import (
	"syscall"
	"time"
	"unsafe"
)

// problem is an error with what was being done; it takes the place of fmt.
type problem struct {
	doing string
	err   error
}

func (p *problem) Error() string { return p.doing + ": " + p.err.Error() }

func (p *problem) Unwrap() error { return p.err }

// pollFD is struct pollfd. One whose fd is below 0 is left out.
type pollFD struct {
	fd      int32
	events  int16
	revents int16
}

// Events of poll(2), the same on amd64 and arm64.
const (
	pollIn  = 0x1
	pollOut = 0x4
	pollErr = 0x8
	pollHup = 0x10
)

// poll waits for an event on one of fds, at most for d; without end if d is
// below 0.
func poll(fds []pollFD, d time.Duration) {
	var ts *syscall.Timespec
	if d >= 0 {
		ts = new(syscall.NsecToTimespec(int64(d)))
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL,
		uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)), uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	if errno != 0 {
		for i := range fds {
			fds[i].revents = 0
		}
		if errno != syscall.EINTR {
			die("polling: " + errno.Error())
		}
	}
}

// pause gives up the processor for a moment.
func pause() { poll(nil, 20*time.Microsecond) }

// pipe returns a new pipe. Without one nothing can be done.
func pipe() (r, w int) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		die("making a pipe: " + err.Error())
	}
	return p[0], p[1]
}

func setNonblock(fd int) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		die("making a descriptor not block: " + err.Error())
	}
}

// read is read(2), again if it was interrupted.
func read(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// write is write(2), again if it was interrupted.
func write(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// writeAll writes all of p to a descriptor that blocks.
func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := write(fd, p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// closeFD closes *fd, if it is open, and notes that it is not.
func closeFD(fd *int) {
	if *fd >= 0 {
		_ = syscall.Close(*fd)
		*fd = -1
	}
}
