//go:build linux

package main

import (
	"sync/atomic"
	"syscall"
	"time"
)

// reaper reaps every process of a step: the main one, and the orphans that PID 1
// inherits, as soon as they end, since a zombie takes the place of a process.
type reaper struct {
	main  int
	start time.Time
	wake  int // written to when main has ended, closed when no process is left

	// ended is how long after start main ended; 0 while it runs. Its wait
	// status is valid once ended is set.
	ended  atomic.Int64
	status syscall.WaitStatus
	done   atomic.Bool // no process is left
}

// run reaps until no process is left.
func (r *reaper) run() {
	for {
		var status syscall.WaitStatus
		const wall = 0x40000000 // __WALL: children of every kind
		pid, err := syscall.Wait4(-1, &status, wall, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil: // ECHILD
			r.done.Store(true)
			_ = syscall.Close(r.wake)
			return
		case pid == r.main && (status.Exited() || status.Signaled()):
			r.status = status
			r.ended.Store(max(1, int64(time.Since(r.start))))
			_, _ = write(r.wake, []byte{0})
		}
	}
}
