package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"

	"github.com/docker/go-units"

	"github.com/task-runner/task-runner/apps/internal/signals"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// The exit codes of "run" for a program that did not exit by itself. 124 and 125
// are timeout(1)'s; the rest are what a shell shows of the signal that does it.
const (
	exitTimeout        = 124
	exitInfrastructure = 125
	exitSignal         = 128
	exitOOM            = exitSignal + 9  // SIGKILL
	exitOutputLimit    = exitSignal + 25 // SIGXFSZ: file too large
)

// exitCode returns the exit code that stands for how the task ended, and what is
// to be said about it, if anything.
func exitCode(task taskrunner.Task) (code int, message string) {
	result, limits := task.Result, task.Spec.Limits
	if result == nil {
		return exitInfrastructure, "the task ended without a result"
	}
	size := func(n int64) string { return units.BytesSize(float64(n)) }
	switch result.Cause {
	case ports.CauseExit:
		if kept := limits.Output; result.Message == "" && max(result.StdoutBytes, result.StderrBytes) > kept {
			return result.ExitCode, fmt.Sprintf("output was cut after %s; --output allows more", size(kept))
		}
		return result.ExitCode, result.Message
	case ports.CauseSignal:
		code, message = exitSignal+signalNumber(result.Signal), "killed by "+result.Signal
	case ports.CauseOOM:
		code, message = exitOOM, fmt.Sprintf("out of memory (%s; --memory allows more)", size(limits.Memory))
	case ports.CauseTimeout:
		code, message = exitTimeout, "timed out"
	case ports.CauseOutputLimit:
		code, message = exitOutputLimit, fmt.Sprintf("killed for far more output than is kept (%s; --output allows more)", size(limits.Output))
	case ports.CauseCancelled:
		code, message = exitSignal+int(syscall.SIGINT), "cancelled"
	default:
		code, message = exitInfrastructure, "could not be run"
	}
	if result.Message != "" {
		message += ": " + result.Message
	}
	return code, message
}

// interrupted reports whether ctx ended, and the exit code for that.
func interrupted(ctx context.Context) (code int, ok bool) {
	if s, ok := errors.AsType[signals.Error](context.Cause(ctx)); ok {
		return exitSignal + int(s.Signal), true
	}
	return exitSignal + int(syscall.SIGINT), ctx.Err() != nil
}

// signalNumber returns Linux's number of a signal, which is where the sandbox
// runs, whatever this program runs on. An unknown one is SIGKILL.
func signalNumber(name string) int {
	for i, s := range linuxSignals {
		if s == name {
			return i + 1
		}
	}
	return 9
}

// linuxSignals are the names of signals 1 to 31, signal(7).
var linuxSignals = [...]string{
	"SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE",
	"SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT",
	"SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU",
	"SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
}

// printTask prints the task as the API shows it, by asking the API.
func printTask(ctx context.Context, w io.Writer, api http.Handler, id taskrunner.TaskID) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/v1/tasks/"+url.PathEscape(string(id)), nil)
	if err != nil {
		return err
	}
	answer := &answer{header: http.Header{}, status: http.StatusOK}
	api.ServeHTTP(answer, r)
	if answer.status != http.StatusOK {
		return fmt.Errorf("reading the result: status %d: %s", answer.status, answer.body.Bytes())
	}
	var out bytes.Buffer
	if err := json.Indent(&out, answer.body.Bytes(), "", "  "); err != nil {
		return fmt.Errorf("reading the result: %w", err)
	}
	_, err = fmt.Fprintln(w, string(bytes.TrimSpace(out.Bytes())))
	return err
}

// answer is an http.ResponseWriter that keeps what it is given.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
