package runner_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/internal/runner"
)

// The tests run the embedded supervisor as PID 1 of new PID and mount namespaces,
// as an ordinary user, with a /proc and a /tmp of its own. stage, which is this test
// program started again, prepares that and then becomes the supervisor.

const (
	stageVar = "RUNNER_TEST_STAGE"
	userVar  = "RUNNER_TEST_USER"
	workDir  = "/tmp/work"
	// filterPath is where a sandbox's system call filter lies, if it has one.
	filterPath = "/tmp/filter"
)

func TestMain(m *testing.M) {
	if maxProcs := os.Getenv(stageVar); maxProcs != "" {
		fmt.Fprintln(os.Stderr, "stage:", stage(maxProcs))
		os.Exit(3)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if path, err := supervisorFile(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
		os.Exit(code)
	}))
}

// user is that of the last sandbox. Each has its own, since the kernel counts
// processes by user.
var user atomic.Int32

func init() { user.Store(64_321) }

func stage(maxProcs string) error {
	uid, err := strconv.Atoi(os.Getenv(userVar))
	if err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, "size=24m,mode=1777"); err != nil {
		return fmt.Errorf("mounting /tmp: %w", err)
	}
	if err := errors.Join(os.Mkdir(workDir, 0o700), os.Chown(workDir, uid, uid)); err != nil {
		return err
	}
	filter, err := io.ReadAll(os.NewFile(4, "the filter"))
	if err == nil {
		err = os.WriteFile(filterPath, filter, 0o444)
	}
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(maxProcs, 10, 64); err != nil {
		return err
	} else if n > 0 {
		const nproc = 6 // RLIMIT_NPROC
		if err := syscall.Setrlimit(nproc, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/fd/3", append([]string{"supervisor"}, os.Args[1:]...), nil)
}

// supervisorFile returns the path of the embedded supervisor.
var supervisorFile = sync.OnceValues(func() (string, error) {
	code, err := runner.Binary(runtime.GOARCH)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "runner-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "supervisor")
	return path, os.WriteFile(path, code, 0o755)
})

// needRoot skips the test where namespaces cannot be made, or fails it where the
// environment promises that they can.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("TASKRUNNER_REQUIRE_SERVICES") == "1" {
		t.Fatal("this test needs root: it makes namespaces")
	}
	t.Skip("this test needs root: it makes namespaces")
}

// sandbox is a supervisor that waits for its request.
type sandbox struct {
	*runner.Session
	cmd *exec.Cmd
	log *syncBuffer
}

// newSandbox starts a supervisor in a sandbox which may hold maxProcs processes and
// threads, any number if 0. At the test's end it is killed, if it has not ended.
func newSandbox(t testing.TB, maxProcs int) *sandbox {
	t.Helper()
	stdin, stdout, s := launch(t, maxProcs)
	s.Session = runner.NewSession(stdin, stdout)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// launch starts a supervisor and returns its stdin and stdout.
func launch(t testing.TB, maxProcs int) (io.WriteCloser, io.ReadCloser, *sandbox) {
	t.Helper()
	return launchWith(t, maxProcs, nil)
}

// launchWith gives the supervisor arguments, and puts a filter at filterPath.
func launchWith(t testing.TB, maxProcs int, filter []byte, args ...string) (io.WriteCloser, io.ReadCloser, *sandbox) {
	t.Helper()
	needRoot(t)
	path, err := supervisorFile()
	require.NoError(t, err)
	binary, err := os.Open(path)
	require.NoError(t, err)
	defer binary.Close()
	self, err := os.Executable()
	require.NoError(t, err)

	filterFile, err := os.Create(filepath.Join(t.TempDir(), "filter"))
	require.NoError(t, err)
	defer filterFile.Close()
	_, err = filterFile.Write(filter)
	require.NoError(t, err)
	_, err = filterFile.Seek(0, io.SeekStart)
	require.NoError(t, err)

	s := &sandbox{cmd: exec.Command(self, args...), log: new(syncBuffer)}
	s.cmd.Env = []string{stageVar + "=" + strconv.Itoa(maxProcs), userVar + "=" + strconv.Itoa(int(user.Add(1)))}
	s.cmd.ExtraFiles = []*os.File{binary, filterFile}
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC}
	stdin, err := s.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if t.Failed() && s.log.String() != "" {
			t.Log("the supervisor's log:", s.log)
		}
	})
	return stdin, stdout, s
}

// shell returns a request that runs a script.
func shell(script string) *runner.Request {
	return &runner.Request{
		WorkDir:     workDir,
		Steps:       []runner.Step{step("run", "/bin/sh", "-c", script)},
		OutputLimit: 1 << 20,
		OutputKill:  4 << 20,
	}
}

// outcome is what a run gave.
type outcome struct {
	*runner.Report
	stdout, stderr string
	started        []int
	samples        []runner.Sample
}

// run runs the request in a new sandbox.
func run(t testing.TB, req *runner.Request) outcome {
	t.Helper()
	o, err := newSandbox(t, 0).run(t, req)
	require.NoError(t, err)
	return o
}

func (s *sandbox) run(t testing.TB, req *runner.Request) (outcome, error) {
	t.Helper()
	var o outcome
	var stdout, stderr []byte
	report, err := s.Run(t.Context(), req, runner.Handlers{
		Started: func(step int) { o.started = append(o.started, step) },
		Stdout:  func(p []byte) { stdout = append(stdout, p...) },
		Stderr:  func(p []byte) { stderr = append(stderr, p...) },
		Sample:  func(s runner.Sample) { o.samples = append(o.samples, s) },
	})
	o.Report, o.stdout, o.stderr = report, string(stdout), string(stderr)
	return o, err
}

// syncBuffer is a buffer that a command's copying goroutine and the test share.
type syncBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b = append(b.b, p...)
	return len(p), nil
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.b)
}
