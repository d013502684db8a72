//go:build amd64 || arm64

package sandboxexec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
)

// cookie prints a number that the kernel gives to one network namespace and never
// again (SO_NETNS_COOKIE).
const cookie = "import socket; s = socket.socket(); print(int.from_bytes(s.getsockopt(socket.SOL_SOCKET, 71, 8), 'little')); s.close()\n"

func TestANetworkThatWasTouchedIsNeverUsedAgain(t *testing.T) {
	t.Parallel()
	for name, touch := range map[string]string{
		"a packet":     "u = socket.socket(type=socket.SOCK_DGRAM); u.sendto(b'x', ('127.0.0.1', 9))",
		"a connection": "l = socket.create_server(('127.0.0.1', 0)); socket.create_connection(l.getsockname())",
		"a packet that could not be sent": `
u = socket.socket(type=socket.SOCK_DGRAM)
try: u.sendto(b'x', ('203.0.113.1', 9))
except OSError: pass`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExecutorWith(t, sandboxexec.Config{Pool: 1})
			defer func() { assert.NoError(t, x.Close(t.Context())) }()
			o, touched := run(t, x, newJob(python, cookie+touch))
			require.Equal(t, 0, o.ExitCode)
			for range 6 {
				_, later := run(t, x, newJob(python, cookie))
				assert.NotEqual(t, touched, later)
			}
		})
	}
}

func TestSocketsThatKeepThemselvesAliveAreNeverMet(t *testing.T) {
	t.Parallel()
	// The kernel frees them when it finds that nobody can reach them. Until it has,
	// their network serves nobody.
	const bind = `
import socket
l = socket.create_server(('127.0.0.1', 8080))
n = socket.socket(socket.AF_UNIX); n.bind('\0name')
`
	const keep = bind + `
a, b = socket.socketpair()
socket.send_fds(a, [b'x'], [a.fileno(), b.fileno(), l.fileno(), n.fileno()])
`
	x := newExecutorWith(t, sandboxexec.Config{Pool: 1})
	defer func() { assert.NoError(t, x.Close(t.Context())) }()
	for range 6 {
		o, _ := run(t, x, newJob(python, keep))
		require.Equal(t, 0, o.ExitCode)
		o, _ = run(t, x, newJob(python, bind))
		require.Equal(t, 0, o.ExitCode, "something is left of the task before")
	}
}

func TestANetworkThatWasNotTouchedServesAgain(t *testing.T) {
	t.Parallel()
	x := newExecutorWith(t, sandboxexec.Config{Pool: 1})
	defer func() { assert.NoError(t, x.Close(t.Context())) }()
	const runs = 24
	seen := map[string]bool{}
	for range runs {
		o, out := run(t, x, newJob(python, cookie))
		require.Equal(t, ports.CauseExit, o.Cause)
		seen[strings.TrimSpace(out)] = true
	}
	assert.Less(t, len(seen), runs)
}
