package memory

import (
	"context"
	"fmt"
	"sync"

	"github.com/task-runner/task-runner/ports"
)

// topic holds the events of one task. Its events have the numbers above base, of
// which those up to trimmed are gone.
type topic struct {
	mu      sync.Mutex
	base    uint64
	trimmed uint64
	// events are kept from head on; what is before it was trimmed and waits for
	// the slice to be moved up.
	events  []ports.Event
	head    int
	bytes   int64
	readers int
	deleted bool
	// changed is closed at the next change; nil while nobody waits for one.
	changed chan struct{}
}

// last returns the number of the last event, base if there was none.
func (t *topic) last() uint64 { return t.trimmed + uint64(len(t.events)-t.head) }

// publish appends e and returns its number. If the caller could not reserve the
// bytes, room is made here or else ok is false.
func (t *topic) publish(b *EventBus, e ports.Event, size int64, reserved bool) (n uint64, ok bool) {
	charge := size
	if t.bytes == 0 {
		charge += topicOverhead
	} else if reserved {
		b.bytes.give(topicOverhead)
	}
	for len(t.events)-t.head >= b.maxEvents || t.head < len(t.events) && t.bytes+charge > b.maxBytes+topicOverhead {
		b.bytes.give(t.trim())
	}
	for !reserved && !b.bytes.take(charge) {
		if t.head == len(t.events) {
			return 0, false
		}
		b.bytes.give(t.trim())
	}
	n = t.last() + 1
	e.ID = eventID(n)
	t.events = append(t.events, e)
	t.bytes += charge
	t.wake()
	return n, true
}

// trim removes the oldest event and returns how many bytes that frees.
func (t *topic) trim() int64 {
	size := eventSize(&t.events[t.head])
	t.events[t.head] = ports.Event{}
	t.head++
	t.trimmed++
	t.bytes -= size
	if t.head > len(t.events)/2 {
		kept := copy(t.events, t.events[t.head:])
		clear(t.events[kept:])
		t.events, t.head = t.events[:kept], 0
	}
	return size
}

// position returns the number of the event at which a subscription starts.
func (t *topic) position(now bool, after uint64) (uint64, error) {
	switch {
	case now:
		return t.last() + 1, nil
	case after == 0:
		return t.trimmed + 1, nil
	case after <= t.base || after < t.trimmed:
		return 0, ports.ErrGone
	case after > t.last():
		return 0, ports.Invalid("after", "must be the ID of an event of this task")
	}
	return after + 1, nil
}

// at returns a copy of the event with this number, or, if it is yet to come, a
// channel that is closed at the next change.
func (t *topic) at(n uint64) (ports.Event, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.deleted || n <= t.trimmed:
		return ports.Event{}, nil, ports.ErrGone
	case n <= t.last():
		return t.events[t.head+int(n-t.trimmed-1)].Clone(), nil, nil
	case t.changed == nil:
		t.changed = make(chan struct{})
	}
	return ports.Event{}, t.changed, nil
}

func (t *topic) wake() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// delete frees the events and returns how many bytes that are.
func (t *topic) delete() int64 {
	freed := t.bytes
	t.deleted, t.events, t.head, t.bytes = true, nil, 0, 0
	t.wake()
	return freed
}

// subscription is a ports.Subscription.
type subscription struct {
	bus    *EventBus
	task   ports.TaskID
	topic  *topic
	next   uint64 // the number of the event to come
	once   sync.Once
	closed chan struct{}
}

// Next implements ports.Subscription.
func (s *subscription) Next(ctx context.Context) (ports.Event, error) {
	e, err := s.wait(ctx)
	if err != nil {
		return ports.Event{}, fmt.Errorf("reading the events of task %q: %w", s.task, err)
	}
	s.next++
	return e, nil
}

func (s *subscription) wait(ctx context.Context) (ports.Event, error) {
	for {
		select {
		case <-s.closed:
			return ports.Event{}, ports.ErrClosed
		default:
		}
		if err := ctx.Err(); err != nil {
			return ports.Event{}, err
		}
		e, changed, err := s.topic.at(s.next)
		if changed == nil {
			return e, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-s.closed:
		}
	}
}

// Close implements ports.Subscription.
func (s *subscription) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.topic.mu.Lock()
		s.topic.readers--
		s.topic.mu.Unlock()
		s.bus.tidy(s.task, s.topic)
	})
	return nil
}
