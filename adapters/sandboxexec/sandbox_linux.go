//go:build amd64 || arm64

package sandboxexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

// A sandbox is a supervisor, waiting in its namespaces and control groups for the
// one task that it is for.
type sandbox struct {
	x        *Executor
	pid      int
	pidfd    *os.File
	threads  int // of the supervisor, which makes no more
	uid      int
	group    *group
	counters *cgroup.Reader
	network  *network
	// lastWords is what the supervisor wrote on its standard error: why it gave up.
	lastWords *os.File
	session   *runner.Session
	mu        sync.Mutex
	ended     bool
	// exited is closed when the supervisor, and with it every process of its PID
	// namespace, has ended and been reaped.
	exited chan struct{}
}

// newSandbox starts a sandbox and waits until its supervisor is ready.
func (x *Executor) newSandbox(ctx context.Context) (_ *sandbox, err error) {
	s := &sandbox{x: x, uid: x.uids.take(), exited: make(chan struct{})}
	started := false
	defer func() {
		if err != nil && !started {
			close(s.exited)
			s.takeDown()
		}
	}()
	if s.group, err = x.cgroups.make(strconv.Itoa(s.uid)); err != nil {
		return nil, err
	}
	s.counters = s.group.counters()

	requests, toSupervisor, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer requests.Close()
	fromSupervisor, frames, err := os.Pipe()
	if err != nil {
		toSupervisor.Close()
		return nil, err
	}
	defer frames.Close()
	s.session = runner.NewSession(toSupervisor, fromSupervisor)
	lastWords, complaints, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer complaints.Close()
	s.lastWords = lastWords

	if s.network, err = x.networks.take(); err != nil {
		return nil, err
	}
	b := birth{
		nursery: x.nursery, cgroups: s.group.joiners,
		requests: requests, frames: frames, complaints: complaints, network: s.network,
		uid: s.uid, disk: defaultDisk, filter: x.filter, lastCap: x.lastCap,
	}
	if s.pid, s.pidfd, err = b.program().start(bornInto, s.group.dir); err != nil {
		return nil, fmt.Errorf("starting a sandbox: %w", err)
	}
	started = true
	x.alive.Add(1)
	s.group.born()
	// The supervisor has the other ends now; without these here it would not see
	// ours close, nor we its.
	requests.Close()
	frames.Close()
	complaints.Close()
	go func() {
		reap(s.pid)
		close(s.exited)
	}()

	ready, err := s.session.Ready(ctx)
	s.threads = ready.Threads
	if err != nil {
		s.kill()
		err = s.explain(fmt.Errorf("waiting for a sandbox to be ready: %w", err))
		s.discard()
		return nil, err
	}
	return s, nil
}

// kill ends every process of the sandbox and returns when none is left. It can
// take a moment where there are many.
func (s *sandbox) kill() {
	s.mu.Lock()
	// Once it is being taken down, its file and its group's path may be another's.
	if !s.ended {
		_ = s.group.unthrottle() // it only dies more slowly without
		_ = unix.PidfdSendSignal(int(s.pidfd.Fd()), unix.SIGKILL, nil, 0)
	}
	s.mu.Unlock()
	<-s.exited
}

// discard takes the sandbox down behind the caller's back. Close waits for it.
func (s *sandbox) discard() {
	s.x.takeDowns.Go(func() {
		s.session.Close()
		select {
		case <-s.exited:
		case <-time.After(exitGrace):
			s.kill()
		}
		s.takeDown()
		s.x.alive.Add(-1)
	})
}

// exitGrace is how long a supervisor may take to end by itself once its
// connection is closed.
const exitGrace = time.Second

// takeDown frees what the sandbox held, once no process of it is left.
func (s *sandbox) takeDown() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	if s.session != nil {
		s.session.Close()
	}
	if s.pidfd != nil {
		s.pidfd.Close()
	}
	collectSockets()
	if s.network != nil {
		s.x.networks.give(s.network)
	}
	if s.lastWords != nil {
		s.lastWords.Close()
	}
	if s.counters != nil {
		s.counters.Close()
	}
	if s.group != nil {
		if err := s.group.remove(); err != nil {
			// A group that cannot be removed has something in it. Its user ID is
			// not given to anybody else.
			s.x.leaked(err)
			return
		}
	}
	s.x.uids.give(s.uid)
}

// collectSockets has the kernel free the sockets that a program kept alive by
// sending them to each other, with all the files that lay in them: memory of
// nobody, until somebody on the host closes a Unix socket.
func collectSockets() {
	if pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		_ = unix.Close(pair[0])
		_ = unix.Close(pair[1])
	}
}

// explain adds the supervisor's last words to an error, once it has ended.
func (s *sandbox) explain(err error) error {
	words, _ := io.ReadAll(io.LimitReader(s.lastWords, 2048))
	if len(words) == 0 {
		return err
	}
	return fmt.Errorf("%w (the supervisor's last words: %q)", err, words)
}

// healthy reports whether the supervisor still waits.
func (s *sandbox) healthy() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// place is where sandboxes have what programs need.
var place = runner.Place{WorkDir: workDir, Path: runner.UsualPath}

// run does the job in the sandbox and leaves no process of it.
func (s *sandbox) run(ctx context.Context, job ports.Job) (ports.Outcome, error) {
	if err := s.resize(job.Spec.Limits.Disk); err != nil {
		return ports.Outcome{}, err
	}
	before := s.counters.Read()
	if before.CPU == nil || before.Memory == nil || before.OOMKills == nil {
		return ports.Outcome{}, errors.New("the kernel does not tell what the control group uses")
	}
	r := &run{sandbox: s, before: before}
	r.attempt = runner.Attempt{Job: job, Request: place.Request(job), OnStep: r.watch, Look: r.look}
	// The supervisor holds the input for as long as the program runs, and the files
	// until they are written. Neither is the program's memory.
	r.held = *before.Memory + int64(len(r.attempt.Request.Stdin))
	if err := s.group.limit(job.Spec.Limits, r.held+runner.FilesSize(r.attempt.Request), s.threads); err != nil {
		return ports.Outcome{}, err
	}
	report, err := r.converse(ctx)
	return r.outcome(ctx, report, err)
}

// alone reports whether the supervisor is the only process of the sandbox.
func (s *sandbox) alone() bool {
	procs, err := os.ReadFile(filepath.Join(s.group.dirs["pids"], "cgroup.procs"))
	if err != nil {
		return false
	}
	for pid := range strings.FieldsSeq(string(procs)) {
		if pid != strconv.Itoa(s.pid) {
			return false
		}
	}
	return true
}

// resize changes the size of the writable file system from outside.
func (s *sandbox) resize(disk int64) error {
	if disk == defaultDisk {
		return nil
	}
	dir, err := unix.Open(fmt.Sprintf("/proc/%d/root%s", s.pid, writableDir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the sandbox's disk: %w", err)
	}
	defer unix.Close(dir)
	if err := unix.PidfdSendSignal(int(s.pidfd.Fd()), 0, nil, 0); err != nil {
		return fmt.Errorf("the sandbox has ended: %w", err) // the path may be another's
	}
	fs, err := unix.Fspick(dir, "", unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("picking the sandbox's disk: %w", err)
	}
	defer unix.Close(fs)
	size, inodes := diskOptions(disk)
	err = errors.Join(
		unix.FsconfigSetString(fs, "size", size),
		unix.FsconfigSetString(fs, "nr_inodes", inodes),
		unix.FsconfigReconfigure(fs),
	)
	if err != nil {
		return fmt.Errorf("setting the size of the sandbox's disk: %w", err)
	}
	return nil
}
