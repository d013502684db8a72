package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"unsafe"

	"github.com/task-runner/task-runner/ports"
)

// EventBus is a ports.EventBus. The IDs of a topic's events are consecutive decimal
// numbers. A topic that was deleted and comes back starts above all numbers that
// any deleted topic ever gave, so that no old ID means a new event.
type EventBus struct {
	maxEvents int
	maxBytes  int64 // of one topic
	bytes     budget

	mu     sync.RWMutex
	topics map[ports.TaskID]*topic
	floor  uint64 // the greatest number given in a topic that was deleted
}

// NewEventBus returns an empty bus. Being alone, it makes room in all by trimming
// the topic that is published to, or by Delete.
func NewEventBus(opts ...Option) *EventBus { return newEventBus(configure(opts)) }

func newEventBus(c config) *EventBus {
	return &EventBus{
		maxEvents: c.topicEvents,
		maxBytes:  c.topicBytes,
		bytes:     budget{max: c.eventBytes},
		topics:    map[ports.TaskID]*topic{},
	}
}

// Publish implements ports.EventBus. ErrFull: the event alone is larger than a
// topic may be, or the events of other unfinished tasks take all the room.
func (b *EventBus) Publish(ctx context.Context, e ports.Event) (ports.EventID, error) {
	if err := e.Task.Validate(); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("publishing to task %q: %w", e.Task, err)
	}
	e = e.Clone()
	size := eventSize(&e)
	if size > b.maxBytes {
		return "", fmt.Errorf("publishing an event of %d bytes to task %q: %w", size, e.Task, ports.ErrFull)
	}
	reserved := b.bytes.takeOrReclaim(size + topicOverhead)
	t := b.lock(e.Task)
	n, ok := t.publish(b, e, size, reserved)
	t.mu.Unlock()
	if !ok {
		b.tidy(e.Task, t)
		return "", fmt.Errorf("publishing to task %q: %w", e.Task, ports.ErrFull)
	}
	return eventID(n), nil
}

// Subscribe implements ports.EventBus.
func (b *EventBus) Subscribe(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if from.Now && from.After != "" {
		return nil, ports.Invalid("after", "must be empty where the position is now")
	}
	after, err := parseEventID(from.After)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("subscribing to task %q: %w", id, err)
	}
	t := b.lock(id)
	next, err := t.position(from.Now, after)
	if err == nil {
		t.readers++
	}
	t.mu.Unlock()
	if err != nil {
		b.tidy(id, t)
		return nil, fmt.Errorf("subscribing to task %q: %w", id, err)
	}
	return &subscription{bus: b, task: id, topic: t, next: next, closed: make(chan struct{})}, nil
}

// Delete implements ports.EventBus.
func (b *EventBus) Delete(ctx context.Context, id ports.TaskID) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("deleting the events of task %q: %w", id, err)
	}
	b.remove(id)
	return nil
}

// remove forgets the topic.
func (b *EventBus) remove(id ports.TaskID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.topics[id]
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b.drop(id, t)
}

// tidy forgets a topic that has neither readers nor events.
func (b *EventBus) tidy(id ports.TaskID, t *topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.deleted && t.readers == 0 && t.last() == t.base {
		b.drop(id, t)
	}
}

// drop needs both locks.
func (b *EventBus) drop(id ports.TaskID, t *topic) {
	delete(b.topics, id)
	b.floor = max(b.floor, t.last())
	b.bytes.give(t.delete())
}

// lock returns the task's topic, new if there is none, with its lock held.
func (b *EventBus) lock(id ports.TaskID) *topic {
	for {
		t := b.topic(id)
		t.mu.Lock()
		if !t.deleted {
			return t
		}
		t.mu.Unlock() // deleted in between; there is or will be another one
	}
}

func (b *EventBus) topic(id ports.TaskID) *topic {
	b.mu.RLock()
	t, ok := b.topics[id]
	b.mu.RUnlock()
	if ok {
		return t
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t, ok := b.topics[id]; ok {
		return t
	}
	t = &topic{base: b.floor, trimmed: b.floor}
	b.topics[id] = t
	return t
}

// tasks returns the tasks that have topics.
func (b *EventBus) tasks() []ports.TaskID {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Collect(maps.Keys(b.topics))
}

// What an event and a topic cost besides the event's data, the places in the
// tables included.
const (
	eventOverhead = int64(unsafe.Sizeof(ports.Event{}) + 32)
	topicOverhead = int64(unsafe.Sizeof(topic{}) + 256)
)

// eventSize returns about how many bytes e takes in memory. Its short constant
// strings are shared, and counted all the same: they are the caller's.
func eventSize(e *ports.Event) int64 {
	return eventOverhead + int64(len(e.Data)) +
		length(e.Type) + length(e.Status) + length(e.Cause) + length(e.Signal)
}

func eventID(n uint64) ports.EventID { return ports.EventID(strconv.FormatUint(n, 10)) }

// parseEventID returns the number of an ID, 0 if it is empty.
func parseEventID(id ports.EventID) (uint64, error) {
	if id == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil || n == 0 || eventID(n) != id {
		return 0, ports.Invalid("after", "must be the ID of an event")
	}
	return n, nil
}
