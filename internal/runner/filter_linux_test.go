package runner_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/seccomp"
)

// encode returns a filter as the supervisor reads it.
func encode(t testing.TB, program []bpf.RawInstruction) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, ins := range program {
		require.NoError(t, binary.Write(&b, binary.NativeEndian, unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}))
	}
	return b.Bytes()
}

// policy returns the filter of every sandbox.
func policy(t testing.TB) []byte {
	t.Helper()
	program, err := seccomp.Filter(runtime.GOARCH)
	require.NoError(t, err)
	return encode(t, program)
}

// filtered starts a supervisor that installs a filter.
func filtered(t testing.TB, filter []byte) *sandbox {
	t.Helper()
	stdin, stdout, s := launchWith(t, 0, filter, filterPath)
	s.Session = runner.NewSession(stdin, stdout)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAFilterHoldsForProgramsAndForEveryThreadOfTheSupervisor(t *testing.T) {
	t.Parallel()
	s := filtered(t, policy(t))
	ready, err := s.Ready(t.Context())
	require.NoError(t, err)

	pid := strconv.Itoa(s.cmd.Process.Pid)
	threads, err := os.ReadDir(filepath.Join("/proc", pid, "task"))
	require.NoError(t, err)
	assert.Len(t, threads, ready.Threads, "installing it makes no thread")
	for _, thread := range threads {
		status, err := os.ReadFile(filepath.Join("/proc", pid, "task", thread.Name(), "status"))
		require.NoError(t, err)
		assert.Contains(t, string(status), "\nNoNewPrivs:\t1\n")
		assert.Contains(t, string(status), "\nSeccomp:\t2\n")
	}

	o, err := s.run(t, python(`import ctypes, os
print(open("/proc/self/status").read().split("Seccomp:")[1].split()[0])
libc = ctypes.CDLL(None, use_errno=True)
print(libc.unshare(0x10000000), os.strerror(ctypes.get_errno()))
print(libc.syscall(1000), os.strerror(ctypes.get_errno()))`))
	require.NoError(t, err)
	assert.Equal(t, "2\n-1 Operation not permitted\n-1 Function not implemented\n", o.stdout, o.stderr)
}

// What the supervisor does itself is allowed by the policy: all that a task can ask
// of it works.
func TestTheSupervisorWorksUnderThePolicy(t *testing.T) {
	t.Parallel()
	req := shell("cat a/b; cat; sleep 1000 & exit 3")
	req.Files = []runner.File{{Path: "a/b", Mode: 0o600, Content: []byte("file ")}}
	req.Stdin = []byte("stdin")
	req.Rlimits = []runner.Rlimit{{Resource: runner.RlimitNoFile, Soft: 100, Hard: 100}}
	req.SampleInterval = 1_000_000
	s := filtered(t, policy(t))
	o, err := s.run(t, req)
	require.NoError(t, err)
	assert.Equal(t, "file stdin", o.stdout, o.stderr)
	assert.Equal(t, 3, o.ExitCode)
	assert.NoError(t, s.cmd.Wait())
}

func TestWithoutItsFilterTheSupervisorIsNotReady(t *testing.T) {
	t.Parallel()
	allow := encode(t, []bpf.RawInstruction{{Op: 6, K: unix.SECCOMP_RET_ALLOW}})
	many := func(n int) []byte {
		// The kernel wants no more than that, and each of them to be of use.
		return append(bytes.Repeat(encode(t, []bpf.RawInstruction{{Op: 0x20}}), n-1), allow...)
	}
	for name, c := range map[string]struct {
		filter []byte
		args   []string
		log    string // "" if it is ready
	}{
		"none that was asked for":    {nil, nil, ""},
		"the shortest one":           {allow, []string{filterPath}, ""},
		"the longest one":            {many(4096), []string{filterPath}, ""},
		"an empty one":               {nil, []string{filterPath}, "must be 1 to 4096 instructions of 8 bytes"},
		"one of half an instruction": {allow[:4], []string{filterPath}, "must be 1 to 4096 instructions of 8 bytes"},
		"one that is cut":            {many(3)[:20], []string{filterPath}, "must be 1 to 4096 instructions of 8 bytes"},
		"one that is too long":       {many(4097), []string{filterPath}, "must be 1 to 4096 instructions of 8 bytes"},
		"one far too long":           {make([]byte, 1<<20), []string{filterPath}, "must be 1 to 4096 instructions of 8 bytes"},
		"no BPF":                     {[]byte("#!/bin/s"), []string{filterPath}, "installing the system call filter " + filterPath + ": invalid argument"},
		"BPF that does not end":      {many(2)[:8], []string{filterPath}, "installing the system call filter " + filterPath + ": invalid argument"},
		"a missing one":              {nil, []string{"/no/such"}, "reading the system call filter /no/such: no such file or directory"},
		"a folder":                   {nil, []string{"/tmp"}, "reading the system call filter /tmp: is a directory"},
		"an empty argument":          {allow, []string{""}, "one argument"},
		"two arguments":              {allow, []string{filterPath, filterPath}, "one argument"},
		"an argument without end":    {allow, []string{string(bytes.Repeat([]byte{'x'}, 5000))}, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin, stdout, s := launchWith(t, 0, c.filter, c.args...)
			require.NoError(t, stdin.Close())
			said, err := io.ReadAll(stdout)
			require.NoError(t, err)
			err = s.cmd.Wait()
			if c.log == "" {
				assert.NoError(t, err)
				assert.Empty(t, behindReady(t, said))
				assert.Empty(t, s.log.String())
				return
			}
			assert.EqualError(t, err, "exit status 2")
			assert.Empty(t, said)
			assert.Contains(t, s.log.String(), c.log)
		})
	}
}
