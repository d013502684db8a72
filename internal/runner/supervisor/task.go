//go:build linux

package main

import (
	"strings"
	"syscall"
	"time"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/internal/runner/frame"
)

// task is the one request being carried out.
type task struct {
	req   *frame.Request
	group *cgroup.Reader
	guard guard
	out   outbox

	start      time.Time // of the first step
	nextSample time.Time // zero if there are none
	launcher   bool      // the launcher still wants the task
	stdout     stream
	stderr     stream
}

// theTask is static, for its buffers.
var theTask task

func newTask(req *frame.Request, group *cgroup.Reader, g guard) *task {
	t := &theTask
	t.req, t.group, t.guard, t.launcher = req, group, g, true
	t.stdout = stream{kind: frame.TypeStdout, fd: -1}
	t.stderr = stream{kind: frame.TypeStderr, fd: -1}
	setNonblock(toLauncher)
	return t
}

// run carries the task out and puts its result into the outbox.
func (t *task) run(release func()) {
	result := frame.Result{ExitCode: -1}
	err := makeWorkDir(t.req.WorkDir)
	if err == nil {
		err = writeFiles(t.req.WorkDir, t.req.Files)
	}
	release()
	if err == nil {
		err = setRlimits(t.req.Rlimits)
	}
	syscall.Umask(0o022)
	for i := 0; err == nil && i < len(t.req.Steps); i++ {
		result.Step = i
		err = t.runStep(i, &result)
		if result.End != frame.EndExit || result.ExitCode != 0 {
			break
		}
	}
	if err != nil {
		result.End, result.ExitCode, result.Signal = frame.EndNotStarted, -1, 0
		result.Message = strings.ToValidUTF8(err.Error(), "?")
	}
	result.StdoutBytes, result.StderrBytes = t.stdout.total, t.stderr.total
	result.CPU, result.MaxRSS = childrenUsage()
	result.Counters = t.group.Read()
	t.out.add(frame.AppendResult(nil, &result))
}

// childrenUsage returns the CPU time of all processes that were reaped, and the
// resident size in bytes of the one that was the largest.
func childrenUsage() (cpu time.Duration, maxRSS int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		return 0, 0
	}
	const kilobyte = 1024 // the unit of Maxrss
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Maxrss * kilobyte
}

// stream is one of the program's outputs.
type stream struct {
	kind  frame.Type
	fd    int   // reading end of the pipe; -1 if closed
	total int64 // bytes that the program wrote, in all steps
}

var scratch [frame.MaxData]byte

// pump takes one piece from the pipe: into the outbox up to limit, and then into
// nothing. It reports whether there may be more now. A stream that is blocked stays
// as it is; it may have become so since poll, when the other one took the room.
func (s *stream) pump(out *outbox, limit int64) bool {
	if s.blocked(out, limit) {
		return false
	}
	var n int
	var err error
	if left := limit - s.total; left > 0 {
		n, err = out.receive(s.kind, s.fd, left)
	} else {
		n, err = read(s.fd, scratch[:])
	}
	switch {
	case n > 0:
		s.total += int64(n)
		return true
	case err == syscall.EAGAIN:
		return false
	}
	closeFD(&s.fd)
	return false
}

// blocked reports whether s waits for room in the outbox.
func (s *stream) blocked(out *outbox, limit int64) bool {
	return s.fd >= 0 && s.total < limit && !out.room()
}
