package ports

import (
	"context"
	"slices"
	"time"
)

// EventBus tells whoever listens what happens to a task. Every task has a topic
// of its own, all readers of a topic see the same events in the same order, and
// each event has an ID from which a reader can resume.
type EventBus interface {
	// Publish appends the event to its task's topic and returns the ID it was
	// given. Events of one publisher keep their order. The event's own ID is
	// ignored. ErrInvalid: a bad task ID. ErrFull: the bus has no room.
	Publish(ctx context.Context, e Event) (EventID, error)

	// Subscribe returns a subscription to the task's topic at a position that is
	// fixed before it returns: every event published after that is seen. A topic
	// needs no creation; its first event may come later. ctx governs this call
	// and not the subscription.
	//
	// ErrGone: from is After an event, and events behind that one were trimmed or
	// the topic was deleted. From the start of a topic that was trimmed begins
	// with the oldest event kept. ErrInvalid: the task ID is a bad one, the
	// position means two things or its ID is not one of this bus's.
	Subscribe(ctx context.Context, id TaskID, from Position) (Subscription, error)

	// Delete removes the topic with all its events. Deleting what is not there
	// is no error. Subscriptions that are open get ErrGone, and so does whoever
	// resumes after one of its events, even if events of the task come again: no
	// ID is given twice.
	Delete(ctx context.Context, id TaskID) error
}

// Subscription is one reader's place in a topic. One goroutine at a time calls
// Next; Close may be called from any other one.
type Subscription interface {
	// Next returns the next event, waiting for it if need be. A reader may take
	// its time: it holds nobody up. ErrGone: what comes next was trimmed
	// meanwhile or the topic was deleted. ErrClosed: the subscription was closed.
	Next(ctx context.Context) (Event, error)
	// Close ends the subscription and wakes a Next that waits. It may be called
	// again.
	Close() error
}

// EventID names an event within its topic: 1 to 64 characters out of 0-9, a-z
// and "-". It is opaque, except that the bus that gave it knows its order.
type EventID string

// Position says where a subscription begins. The zero value is the topic's start.
type Position struct {
	// After begins just behind the event with this ID, when it is not empty.
	After EventID
	// Now begins behind all events published so far. It goes without After.
	Now bool
}

// Event is one thing that happened to a task.
type Event struct {
	// ID is given by the bus.
	ID   EventID
	Task TaskID
	// Attempt is the attempt that it is about; 0 before the first one.
	Attempt int
	Type    EventType
	// Time is the publisher's.
	Time time.Time
	// Status is the task's status, for EventStatus and EventEnd.
	Status Status
	// Cause, ExitCode and Signal are the result's, for EventEnd.
	Cause    Cause
	ExitCode int
	Signal   string
	// Data is a piece of the stream, for EventStdout and EventStderr. It starts
	// Offset bytes from the stream's beginning in this attempt and is cut at a
	// boundary of UTF-8 where the stream is UTF-8.
	Data   []byte
	Offset int64
	// Truncated, on EventStdout and EventStderr, says that this is the last event
	// of the stream in this attempt although the program wrote, or may write,
	// more; the whole log is in the LogSink.
	Truncated bool
	// Sample is for EventUsage.
	Sample Sample
}

// Clone returns a deep copy of e.
func (e Event) Clone() Event {
	e.Data = slices.Clone(e.Data)
	return e
}

// EventType says what an Event is about.
type EventType string

// The types of events.
const (
	EventStatus EventType = "status" // the task's status changed
	EventStdout EventType = "stdout" // the program wrote to stdout
	EventStderr EventType = "stderr" // the program wrote to stderr
	EventUsage  EventType = "usage"  // a usage sample
	EventEnd    EventType = "end"    // the task is terminal; nothing follows
)
