package runner_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/runner/frame"
	"github.com/task-runner/task-runner/internal/seccomp"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// These tests run the supervisor as a container engine starts it. The image has no
// shell and no library: the supervisor, its filter and testdata/program are all.

const (
	supervisorPath      = "/.taskrunner/supervisor"
	containerFilterPath = "/.taskrunner/filter"
)

// supervised is the entrypoint of a container for a task.
var supervised = []string{supervisorPath, containerFilterPath}

// payload returns the supervisor and its filter as the engine takes files.
func payload(t testing.TB, w *tar.Writer) {
	t.Helper()
	code, err := runner.Binary(runtime.GOARCH)
	require.NoError(t, err)
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: filepath.Dir(supervisorPath)[1:] + "/", Mode: 0o755}))
	pack(t, w, supervisorPath, 0o755, code)
	pack(t, w, containerFilterPath, 0o644, policy(t))
}

func pack(t testing.TB, w *tar.Writer, path string, mode int64, content []byte) {
	t.Helper()
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path[1:], Mode: mode, Size: int64(len(content))}))
	_, err := w.Write(content)
	require.NoError(t, err)
}

// emptyImage makes the image, and removes it at the end of the test.
func emptyImage(t *testing.T, cli *client.Client) (id string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", binary, "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	program, err := os.ReadFile(binary)
	require.NoError(t, err)

	var b bytes.Buffer
	w := tar.NewWriter(&b)
	payload(t, w)
	pack(t, w, "/program", 0o755, program)
	require.NoError(t, w.Close())
	said, err := cli.ImageImport(t.Context(), image.ImportSource{Source: &b, SourceName: "-"}, "", image.ImportOptions{})
	require.NoError(t, err)
	defer said.Close()
	var last struct{ Status, Error string }
	for d := json.NewDecoder(said); d.More(); {
		require.NoError(t, d.Decode(&last))
		require.Empty(t, last.Error)
	}
	t.Cleanup(func() {
		_, err := cli.ImageRemove(context.Background(), last.Status, image.RemoveOptions{PruneChildren: true})
		assert.NoError(t, err)
	})
	return last.Status
}

// box is a container.
type box struct {
	*runner.Session
	cli *client.Client
	id  string
	log *syncBuffer
}

// changes are made to a container before it is created and before it starts.
type changes struct {
	host   func(*container.HostConfig)
	before func(id string)
}

// newBox starts a container of the image under the profile, with a supervisor or what
// is in its place.
func newBox(t *testing.T, cli *client.Client, image string, entrypoint []string, change changes) *box {
	t.Helper()
	stdin, stdout, b := launchBox(t, cli, image, entrypoint, change)
	b.Session = runner.NewSession(stdin, stdout)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// launchBox starts a container and returns its stdin and stdout.
func launchBox(t *testing.T, cli *client.Client, image string, entrypoint []string, change changes) (io.WriteCloser, io.ReadCloser, *box) {
	t.Helper()
	profile, err := seccomp.Profile(runtime.GOARCH)
	require.NoError(t, err)
	config := &container.Config{
		Image: image, Entrypoint: entrypoint, User: "65534:65534", WorkingDir: "/", NetworkDisabled: true,
		OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
	}
	const memory = 128 << 20
	host := &container.HostConfig{
		NetworkMode: "none", IpcMode: container.IPCModeNone, CgroupnsMode: container.CgroupnsModePrivate,
		ReadonlyRootfs: true, Tmpfs: map[string]string{"/tmp": "rw,nosuid,nodev,noexec,size=16m,mode=1777"},
		CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges", "seccomp=" + string(profile)},
		LogConfig: container.LogConfig{Type: "none"}, Init: new(false),
		Resources: container.Resources{Memory: memory, MemorySwap: memory, PidsLimit: new(int64(64))},
	}
	if change.host != nil {
		change.host(host)
	}
	made, err := cli.ContainerCreate(t.Context(), config, host, nil, nil, "")
	require.NoError(t, err)
	t.Cleanup(func() {
		err := cli.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		assert.NoError(t, err)
	})
	assert.Empty(t, made.Warnings)
	if change.before != nil {
		change.before(made.ID)
	}
	line, err := cli.ContainerAttach(t.Context(), made.ID, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	require.NoError(t, err)
	t.Cleanup(line.Close)
	b := &box{cli: cli, id: made.ID, log: new(syncBuffer)}
	require.NoError(t, cli.ContainerStart(t.Context(), made.ID, container.StartOptions{}))

	r, w := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(w, b.log, line.Reader)
		w.CloseWithError(err)
	}()
	t.Cleanup(func() {
		_ = r.Close()
		if t.Failed() && b.log.String() != "" {
			t.Log("the container's log:", b.log)
		}
	})
	return lineWriter{line}, r, b
}

// lineWriter is the way to a container's stdin.
type lineWriter struct{ types.HijackedResponse }

func (l lineWriter) Write(p []byte) (int, error) { return l.Conn.Write(p) }
func (l lineWriter) Close() error                { return l.CloseWrite() }

// exit waits until the container has ended and returns its exit code.
func (b *box) exit(t *testing.T) int64 {
	t.Helper()
	exited, failed := b.cli.ContainerWait(t.Context(), b.id, container.WaitConditionNotRunning)
	select {
	case r := <-exited:
		require.Nil(t, r.Error)
		return r.StatusCode
	case err := <-failed:
		require.NoError(t, err)
	}
	return -1
}

func (b *box) run(t *testing.T, req *runner.Request) (outcome, error) {
	t.Helper()
	return (&sandbox{Session: b.Session}).run(t, req)
}

// program returns a request that has testdata/program do something.
func program(args ...string) *runner.Request {
	return &runner.Request{
		WorkDir:     workDir, // not there yet
		Steps:       []runner.Step{step("run", append([]string{"/program"}, args...)...)},
		OutputLimit: 1 << 20,
		OutputKill:  4 << 20,
	}
}

func TestInAContainerWithoutAShell(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	img := emptyImage(t, cli)
	start := func(t *testing.T) *box { return newBox(t, cli, img, supervised, changes{}) }
	run := func(t *testing.T, req *runner.Request) outcome {
		t.Helper()
		b := start(t)
		o, err := b.run(t, req)
		require.NoError(t, err)
		assert.EqualValues(t, 0, b.exit(t), "the supervisor ended as it should")
		assert.Empty(t, b.log.String())
		return o
	}

	t.Run("output and exit code come back", func(t *testing.T) {
		t.Parallel()
		o := run(t, program("write", "out", "err", "3"))
		assert.Equal(t, "out", o.stdout)
		assert.Equal(t, "err", o.stderr)
		assert.Equal(t, runner.EndExit, o.End)
		assert.Equal(t, 3, o.ExitCode)
	})
	t.Run("input and files arrive in a work folder of the user's own", func(t *testing.T) {
		t.Parallel()
		req := program("files", "main.txt", "a/b")
		req.Files = []runner.File{{Path: "main.txt", Mode: 0o644, Content: []byte("main")}, {Path: "a/b", Mode: 0o600, Content: []byte("deep")}}
		assert.Equal(t, workDir+" -rwx------ 65534 65534\nmain.txt main\na/b deep\n", run(t, req).stdout)

		req = program("cat")
		req.Stdin = bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
		assert.Equal(t, string(req.Stdin), run(t, req).stdout)
	})
	t.Run("nothing else can be written", func(t *testing.T) {
		t.Parallel()
		o := run(t, program("cannot write", "/x", "/.taskrunner/x", supervisorPath, "/program"))
		assert.Equal(t, `open /x: read-only file system
open /.taskrunner/x: read-only file system
open /.taskrunner/supervisor: read-only file system
open /program: read-only file system
`, o.stdout)
	})
	t.Run("what cannot be started says why", func(t *testing.T) {
		t.Parallel()
		req := program()
		req.Steps[0].Argv = []string{"sh"}
		o := run(t, req)
		assert.Equal(t, runner.EndNotStarted, o.End)
		assert.Equal(t, "sh: executable not found in PATH", o.Message)
	})
	t.Run("children that hold the output are killed", func(t *testing.T) {
		t.Parallel()
		o := run(t, program("leave"))
		assert.Equal(t, "left\n", o.stdout)
		assert.Equal(t, runner.EndExit, o.End)
	})
	t.Run("a timeout kills", func(t *testing.T) {
		t.Parallel()
		req := program("sleep")
		req.Steps[0].Timeout = 200 * time.Millisecond
		assert.Equal(t, runner.EndTimeout, run(t, req).End)
	})
	t.Run("closing stdin cancels", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		report, err := b.Run(ctx, program("sleep"), runner.Handlers{Started: func(int) { cancel() }})
		assert.ErrorIs(t, err, context.Canceled)
		require.NotNil(t, report)
		assert.Equal(t, runner.EndCancelled, report.End)
		assert.EqualValues(t, 0, b.exit(t))
	})
	t.Run("a launcher that goes away ends the container", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		_, err := b.Ready(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.Close())
		assert.EqualValues(t, 0, b.exit(t))
	})
	t.Run("a container that is killed is lost", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		_, err := b.Run(t.Context(), program("sleep"), runner.Handlers{Started: func(int) {
			assert.NoError(t, cli.ContainerKill(t.Context(), b.id, "KILL"))
		}})
		assert.ErrorIs(t, err, runner.ErrLost)
	})
	t.Run("programs have no privileges and both filters", func(t *testing.T) {
		t.Parallel()
		none := strings.Repeat("0", 16)
		assert.Equal(t, "CapEff "+none+"\nCapBnd "+none+"\nNoNewPrivs 1\nSeccomp 2\n", run(t, program("status")).stdout)
	})
	t.Run("the supervisor cannot be looked into", func(t *testing.T) {
		t.Parallel()
		assert.Equal(t, `mem true
environ true
fd true
fd/0 true
fd/1 true
exe true
root true
stdout true
kill <nil> <nil>
`, run(t, program("look")).stdout, "and no signal reaches it")
	})
	t.Run("output that imitates frames is output", func(t *testing.T) {
		t.Parallel()
		fake := string(frame.AppendResult(frame.AppendStarted(nil, 1), &frame.Result{End: runner.EndExit, ExitCode: 99}))
		req := program("cat")
		req.Stdin = []byte(fake)
		o := run(t, req)
		assert.Equal(t, fake, o.stdout)
		assert.Zero(t, o.ExitCode)
	})
	t.Run("usage is counted from inside", func(t *testing.T) { countsFromInside(t, cli, start) })
	t.Run("a supervisor that was replaced is not believed", func(t *testing.T) { replaced(t, cli, img) })
	t.Run("without its filter it does not start", func(t *testing.T) {
		t.Parallel()
		b := newBox(t, cli, img, []string{supervisorPath, "/no/such"}, changes{})
		_, err := b.Ready(t.Context())
		assert.ErrorIs(t, err, runner.ErrLost)
		assert.EqualValues(t, 2, b.exit(t))
		assert.Contains(t, b.log.String(), "/no/such: no such file or directory")
	})
	t.Run("the profile is what the policy says", func(t *testing.T) { profileHolds(t, cli, img) })
	t.Run("foreign calls are refused by the profile and kill under the filter", func(t *testing.T) { foreignCalls(t, cli, img) })
}

// countsFromInside holds where the engine shows a container its own control group.
func countsFromInside(t *testing.T, cli *client.Client, start func(*testing.T) *box) {
	t.Parallel()
	info, err := cli.Info(t.Context())
	require.NoError(t, err)
	b := start(t)
	ready, err := b.Ready(t.Context())
	require.NoError(t, err)
	known := func(c cgroup.Counters) {
		t.Helper()
		require.NotNil(t, c.CPU)
		require.NotNil(t, c.Memory)
		require.NotNil(t, c.OOMKills)
		if info.CgroupVersion == "1" {
			require.NotNil(t, c.PeakMemory, "version 2 has none before Linux 5.19")
		}
	}
	known(ready.Counters)
	assert.Positive(t, *ready.Counters.CPU, "the supervisor's own, and that of the engine's init")
	assert.Positive(t, *ready.Counters.Memory)
	assert.Zero(t, *ready.Counters.OOMKills)

	req := program("use", "40", "200ms")
	req.SampleInterval = 20 * time.Millisecond
	o, err := b.run(t, req)
	require.NoError(t, err)
	require.Equal(t, 0, o.ExitCode, o.stderr)
	known(o.Counters)
	assert.GreaterOrEqual(t, *o.Counters.CPU-*ready.Counters.CPU, 200*time.Millisecond)
	assert.Zero(t, *o.Counters.OOMKills)
	if o.Counters.PeakMemory != nil {
		assert.Greater(t, *o.Counters.PeakMemory, int64(40<<20))
		assert.Less(t, *o.Counters.PeakMemory, int64(80<<20))
	}
	require.NotEmpty(t, o.samples)
	for _, s := range o.samples {
		assert.NotNil(t, s.CPU)
		assert.NotNil(t, s.Memory)
	}

	t.Run("and so is a kill for want of memory, which the supervisor survives", func(t *testing.T) {
		t.Parallel()
		o, err := start(t).run(t, program("use", "512", "0s"))
		require.NoError(t, err)
		assert.Equal(t, runner.EndSignal, o.End)
		assert.Equal(t, int(unix.SIGKILL), o.Signal)
		require.NotNil(t, o.Counters.OOMKills)
		assert.EqualValues(t, 1, *o.Counters.OOMKills)
	})
}

// replaced has another program say what the supervisor should.
func replaced(t *testing.T, cli *client.Client, img string) {
	t.Parallel()
	done := frame.AppendResult(nil, &frame.Result{End: runner.EndExit})
	for name, c := range map[string]struct {
		says [][]byte // the first one before the request, the rest for it
		want error
	}{
		"a frame beyond its bound":  {[][]byte{ready, {byte(frame.TypeStdout), 0xff, 0, 0, 0}}, runner.ErrProtocol},
		"a frame of no type":        {[][]byte{ready, {200, 0, 0, 0, 1, 1}}, runner.ErrProtocol},
		"a result of nothing":       {[][]byte{ready, done}, runner.ErrProtocol},
		"bytes behind the result":   {[][]byte{ready, started(0), append(slices.Clone(done), 0)}, runner.ErrProtocol},
		"more output than is asked": {[][]byte{ready, started(0), stdout("0123456789x")}, runner.ErrProtocol},
		"no frame at all":           {[][]byte{[]byte("hello from an image\n")}, runner.ErrProtocol},
		"another version of Ready":  {[][]byte{data(frame.TypeReady, "\x00\x01\x00\x05")}, runner.ErrProtocol},
		"nothing":                   {nil, runner.ErrLost},
		"half of Ready":             {[][]byte{ready[:7]}, runner.ErrLost},
		"half a frame":              {[][]byte{ready, started(0), done[:10]}, runner.ErrLost},
		"a frame without its bytes": {[][]byte{ready, started(0), done[:frame.HeaderSize]}, runner.ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entrypoint := []string{"/program", "say"}
			for _, piece := range c.says {
				entrypoint = append(entrypoint, hex.EncodeToString(piece))
			}
			req := program("sleep")
			req.OutputLimit = 10
			report, err := newBox(t, cli, img, entrypoint, changes{}).Run(t.Context(), req, runner.Handlers{})
			assert.Nil(t, report)
			assert.ErrorIs(t, err, c.want)
		})
	}
}

// said returns what testdata/program prints as the only program of a container, which
// has no filter but the profile.
func said(t *testing.T, cli *client.Client, img string, args ...string) string {
	t.Helper()
	stdin, stdout, b := launchBox(t, cli, img, append([]string{"/program"}, args...), changes{})
	require.NoError(t, stdin.Close())
	text, err := io.ReadAll(stdout)
	require.NoError(t, err)
	require.EqualValues(t, 0, b.exit(t), b.log)
	return string(text)
}

// Interpreters of today live with the profile and the filter together.
func TestInterpretersInAContainer(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	languages := testenv.Languages(t, cli)
	for _, c := range []struct {
		language ports.Language
		text     string
	}{
		{languages.Python, "import threading\nt = threading.Thread(target=print, args=('hello',)); t.start(); t.join()"},
		{languages.JavaScript, "setTimeout(() => console.log('hello'), 1)"},
		{languages.Bash, "echo hello | { read line; echo $line; }"},
	} {
		t.Run(c.language.Name, func(t *testing.T) {
			t.Parallel()
			var files bytes.Buffer
			w := tar.NewWriter(&files)
			payload(t, w)
			require.NoError(t, w.Close())
			b := newBox(t, cli, c.language.Image, supervised, changes{
				host: func(h *container.HostConfig) { h.ReadonlyRootfs = false },
				before: func(id string) {
					require.NoError(t, cli.CopyToContainer(t.Context(), id, "/", &files, container.CopyToContainerOptions{}))
				},
			})
			req := program()
			req.Steps[0].Argv = []string{c.language.Run[0], "main"}
			req.Files = []runner.File{{Path: "main", Mode: 0o600, Content: []byte(c.text)}}
			o, err := b.run(t, req)
			require.NoError(t, err)
			assert.Equal(t, "hello\n", o.stdout, o.stderr)
			assert.Equal(t, 0, o.ExitCode)
			assert.EqualValues(t, 0, b.exit(t))
		})
	}
}
