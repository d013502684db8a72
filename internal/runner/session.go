package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/task-runner/task-runner/internal/runner/frame"
	"github.com/task-runner/task-runner/ports"
)

// The nouns of the protocol.
type (
	Request = frame.Request
	File    = frame.File
	Step    = frame.Step
	Rlimit  = frame.Rlimit
	Ready   = frame.Ready
	Sample  = frame.Sample
	Report  = frame.Result
	End     = frame.End
)

// The ends of a Report.
const (
	EndExit       = frame.EndExit
	EndSignal     = frame.EndSignal
	EndTimeout    = frame.EndTimeout
	EndOutput     = frame.EndOutput
	EndCancelled  = frame.EndCancelled
	EndNotStarted = frame.EndNotStarted
)

// The resources of an Rlimit.
const (
	RlimitFSize      = frame.RlimitFSize
	RlimitStack      = frame.RlimitStack
	RlimitCore       = frame.RlimitCore
	RlimitNoFile     = frame.RlimitNoFile
	RlimitMemlock    = frame.RlimitMemlock
	RlimitSigpending = frame.RlimitSigpending
	RlimitMsgqueue   = frame.RlimitMsgqueue
)

// Threads is how many threads a supervisor has at most; a launcher adds them to
// the sandbox's limit on processes.
const Threads = frame.Threads

// The ways in which a sandbox is lost. After any of them the launcher kills it.
var (
	// ErrProtocol says that the supervisor sent what no honest one sends.
	ErrProtocol = errors.New("supervisor broke the protocol")
	// ErrLost says that the supervisor went away before its result.
	ErrLost = errors.New("supervisor went away")
	// ErrUnresponsive says that the supervisor was silent past the time by which
	// its own timeouts must have ended the task.
	ErrUnresponsive = errors.New("supervisor does not answer")
)

const (
	// setupGrace is added to the steps' timeouts for writing files, starting,
	// killing and reaping before a supervisor counts as unresponsive.
	setupGrace = 10 * time.Second
	// cancelGrace is how long a cancelled run waits for the result.
	cancelGrace = 3 * time.Second
)

// Handlers get what a running task does, from the goroutine that called Run. Any
// of them may be nil. The time they take is not held against the supervisor: one
// that blocks stops the program's output and nothing else.
type Handlers struct {
	// Started is called when a step has started.
	Started func(step int)
	// Stdout and Stderr get pieces of the streams, valid until they return.
	Stdout, Stderr func(p []byte)
	// Sample gets the samples that were asked for.
	Sample func(Sample)
}

// Session is the conversation with one supervisor, for one task. Ready and Run
// are called by one goroutine; Close may be called by any.
type Session struct {
	stdin  io.WriteCloser
	stdout io.ReadCloser
	frames *frame.Reader

	closeStdin, closeStdout func() error
	ready                   bool
	used                    bool
}

// NewSession returns a session with the supervisor whose stdin and stdout these
// are, and owns both from then on. Closing them must unblock a Read or Write in
// progress, as it does for pipes and connections. If stdin and stdout are one
// connection, closing stdin must close its writing half only.
func NewSession(stdin io.WriteCloser, stdout io.ReadCloser) *Session {
	return &Session{
		stdin:       stdin,
		stdout:      stdout,
		frames:      frame.NewReader(stdout),
		closeStdin:  sync.OnceValue(stdin.Close),
		closeStdout: sync.OnceValue(stdout.Close),
	}
}

// Close ends the conversation. A supervisor that has not got its request exits;
// one that runs a task kills it. It may be called again, and wakes a Ready or Run.
func (s *Session) Close() error {
	return errors.Join(s.closeStdin(), s.closeStdout())
}

// Ready waits until the supervisor says that it waits for its request. After an
// error the session is of no use.
func (s *Session) Ready(ctx context.Context) (Ready, error) {
	panic("unwritten")
}

// Run sends the request and returns the report on how the task ended, by which
// time no process of it is left. It calls Ready first if nobody has.
//
// When ctx is done, Run closes the supervisor's stdin, which cancels the task, and
// waits a bounded time for the report: it returns that report (its End is
// EndCancelled unless the task had just ended) with an error matching ctx.Err().
//
// The error matches ports.ErrInvalid if the request was refused before anything
// was sent, and else ErrProtocol, ErrLost or ErrUnresponsive: the attempt is lost
// and the launcher kills the sandbox. A nil report means that none came.
func (s *Session) Run(ctx context.Context, req *Request, h Handlers) (*Report, error) {
	panic("unwritten")
}

func invalid(err error) error {
	if e, ok := errors.AsType[*frame.Error](err); ok {
		return ports.Invalid(e.Field, "%s", e.Problem)
	}
	return fmt.Errorf("encoding the request: %w", err)
}
