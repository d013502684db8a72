package runner_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/runner/frame"
)

func TestAProgramsOutputAndExitCodeComeBack(t *testing.T) {
	t.Parallel()
	o := run(t, shell("echo out; echo err >&2; exit 3"))
	assert.Equal(t, "out\n", o.stdout)
	assert.Equal(t, "err\n", o.stderr)
	assert.Equal(t, runner.EndExit, o.End)
	assert.Equal(t, 3, o.ExitCode)
	assert.Zero(t, o.Signal)
	assert.Equal(t, []int{0}, o.started)
	assert.EqualValues(t, 4, o.StdoutBytes)
	assert.EqualValues(t, 4, o.StderrBytes)
	assert.Positive(t, o.Wall)
	assert.Positive(t, o.CPU)
}

func TestTheSignalThatEndedAProgramComesBack(t *testing.T) {
	t.Parallel()
	o := run(t, shell("kill -SEGV $$"))
	assert.Equal(t, runner.EndSignal, o.End)
	assert.Equal(t, int(unix.SIGSEGV), o.Signal)
	assert.Equal(t, -1, o.ExitCode)
}

func TestExitCode137IsAnExit(t *testing.T) {
	t.Parallel()
	o := run(t, shell("exit 137"))
	assert.Equal(t, runner.EndExit, o.End)
	assert.Equal(t, 137, o.ExitCode)
}

func TestStdin(t *testing.T) {
	t.Parallel()
	large := []byte(strings.Repeat("0123456789abcde\n", 1<<18)) // 4 MiB: more than a pipe holds
	for name, c := range map[string]struct {
		stdin  []byte
		script string
		stdout string
	}{
		"is given and ends":                     {[]byte("a\nb"), "cat", "a\nb"},
		"is at its end if it is empty":          {nil, "cat; echo done", "done\n"},
		"may be large":                          {large, "wc -c", "4194304\n"},
		"need not be read":                      {large, "echo done", "done\n"},
		"may be read in part":                   {large, "head -c 3", "012"},
		"may be closed":                         {large, "exec <&-; echo done", "done\n"},
		"may be echoed while it is being given": {large, "cat | wc -l", "262144\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := shell(c.script)
			req.Stdin = c.stdin
			o := run(t, req)
			assert.Equal(t, c.stdout, o.stdout)
			assert.Equal(t, 0, o.ExitCode)
		})
	}
}

func TestFilesAreWrittenAsTheyWereGiven(t *testing.T) {
	t.Parallel()
	req := shell("cat main.txt a/b/data; stat -c '%n %a' main.txt a a/b a/b/data a/tool; ./a/tool")
	req.Files = []runner.File{
		{Path: "main.txt", Mode: 0o644, Content: []byte("main\n")},
		{Path: "a/b/data", Mode: 0o600, Content: []byte("data\n")},
		{Path: "a/tool", Mode: 0o755, Content: []byte("#!/bin/sh\necho tool\n")},
	}
	o := run(t, req)
	assert.Equal(t, "main\ndata\nmain.txt 644\na 755\na/b 755\na/b/data 600\na/tool 755\ntool\n", o.stdout, o.stderr)
}

func TestAWorkFolderThatIsNotThereIsMade(t *testing.T) {
	t.Parallel()
	req := shell("pwd; stat -c '%a %u' .; id -u; cat a/b")
	req.WorkDir = workDir + "/new"
	req.Files = []runner.File{{Path: "a/b", Mode: 0o600, Content: []byte("file\n")}}
	o := run(t, req)
	uid := strings.Fields(o.stdout)[2]
	assert.Equal(t, workDir+"/new\n700 "+uid+"\n"+uid+"\nfile\n", o.stdout, o.stderr)
}

func TestAWorkFolderThatCannotBeMadeSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ dir, message string }{
		"without its parent":         {"/tmp/no/such", "/tmp/no/such: no such file or directory"},
		"where nothing can be made":  {"/proc/work", "/proc/work: no such file or directory"},
		"where the user may not":     {"/etc/work", "/etc/work: permission denied"},
		"in the place of a file":     {"/etc/passwd", "/etc/passwd: not a directory"},
		"below what is not a folder": {"/etc/passwd/work", "/etc/passwd/work: not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := shell("echo never")
			req.WorkDir = c.dir
			req.Files = []runner.File{{Path: "a", Mode: 0o600}}
			o := run(t, req)
			assert.Equal(t, runner.EndNotStarted, o.End)
			assert.Equal(t, c.message, o.Message)
		})
	}
}

func TestLargeFilesDoNotStayInTheSupervisorsMemory(t *testing.T) {
	t.Parallel()
	req := shell("wc -c large; sed -n 's/VmRSS: *//p; s/VmHWM: *//p' /proc/1/status; cat | wc -c")
	req.Files = []runner.File{{Path: "large", Mode: 0o600, Content: make([]byte, 20<<20)}}
	req.Stdin = []byte(strings.Repeat("x", 1<<20))
	o := run(t, req)
	require.Equal(t, 0, o.ExitCode, o.stderr)
	field := strings.Fields(o.stdout)
	require.Equal(t, []string{"20971520", "large"}, field[:2])
	assert.Equal(t, "1048576", field[len(field)-1])
	peak, err := strconv.Atoi(field[2])
	require.NoError(t, err)
	now, err := strconv.Atoi(field[4])
	require.NoError(t, err)
	assert.Greater(t, peak, 20<<10, "kB: the request was there")
	assert.Less(t, now, 8<<10, "kB: and went")
}

func TestTheEnvironmentIsExactlyTheStepsOwn(t *testing.T) {
	t.Parallel()
	req := shell("")
	req.Steps[0].Argv = []string{"env"}
	req.Steps[0].Env = []string{"PATH=/usr/bin:/bin", "A=1", "B="}
	assert.Equal(t, "PATH=/usr/bin:/bin\nA=1\nB=\n", run(t, req).stdout)

	req.Steps[0].Argv, req.Steps[0].Env = []string{"/usr/bin/env"}, nil
	assert.Empty(t, run(t, req).stdout)
}

func TestAStepStartsInItsFolder(t *testing.T) {
	t.Parallel()
	req := shell("pwd")
	assert.Equal(t, workDir+"\n", run(t, req).stdout)
	req.Steps[0].Dir = "/usr"
	assert.Equal(t, "/usr\n", run(t, req).stdout)
}

func TestAProgramIsOnItsOwn(t *testing.T) {
	t.Parallel()
	req := shell(`set -- $(cat /proc/$$/stat); echo "session $(( $6 == $$ )), parent $4"
		echo "oom $(cat /proc/$$/oom_score_adj), umask $(umask)"
		for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo "fd $fd"; done
		echo "core $(ulimit -c), files $(ulimit -n) $(ulimit -Hn)"`)
	req.Rlimits = []runner.Rlimit{
		{Resource: runner.RlimitCore, Soft: 1, Hard: 1},
		{Resource: runner.RlimitNoFile, Soft: 100, Hard: 200},
	}
	o := run(t, req)
	assert.Equal(t, `session 1, parent 1
oom 1000, umask 0022
fd 0
fd 1
fd 2
core 0, files 100 200
`, o.stdout, o.stderr) // the shell counts cores in blocks of 512 bytes
}

func TestALimitOnFileSizeHoldsForTheProgramAndNotForItsFiles(t *testing.T) {
	t.Parallel()
	req := shell("wc -c < given; trap '' XFSZ; head -c 3000 /dev/zero > big; wc -c < big")
	req.Files = []runner.File{{Path: "given", Mode: 0o600, Content: make([]byte, 2000)}}
	req.Rlimits = []runner.Rlimit{{Resource: runner.RlimitFSize, Soft: 1024, Hard: 1024}}
	assert.Equal(t, "2000\n1024\n", run(t, req).stdout)
}

func TestACompileStepsOutputGoesToStderr(t *testing.T) {
	t.Parallel()
	req := shell("cat made; cat; echo err >&2")
	req.Stdin = []byte("stdin\n")
	req.Steps = slices.Insert(req.Steps, 0, step("compile", "sh", "-c", "cat; echo one; echo two >&2; echo three; echo made > made"))
	o := run(t, req)
	assert.Equal(t, "made\nstdin\n", o.stdout)
	assert.Equal(t, "one\ntwo\nthree\nerr\n", o.stderr)
	assert.Equal(t, []int{0, 1}, o.started)
	assert.Equal(t, 1, o.Step)
	assert.EqualValues(t, len(o.stderr), o.StderrBytes)
}

func TestAFailedCompileStepIsTheLast(t *testing.T) {
	t.Parallel()
	req := shell("echo never")
	req.Steps = slices.Insert(req.Steps, 0, step("compile", "sh", "-c", "echo broken; exit 2"))
	o := run(t, req)
	assert.Empty(t, o.stdout)
	assert.Equal(t, "broken\n", o.stderr)
	assert.Equal(t, []int{0}, o.started)
	assert.Equal(t, 0, o.Step)
	assert.Equal(t, 2, o.ExitCode)
}

func TestNothingOfACompileStepLivesOnBesideTheRun(t *testing.T) {
	t.Parallel()
	req := shell("kill -0 $(cat pid) && echo alive || echo dead")
	req.Steps = slices.Insert(req.Steps, 0, step("compile", "sh", "-c", "sleep 1000 & echo $! > pid"))
	assert.Equal(t, "dead\n", run(t, req).stdout)
}

func TestWhatCannotBeStartedSaysWhy(t *testing.T) {
	t.Parallel()
	file := func(path string, mode uint32, content string) runner.File {
		return runner.File{Path: path, Mode: mode, Content: []byte(content)}
	}
	for name, c := range map[string]struct {
		argv0   string
		path    string
		files   []runner.File
		dir     string
		message string
	}{
		"a name that is not in PATH":          {argv0: "python99", path: "/usr/bin:/bin", message: "python99: executable not found in PATH"},
		"a name without a PATH":               {argv0: "sh", message: "sh: executable not found in PATH"},
		"a name that may not be run":          {argv0: "tool", path: workDir, files: []runner.File{file("tool", 0o644, "x")}, message: "tool: permission denied"},
		"a name that is a folder's":           {argv0: "tool", path: workDir, files: []runner.File{file("tool/x", 0o644, "x")}, message: "tool: executable not found in PATH"},
		"a path that is not there":            {argv0: "/no/such", message: "/no/such: no such file or directory"},
		"a path that may not be run":          {argv0: "./tool", files: []runner.File{file("tool", 0o644, "x")}, message: "./tool: permission denied"},
		"a file that is no program":           {argv0: "./tool", files: []runner.File{file("tool", 0o755, "echo hi")}, message: "./tool: exec format error"},
		"a script without its interpreter":    {argv0: "./tool", files: []runner.File{file("tool", 0o755, "#!/no/such\n")}, message: "./tool: no such file or directory"},
		"a folder that is not there":          {argv0: "/bin/true", dir: "/no/such", message: "/no/such: no such file or directory"},
		"a file that is there twice":          {argv0: "/bin/true", files: []runner.File{file("a", 0o644, ""), file("a", 0o644, "")}, message: "a: file exists"},
		"a file below a file":                 {argv0: "/bin/true", files: []runner.File{file("a", 0o644, ""), file("a/b", 0o644, "")}, message: "a/b: not a directory"},
		"files that are larger than the disk": {argv0: "/bin/true", files: []runner.File{file("a", 0o644, strings.Repeat("x", 17<<20)), file("b", 0o644, strings.Repeat("x", 13<<20))}, message: "b: no space left on device"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := shell("")
			req.Files = c.files
			req.Steps[0].Argv, req.Steps[0].Dir, req.Steps[0].Env = []string{c.argv0}, c.dir, nil
			if c.path != "" {
				req.Steps[0].Env = []string{"PATH=" + c.path}
			}
			o := run(t, req)
			assert.Equal(t, runner.EndNotStarted, o.End)
			assert.Equal(t, c.message, o.Message)
			assert.Equal(t, -1, o.ExitCode)
			assert.Empty(t, o.started)
		})
	}
}

func TestASecondStepThatCannotBeStartedSaysWhy(t *testing.T) {
	t.Parallel()
	req := shell("")
	req.Steps = []runner.Step{step("compile", "true"), step("run", "./a.out")}
	o := run(t, req)
	assert.Equal(t, runner.EndNotStarted, o.End)
	assert.Equal(t, 1, o.Step)
	assert.Equal(t, "./a.out: no such file or directory", o.Message)
	assert.Equal(t, []int{0}, o.started)
}

func TestAPathIsSearchedAsAShellDoes(t *testing.T) {
	t.Parallel()
	tool := func(dir string, mode uint32) runner.File {
		return runner.File{Path: dir + "/tool", Mode: mode, Content: []byte("#!/bin/sh\necho " + dir + "\n")}
	}
	for name, c := range map[string]struct{ path, want string }{
		"the first one counts":                {workDir + "/a:" + workDir + "/b", "a\n"},
		"one that may not be run is skipped":  {workDir + "/locked:" + workDir + "/b", "b\n"},
		"one that is not there is skipped":    {"/no/such:" + workDir + "/b", "b\n"},
		"a relative folder is below the step": {"b", "b\n"},
		"the last PATH counts":                {"", "a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := shell("")
			req.Files = []runner.File{tool("a", 0o755), tool("b", 0o755), tool("locked", 0o644)}
			req.Steps[0].Argv = []string{"tool"}
			req.Steps[0].Env = []string{"PATH=" + c.path}
			if c.path == "" {
				req.Steps[0].Env = []string{"PATH=" + workDir + "/b", "PATH=" + workDir + "/a"}
			}
			assert.Equal(t, c.want, run(t, req).stdout)
		})
	}
}

func TestATimeoutKills(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"a sleeper":                       "sleep 1000",
		"a spinner":                       "while :; do :; done",
		"one that ignores signals":        "trap '' TERM INT HUP QUIT; while :; do sleep 1000; done",
		"one that waits for its children": "sleep 1000 & sleep 1000 & wait",
		"one that stopped itself":         "kill -STOP $$",
		"one that closed its output":      "exec >&- 2>&-; sleep 1000",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := shell("echo before; " + script)
			req.Steps[0].Timeout = 300 * time.Millisecond
			o := run(t, req)
			assert.Equal(t, runner.EndTimeout, o.End)
			assert.Equal(t, int(unix.SIGKILL), o.Signal)
			assert.Equal(t, "before\n", o.stdout)
			assert.GreaterOrEqual(t, o.Wall, 300*time.Millisecond)
		})
	}
}

func TestACompileStepHasATimeoutOfItsOwn(t *testing.T) {
	t.Parallel()
	req := shell("echo never")
	req.Steps = slices.Insert(req.Steps, 0, step("compile", "sleep", "1000"))
	req.Steps[0].Timeout = 50 * time.Millisecond
	o := run(t, req)
	assert.Equal(t, runner.EndTimeout, o.End)
	assert.Equal(t, 0, o.Step)
}

func TestOutputBeyondTheLimitIsCountedAndDropped(t *testing.T) {
	t.Parallel()
	req := shell("head -c 300000 /dev/zero; head -c 100001 /dev/zero >&2")
	req.OutputLimit, req.OutputKill = 100_000, 300_000
	o := run(t, req)
	assert.Equal(t, runner.EndExit, o.End)
	assert.Len(t, o.stdout, 100_000)
	assert.Len(t, o.stderr, 100_000)
	assert.EqualValues(t, 300_000, o.StdoutBytes)
	assert.EqualValues(t, 100_001, o.StderrBytes)
}

func TestOutputFarBeyondTheLimitKills(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"on stdout":          "yes",
		"on stderr":          "yes >&2",
		"in one line":        "cat /dev/zero",
		"from a grandchild":  "yes & wait",
		"at the very end":    "echo 12345678901234567890123456789012345678901",
		"in a compile step":  "",
		"from many programs": "yes & yes & yes >&2 & yes",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := shell(script)
			if script == "" {
				req.Steps = slices.Insert(req.Steps, 0, step("compile", "yes"))
			}
			req.OutputLimit, req.OutputKill = 10, 40
			o := run(t, req)
			assert.Equal(t, runner.EndOutput, o.End)
			assert.Greater(t, max(o.StdoutBytes, o.StderrBytes), int64(40))
			assert.LessOrEqual(t, max(len(o.stdout), len(o.stderr)), 10)
		})
	}
}

func TestTwoStreamsThatFloodAtTheSameTimeArriveWhole(t *testing.T) {
	t.Parallel()
	req := shell("seq 100000 & seq 100001 >&2 & wait")
	o := run(t, req)
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintln(&b, i+1)
		}
		return b.String()
	}
	assert.True(t, lines(100_000) == o.stdout)
	assert.True(t, lines(100_001) == o.stderr)
}

func TestNoOutputMayBeWanted(t *testing.T) {
	t.Parallel()
	req := shell("echo hi")
	req.OutputLimit = 0
	o := run(t, req)
	assert.Empty(t, o.stdout)
	assert.EqualValues(t, 3, o.StdoutBytes)
}

// The program would run for an hour: what it wrote can only have come live.
func TestOutputComesLiveAndACancelKills(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := shell("trap '' TERM; echo hello; sleep 3600 & sleep 3600")
	req.Steps[0].Timeout = time.Hour
	report, err := s.Run(ctx, req, runner.Handlers{Stdout: func(p []byte) {
		assert.Equal(t, "hello\n", string(p))
		cancel()
	}})
	assert.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, report)
	assert.Equal(t, runner.EndCancelled, report.End)
	assert.Positive(t, report.CPU)
	assert.NoError(t, s.cmd.Wait(), "the supervisor ended as it should, and with it the sandbox")
}

func TestSamplesComeWhileTheProgramRuns(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := shell("sleep 3600")
	req.SampleInterval = 2 * time.Millisecond
	var samples []runner.Sample
	_, err := s.Run(ctx, req, runner.Handlers{Sample: func(s runner.Sample) {
		if samples = append(samples, s); len(samples) == 5 {
			cancel()
		}
	}})
	assert.ErrorIs(t, err, context.Canceled)
	require.GreaterOrEqual(t, len(samples), 5)
	for i, s := range samples[1:] {
		assert.Greater(t, s.At, samples[i].At)
	}
}

// The launcher does not read, so that every buffer fills up, and waits for the
// program's death: only the supervisor's clock can bring that about.
func TestALauncherThatDoesNotReadDoesNotHoldUpATimeout(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, 0)
	_, err := s.Ready(t.Context())
	require.NoError(t, err)
	req := shell("yes")
	req.Steps[0].Timeout = 100 * time.Millisecond
	req.OutputLimit, req.OutputKill = 1<<40, 1<<40
	waited := false
	report, err := s.Run(t.Context(), req, runner.Handlers{Stdout: func([]byte) {
		if !waited {
			waited = true
			for _, pid := range childrenOf(t, s.cmd.Process.Pid) {
				awaitDeath(t, pid)
			}
		}
	}})
	require.NoError(t, err)
	assert.True(t, waited)
	assert.Equal(t, runner.EndTimeout, report.End)
}

// childrenOf returns the children of a process.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	require.NoError(t, err)
	var children []int
	for f := range strings.FieldsSeq(string(text)) {
		n, err := strconv.Atoi(f)
		require.NoError(t, err)
		children = append(children, n)
	}
	return children
}

// awaitDeath blocks until the process has ended.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	require.NoError(t, err)
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if err == unix.EINTR {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, 1, n)
		return
	}
}

func TestTheSizeIsThatOfTheLargestProcess(t *testing.T) {
	t.Parallel()
	small := run(t, shell(`exit 0`))
	// Here the supervisor was this test's program before, and what that had started counts:
	// libraries do so to find out what the kernel can do.
	assert.Less(t, small.MaxRSS, int64(64<<20))
	assert.Positive(t, small.MaxRSS)
	// tail keeps what it may have to print.
	large := run(t, shell(`head -c 96M /dev/zero | tail -c 96M >/dev/null`))
	assert.GreaterOrEqual(t, large.MaxRSS, int64(96<<20))
	assert.Less(t, large.MaxRSS, int64(256<<20))
}

func TestCPUTimeIsThatOfAllProcesses(t *testing.T) {
	t.Parallel()
	// Two children spin for 100 ms of CPU time each, and one of them is an orphan.
	const spin = `import os, time
if os.fork() == 0:
    if os.fork() == 0:
        while time.process_time() < 0.1: pass
        open("done", "w").close()
        os._exit(0)
    os._exit(0)
while time.process_time() < 0.1: pass
while not os.path.exists("done"): time.sleep(0.001)
`
	req := shell("")
	req.Steps[0].Argv = []string{"/usr/bin/python3", "-c", spin}
	o := run(t, req)
	require.Equal(t, 0, o.ExitCode, o.stderr)
	assert.GreaterOrEqual(t, o.CPU, 200*time.Millisecond)
}

func TestARequestThatIsNotOneEndsTheSupervisor(t *testing.T) {
	t.Parallel()
	good, err := frame.AppendRequest(nil, shell("echo never"))
	require.NoError(t, err)
	broken := slices.Clone(good)
	broken[frame.HeaderSize+1]++ // another version
	for name, c := range map[string]struct {
		input []byte
		log   string
	}{
		"nothing is no error":  {nil, ""},
		"half a header":        {good[:3], "the request is cut short"},
		"half a request":       {good[:len(good)-1], "the request is cut short"},
		"another frame":        {frame.AppendStarted(nil, 0), "frame is not a request"},
		"an unknown type":      {[]byte("GET / HTTP/1.1\r\n"), "unknown type"},
		"too long a request":   {[]byte{byte(frame.TypeRequest), 0xff, 0, 0, 0}, "longer than its type allows"},
		"another version":      {broken, "unknown version"},
		"an empty request":     {[]byte{byte(frame.TypeRequest), 0, 0, 0, 0}, "frame is cut short"},
		"a request of garbage": {[]byte{byte(frame.TypeRequest), 0, 0, 0, 2, 0, frame.Version}, "frame is cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin, stdout, s := launch(t, 0)
			_, err := stdin.Write(c.input)
			require.NoError(t, err)
			require.NoError(t, stdin.Close())
			said, err := io.ReadAll(stdout)
			require.NoError(t, err)
			assert.Empty(t, behindReady(t, said), "Ready and nothing else")
			err = s.cmd.Wait()
			if c.log == "" {
				assert.NoError(t, err)
				assert.Empty(t, s.log.String())
				return
			}
			assert.EqualError(t, err, "exit status 2")
			assert.Contains(t, s.log.String(), "supervisor: ")
			assert.Contains(t, s.log.String(), c.log)
		})
	}
}

func TestBytesBehindTheRequestEndTheTask(t *testing.T) {
	t.Parallel()
	f, err := frame.AppendRequest(nil, shell("sleep 1000"))
	require.NoError(t, err)
	stdin, stdout, s := launch(t, 0)
	_, err = stdin.Write(append(f, 0))
	require.NoError(t, err)
	said, err := io.ReadAll(stdout)
	require.NoError(t, err)
	result, begins := bytes.CutPrefix(behindReady(t, said), frame.AppendStarted(nil, 0))
	require.True(t, begins)
	require.Greater(t, len(result), frame.HeaderSize)
	assert.Equal(t, byte(runner.EndCancelled), result[frame.HeaderSize])
	assert.NoError(t, s.cmd.Wait())
}

// behindReady returns what a supervisor said after its Ready.
func behindReady(t *testing.T, said []byte) []byte {
	t.Helper()
	kind, size, err := frame.ParseHeader(said)
	require.NoError(t, err)
	require.Equal(t, frame.TypeReady, kind)
	require.GreaterOrEqual(t, len(said), frame.HeaderSize+size)
	_, err = frame.ParseReady(said[frame.HeaderSize:][:size])
	require.NoError(t, err)
	return said[frame.HeaderSize+size:]
}

func TestALauncherThatGoesAwayEndsTheTask(t *testing.T) {
	t.Parallel()
	f, err := frame.AppendRequest(nil, shell("yes"))
	require.NoError(t, err)
	stdin, stdout, s := launch(t, 0)
	_, err = stdout.Read(make([]byte, 1)) // it is there
	require.NoError(t, err)
	require.NoError(t, stdout.Close())
	_, err = stdin.Write(f)
	require.NoError(t, err)
	assert.NoError(t, s.cmd.Wait())
}

func TestTheSupervisorRefusesToBeAnythingButPID1(t *testing.T) {
	t.Parallel()
	needRoot(t)
	path, err := supervisorFile()
	require.NoError(t, err)
	output, err := exec.Command(path).CombinedOutput()
	assert.EqualError(t, err, "exit status 2")
	assert.Equal(t, "supervisor: it must be PID 1 of a PID namespace of its own\n", string(output))
}
