package frame

import (
	"time"
	"unicode/utf8"

	"github.com/task-runner/task-runner/internal/cgroup"
)

// Threads is how many threads of its own a supervisor comes to have, and
// Ready.Threads what it has in fact. It makes them before it is ready and none
// after, so that a program which uses up every process the sandbox may have cannot
// stop it. A launcher adds them to the limit on processes.
const Threads = 8

// UsualThreads is how many it has nearly always.
const UsualThreads = Threads - 1

// MaxMessage is the greatest length of Result.Message in bytes.
const MaxMessage = 1024

// Ready is what a supervisor says when it waits for its request.
type Ready struct {
	// Threads is how many threads it has.
	Threads int
	// Counters are those of its control group, as they are seen from inside, at
	// that moment. Whatever made the sandbox may have been counted there before, so
	// that a launcher without a view from outside takes them off the result's.
	Counters cgroup.Counters
}

// Sample is one look at the control group.
type Sample struct {
	// At is the time since the first step's start.
	At time.Duration
	// CPU is all CPU time used so far; nil if unknown.
	CPU *time.Duration
	// Memory is the memory in bytes held now; nil if unknown.
	Memory *int64
}

// End is why a task ended.
type End uint8

// The ends.
const (
	// EndExit: the last step that ran exited with ExitCode.
	EndExit End = iota + 1
	// EndSignal: it was killed by Signal, which the supervisor did not send.
	EndSignal
	// EndTimeout: it ran for longer than its timeout and was killed.
	EndTimeout
	// EndOutput: it wrote more than OutputKill bytes to a stream.
	EndOutput
	// EndCancelled: the launcher closed the supervisor's stdin.
	EndCancelled
	// EndNotStarted: the files could not be written or the step could not be
	// started; Message says why.
	EndNotStarted
)

// Result is how the task ended: by then no process of it is left.
type Result struct {
	End End
	// Step is the index of the last step that ran, or that could not be started.
	Step int
	// ExitCode is the step's exit code; -1 if it did not exit by itself.
	ExitCode int
	// Signal is the number of the signal that ended it; 0 if none did.
	Signal int
	// Message says why a step could not be started, in words for the user.
	Message string
	// Wall is the time from the first step's start to the last one's end.
	Wall time.Duration
	// CPU is the user and system time of all processes that the supervisor
	// reaped. Where the control group's own counter can be had it is the better
	// one: a process that ignores SIGCHLD hides its children's time from this one.
	CPU time.Duration
	// MaxRSS is the greatest resident size in bytes that any process which the
	// supervisor reaped had; 0 if there was none. It is never below the
	// supervisor's own, a few MB, which a process has until it becomes a program.
	MaxRSS int64
	// StdoutBytes and StderrBytes count what was written to the streams, also
	// what was not forwarded.
	StdoutBytes, StderrBytes int64
	// Counters are those of the control group as it is seen from inside.
	Counters cgroup.Counters
}

// AppendReady appends the frame of r to b.
func AppendReady(b []byte, r Ready) []byte {
	return appendFrame(b, TypeReady, func(e *encoder) {
		e.u16(Version)
		e.u16(uint16(r.Threads))
		counters(e, r.Counters)
	})
}

// ParseReady decodes the payload of a TypeReady.
func ParseReady(payload []byte) (Ready, error) {
	d := decoder{b: payload}
	if v := d.u16(); d.err == nil && v != Version {
		return Ready{}, &Error{"ready", "is of an unknown version"}
	}
	r := Ready{Threads: int(d.u16()), Counters: takeCounters(&d)}
	switch {
	case d.err != nil:
	case r.Threads == 0:
		d.fail("has no threads")
	case negativeCounters(r.Counters):
		d.fail("has a negative value")
	}
	if err := d.end(); err != nil {
		return Ready{}, err
	}
	return r, nil
}

// AppendStarted appends the frame that says that a step has started.
func AppendStarted(b []byte, step int) []byte {
	return appendFrame(b, TypeStarted, func(e *encoder) { e.u8(byte(step)) })
}

// ParseStarted decodes the payload of a TypeStarted.
func ParseStarted(payload []byte) (step int, err error) {
	d := decoder{b: payload}
	step = int(d.u8())
	if step >= MaxSteps {
		d.fail("has a step that cannot be")
	}
	if err := d.end(); err != nil {
		return 0, err
	}
	return step, nil
}

// ParseData checks the payload of a TypeStdout or TypeStderr, which is the data
// itself: at least one byte.
func ParseData(payload []byte) ([]byte, error) {
	if len(payload) == 0 || len(payload) > MaxData {
		return nil, &Error{"data", "must be 1 byte to 32 KiB"}
	}
	return payload, nil
}

// AppendSample appends the frame of s to b.
func AppendSample(b []byte, s Sample) []byte {
	return appendFrame(b, TypeSample, func(e *encoder) {
		e.i64(int64(s.At))
		optional(e, s.CPU)
		optional(e, s.Memory)
	})
}

// ParseSample decodes the payload of a TypeSample.
func ParseSample(payload []byte) (Sample, error) {
	d := decoder{b: payload}
	s := Sample{
		At:     time.Duration(d.i64()),
		CPU:    takeOptional[time.Duration](&d),
		Memory: takeOptional[int64](&d),
	}
	if s.At < 0 || negative(s.CPU) || negative(s.Memory) {
		d.fail("has a negative value")
	}
	if err := d.end(); err != nil {
		return Sample{}, err
	}
	return s, nil
}

// AppendResult appends the frame of r to b. A message that is too long is cut.
func AppendResult(b []byte, r *Result) []byte {
	return appendFrame(b, TypeResult, func(e *encoder) {
		e.u8(byte(r.End))
		e.u8(byte(r.Step))
		e.u16(uint16(r.ExitCode + 1))
		e.u8(byte(r.Signal))
		e.string(cut(r.Message, MaxMessage))
		e.i64(int64(r.Wall))
		e.i64(int64(r.CPU))
		e.i64(r.MaxRSS)
		e.i64(r.StdoutBytes)
		e.i64(r.StderrBytes)
		counters(e, r.Counters)
	})
}

// ParseResult decodes the payload of a TypeResult.
func ParseResult(payload []byte) (*Result, error) {
	d := decoder{b: payload}
	r := &Result{
		End:         End(d.u8()),
		Step:        int(d.u8()),
		ExitCode:    int(d.u16()) - 1,
		Signal:      int(d.u8()),
		Message:     d.string(MaxMessage),
		Wall:        time.Duration(d.i64()),
		CPU:         time.Duration(d.i64()),
		MaxRSS:      d.i64(),
		StdoutBytes: d.i64(),
		StderrBytes: d.i64(),
		Counters:    takeCounters(&d),
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Result) validate() error {
	switch {
	case r.End < EndExit || r.End > EndNotStarted:
		return &Error{"result", "has an end that does not exist"}
	case r.Step >= MaxSteps:
		return &Error{"result", "has a step that cannot be"}
	case r.ExitCode > 255 || r.Signal > 64:
		return &Error{"result", "has an exit code or a signal that does not exist"}
	case r.ExitCode >= 0 && r.Signal > 0:
		return &Error{"result", "has both an exit code and a signal"}
	case r.End == EndExit && r.ExitCode < 0, r.End == EndSignal && r.Signal == 0:
		return &Error{"result", "lacks its exit code or signal"}
	case !utf8.ValidString(r.Message):
		return &Error{"result", "has a message that is not UTF-8"}
	case r.End == EndNotStarted && r.Message == "":
		return &Error{"result", "lacks its message"}
	case r.Wall < 0, r.CPU < 0, r.MaxRSS < 0, r.StdoutBytes < 0, r.StderrBytes < 0, negativeCounters(r.Counters):
		return &Error{"result", "has a negative value"}
	}
	return nil
}

// cut returns at most n bytes of s, without a part of a character at the end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func counters(e *encoder, c cgroup.Counters) {
	optional(e, c.CPU)
	optional(e, c.Memory)
	optional(e, c.PeakMemory)
	optional(e, c.OOMKills)
}

func takeCounters(d *decoder) cgroup.Counters {
	return cgroup.Counters{
		CPU:        takeOptional[time.Duration](d),
		Memory:     takeOptional[int64](d),
		PeakMemory: takeOptional[int64](d),
		OOMKills:   takeOptional[int64](d),
	}
}

func negative[T ~int64](v *T) bool { return v != nil && *v < 0 }

func negativeCounters(c cgroup.Counters) bool {
	return negative(c.CPU) || negative(c.Memory) || negative(c.PeakMemory) || negative(c.OOMKills)
}

func appendFrame(b []byte, t Type, payload func(*encoder)) []byte {
	start := len(b)
	e := encoder{append(b, make([]byte, HeaderSize)...)}
	payload(&e)
	PutHeader(e.b[start:], t, len(e.b)-start-HeaderSize)
	return e.b
}
