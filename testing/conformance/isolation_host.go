package conformance

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// isoHost is what the host has and no sandbox may reach: a process, a file, and
// listeners of all sorts. They belong to this test, so that a sandbox that does
// not hold does no harm.
type isoHost struct {
	canary     string
	pid        int
	file       string
	port       int
	socketFile string
	// touched counts who reached a listener.
	touched atomic.Int32
}

func newIsoHost(t *testing.T) *isoHost {
	t.Helper()
	h := &isoHost{canary: "canary-" + execThisTest}

	// A process that waits for this test, with the canary among its arguments.
	cmd := exec.Command("/bin/sh", "-c", "read -r line", h.canary)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	h.pid = cmd.Process.Pid

	dir := t.TempDir()
	h.file = filepath.Join(dir, h.canary)
	require.NoError(t, os.WriteFile(h.file, []byte(h.canary), 0o644))
	require.NoError(t, os.Chmod(dir, 0o755))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.port = listener.Addr().(*net.TCPAddr).Port
	h.serve(t, listener)
	if six, err := net.Listen("tcp", net.JoinHostPort("::1", strconv.Itoa(h.port))); err == nil {
		h.serve(t, six)
	}
	udp, err := net.ListenPacket("udp", listener.Addr().String())
	require.NoError(t, err)
	h.serve(t, udp)
	abstract, err := net.Listen("unix", "@"+h.canary)
	require.NoError(t, err)
	h.serve(t, abstract)
	sockets, err := os.MkdirTemp("", "iso-") //nolint:usetesting // a socket's path is short, the test's own folder's may not be
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	h.socketFile = filepath.Join(sockets, "socket")
	named, err := net.Listen("unix", h.socketFile)
	require.NoError(t, err)
	h.serve(t, named)
	return h
}

// serve counts who reaches the listener, until the test ends.
func (h *isoHost) serve(t *testing.T, l io.Closer) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			switch l := l.(type) {
			case net.Listener:
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			case net.PacketConn:
				if _, _, err := l.ReadFrom(make([]byte, 1)); err != nil {
					return
				}
			}
			h.touched.Add(1)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

// env tells the attack programs where everything is.
func (h *isoHost) env() map[string]string {
	return map[string]string{
		"HOST_CANARY":      h.canary,
		"HOST_PID":         strconv.Itoa(h.pid),
		"HOST_FILE":        h.file,
		"HOST_PORT":        strconv.Itoa(h.port),
		"HOST_SOCKET":      h.canary,
		"HOST_SOCKET_FILE": h.socketFile,
	}
}

// check demands that nobody has been here.
func (h *isoHost) check(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(h.file)
	require.NoError(t, err)
	assert.Equal(t, h.canary, string(content), "a file of the host was changed")
	assert.Zero(t, h.touched.Load(), "somebody reached a listener of the host")
}
