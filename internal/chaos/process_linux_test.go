package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds the wait for what comes within seconds; it matters where something
// is broken.
const patience = 90 * time.Second

// tick is how often the facts of other processes are looked at.
const tick = 20 * time.Millisecond

// process is a process that carries out an order.
type process struct {
	order  order
	cmd    *exec.Cmd
	exited chan struct{} // closed when it was waited for
	ready  chan struct{} // closed when it says so
}

// start starts a process. Whatever becomes of the test, nothing is left of it.
func (w *world) start(o order) *process {
	w.t.Helper()
	text, err := json.Marshal(o)
	require.NoError(w.t, err)
	log, err := os.Create(filepath.Join(w.logs, o.Name))
	require.NoError(w.t, err)
	p := &process{order: o, exited: make(chan struct{}), ready: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), orderVariable+"="+string(text))
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := p.cmd.StdinPipe()
	require.NoError(w.t, err)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, p.cmd.Start())
	w.t.Cleanup(func() {
		select {
		case <-p.exited:
		default:
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-p.exited
		}
		_ = stdin.Close()
		if said := tail(filepath.Join(w.logs, o.Name)); w.t.Failed() && said != "" {
			w.t.Logf("%s said:\n%s", o.Name, said)
		}
	})
	go func() {
		defer close(p.exited)
		if line, _ := bufio.NewReader(stdout).ReadString('\n'); line == ready+"\n" {
			close(p.ready)
		}
		_ = p.cmd.Wait()
		_ = log.Close()
	}()
	return p
}

// tail returns the last lines of a file.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-40):], []byte("\n")))
}

// worker starts a worker and returns it when it claims.
func (w *world) worker(name string, change ...func(*order)) *process {
	w.t.Helper()
	p := w.start(w.orders(name, change...))
	p.awaitReady(w.t)
	return p
}

// awaitReady waits until the worker claims.
func (p *process) awaitReady(t testing.TB) {
	t.Helper()
	either := make(chan struct{})
	go func() {
		defer close(either)
		select {
		case <-p.ready:
		case <-p.exited:
		}
	}()
	await(t, either, "%s to start", p.order.Name)
	require.True(t, passed(p.ready, 0), "%s ends", p.order.Name)
}

// orders returns the order of a worker.
func (w *world) orders(name string, change ...func(*order)) order {
	o := order{
		Name: name, Servers: w.addresses, Lease: w.lease, Concurrency: 2, Journal: w.journal,
		Reconcile: 4 * time.Second,
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

// kill kills a worker at once.
func (w *world) kill(p *process) {
	w.t.Helper()
	w.faults++
	w.killed[p.order.Name] = time.Now()
	_ = p.cmd.Process.Kill()
	await(w.t, p.exited, "%s to die", p.order.Name)
}

// freeze stops the process, and thaw lets it go on.
func (p *process) freeze() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) thaw()   { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// frozen reports whether the process stands still.
func (p *process) frozen() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(after, "T")
}

// died reports whether the process has ended by SIGKILL.
func (p *process) died() bool {
	select {
	case <-p.exited:
		status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
		return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	default:
		return false
	}
}

// drain lets the process end what it has begun, and demands that it leaves nothing.
func (p *process) drain(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	await(t, p.exited, "%s to drain", p.order.Name)
	assert.Equal(t, 0, p.cmd.ProcessState.ExitCode(), "%s drains: %s", p.order.Name, p.cmd.ProcessState)
}

// await waits until a channel is closed.
func await(t testing.TB, c <-chan struct{}, what string, args ...any) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-c:
	case <-late.C:
		require.FailNow(t, "waited too long for "+fmt.Sprintf(what, args...))
	}
}

// eventually waits until a fact of another process is so.
func eventually(t testing.TB, is func() bool, what string, args ...any) {
	t.Helper()
	require.Eventually(t, is, patience, tick, append([]any{what}, args...)...)
}
