package httpapi

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// This file has the shape of tasks in JSON, and is the only one that converts
// between it and the core's nouns.

// Spec is what to run: the body of a submission, and part of a Task, with all
// defaults filled in and such that it can be submitted again.
type Spec struct {
	_ struct{} `additionalProperties:"false"`

	Language    string            `json:"language" doc:"A language's name or alias." example:"python"`
	Code        string            `json:"code,omitempty" doc:"The program's one source file. Give either this or files." example:"print('hello')"`
	Files       []File            `json:"files,omitempty" nullable:"false" doc:"The program's files. Give either this or code."`
	Entrypoint  string            `json:"entrypoint,omitempty" doc:"The file that is run. Default: the only one, or the one with the language's source name."`
	Args        []string          `json:"args,omitempty" nullable:"false" doc:"Arguments of the program."`
	Stdin       string            `json:"stdin,omitempty" doc:"What the program reads on its standard input."`
	StdinBase64 string            `json:"stdin_base64,omitempty" contentEncoding:"base64" doc:"The same for input that is not UTF-8."`
	Env         map[string]string `json:"env,omitempty" doc:"Additions to the environment."`
	CPULimit    *float64          `json:"cpu_limit,omitempty" exclusiveMinimum:"0" doc:"Processor share in cores." example:"1"`
	MemoryLimit *Size             `json:"memory_limit,omitempty" doc:"Memory of all processes together, in bytes or as Docker writes it."`
	Timeout     *float64          `json:"timeout,omitempty" exclusiveMinimum:"0" doc:"Seconds until the program is killed; fractions are allowed." example:"30"`
	PIDsLimit   *int              `json:"pids_limit,omitempty" minimum:"1" doc:"Processes and threads at once."`
	OutputLimit *Size             `json:"output_limit,omitempty" doc:"How much of each of stdout and stderr is kept, in bytes or as Docker writes it."`
	DiskLimit   *Size             `json:"disk_limit,omitempty" doc:"What the program can write to files, in bytes or as Docker writes it."`
	Network     bool              `json:"network" required:"false" doc:"Give the program a network. Refused unless the operator allows it."`
	Queue       string            `json:"queue,omitempty" doc:"The queue to wait in." example:"default"`
	Priority    int               `json:"priority" required:"false" minimum:"-100" maximum:"100" doc:"Higher ones run first."`
	MaxAttempts *int              `json:"max_attempts,omitempty" minimum:"1" doc:"How often the task is started when a worker is lost. A program that ended is never tried again."`
	Labels      map[string]string `json:"labels,omitempty" doc:"The caller's own marks, which lists can be filtered by."`
}

// File is one file of a program.
type File struct {
	_ struct{} `additionalProperties:"false"`

	Path          string  `json:"path" doc:"Relative, with forward slashes, without . and .." example:"pkg/util.py"`
	Content       *string `json:"content,omitempty" doc:"The file's text. Give either this or content_base64."`
	ContentBase64 *string `json:"content_base64,omitempty" contentEncoding:"base64" doc:"The file's bytes."`
}

// Accepted is the answer to a submission.
type Accepted struct {
	TaskID string `json:"task_id" example:"0199b2a0-5c1e-7c3a-9f6e-2b7d9a1c4e50"`
	Status string `json:"status" enum:"queued,running,succeeded,failed,timed_out,cancelled"`
}

// TaskSummary is a task in a list.
type TaskSummary struct {
	Accepted
	Cause    *string `json:"cause" nullable:"true" doc:"Why the task ended: exit, signal, oom, timeout, output_limit, cancelled or infrastructure; null until then." example:"exit"`
	ExitCode *int    `json:"exit_code" doc:"The program's exit code; null unless cause is exit." example:"0"`
	Signal   *string `json:"signal" doc:"The signal that ended the program; null if none did."`
	Message  *string `json:"message" doc:"A sentence about a cause that needs one, such as a failed compile step."`
	Attempt  int     `json:"attempt" doc:"How often the task was started." example:"1"`

	Language string            `json:"language" example:"python"`
	Queue    string            `json:"queue" example:"default"`
	Priority int               `json:"priority"`
	Labels   map[string]string `json:"labels,omitempty"`

	CreatedAt         *Time `json:"created_at"`
	StartedAt         *Time `json:"started_at" nullable:"true" doc:"When the last attempt started."`
	FinishedAt        *Time `json:"finished_at" nullable:"true"`
	CancelRequestedAt *Time `json:"cancel_requested_at" nullable:"true"`

	Usage Usage `json:"usage"`
}

// Task is one task whole.
type Task struct {
	TaskSummary
	Spec Spec `json:"spec"`

	Stdout          string `json:"stdout" doc:"What the program wrote to stdout, as valid UTF-8; of long output the beginning and the end."`
	StdoutBytes     int64  `json:"stdout_bytes" doc:"How many bytes it wrote."`
	StdoutTruncated bool   `json:"stdout_truncated" doc:"Whether stdout lacks some of them; the whole log has all that is kept."`
	Stderr          string `json:"stderr" doc:"The same for stderr."`
	StderrBytes     int64  `json:"stderr_bytes"`
	StderrTruncated bool   `json:"stderr_truncated"`
}

// Usage is what a task used. A figure is exact, or null where none can be had.
type Usage struct {
	CPUTimeMS       *float64 `json:"cpu_time_ms" doc:"User and system time in milliseconds."`
	WallTimeMS      *float64 `json:"wall_time_ms"`
	PeakMemoryBytes *int64   `json:"peak_memory_bytes"`
}

// Metrics is what a task used, with its course.
type Metrics struct {
	Accepted
	Usage
	Samples []Sample `json:"samples" nullable:"false" doc:"Looks at the running program, oldest first; of long runs fewer. Empty until the task is finished: the stream has them live."`
}

// Sample is one look at a running program.
type Sample struct {
	AtMS        float64 `json:"at_ms" doc:"Milliseconds since the start."`
	CPUPercent  float64 `json:"cpu_percent" doc:"The mean since the sample before; 100 is one core."`
	MemoryBytes int64   `json:"memory_bytes"`
}

// Time is RFC 3339 with milliseconds, in UTC.
type Time time.Time

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05.000Z07:00")), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Time) UnmarshalText(text []byte) error { return (*time.Time)(t).UnmarshalText(text) }

// Schema implements huma.SchemaProvider.
func (*Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-10-05T12:30:00.125Z"}}
}

func timeOf(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return new(Time(t))
}

// toSpec returns the core's Spec of s. What s says wrongly is in issues.
func (s *Spec) toSpec() (spec taskrunner.Spec, issues []FieldIssue) {
	bad := func(field, message string, args ...any) {
		issues = append(issues, FieldIssue{Field: field, Message: fmt.Sprintf(message, args...)})
	}
	spec = taskrunner.Spec{
		Language: s.Language, Code: s.Code, Entrypoint: s.Entrypoint, Args: s.Args, Stdin: []byte(s.Stdin),
		Env: s.Env, Network: s.Network, Queue: s.Queue, Priority: s.Priority, Labels: s.Labels,
	}
	if s.StdinBase64 != "" {
		if s.Stdin != "" {
			bad("stdin_base64", "must not be given together with stdin")
		}
		stdin, err := decodeBase64(s.StdinBase64)
		if err != nil {
			bad("stdin_base64", "%v", err)
		}
		spec.Stdin = stdin
	}
	for i, f := range s.Files {
		file := taskrunner.File{Path: f.Path}
		switch field := fmt.Sprintf("files[%d]", i); {
		case (f.Content == nil) == (f.ContentBase64 == nil):
			bad(field, "must have either content or content_base64")
		case f.Content != nil:
			file.Content = []byte(*f.Content)
		default:
			content, err := decodeBase64(*f.ContentBase64)
			if err != nil {
				bad(field+".content_base64", "%v", err)
			}
			file.Content = content
		}
		spec.Files = append(spec.Files, file)
	}

	// The core takes zero for "the default", which here is said by absence.
	positive(bad, "cpu_limit", s.CPULimit, &spec.Limits.CPU)
	positive(bad, "memory_limit", s.MemoryLimit, (*Size)(&spec.Limits.Memory))
	positive(bad, "pids_limit", s.PIDsLimit, &spec.Limits.PIDs)
	positive(bad, "output_limit", s.OutputLimit, (*Size)(&spec.Limits.Output))
	positive(bad, "disk_limit", s.DiskLimit, (*Size)(&spec.Limits.Disk))
	positive(bad, "max_attempts", s.MaxAttempts, &spec.MaxAttempts)
	var seconds float64
	positive(bad, "timeout", s.Timeout, &seconds)
	switch ns := seconds * float64(time.Second); {
	case seconds == 0:
	case ns < float64(time.Millisecond):
		bad("timeout", "must be at least 0.001")
	case ns > maxSize:
		bad("timeout", "is too large")
	default:
		spec.Limits.Timeout = time.Duration(math.Round(ns))
	}
	return spec, issues
}

// positive sets to from a value that was given, which has to be above zero.
func positive[T ~int | ~int64 | ~float64](bad func(string, string, ...any), field string, given, to *T) {
	switch {
	case given == nil:
	case *given > 0:
		*to = *given
	default:
		bad(field, "must be greater than 0")
	}
}

func decodeBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, badValue("must be standard base64 with padding")
	}
	return b, nil
}

func specOf(s taskrunner.Spec) Spec {
	spec := Spec{
		Language: s.Language, Code: s.Code, Entrypoint: s.Entrypoint, Args: s.Args, Env: s.Env,
		CPULimit:    &s.Limits.CPU,
		MemoryLimit: (*Size)(&s.Limits.Memory),
		Timeout:     new(s.Limits.Timeout.Seconds()),
		PIDsLimit:   &s.Limits.PIDs,
		OutputLimit: (*Size)(&s.Limits.Output),
		DiskLimit:   (*Size)(&s.Limits.Disk),
		Network:     s.Network, Queue: s.Queue, Priority: s.Priority, MaxAttempts: &s.MaxAttempts, Labels: s.Labels,
	}
	if utf8.Valid(s.Stdin) {
		spec.Stdin = string(s.Stdin)
	} else {
		spec.StdinBase64 = base64.StdEncoding.EncodeToString(s.Stdin)
	}
	for _, f := range s.Files {
		file := File{Path: f.Path}
		if utf8.Valid(f.Content) {
			file.Content = new(string(f.Content))
		} else {
			file.ContentBase64 = new(base64.StdEncoding.EncodeToString(f.Content))
		}
		spec.Files = append(spec.Files, file)
	}
	return spec
}

func acceptedOf(t taskrunner.Task) Accepted {
	return Accepted{TaskID: string(t.ID), Status: string(t.Status)}
}

func summaryOf(t taskrunner.Task) TaskSummary {
	s := TaskSummary{
		Accepted: acceptedOf(t), Attempt: t.Attempt,
		Language: t.Spec.Language, Queue: t.Spec.Queue, Priority: t.Spec.Priority, Labels: t.Spec.Labels,
		CreatedAt: timeOf(t.CreatedAt), StartedAt: timeOf(t.StartedAt), FinishedAt: timeOf(t.FinishedAt),
		CancelRequestedAt: timeOf(t.CancelRequestedAt),
	}
	if r := t.Result; r != nil {
		s.Cause, s.ExitCode, s.Signal = outcomeOf(r.Cause, r.ExitCode, r.Signal)
		s.Message = orNull(toText([]byte(r.Message)))
		s.Usage = usageOf(r.Usage)
	}
	return s
}

// outcomeOf returns what a task and the end of a stream say alike.
func outcomeOf(c taskrunner.Cause, code int, sig string) (cause *string, exitCode *int, signal *string) {
	if c == ports.CauseExit {
		exitCode = &code
	}
	return orNull(string(c)), exitCode, orNull(sig)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func taskOf(t taskrunner.Task) Task {
	task := Task{TaskSummary: summaryOf(t), Spec: specOf(t.Spec)}
	if r := t.Result; r != nil {
		task.Stdout, task.StdoutBytes, task.StdoutTruncated = inline(r.Stdout), r.Stdout.Bytes, r.Stdout.Truncated
		task.Stderr, task.StderrBytes, task.StderrTruncated = inline(r.Stderr), r.Stderr.Bytes, r.Stderr.Truncated
	}
	return task
}

// inline returns the output kept in a record as one text. What is missing is
// replaced by a line that says how much that is.
func inline(o taskrunner.Output) string {
	if !o.Truncated {
		return toText(slices.Concat(o.Head, o.Tail))
	}
	// A character that was cut is left out too.
	head, tail := o.Head[:len(o.Head)-cutRune(o.Head)], o.Tail
	for i := 0; i < utf8.UTFMax-1 && len(tail) > 0 && !utf8.RuneStart(tail[0]); i++ {
		tail = tail[1:]
	}
	missing := o.Bytes - int64(len(head)) - int64(len(tail))
	return fmt.Sprintf("%s\n[... %d bytes left out ...]\n%s", toText(head), missing, toText(tail))
}

func usageOf(u taskrunner.Usage) Usage {
	usage := Usage{PeakMemoryBytes: u.PeakMemory}
	if u.CPUTime != nil {
		usage.CPUTimeMS = new(milliseconds(*u.CPUTime))
	}
	if u.WallTime != nil {
		usage.WallTimeMS = new(milliseconds(*u.WallTime))
	}
	return usage
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func metricsOf(t taskrunner.Task) Metrics {
	m := Metrics{Accepted: acceptedOf(t), Samples: []Sample{}}
	if t.Result != nil {
		m.Usage = usageOf(t.Result.Usage)
		for _, s := range t.Result.Usage.Samples {
			m.Samples = append(m.Samples, sampleOf(s))
		}
	}
	return m
}

func sampleOf(s taskrunner.Sample) Sample {
	return Sample{AtMS: milliseconds(s.At), CPUPercent: math.Round(s.CPU*10000) / 100, MemoryBytes: s.Memory}
}
