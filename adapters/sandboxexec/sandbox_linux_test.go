//go:build amd64 || arm64

package sandboxexec_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
)

type output struct{ bytes.Buffer }

// newJob returns a job that asks for the usual limits.
func newJob(lang ports.Language, code string) ports.Job {
	return ports.Job{
		Task: "0192aa00-0000-7000-8000-000000000000", Attempt: 1, Language: lang,
		Spec: ports.Spec{Language: lang.Name, Code: code, Limits: ports.Limits{
			CPU: 1, Memory: 256 << 20, Timeout: 30 * time.Second, PIDs: 64, Output: 1 << 20, Disk: 64 << 20,
		}},
	}
}

// run runs the job on x and returns the outcome and what it wrote to stdout.
func run(t *testing.T, x *sandboxexec.Executor, job ports.Job) (ports.Outcome, string) {
	t.Helper()
	out, errs := new(output), new(output)
	job.Stdout, job.Stderr = out, errs
	o, err := x.Run(t.Context(), job)
	require.NoError(t, err)
	if errs.Len() > 0 {
		t.Logf("stderr: %s", errs)
	}
	return o, out.String()
}

func openExecutor(t *testing.T) *sandboxexec.Executor {
	t.Helper()
	x := newExecutor(t)
	t.Cleanup(func() { assert.NoError(t, x.Close(context.WithoutCancel(t.Context()))) })
	return x
}

func TestAProgramSeesNothingThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	o, out := run(t, openExecutor(t), newJob(bash, `
		pwd; id -u; id -g; hostname; ls /; ls /etc; ls /proc | grep -v '^[0-9]'; grep -h '^Cap\|^NoNewPrivs\|^Seccomp:' /proc/self/status
		cut -d' ' -f5,6 /proc/self/mountinfo; cat /proc/self/cgroup | cut -d: -f3 | sort -u; env | sort`))
	assert.Equal(t, ports.CauseExit, o.Cause)
	for _, want := range []string{
		"/sandbox/work\n65534\n65534\nsandbox\n",
		"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n",
		"NoNewPrivs:\t1\nSeccomp:\t2\n",
		"self\nthread-self\n",
		"/ ro,nosuid",
		"/usr ro,nosuid,nodev",
		"\n/\n", // the one control group path
		"HOME=/sandbox/work\n",
	} {
		assert.Contains(t, out, want)
	}
	for _, never := range []string{"shadow", "/home", "/root", "/var/lib", "ssh"} {
		assert.NotContains(t, out, never)
	}
}

func TestTheDiskIsAsLargeAsTheLimitSays(t *testing.T) {
	t.Parallel()
	x := openExecutor(t)
	for name, limit := range map[string]int64{"smaller than usual": 1 << 20, "as usual": 64 << 20, "larger than usual": 100 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := newJob(bash, "cat /dev/zero > /tmp/fill; stat -c %s /tmp/fill; stat -f -c '%S %b' /sandbox")
			job.Spec.Limits.Disk = limit
			_, out := run(t, x, job)
			got := strings.Fields(out)
			require.Len(t, got, 3)
			assert.Equal(t, limit-4096, atoi(t, got[0]), "all but the page that the program itself takes")
			assert.Equal(t, limit, atoi(t, got[1])*atoi(t, got[2]))
		})
	}
}

func TestAProgramThatStarvesItsSupervisorIsTimedOutByTheHost(t *testing.T) {
	t.Parallel()
	job := newJob(bash, "for i in $(seq 30); do (while :; do :; done) & done; while :; do :; done")
	job.Spec.Limits.CPU, job.Spec.Limits.Timeout = 0.02, time.Second
	o, _ := run(t, openExecutor(t), job)
	assert.Equal(t, ports.CauseTimeout, o.Cause)
}

func TestJobsThatCanNeverRunAreRefused(t *testing.T) {
	t.Parallel()
	x := openExecutor(t)
	for field, spoil := range map[string]func(*ports.Job){
		"cpu_limit":    func(j *ports.Job) { j.Spec.Limits.CPU = 0 },
		"memory_limit": func(j *ports.Job) { j.Spec.Limits.Memory = -1 },
		"timeout":      func(j *ports.Job) { j.Spec.Limits.Timeout = 0 },
		"pids_limit":   func(j *ports.Job) { j.Spec.Limits.PIDs = 0 },
		"output_limit": func(j *ports.Job) { j.Spec.Limits.Output = 0 },
		"disk_limit":   func(j *ports.Job) { j.Spec.Limits.Disk = 3 },
		"network":      func(j *ports.Job) { j.Spec.Network = true },
		"language":     func(j *ports.Job) { j.Language.Run = []string{"no-such-interpreter"} },
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			job := newJob(bash, "echo hi")
			spoil(&job)
			_, err := x.Run(t.Context(), job)
			require.ErrorIs(t, err, ports.ErrInvalid)
			assert.ErrorContains(t, err, field)
		})
	}
}

func TestAClosedExecutorLeavesNothing(t *testing.T) {
	t.Parallel()
	x := newExecutor(t)
	for _, dir := range x.Groups() {
		require.DirExists(t, dir)
	}
	for range 20 {
		o, _ := run(t, x, newJob(bash, "sleep 100 & echo hi"))
		assert.Equal(t, ports.CauseExit, o.Cause)
	}
	require.NoError(t, x.Close(t.Context()))
	stats := x.Stats()
	assert.Zero(t, stats.Alive)
	assert.Zero(t, stats.Leaked)
	assert.EqualValues(t, 20, stats.Warm+stats.Cold)
	for _, dir := range x.Groups() {
		assert.NoDirExists(t, dir)
	}
}

func TestAnExecutorRunsProgramsOfARootFileSystemOfItsOwn(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	for _, name := range []string{"usr", "etc", "dev"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, name), 0o755))
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		require.NoError(t, os.Symlink("usr/"+name, filepath.Join(root, name)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc", "motto"), []byte("of its own\n"), 0o644))
	require.NoError(t, unix.Mount("/usr", filepath.Join(root, "usr"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(filepath.Join(root, "usr"), unix.MNT_DETACH)) })

	x := newExecutorWith(t, sandboxexec.Config{Rootfs: root, Pool: -1})
	_, out := run(t, x, newJob(bash, "cat /etc/motto; ls /etc; echo > /dev/null && echo ok; echo x > /etc/motto || echo read-only"))
	assert.Equal(t, "of its own\nmotto\nok\nread-only\n", out)
	require.NoError(t, x.Close(t.Context()))
}

func TestARootFileSystemThatCannotBeOneIsRefused(t *testing.T) {
	t.Parallel()
	needRoot(t)
	root := t.TempDir()
	file := filepath.Join(root, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := sandboxexec.New(sandboxexec.Config{Rootfs: filepath.Join(root, "missing")})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = sandboxexec.New(sandboxexec.Config{Rootfs: file})
	require.ErrorContains(t, err, "not a folder")
}

func atoi(t *testing.T, s string) (n int64) {
	t.Helper()
	for _, c := range s {
		require.True(t, c >= '0' && c <= '9', s)
		n = n*10 + int64(c-'0')
	}
	return n
}

func TestProgramsAreKilledForMemoryBeforeTheirSupervisor(t *testing.T) {
	t.Parallel()
	// The supervisor takes its own score back once the program has started.
	o, out := run(t, openExecutor(t), newJob(bash, `cat /proc/self/oom_score_adj; until [ "$(cat /proc/1/oom_score_adj)" = 500 ]; do :; done`))
	assert.Equal(t, "1000\n", out)
	assert.Equal(t, ports.CauseExit, o.Cause)
}

// Whoever takes somebody else's groups for those of a dead executor kills strangers.
func TestGroupsOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	own := openExecutor(t).Groups()[0]
	parent, prefix := filepath.Dir(own), strings.TrimRight(filepath.Base(own), "abcdefghijklmnopqrstuvwxyz234567")
	require.True(t, strings.HasSuffix(prefix, "."))
	for name, path := range map[string]string{
		"a group of another name":         "taskrunner-engine/4711",
		"a longer name":                   prefix + "engineengineengine/4711",
		"a group that is no sandbox's":    prefix + "engineengine/container",
		"a group with a process directly": prefix + "engineengins",
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(parent, path)
			require.NoError(t, os.MkdirAll(dir, 0o755))
			defer func() {
				for ; dir != parent; dir = filepath.Dir(dir) {
					assert.NoError(t, os.Remove(dir))
				}
			}()
			stranger := exec.CommandContext(t.Context(), "/bin/cat")
			stdin, err := stranger.StdinPipe()
			require.NoError(t, err)
			require.NoError(t, stranger.Start())
			require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(stranger.Process.Pid)), 0o644))
			openExecutor(t)
			require.NoError(t, stdin.Close())
			assert.NoError(t, stranger.Wait(), "it ended by itself")
		})
	}
}
