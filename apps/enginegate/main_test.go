package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBadSettingsAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args, env []string
		want      string
	}{
		"a command that is none":          {args: []string{"nonsense"}, want: `there is no command "nonsense"`},
		"an argument":                     {args: []string{"health", "x"}, want: `unexpected argument "x"`},
		"a flag that is none":             {args: []string{"--nonsense"}, want: "not defined: --nonsense"},
		"a socket without a path":         {args: []string{"--listen=tcp://x"}, want: `--listen="tcp://x" (TASKRUNNER_LISTEN) must be the path of a socket`},
		"an engine by SSH":                {env: []string{"TASKRUNNER_ENGINE=ssh://x"}, want: `TASKRUNNER_ENGINE="ssh://x" (--engine) must be an address such as unix:///var/run/docker.sock`},
		"an engine without an address":    {args: []string{"--engine=x"}, want: "must be an address such as"},
		"a pattern that is none":          {args: []string{"--docker-allowed-images=A B"}, want: `--docker-allowed-images (TASKRUNNER_DOCKER_ALLOWED_IMAGES): has the pattern "A B"`},
		"the host's network":              {args: []string{"--docker-network=host"}, want: `--docker-network="host" (TASKRUNNER_DOCKER_NETWORK) must be the name of a network that was made for tasks`},
		"a container's network":           {env: []string{"TASKRUNNER_DOCKER_NETWORK=container:mongo"}, want: "must be the name of a network"},
		"a socket in a folder that is no": {args: []string{"--listen=/nonexistent/s"}, want: "--listen (TASKRUNNER_LISTEN): cannot listen"},
		"a log level that is none":        {args: []string{"--log-level=loud"}, want: "must be one of debug, info, warn, error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			assert.Equal(t, exitUsage, run(t.Context(), tt.args, tt.env, &stdout, &stderr))
			assert.Contains(t, stderr.String(), tt.want)
			assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one line")
		})
	}
}

func TestHelpTellsEverySetting(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"help"}, {"health", "-h"}} {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, exitOK, run(t.Context(), args, nil, &stdout, &stderr))
		assert.Empty(t, stderr.String())
		for _, name := range []string{"TASKRUNNER_LISTEN", "TASKRUNNER_ENGINE", "TASKRUNNER_DOCKER_ALLOWED_IMAGES", "TASKRUNNER_DOCKER_NETWORK",
			"TASKRUNNER_DOCKER_RUNTIME", "TASKRUNNER_DRAIN_TIMEOUT", "TASKRUNNER_LOG_LEVEL", "TASKRUNNER_LOG_FORMAT"} {
			assert.Contains(t, stdout.String(), name)
		}
	}
}

// program is a gate as it is run.
type program struct {
	t      *testing.T
	socket string
	stop   context.CancelFunc
	code   chan int
	log    bytes.Buffer // to be read when it has ended
}

// start runs the program, and waits until it serves.
func start(t *testing.T, e *engine, socket string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &program{t: t, socket: socket, stop: cancel, code: make(chan int, 1)}
	serving, writer := io.Pipe()
	args = append([]string{"--listen=unix://" + socket, "--engine=tcp://" + e.Listener.Addr().String()}, args...)
	go func() {
		p.code <- run(ctx, args, nil, io.Discard, io.MultiWriter(&p.log, writer))
		_ = writer.Close()
	}()
	lines := bufio.NewReader(serving)
	said, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, said, `"msg":"serving"`, "in JSON")
	go func() { _, _ = io.Copy(io.Discard, lines) }() // until it ends
	t.Cleanup(cancel)
	return p
}

func (p *program) ends() {
	p.t.Helper()
	p.stop()
	assert.Equal(p.t, exitOK, <-p.code)
}

// well returns what the command "health" says, and its code.
func well(t *testing.T, socket string) (int, string) {
	t.Helper()
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"health"}, []string{"TASKRUNNER_LISTEN=" + socket}, io.Discard, &stderr)
	return code, stderr.String()
}

func TestHealthIsThatOfTheGateAndOfItsEngine(t *testing.T) {
	t.Parallel()
	e, socket := newEngine(t), socketOf(t)
	code, said := well(t, socket)
	assert.Equal(t, exitError, code)
	assert.Contains(t, said, "asking the gate at "+socket)

	p := start(t, e, socket)
	code, said = well(t, socket)
	assert.Equal(t, exitOK, code, said)
	e.Close()
	code, said = well(t, socket)
	assert.Equal(t, exitError, code)
	assert.Contains(t, said, "says 502 Bad Gateway")
	p.ends()
	assert.NoFileExists(t, socket)
}

func TestTheSocketIsForWhoeverSeesIt(t *testing.T) {
	t.Parallel()
	socket := socketOf(t)
	p := start(t, newEngine(t), socket)
	info, err := os.Stat(socket)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o666), info.Mode().Perm())
	p.ends()
}

func TestTheSocketOfAGateThatDiedIsReplaced(t *testing.T) {
	t.Parallel()
	socket := socketOf(t)
	dead, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())
	require.FileExists(t, socket)
	p := start(t, newEngine(t), socket)
	code, said := well(t, socket)
	assert.Equal(t, exitOK, code, said)
	p.ends()
}

func TestWhatIsNoneOfItsSocketsIsLeftAlone(t *testing.T) {
	t.Parallel()
	inUse, file := socketOf(t), socketOf(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", inUse)
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for path, want := range map[string]string{inUse: "another process listens at", file: "is there and is no socket"} {
		var stderr bytes.Buffer
		assert.Equal(t, exitUsage, run(t.Context(), []string{"--listen", path}, nil, io.Discard, &stderr))
		assert.Contains(t, stderr.String(), want)
		assert.FileExists(t, path)
	}
}

func TestAGateThatIsStoppedWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	e, socket := newEngine(t), socketOf(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	instead(e, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		_, _ = io.WriteString(w, "{}")
	})
	p := start(t, e, socket)
	w := newWorker(t, socket)
	status := make(chan int, 1)
	go func() {
		code, _ := w.ask("POST", "/containers/"+aTask+"/wait", "")
		status <- code
	}()
	<-asked
	p.stop()
	require.Eventually(t, func() bool { // it takes nobody in any more
		c, err := dialSocket(socket)(t.Context(), "", "")
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, time.Millisecond)
	close(answer)
	assert.Equal(t, http.StatusOK, <-status)
	assert.Equal(t, exitOK, <-p.code)
	assert.Contains(t, p.log.String(), `"msg":"draining;`)
}

// actAsProgram is the variable that turns the tests' own program into a gate.
const actAsProgram = "ENGINEGATE_TEST_PROGRAM"

func TestASecondSignalEndsAGateAtOnce(t *testing.T) {
	t.Parallel()
	e, socket := newEngine(t), socketOf(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	defer close(answer)
	instead(e, func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-answer
	})
	gate := exec.CommandContext(t.Context(), os.Args[0], "--listen="+socket, "--engine=tcp://"+e.Listener.Addr().String(), "--drain-timeout=1h")
	gate.Env = append(os.Environ(), actAsProgram+"=1")
	stderr, err := gate.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, gate.Start())
	log := bufio.NewReader(stderr)
	says := func(want string) {
		line, err := log.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, want)
	}
	says(`"msg":"serving"`)
	c, err := dialSocket(socket)(t.Context(), "", "")
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST /containers/"+aTask+"/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	require.NoError(t, err)
	<-asked
	require.NoError(t, gate.Process.Signal(syscall.SIGTERM))
	says(`"msg":"draining;`)
	require.NoError(t, gate.Process.Signal(syscall.SIGTERM))
	_ = gate.Wait()
	status, ok := gate.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	assert.Equal(t, syscall.SIGTERM, status.Signal())
}

func TestLinesThatDoNotEndAreCut(t *testing.T) {
	t.Parallel()
	e, socket := newEngine(t), socketOf(t)
	instead(e, func(w http.ResponseWriter, _ *http.Request) {
		c, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 UPGRADED\r\nContent-Type: x/y\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nready")
		_, _ = io.Copy(io.Discard, both) // until it is cut
	})
	p := start(t, e, socket, "--drain-timeout=50ms")
	from := bufio.NewReader(attaching(t, socket))
	head, err := http.ReadResponse(from, nil)
	require.NoError(t, err)
	defer head.Body.Close()
	assert.Equal(t, http.StatusSwitchingProtocols, head.StatusCode)
	assert.Equal(t, "x/y", head.Header.Get("Content-Type"))
	word := make([]byte, len("ready"))
	_, err = io.ReadFull(from, word)
	require.NoError(t, err)
	assert.Equal(t, "ready", string(word))
	p.ends()
	_, err = from.ReadByte()
	assert.Error(t, err)
}
