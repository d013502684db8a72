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

// The nouns of the protocol; package frame documents each in full.
type (
	// Request is everything that a supervisor is told.
	Request = frame.Request
	// File is one file of the program.
	File = frame.File
	// Step is one command.
	Step = frame.Step
	// Rlimit is a resource limit.
	Rlimit = frame.Rlimit
	// Ready is what a supervisor says when it waits for its request.
	Ready = frame.Ready
	// Sample is one look at the control group.
	Sample = frame.Sample
	// Report is how the task ended.
	Report = frame.Result
	// End is why a task ended.
	End = frame.End
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

// UsualThreads is how many threads a supervisor has nearly always. A launcher adds what
// it has, Ready.Threads, to the sandbox's limit on processes.
const UsualThreads = frame.UsualThreads

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
	frames      *reader
	stdin       io.Writer
	closeStdin  func() error
	closeStdout func() error
	ready       *Ready // nil until it has come
	used        bool
}

// NewSession returns a session with the supervisor whose stdin and stdout these
// are, and owns both from then on. Closing them must unblock a Read or Write in
// progress, as it does for pipes and connections. If stdin and stdout are one
// connection, closing stdin must close its writing half only.
func NewSession(stdin io.WriteCloser, stdout io.ReadCloser) *Session {
	return &Session{
		frames:      newReader(stdout),
		stdin:       stdin,
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
// error the session is closed.
func (s *Session) Ready(ctx context.Context) (Ready, error) {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	ready, err := s.awaitReady()
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = s.Close()
		return Ready{}, fmt.Errorf("waiting for the supervisor: %w", err)
	}
	s.ready = &ready
	return ready, nil
}

func (s *Session) awaitReady() (Ready, error) {
	if s.ready != nil || s.used {
		return Ready{}, errUsed
	}
	t, payload, err := s.frames.next()
	if err != nil {
		return Ready{}, err
	}
	if t != frame.TypeReady {
		return Ready{}, violation("it did not start with Ready")
	}
	ready, err := frame.ParseReady(payload)
	if err != nil {
		return Ready{}, violation("%w", err)
	}
	return ready, nil
}

// Run sends the request and returns the report on how the task ended, by which
// time no process of it is left. It calls Ready first if nobody has.
//
// When ctx is done, Run closes the supervisor's stdin, which cancels the task, and
// waits a bounded time for the report: it returns that report (its End is
// EndCancelled unless the task had just ended) with an error matching ctx.Err().
//
// The supervisor holds the request's files in its memory until they are written,
// and Stdin until the end. A launcher adds both to the sandbox's limit on memory,
// so that the program has all of its own.
//
// The error matches ports.ErrInvalid if the request was refused before anything
// was sent, and else ErrProtocol, ErrLost or ErrUnresponsive: the attempt is lost
// and the launcher kills the sandbox. A nil report means that none came.
func (s *Session) Run(ctx context.Context, req *Request, h Handlers) (*Report, error) {
	message, err := frame.AppendRequest(nil, req)
	if err != nil {
		return nil, invalid(err)
	}
	if s.ready == nil {
		if _, err := s.Ready(ctx); err != nil {
			return nil, err
		}
	}
	if s.used {
		return nil, errUsed
	}
	s.used = true

	book := newLedger(req, *s.ready, h)
	dog := newWatchdog(patience(req), func() { _ = s.Close() })
	defer dog.pause()
	stop := context.AfterFunc(ctx, func() {
		book.cancelled.Store(true)
		_ = s.closeStdin()
		dog.shorten(cancelGrace)
	})
	report, err := s.converse(message, book, dog)
	cancelled := !stop()
	if err != nil {
		_ = s.Close()
		if dog.bit() {
			err = ErrUnresponsive
		}
	}
	switch {
	case cancelled && err != nil:
		err = fmt.Errorf("running the task: %w: %w", ctx.Err(), err)
	case cancelled:
		err = fmt.Errorf("running the task: %w", ctx.Err())
	case err != nil:
		err = fmt.Errorf("running the task: %w", err)
	}
	return report, err
}

// converse sends the request and takes frames until the report is there. The
// supervisor writes nothing before it has read the whole request, so that the two
// cannot block each other.
func (s *Session) converse(message []byte, book *ledger, dog *watchdog) (*Report, error) {
	if _, err := s.stdin.Write(message); err != nil && !book.cancelled.Load() {
		return nil, fmt.Errorf("%w while it was sent the request: %w", ErrLost, err)
	}
	for {
		t, payload, err := s.frames.next()
		if err != nil {
			return nil, err
		}
		dog.pause()
		report, err := book.enter(t, payload)
		dog.resume()
		if err != nil {
			return nil, err
		}
		if report != nil {
			if s.frames.more() {
				return nil, violation("bytes follow the result")
			}
			return report, nil
		}
	}
}

// patience is how long a supervisor may take for the request, the time that the
// launcher's handlers take not counted.
func patience(req *Request) time.Duration {
	d := setupGrace
	for i := range req.Steps {
		d += req.Steps[i].Timeout
	}
	return d
}

var errUsed = errors.New("the session was used before")

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, args...))
}

func invalid(err error) error {
	if e, ok := errors.AsType[*frame.Error](err); ok {
		return ports.Invalid(e.Field, "%s", e.Problem)
	}
	return fmt.Errorf("encoding the request: %w", err)
}
