//go:build linux

package main

import (
	"syscall"
	"time"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// step is one step of the task while it runs.
type step struct {
	task   *task
	reaper *reaper
	wake   int    // reading end of the reaper's pipe
	stdin  int    // writing end of the program's stdin; -1 if closed
	input  []byte // what the program has not read

	deadline time.Time
	end      frame.End // why the supervisor killed it; 0 if it did not
	killed   bool
}

// killAgain is the time after which processes that are still there are killed
// once more. One kill(-1) gets them all; this is for what nobody thought of.
const killAgain = 20 * time.Millisecond

// runStep runs step i to its end and fills in the result. By then no process is
// left. The error is why it could not be started.
func (t *task) runStep(i int, result *frame.Result) error {
	spec := &t.req.Steps[i]
	last := i == len(t.req.Steps)-1

	stdinR, stdinW := pipe()
	stderrR, stderrW := pipe()
	t.stderr.fd = stderrR
	stdoutW := stderrW
	if last {
		t.stdout.fd, stdoutW = pipe()
		setNonblock(t.stdout.fd)
	}
	setNonblock(stderrR)
	setNonblock(stdinW)

	begin := time.Now()
	pid, err := start(spec, t.req.WorkDir, t.guard, stdinR, stdoutW, stderrW)
	closeFD(&stdinR)
	if last {
		closeFD(&stdoutW)
	}
	closeFD(&stderrW)
	if err != nil {
		closeFD(&stdinW)
		closeFD(&t.stdout.fd)
		closeFD(&t.stderr.fd)
		return err
	}
	if i == 0 {
		t.start = begin
		if t.req.SampleInterval > 0 {
			t.nextSample = begin.Add(t.req.SampleInterval)
		}
	}
	t.out.add(frame.AppendStarted(nil, i))

	s := &step{task: t, stdin: stdinW, deadline: begin.Add(spec.Timeout)}
	if last {
		s.input = t.req.Stdin
	}
	var wakeW int
	s.wake, wakeW = pipe()
	s.reaper = &reaper{main: pid, start: begin, wake: wakeW}
	go s.reaper.run()
	s.loop()
	s.drain()
	closeFD(&s.wake)

	ended := time.Duration(s.reaper.ended.Load())
	result.End, result.ExitCode, result.Signal = s.verdict(spec, ended)
	result.Wall = begin.Sub(t.start) + ended
	return nil
}

// loop serves all descriptors until no process is left.
func (s *step) loop() {
	t := s.task
	const (
		launcher = iota
		outbox
		wake
		stdin
		stdout
		stderr
	)
	var fds [6]pollFD
	for {
		if !t.out.flush() {
			t.launcher = false // nobody will know how it ends
			s.kill(frame.EndCancelled)
		}
		if len(s.input) == 0 {
			closeFD(&s.stdin)
		}
		fds[launcher] = want(fromLauncher, pollIn, t.launcher)
		fds[outbox] = want(toLauncher, pollOut, !t.out.empty())
		fds[wake] = want(s.wake, pollIn, true)
		fds[stdin] = want(s.stdin, pollOut, true)
		fds[stdout] = want(t.stdout.fd, pollIn, !t.stdout.blocked(&t.out, t.req.OutputLimit))
		fds[stderr] = want(t.stderr.fd, pollIn, !t.stderr.blocked(&t.out, t.req.OutputLimit))
		poll(fds[:], s.patience())

		if fds[wake].revents != 0 {
			if s.reaper.done.Load() {
				return
			}
			var b [1]byte
			_, _ = read(s.wake, b[:])
			s.kill(0) // the main process ended: so does everything else
		}
		if fds[launcher].revents != 0 {
			// Whatever comes behind the request, its end above all, ends the task.
			t.launcher = false
			s.kill(frame.EndCancelled)
		}
		if fds[stdin].revents != 0 {
			s.feed()
		}
		if fds[stdout].revents != 0 {
			s.pump(&t.stdout)
		}
		if fds[stderr].revents != 0 {
			s.pump(&t.stderr)
		}
		s.tick()
	}
}

func want(fd int, events int16, wanted bool) pollFD {
	if !wanted {
		fd = -1
	}
	return pollFD{fd: int32(fd), events: events}
}

// patience is how long poll may wait.
func (s *step) patience() time.Duration {
	if s.killed {
		return killAgain
	}
	next := s.deadline
	if n := s.task.nextSample; !n.IsZero() && n.Before(next) {
		next = n
	}
	return max(0, time.Until(next))
}

// tick does what is due.
func (s *step) tick() {
	t, now := s.task, time.Now()
	if s.killed {
		killEverybody()
		return
	}
	if !now.Before(s.deadline) {
		s.kill(frame.EndTimeout)
		return
	}
	if t.nextSample.IsZero() || now.Before(t.nextSample) {
		return
	}
	for !now.Before(t.nextSample) {
		t.nextSample = t.nextSample.Add(t.req.SampleInterval)
	}
	if t.out.spare() {
		c := t.group.Usage()
		t.out.add(frame.AppendSample(nil, frame.Sample{At: now.Sub(t.start), CPU: c.CPU, Memory: c.Memory}))
	}
}

// feed gives the program more of its input. A program that closed its stdin gets
// none.
func (s *step) feed() {
	n, err := write(s.stdin, s.input)
	switch {
	case err == nil:
		s.input = s.input[n:]
	case err != syscall.EAGAIN:
		s.input = nil
	}
}

func (s *step) pump(st *stream) {
	st.pump(&s.task.out, s.task.req.OutputLimit)
	if st.total > s.task.req.OutputKill {
		s.kill(frame.EndOutput)
	}
}

// kill kills every process. The first reason counts.
func (s *step) kill(why frame.End) {
	if !s.killed {
		s.killed, s.end = true, why
		killEverybody()
	}
}

// killEverybody kills every process of the PID namespace but this one.
func killEverybody() { _ = syscall.Kill(-1, syscall.SIGKILL) }

// drain takes what is left in the pipes. Nobody is left to write to them, so that
// it is little, and it is waited for nothing but the launcher.
func (s *step) drain() {
	t := s.task
	for _, st := range []*stream{&t.stdout, &t.stderr} {
		for st.fd >= 0 {
			if st.blocked(&t.out, t.req.OutputLimit) {
				if !t.out.wait() {
					break
				}
				continue
			}
			if !st.pump(&t.out, t.req.OutputLimit) {
				break
			}
		}
		closeFD(&st.fd)
	}
	closeFD(&s.stdin)
}

// verdict says how the step ended.
func (s *step) verdict(spec *frame.Step, ended time.Duration) (end frame.End, code, signal int) {
	end, code = s.end, -1
	if status := s.reaper.status; status.Exited() {
		code = status.ExitStatus()
	} else {
		signal = int(status.Signal())
	}
	if end == frame.EndTimeout && ended < spec.Timeout {
		end = 0 // it ended by itself just before it was killed
	}
	if end != 0 {
		return end, code, signal
	}
	t := s.task
	switch {
	case max(t.stdout.total, t.stderr.total) > t.req.OutputKill:
		return frame.EndOutput, code, signal // the last of it was read after its end
	case signal != 0:
		return frame.EndSignal, code, signal
	}
	return frame.EndExit, code, 0
}
