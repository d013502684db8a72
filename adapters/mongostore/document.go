package mongostore

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/task-runner/task-runner/ports"
)

// schema is the newest shape of a document that this version knows.
const schema = 1

// document is a task as the database has it. All documents have all fields, null
// where there is nothing, but for pending.
type document struct {
	ID     string `bson:"_id"`
	Schema int32  `bson:"schema"`
	// Creation is another one for every call of Create. An ID may come again after a
	// Delete; a creation never does.
	Creation bson.ObjectID `bson:"creation"`
	// Pending hides a task whose idempotency key is not decided yet.
	Pending bool `bson:"pending,omitempty"`
	// Record has its fields beside these.
	Record record `bson:",inline"`
}

// record is the part of a document that an Update writes.
type record struct {
	// Write is another one for every write, by which a call knows its own again.
	Write             bson.ObjectID `bson:"write"`
	Version           int64         `bson:"version"`
	Owner             text          `bson:"owner"`
	Status            text          `bson:"status"`
	Attempt           int           `bson:"attempt"`
	CreatedAt         time.Time     `bson:"created_at"`
	StartedAt         *time.Time    `bson:"started_at"`
	FinishedAt        *time.Time    `bson:"finished_at"`
	CancelRequestedAt *time.Time    `bson:"cancel_requested_at"`
	TraceParent       text          `bson:"trace_parent"` // not in documents of before
	Spec              spec          `bson:"spec"`
	Result            *result       `bson:"result"`
}

type spec struct {
	Language       text   `bson:"language"`
	Code           text   `bson:"code"`
	Files          []file `bson:"files"`
	Entrypoint     text   `bson:"entrypoint"`
	Args           []text `bson:"args"`
	Stdin          text   `bson:"stdin"`
	Env            []pair `bson:"env"`
	Limits         limits `bson:"limits"`
	Network        bool   `bson:"network"`
	Queue          text   `bson:"queue"`
	Priority       int    `bson:"priority"`
	MaxAttempts    int    `bson:"max_attempts"`
	Labels         []pair `bson:"labels"`
	IdempotencyKey text   `bson:"idempotency_key"`
}

type file struct {
	Path    text `bson:"path"`
	Content text `bson:"content"`
}

type limits struct {
	CPU     float64 `bson:"cpu_cores"`
	Memory  int64   `bson:"memory_bytes"`
	Timeout int64   `bson:"timeout_ns"`
	PIDs    int     `bson:"pids"`
	Output  int64   `bson:"output_bytes"`
	Disk    int64   `bson:"disk_bytes"`
}

type result struct {
	Cause       text   `bson:"cause"`
	ExitCode    int    `bson:"exit_code"`
	Signal      text   `bson:"signal"`
	Message     text   `bson:"message"`
	StdoutBytes int64  `bson:"stdout_bytes"`
	StderrBytes int64  `bson:"stderr_bytes"`
	Stdout      output `bson:"stdout"`
	Stderr      output `bson:"stderr"`
	Usage       usage  `bson:"usage"`
}

type output struct {
	Head      text  `bson:"head"`
	Tail      text  `bson:"tail"`
	Bytes     int64 `bson:"bytes"`
	Truncated bool  `bson:"truncated"`
}

type usage struct {
	CPUTime    *int64   `bson:"cpu_time_ns"`
	WallTime   *int64   `bson:"wall_time_ns"`
	PeakMemory *int64   `bson:"peak_memory_bytes"`
	Samples    []sample `bson:"samples"`
}

type sample struct {
	At     int64   `bson:"at_ns"`
	CPU    float64 `bson:"cpu_cores"`
	Memory int64   `bson:"memory_bytes"`
}

// newDocument returns the document of a task that is created now.
func newDocument(t ports.Task) *document {
	t.Version = 1
	d := &document{ID: string(t.ID), Schema: schema, Creation: bson.NewObjectID(), Record: newRecord(t)}
	d.Pending = d.Record.Spec.IdempotencyKey != ""
	return d
}

func newRecord(t ports.Task) record {
	r := record{
		Write:             bson.NewObjectID(),
		Version:           t.Version,
		Owner:             text(t.Owner),
		Status:            text(t.Status),
		Attempt:           t.Attempt,
		CreatedAt:         millis(t.CreatedAt),
		StartedAt:         optional(t.StartedAt),
		FinishedAt:        optional(t.FinishedAt),
		CancelRequestedAt: optional(t.CancelRequestedAt),
		TraceParent:       text(t.TraceParent),
		Spec:              newSpec(&t.Spec),
	}
	if t.Result != nil {
		r.Result = newResult(t.Result)
	}
	return r
}

func newSpec(s *ports.Spec) spec {
	return spec{
		Language:   text(s.Language),
		Code:       text(s.Code),
		Files:      convert(s.Files, func(f ports.File) file { return file{text(f.Path), text(f.Content)} }),
		Entrypoint: text(s.Entrypoint),
		Args:       convert(s.Args, func(a string) text { return text(a) }),
		Stdin:      text(s.Stdin),
		Env:        pairs(s.Env),
		Limits: limits{
			s.Limits.CPU, s.Limits.Memory, int64(s.Limits.Timeout), s.Limits.PIDs, s.Limits.Output, s.Limits.Disk,
		},
		Network:        s.Network,
		Queue:          text(s.Queue),
		Priority:       s.Priority,
		MaxAttempts:    s.MaxAttempts,
		Labels:         pairs(s.Labels),
		IdempotencyKey: text(s.IdempotencyKey),
	}
}

func newResult(r *ports.Result) *result {
	u := &r.Usage
	return &result{
		Cause:       text(r.Cause),
		ExitCode:    r.ExitCode,
		Signal:      text(r.Signal),
		Message:     text(r.Message),
		StdoutBytes: r.StdoutBytes,
		StderrBytes: r.StderrBytes,
		Stdout:      newOutput(&r.Stdout),
		Stderr:      newOutput(&r.Stderr),
		Usage: usage{
			CPUTime:    (*int64)(u.CPUTime),
			WallTime:   (*int64)(u.WallTime),
			PeakMemory: u.PeakMemory,
			Samples:    convert(u.Samples, func(s ports.Sample) sample { return sample{int64(s.At), s.CPU, s.Memory} }),
		},
	}
}

func newOutput(o *ports.Output) output {
	return output{text(o.Head), text(o.Tail), o.Bytes, o.Truncated}
}

// decode reads a document. Fields that it does not know are a later version's and
// are ignored; a later schema is one that cannot be read without knowing it.
func decode(raw bson.Raw) (*document, error) {
	var head struct {
		ID     text  `bson:"_id"`
		Schema int32 `bson:"schema"`
	}
	if err := bson.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("decoding a task: %w", err)
	}
	if head.Schema != schema {
		return nil, fmt.Errorf("task %q is kept in schema %d and this version of Task Runner knows only %d: use a later one", head.ID, head.Schema, schema)
	}
	d := new(document)
	if err := bson.Unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("decoding task %q: %w", head.ID, err)
	}
	return d, nil
}

// task returns the task that the record is of.
func (r *record) task(id ports.TaskID) ports.Task {
	return ports.Task{
		ID:                id,
		Owner:             string(r.Owner),
		Spec:              r.Spec.ports(),
		Status:            ports.Status(r.Status),
		Attempt:           r.Attempt,
		Version:           r.Version,
		CancelRequestedAt: orZero(r.CancelRequestedAt),
		Result:            r.Result.ports(),
		CreatedAt:         r.CreatedAt.UTC(),
		StartedAt:         orZero(r.StartedAt),
		FinishedAt:        orZero(r.FinishedAt),
		TraceParent:       string(r.TraceParent),
	}
}

func (s *spec) ports() ports.Spec {
	return ports.Spec{
		Language:   string(s.Language),
		Code:       string(s.Code),
		Files:      convert(s.Files, func(f file) ports.File { return ports.File{Path: string(f.Path), Content: []byte(f.Content)} }),
		Entrypoint: string(s.Entrypoint),
		Args:       convert(s.Args, func(a text) string { return string(a) }),
		Stdin:      []byte(s.Stdin),
		Env:        mapOf(s.Env),
		Limits: ports.Limits{
			CPU: s.Limits.CPU, Memory: s.Limits.Memory, Timeout: time.Duration(s.Limits.Timeout),
			PIDs: s.Limits.PIDs, Output: s.Limits.Output, Disk: s.Limits.Disk,
		},
		Network:        s.Network,
		Queue:          string(s.Queue),
		Priority:       s.Priority,
		MaxAttempts:    s.MaxAttempts,
		Labels:         mapOf(s.Labels),
		IdempotencyKey: string(s.IdempotencyKey),
	}
}

func (r *result) ports() *ports.Result {
	if r == nil {
		return nil
	}
	p := &ports.Result{
		Outcome: ports.Outcome{
			Cause:       ports.Cause(r.Cause),
			ExitCode:    r.ExitCode,
			Signal:      string(r.Signal),
			Message:     string(r.Message),
			StdoutBytes: r.StdoutBytes,
			StderrBytes: r.StderrBytes,
			Usage: ports.Usage{
				CPUTime:    (*time.Duration)(r.Usage.CPUTime),
				WallTime:   (*time.Duration)(r.Usage.WallTime),
				PeakMemory: r.Usage.PeakMemory,
			},
		},
		Stdout: r.Stdout.ports(),
		Stderr: r.Stderr.ports(),
	}
	if len(r.Usage.Samples) > 0 {
		p.Usage.Samples = convert(r.Usage.Samples, func(s sample) ports.Sample {
			return ports.Sample{At: time.Duration(s.At), CPU: s.CPU, Memory: s.Memory}
		})
	}
	return p
}

func (o *output) ports() ports.Output {
	return ports.Output{Head: []byte(o.Head), Tail: []byte(o.Tail), Bytes: o.Bytes, Truncated: o.Truncated}
}

// convert returns a slice that is never nil, which would be null in the database.
func convert[A, B any](from []A, f func(A) B) []B {
	to := make([]B, len(from))
	for i, a := range from {
		to[i] = f(a)
	}
	return to
}

// pairs returns the entries of m, always in the same order.
func pairs(m map[string]string) []pair {
	return convert(slices.Sorted(maps.Keys(m)), func(name string) pair { return pair{text(name), text(m[name])} })
}

func mapOf(ps []pair) map[string]string {
	m := make(map[string]string, len(ps))
	for _, p := range ps {
		m[string(p.Name)] = string(p.Value)
	}
	return m
}

// millis returns t as the database keeps it.
func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(millis(t))
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
