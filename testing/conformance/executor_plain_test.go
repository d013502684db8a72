//go:build linux

package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

// plainExecutor runs programs as processes of this machine. It keeps the
// promises of ports.Executor that need no sandbox, so that faults can be put into
// it one at a time. It must never get a program that means harm.
type plainExecutor struct {
	// bend changes an outcome on its way out.
	bend func(ports.Job, *ports.Outcome, *error)
	// bendJob changes a job on its way in.
	bendJob func(*ports.Job)
	// measure reports the CPU time, as far as a plain parent knows it.
	measure bool
	// leak leaves the task's processes alive.
	leak bool
	// deaf ignores contexts, and impatient Closes too early.
	deaf, impatient bool

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	kill    context.CancelCauseFunc
	killed  context.Context
}

func newPlainExecutor() *plainExecutor {
	x := &plainExecutor{}
	x.killed, x.kill = context.WithCancelCause(context.Background())
	return x
}

func (x *plainExecutor) Check(ctx context.Context) error { return ctx.Err() }

func (x *plainExecutor) Close(ctx context.Context) error {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	if x.impatient {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { x.kill(ports.ErrClosed) })
	defer stop()
	x.running.Wait()
	return nil
}

func (x *plainExecutor) Run(ctx context.Context, job ports.Job) (out ports.Outcome, err error) {
	if x.bendJob != nil {
		x.bendJob(&job)
	}
	if x.bend != nil {
		defer func() { x.bend(job, &out, &err) }()
	}
	out = ports.Outcome{Cause: ports.CauseCancelled, ExitCode: -1}
	if err := ctx.Err(); err != nil && !x.deaf {
		return out, err
	}
	if err := checkJob(job); err != nil {
		return ports.Outcome{}, err
	}
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return ports.Outcome{}, fmt.Errorf("running %s: %w", job.Task, ports.ErrClosed)
	}
	x.running.Add(1)
	x.mu.Unlock()
	defer x.running.Done()

	dir, err := placeFiles(job)
	if err != nil {
		return ports.Outcome{}, err
	}
	defer os.RemoveAll(dir)

	r := &plainRun{x: x, job: job, dir: dir, begin: time.Now()}
	if x.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	out, err = r.steps(ctx)
	wall := time.Since(r.begin)
	out.Usage.WallTime = &wall
	out.StdoutBytes, out.StderrBytes = r.stdout.n, r.stderr.n
	return out, err
}

func checkJob(job ports.Job) error {
	s := job.Spec
	l := s.Limits
	if l.CPU <= 0 || l.Memory <= 0 || l.Timeout <= 0 || l.PIDs <= 0 || l.Output <= 0 || l.Disk <= 0 {
		return ports.Invalid("limits", "must all be set")
	}
	if s.Network {
		return ports.Invalid("network", "cannot be had")
	}
	for i, f := range s.Files {
		if err := ports.ValidatePath(fmt.Sprintf("files[%d].path", i), f.Path); err != nil {
			return err
		}
		for _, g := range s.Files[i+1:] {
			if f.Path == g.Path || strings.HasPrefix(f.Path, g.Path+"/") || strings.HasPrefix(g.Path, f.Path+"/") {
				return ports.Invalid("files", "must not exclude each other")
			}
		}
	}
	for name, value := range s.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return ports.Invalid("env", "must be possible")
		}
	}
	if slices.ContainsFunc(s.Args, func(a string) bool { return strings.Contains(a, "\x00") }) {
		return ports.Invalid("args", "must not contain NUL")
	}
	return nil
}

// nobody is who the programs run as, if that can be chosen.
const nobody = 65534

func placeFiles(job ports.Job) (string, error) {
	dir, err := os.MkdirTemp("", "plain-")
	if err != nil {
		return "", err
	}
	files := job.Spec.Files
	if job.Spec.Code != "" || len(files) == 0 {
		files = []ports.File{{Path: job.Language.Source, Content: []byte(job.Spec.Code)}}
	}
	for _, f := range files {
		name := filepath.Join(dir, f.Path)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, f.Content, 0o644))
	}
	if os.Geteuid() == 0 {
		err = errors.Join(err, filepath.Walk(dir, func(name string, _ os.FileInfo, _ error) error { return os.Chown(name, nobody, nobody) }))
	}
	return dir, err
}

// plainRun is one run of a plainExecutor.
type plainRun struct {
	x              *plainExecutor
	job            ports.Job
	dir            string
	begin          time.Time
	handlers       sync.Mutex
	stdout, stderr plainStream
	started        bool
	panicked       any
}

type plainStream struct {
	n      int64
	failed bool
}

func (r *plainRun) steps(ctx context.Context) (ports.Outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.x.killed, func() { cancel(ports.ErrClosed) })()

	if r.job.Language.Compile != nil {
		out, err := r.step(ctx, cancel, r.job.Language.Compile, nil, r.job.Language.CompileTimeout, true)
		if err != nil || out.Cause != ports.CauseExit || out.ExitCode != 0 {
			out.Message = strings.TrimSpace("the compile step failed " + out.Message)
			return out, err
		}
	}
	argv := append(slices.Clone(r.job.Language.Run), r.job.Spec.Args...)
	return r.step(ctx, cancel, argv, r.job.Spec.Stdin, r.job.Spec.Limits.Timeout, false)
}

var (
	errPlainTimeout = errors.New("timeout")
	errPlainFlood   = errors.New("flood")
	errPlainPanic   = errors.New("a handler panicked")
)

func (r *plainRun) step(ctx context.Context, cancel context.CancelCauseFunc, argv []string, stdin []byte, timeout time.Duration, compiling bool) (ports.Outcome, error) {
	entrypoint := r.job.Spec.Entrypoint
	if entrypoint == "" {
		entrypoint = r.job.Language.Source
	}
	argv = slices.Clone(argv)
	for i, a := range argv[:len(argv)-len(r.job.Spec.Args)*btoi(!compiling)] {
		if a == ports.EntrypointArg {
			argv[i] = entrypoint
		}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = r.dir
	env := map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": r.dir, "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
	maps.Copy(env, r.job.Language.Env)
	maps.Copy(env, r.job.Spec.Env)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	in, feed, err := os.Pipe()
	if err != nil {
		return ports.Outcome{}, err
	}
	cmd.Stdin = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}

	if cmd.SysProcAttr.Credential != nil {
		_ = in.Chown(nobody, nobody)
	}
	var pumps, feeding sync.WaitGroup
	feeding.Go(func() {
		_, _ = feed.Write(stdin)
		feed.Close()
	})
	closers := []io.Closer{in}
	out, errs := r.job.Stdout, r.job.Stderr
	outStream := &r.stdout
	if compiling {
		out, outStream = r.job.Stderr, &r.stderr
	}
	for _, s := range []struct {
		to     *io.Writer
		w      io.Writer
		stream *plainStream
	}{{&cmd.Stdout, out, outStream}, {&cmd.Stderr, errs, &r.stderr}} {
		read, write, err := os.Pipe()
		if err != nil {
			return ports.Outcome{}, err
		}
		*s.to = write
		if cmd.SysProcAttr.Credential != nil {
			_ = write.Chown(nobody, nobody) // so that /dev/stdout can be opened
		}
		closers = append(closers, write)
		pumps.Go(func() { r.pump(read, s.w, s.stream, cancel) })
	}
	if !r.started && r.job.Started != nil {
		r.job.Started()
	}
	r.started = true
	if err := cmd.Start(); err != nil {
		for _, c := range closers {
			c.Close()
		}
		pumps.Wait()
		feeding.Wait()
		return ports.Outcome{Cause: ports.CauseInfrastructure, ExitCode: -1, Message: err.Error()}, nil
	}
	for _, c := range closers {
		c.Close()
	}
	timer := time.AfterFunc(timeout, func() { cancel(errPlainTimeout) })
	defer timer.Stop()
	stop := context.AfterFunc(ctx, func() { r.killAll() })
	defer stop()
	var status unix.Siginfo
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, &status, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	cause := context.Cause(ctx)
	if !r.x.leak {
		r.killAll()
	}
	_ = cmd.Wait()
	feeding.Wait()
	if !r.x.leak {
		pumps.Wait()
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	if cause == nil && (r.stdout.flooded(r.job) || r.stderr.flooded(r.job)) {
		cause = errPlainFlood
	}
	outcome, err := r.outcome(cause, cmd.ProcessState.Sys().(syscall.WaitStatus))
	if r.x.measure {
		outcome.Usage.CPUTime = new(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())
	}
	return outcome, err
}

func (r *plainRun) outcome(cause error, status syscall.WaitStatus) (ports.Outcome, error) {
	out := ports.Outcome{Cause: ports.CauseExit, ExitCode: status.ExitStatus()}
	if status.Signaled() {
		out.Cause, out.ExitCode = ports.CauseSignal, -1
		if out.Signal = unix.SignalName(status.Signal()); out.Signal == "" {
			out.Signal = fmt.Sprintf("SIG%d", status.Signal())
		}
	}
	switch {
	case cause == nil:
		return out, nil
	case cause == errPlainTimeout:
		out.Cause, out.ExitCode, out.Signal = ports.CauseTimeout, -1, "SIGKILL"
		return out, nil
	case cause == errPlainFlood:
		out.Cause, out.ExitCode, out.Signal = ports.CauseOutputLimit, -1, "SIGKILL"
		return out, nil
	}
	out.Cause, out.ExitCode, out.Signal = ports.CauseCancelled, -1, "SIGKILL"
	if cause == ports.ErrClosed {
		return out, fmt.Errorf("running %s: %w", r.job.Task, ports.ErrClosed)
	}
	return out, fmt.Errorf("running %s: %w", r.job.Task, cause)
}

func (s *plainStream) flooded(job ports.Job) bool {
	return s.n > ports.OutputKillFactor*job.Spec.Limits.Output
}

// pump delivers a stream until all its writers are gone.
func (r *plainRun) pump(read *os.File, w io.Writer, s *plainStream, cancel context.CancelCauseFunc) {
	defer read.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := read.Read(buf)
		if err != nil {
			return
		}
		if err := r.deliver(w, s, buf[:n]); err != nil {
			cancel(err)
		}
	}
}

// deliver hands bytes to the job's writer and says whether the program must die.
func (r *plainRun) deliver(w io.Writer, s *plainStream, p []byte) (err error) {
	r.handlers.Lock()
	defer r.handlers.Unlock()
	defer func() {
		if p := recover(); p != nil {
			r.panicked, err = p, errPlainPanic
		}
	}()
	keep := min(int64(len(p)), max(0, r.job.Spec.Limits.Output-s.n))
	s.n += int64(len(p))
	if keep > 0 && !s.failed && r.panicked == nil {
		_, err := w.Write(p[:keep])
		s.failed = err != nil
	}
	if s.flooded(r.job) {
		return errPlainFlood
	}
	return nil
}

// killAll kills everything that carries the task's mark, until nothing does.
func (r *plainRun) killAll() {
	mark := []byte("TASKRUNNER_CONFORMANCE_TASK=" + r.job.Spec.Env["TASKRUNNER_CONFORMANCE_TASK"] + "\x00")
	for found := true; found; {
		found = false
		names, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, name := range names {
			if env, _ := os.ReadFile(name); bytes.Contains(env, mark) {
				var pid int
				_, _ = fmt.Sscanf(name, "/proc/%d/", &pid)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				found = true
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// plainHarness describes a plainExecutor, changed by fault if that is not nil.
func plainHarness(t *testing.T, fault func(*plainExecutor)) conformance.ExecutorHarness {
	t.Helper()
	language := func(name, source string, candidates ...string) ports.Language {
		for _, c := range candidates {
			if path, err := exec.LookPath(c); err == nil {
				return ports.Language{Name: name, Source: source, Run: []string{path, ports.EntrypointArg}}
			}
		}
		require.Empty(t, os.Getenv("TASKRUNNER_REQUIRE_SERVICES"), "no interpreter of %s is here", name)
		t.Skipf("no interpreter of %s is here", name)
		panic("unreachable")
	}
	return conformance.ExecutorHarness{
		New: func(t *testing.T) ports.Executor {
			x := newPlainExecutor()
			if fault != nil {
				fault(x)
			}
			return x
		},
		Python:     language("python", "main.py", "/usr/bin/python3", "python3"),
		JavaScript: language("javascript", "main.js", "/usr/bin/node", "node"),
		Bash:       language("bash", "main.sh", "/bin/bash", "bash"),
		Lacks:      []conformance.Capability{conformance.Network, conformance.Samples, conformance.CPUTime, conformance.PeakMemory},
	}
}
