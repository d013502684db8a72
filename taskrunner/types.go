package taskrunner

import "github.com/task-runner/task-runner/ports"

// The nouns that callers hold; package ports documents each in full.
type (
	// Task is the record of one submission.
	Task = ports.Task
	// TaskID identifies a task.
	TaskID = ports.TaskID
	// Spec says what to run.
	Spec = ports.Spec
	// File is one file of a program.
	File = ports.File
	// Limits bound what one task may use.
	Limits = ports.Limits
	// Status is where a task is in its life.
	Status = ports.Status
	// Cause is why a task ended.
	Cause = ports.Cause
	// Result is how a task ended, with the output kept in the record.
	Result = ports.Result
	// Outcome is how a run ended.
	Outcome = ports.Outcome
	// Output is what the record keeps of one stream.
	Output = ports.Output
	// Usage is what a task used.
	Usage = ports.Usage
	// Sample is one look at a running task.
	Sample = ports.Sample
	// Event is one thing that happened to a task.
	Event = ports.Event
	// EventID names an event within its task.
	EventID = ports.EventID
	// EventType says what an Event is about.
	EventType = ports.EventType
	// Position says where Watch begins.
	Position = ports.Position
	// Language says how programs of one language are run.
	Language = ports.Language
	// ListQuery says which tasks List returns.
	ListQuery = ports.ListQuery
	// Page is one page of a list.
	Page = ports.Page
	// LogInfo is what is known of a log.
	LogInfo = ports.LogInfo
	// FieldError is an ErrInvalid that names the field.
	FieldError = ports.FieldError
)

// The ports, for those who wire adapters together.
type (
	// Backend is the four parts that clients and workers share.
	Backend = ports.Backend
	// Store keeps the tasks.
	Store = ports.Store
	// Queue hands tasks to workers.
	Queue = ports.Queue
	// LogSink keeps whole outputs.
	LogSink = ports.LogSink
	// EventBus tells people what happens.
	EventBus = ports.EventBus
	// Executor runs programs in sandboxes.
	Executor = ports.Executor
)
