package runner_test

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
)

// BenchmarkTrue measures what the supervisor adds to a program: "bare" starts true in
// a new PID namespace, "ready" starts a supervisor there up to its Ready, which pools
// do in advance, and "run" has one that is ready run true, from request to report.
func BenchmarkTrue(b *testing.B) {
	needRoot(b)
	path, err := supervisorFile()
	require.NoError(b, err)
	inNamespace := func(path string) *exec.Cmd {
		cmd := exec.Command(path)
		cmd.Env = []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		return cmd
	}
	start := func(b *testing.B) (*runner.Session, *exec.Cmd) {
		cmd := inNamespace(path)
		stdin, err := cmd.StdinPipe()
		require.NoError(b, err)
		stdout, err := cmd.StdoutPipe()
		require.NoError(b, err)
		require.NoError(b, cmd.Start())
		s := runner.NewSession(stdin, stdout)
		_, err = s.Ready(b.Context())
		require.NoError(b, err)
		return s, cmd
	}
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, inNamespace("/bin/true").Run())
		}
	})
	b.Run("ready", func(b *testing.B) {
		var spent time.Duration
		for b.Loop() {
			begin := time.Now()
			s, cmd := start(b)
			spent += time.Since(begin)
			require.NoError(b, s.Close())
			require.NoError(b, cmd.Wait())
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ready-ns/op")
	})
	b.Run("run", func(b *testing.B) {
		req := &runner.Request{WorkDir: "/", Steps: []runner.Step{step("run", "/bin/true")}}
		var spent time.Duration
		for b.Loop() {
			s, cmd := start(b)
			begin := time.Now()
			report, err := s.Run(b.Context(), req, runner.Handlers{})
			spent += time.Since(begin)
			require.NoError(b, err)
			require.Zero(b, report.ExitCode)
			require.NoError(b, s.Close())
			require.NoError(b, cmd.Wait())
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "run-ns/op")
	})
}
