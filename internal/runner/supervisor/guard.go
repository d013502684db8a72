//go:build linux

package main

import (
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// oomFirst is the oom_score_adj of programs: the kernel kills them first.
const oomFirst = "1000"

// guard is what has to be done again around the start of a program.
type guard struct {
	oom     int    // descriptor of the supervisor's own oom_score_adj, or -1
	oomSelf string // what it is while no program is being started
}

// raiseGuard makes the supervisor safe from the programs it is going to start.
func raiseGuard() guard {
	closeOnExec()
	// Opened before the process is undumpable: then its /proc files are root's.
	g := guard{oom: -1, oomSelf: "0"}
	if fd, err := syscall.Open("/proc/self/oom_score_adj", syscall.O_RDWR|syscall.O_CLOEXEC, 0); err == nil {
		g.oom = fd
		var buf [16]byte
		if n, err := syscall.Read(fd, buf[:]); err == nil && n > 0 {
			g.oomSelf = strings.TrimSpace(string(buf[:n]))
		}
		// Going below what was inherited takes a privilege that most sandboxes
		// do not give; then only the programs' own score protects the supervisor.
		if _, err := syscall.Pwrite(fd, []byte("-999"), 0); err == nil {
			g.oomSelf = "-999"
		}
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		die("becoming undumpable: " + errno.Error())
	}
	defaultSignals()
	return g
}

// offerChildren makes the processes forked from now on the first that the kernel
// kills for want of memory; protectSelf ends that. A process inherits the score.
func (g guard) offerChildren() { g.setOOM(oomFirst) }
func (g guard) protectSelf()   { g.setOOM(g.oomSelf) }

func (g guard) setOOM(score string) {
	if g.oom >= 0 {
		_, _ = syscall.Pwrite(g.oom, []byte(score), 0)
	}
}

// closeOnExec marks every descriptor, so that programs inherit none, not even one
// that a launcher left open by mistake.
func closeOnExec() {
	const closeRangeCloexec = 1 << 2 // CLOSE_RANGE_CLOEXEC, since Linux 5.11
	if _, _, errno := syscall.RawSyscall(sysCloseRange, 0, uintptr(^uint32(0)), closeRangeCloexec); errno == 0 {
		return
	}
	for fd := range 1024 {
		syscall.CloseOnExec(fd)
	}
}

// sysCloseRange is close_range(2), with the same number on every architecture.
const sysCloseRange = 436

// defaultSignals gives every signal its default action.
func defaultSignals() {
	// struct sigaction as the kernel has it on amd64 and arm64: handler, flags,
	// restorer and mask, all zero for SIG_DFL.
	var act [4]uint64
	const maskSize = 8
	for sig := uintptr(1); sig <= 64; sig++ {
		// SIGKILL and SIGSTOP are refused, and have the default already.
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&act)), 0, maskSize, 0, 0)
	}
}

// makeThreads has the Go runtime make its threads, and returns how many there are.
//
// The runtime starts a thread when there is work, a processor to run it and no idle
// thread, and never ends one. Later two goroutines block in system calls (the loop
// and the reaper) while one processor runs the runtime's own background work, a
// thread may be on its way from one of these roles to the next, and one is the
// runtime's monitor: five. Here goroutines and processors are given so generously
// that there are one or two more, and then all processors but one are taken away.
// It is no more than that because every thread costs each task a tenth of a
// millisecond. It is nearly always the same number, frame.UsualThreads, because
// launchers that limit a sandbox before they know it have to limit it again where it is
// another one.
func makeThreads() int {
	runtime.GOMAXPROCS(frame.Threads)
	r, w := pipe()
	var held, left atomic.Int32
	wanted := int32(0)
	for wanted < frame.Threads && countThreads() < frame.UsualThreads {
		wanted++
		go func() {
			var b [1]byte
			held.Add(1)
			_, _ = syscall.Read(r, b[:])
			left.Add(1)
		}()
		// It holds a thread once it is in Read, as all before it do.
		for held.Load() < wanted {
			pause()
		}
	}
	_ = syscall.Close(w)
	runtime.GOMAXPROCS(1)
	for left.Load() < wanted {
		pause()
	}
	_ = syscall.Close(r)
	return countThreads()
}

// countThreads returns how many threads there are, or the most there can be where
// that is not told.
func countThreads() int {
	// The folder of a process's threads has a link for each of them and two more.
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/self/task", &st); err != nil || st.Nlink < 3 {
		return frame.Threads
	}
	return int(st.Nlink) - 2
}

// setRlimits takes the limits on the supervisor itself; programs inherit them. A
// limit that is lower already stays as it is.
func setRlimits(limits []frame.Rlimit) error {
	for _, l := range limits {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(int(l.Resource), &now); err != nil {
			return err
		}
		hard := min(l.Hard, now.Max)
		if err := syscall.Setrlimit(int(l.Resource), &syscall.Rlimit{Cur: min(l.Soft, hard), Max: hard}); err != nil {
			return &problem{"setting resource limit " + strconv.Itoa(int(l.Resource)), err}
		}
	}
	return nil
}
