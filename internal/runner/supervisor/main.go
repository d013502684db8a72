//go:build linux

// Command supervisor is PID 1 in every task's sandbox. Package runner, which
// embeds it, says what it does; package frame has its protocol.
//
// It lives among hostile processes of its own user and must outlive all of them:
//
//   - Signals. The kernel drops every signal from inside a PID namespace for
//     which its PID 1 has no handler, SIGKILL included. The Go runtime installs
//     handlers for nearly all signals, and one that is fed a made-up fault crashes
//     it, so the supervisor takes them all out again (guard.go). The runtime does
//     well without: it preempts goroutines with SIGURG, which is ignored by
//     default, and then at the next function call.
//   - Tracing. It is not dumpable: /proc/1/mem, /proc/1/fd, /proc/1/environ,
//     ptrace and process_vm_readv are closed to others.
//   - Descriptors. Its stdin and stdout, the line to the launcher, are never
//     inherited; programs get pipes.
//   - Threads. A program may use up every process there may be, so all threads
//     that the runtime can come to need are made before the request is read.
//   - Memory. Its buffers are static, it allocates nothing for output, signals
//     or orphans, and the request's memory is given back when the files are written.
//   - Time. One loop serves all descriptors and never blocks on one of them
//     (step.go): a launcher that does not read cannot hold up a timeout.
//
// What a program of the same user can still do to it is lower its priority and its
// resource limits (setpriority, sched_*, prlimit with a pid): the sandbox's system
// call filter refuses those, and the launcher has a clock of its own.
//
// It imports no os, no fmt and nothing that is not Go's own: it is small, starts
// in about a millisecond, and only its own source and the Go version change it.
package main

import (
	"syscall"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/internal/runner/frame"
)

// Descriptors of the line to the launcher, and of the launcher's log.
const (
	fromLauncher = 0
	toLauncher   = 1
	launcherLog  = 2
)

func main() {
	if syscall.Getpid() != 1 {
		die("it must be PID 1 of a PID namespace of its own")
	}
	guard := raiseGuard()
	group := cgroup.Find("/")
	threads := makeThreads()
	if filter := argument(); filter != "" {
		installFilter(filter)
	}
	ready := frame.Ready{Threads: threads, Counters: group.Read()}
	if err := writeAll(toLauncher, frame.AppendReady(nil, ready)); err != nil {
		die("writing Ready: " + err.Error())
	}

	req, release := readRequest()
	if req == nil {
		return // not needed after all
	}
	t := newTask(req, group, guard)
	t.run(release)
	t.out.finish()
}

// die ends the supervisor, and with it the sandbox: the attempt is lost.
func die(why string) {
	_ = writeAll(launcherLog, []byte("supervisor: "+why+"\n"))
	syscall.Exit(2)
}
