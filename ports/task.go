package ports

import (
	"maps"
	"slices"
	"time"
)

// TaskID identifies a task everywhere. Task Runner makes UUIDs of version 7 in
// their canonical form (36 characters, lower case), which sort by creation time.
type TaskID string

// MaxIDLen is the greatest length of a TaskID in bytes.
const MaxIDLen = 128

// Validate returns a *FieldError unless id has 1 to MaxIDLen bytes, each a
// printable ASCII character other than space.
func (id TaskID) Validate() error {
	if id == "" {
		return Invalid("task_id", "must not be empty")
	}
	if len(id) > MaxIDLen {
		return Invalid("task_id", "must be at most %d bytes long", MaxIDLen)
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return Invalid("task_id", "must consist of printable ASCII characters")
		}
	}
	return nil
}

// Spec says what to run. The zero value of every optional field means "the
// operator's default"; a stored Spec has all of them filled in.
type Spec struct {
	// Language is the name or an alias of a configured Language. Required.
	Language string
	// Code is the text of the program's one source file, stored under the
	// language's source name. Exactly one of Code and Files is given.
	Code string
	// Files are the program's files, placed in the work folder.
	Files []File
	// Entrypoint is the path of the file in Files that is run. It may be left out
	// when Files has one file, or has one with the language's source name.
	Entrypoint string
	// Args are given to the program after its own name.
	Args []string
	// Stdin is what the program reads on its standard input, then end of file.
	Stdin []byte
	// Env adds to the environment of the program, over the language's own.
	Env map[string]string
	// Limits bound the task. A zero field means the operator's default.
	Limits Limits
	// Network gives the program a network. It is refused unless the operator
	// allows it.
	Network bool
	// Queue names the queue that the task waits in. Default: DefaultQueue.
	Queue string
	// Priority orders the tasks that wait in one queue: higher first, equal ones
	// in order of arrival. From -MaxPriority to MaxPriority, default 0.
	Priority int
	// MaxAttempts bounds how often the task is started when a worker or a
	// sandbox is lost. A program that ran to its end, however badly, is never
	// tried again. From 1 to 10, default DefaultMaxAttempts.
	MaxAttempts int
	// Labels are the caller's own marks, for List.
	Labels map[string]string
	// IdempotencyKey makes a repeated submission return the first one's task. It
	// is unique for an owner, for as long as the task is kept.
	IdempotencyKey string
}

// DefaultQueue is the name of the queue of a Spec that names none.
const DefaultQueue = "default"

// DefaultMaxAttempts is the MaxAttempts of a Spec that has none.
const DefaultMaxAttempts = 3

// File is one file of a program.
type File struct {
	// Path is relative to the work folder, with forward slashes, clean: no empty
	// element, no "." or "..".
	Path string
	// Content is the file's bytes.
	Content []byte
}

// Limits bound what one task may use. Each is enforced by the kernel or by the
// sandbox's supervisor; an executor that cannot enforce one refuses to run.
type Limits struct {
	// CPU is the processor share in cores: 0.5 is half of one core.
	CPU float64
	// Memory is the most memory in bytes that all processes of the task hold
	// together, files on its in-memory disk included. There is no swap.
	Memory int64
	// Timeout is the wall-clock time from the program's start to its kill. A
	// language's compile step has a timeout of its own.
	Timeout time.Duration
	// PIDs is the greatest number of processes and threads at once.
	PIDs int
	// Output is how many bytes of each of stdout and stderr are kept. What
	// comes after is counted and dropped; a program that writes more than
	// OutputKillFactor times this much to either is killed.
	Output int64
	// Disk is the size in bytes of all that the program can write to files.
	Disk int64
}

// OutputKillFactor is how many times Limits.Output a program may write to one of
// its streams before it is killed with CauseOutputLimit.
const OutputKillFactor = 4

// Task is the record of one submission, kept by a Store.
type Task struct {
	ID TaskID
	// Owner is who the task belongs to; empty until access control exists. It is
	// part of every key that must be private.
	Owner  string
	Spec   Spec
	Status Status
	// Attempt counts the starts: 0 until a worker has claimed the task, then from 1.
	Attempt int
	// Version grows by one with every Update; it is what Update compares.
	Version int64
	// CancelRequestedAt is when somebody asked for a cancel; zero if nobody did.
	CancelRequestedAt time.Time
	// Result is set exactly when Status is terminal. A task that was cancelled
	// while it waited has one with CauseCancelled and no usage.
	Result *Result
	// CreatedAt is when the task was accepted, StartedAt when its last attempt
	// started, FinishedAt when it became terminal; zero if that has not happened.
	CreatedAt, StartedAt, FinishedAt time.Time
	// TraceParent is the W3C traceparent of the submission, of version 00 and so of
	// 55 bytes, by which the trace of a request goes on where its task is run; empty
	// if it was not traced. Nothing is decided by it.
	TraceParent string
}

// Clone returns a deep copy of t.
func (t Task) Clone() Task {
	t.Spec = t.Spec.Clone()
	t.Result = t.Result.Clone()
	return t
}

// Clone returns a deep copy of s.
func (s Spec) Clone() Spec {
	s.Files = slices.Clone(s.Files)
	for i := range s.Files {
		s.Files[i].Content = slices.Clone(s.Files[i].Content)
	}
	s.Args = slices.Clone(s.Args)
	s.Stdin = slices.Clone(s.Stdin)
	s.Env = maps.Clone(s.Env)
	s.Labels = maps.Clone(s.Labels)
	return s
}

// Status is where a task is in its life:
//
//	queued -> running -> succeeded | failed | timed_out | cancelled
//	queued -> cancelled
//	queued | running -> failed      (given up after MaxAttempts lost attempts)
//	running -> queued               (the attempt was lost and another one follows)
type Status string

// The statuses. Their text is what APIs show and stores keep.
const (
	StatusQueued    Status = "queued"
	StatusRunning   Status = "running"
	StatusSucceeded Status = "succeeded"
	StatusFailed    Status = "failed"
	StatusTimedOut  Status = "timed_out"
	StatusCancelled Status = "cancelled"
)

// Statuses lists every status in the order of a task's life.
func Statuses() []Status {
	return []Status{StatusQueued, StatusRunning, StatusSucceeded, StatusFailed, StatusTimedOut, StatusCancelled}
}

// Terminal reports whether s is final: a task never leaves a terminal status.
func (s Status) Terminal() bool {
	switch s {
	case StatusSucceeded, StatusFailed, StatusTimedOut, StatusCancelled:
		return true
	}
	return false
}

// Cause is why a task ended.
type Cause string

// The causes.
const (
	// CauseExit: the program, or its compiler, exited by itself; see ExitCode.
	CauseExit Cause = "exit"
	// CauseSignal: a signal killed the program; see Signal.
	CauseSignal Cause = "signal"
	// CauseOOM: the kernel killed a process of the task for want of memory (its
	// cgroup counted an oom_kill) and the program did not end by itself with
	// exit code 0. An exit code of 137 alone is never CauseOOM.
	CauseOOM Cause = "oom"
	// CauseTimeout: the program ran for longer than Limits.Timeout, or its
	// compile step for longer than the language allows.
	CauseTimeout Cause = "timeout"
	// CauseOutputLimit: it wrote more than OutputKillFactor x Limits.Output.
	CauseOutputLimit Cause = "output_limit"
	// CauseCancelled: somebody cancelled the task.
	CauseCancelled Cause = "cancelled"
	// CauseInfrastructure: not the program's fault: every attempt was lost, or
	// no executor here can run it.
	CauseInfrastructure Cause = "infrastructure"
)

// Outcome is how a run ended, as an Executor saw it.
type Outcome struct {
	Cause Cause
	// ExitCode is the program's exit code when Cause is CauseExit, else -1.
	ExitCode int
	// Signal is the name of the signal that ended the program ("SIGSEGV"), also
	// where it was the sandbox that sent it; empty if none did.
	Signal string
	// Message is a sentence for the user about a cause that needs one, such as a
	// failed compile step or what was lost; empty otherwise.
	Message string
	// StdoutBytes and StderrBytes count everything the program wrote, kept or not.
	StdoutBytes, StderrBytes int64
	Usage                    Usage
}

// Result is an Outcome with the output that is kept in the record itself.
type Result struct {
	Outcome
	Stdout, Stderr Output
}

// Clone returns a deep copy of r; nil if r is nil.
func (r *Result) Clone() *Result {
	if r == nil {
		return nil
	}
	c := *r
	c.Usage = r.Usage.Clone()
	c.Stdout, c.Stderr = r.Stdout.Clone(), r.Stderr.Clone()
	return &c
}

// Output is what the record keeps of one stream: its first and its last bytes.
type Output struct {
	// Head is the first bytes of the stream and Tail the last ones, when those
	// are not part of Head already. Between them are
	// Bytes - len(Head) - len(Tail) bytes, none if Truncated is false.
	Head, Tail []byte
	// Bytes is how many bytes the program wrote.
	Bytes int64
	// Truncated reports that bytes are missing between Head and Tail, or after
	// them where the limit on output cut the stream.
	Truncated bool
}

// Clone returns a deep copy of o.
func (o Output) Clone() Output {
	o.Head, o.Tail = slices.Clone(o.Head), slices.Clone(o.Tail)
	return o
}

// Usage is what a task used, all processes of it together. A figure is exact
// (counters of the kernel, not a poll) or nil where none can be had; unknown is
// never 0.
type Usage struct {
	// CPUTime is user and system time.
	CPUTime *time.Duration
	// WallTime is from the first step's start to the program's end.
	WallTime *time.Duration
	// PeakMemory is the greatest memory in bytes held at any moment.
	PeakMemory *int64
	// Samples show the course, oldest first; at most MaxSamples.
	Samples []Sample
}

// Clone returns a deep copy of u.
func (u Usage) Clone() Usage {
	u.CPUTime, u.WallTime, u.PeakMemory = clonePtr(u.CPUTime), clonePtr(u.WallTime), clonePtr(u.PeakMemory)
	u.Samples = slices.Clone(u.Samples)
	return u
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// Samples are taken every SampleInterval; when MaxSamples are kept, every other
// one is dropped and the interval doubles.
const (
	SampleInterval = 250 * time.Millisecond
	MaxSamples     = 600
)

// Sample is one look at a running task.
type Sample struct {
	// At is the time since the first step's start.
	At time.Duration
	// CPU is the mean number of cores used since the sample before.
	CPU float64
	// Memory is the memory in bytes held now.
	Memory int64
}
