package redisbus

import (
	"context"
	"sync"

	"github.com/task-runner/task-runner/ports"
)

// turns has the events that one Bus publishes to a topic go one after the other.
// Each gets a greater number than the one before, and the topic remembers the
// greatest it has seen. So it takes every event once, however often go-redis sends
// it because an answer was lost, and an event that its publisher gave up on, but
// that is still on its way, comes before later ones or never.
type turns struct {
	mu     sync.Mutex
	topics map[ports.TaskID]*turn // those that are published to
	number uint64                 // the last one given
}

type turn struct {
	taken chan struct{} // is full while somebody has it
	users int           // who have it or wait for it
}

func newTurns() *turns { return &turns{topics: map[ports.TaskID]*turn{}} }

// take waits until nobody else publishes to the topic and returns the number of
// the event whose turn it is. give ends the turn.
func (t *turns) take(ctx context.Context, id ports.TaskID) (number uint64, give func(), err error) {
	t.mu.Lock()
	topic := t.topics[id]
	if topic == nil {
		topic = &turn{taken: make(chan struct{}, 1)}
		t.topics[id] = topic
	}
	topic.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if topic.users--; topic.users == 0 {
			delete(t.topics, id)
		}
	}
	select {
	case topic.taken <- struct{}{}:
	case <-ctx.Done():
		leave()
		return 0, nil, ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number++
	return t.number, func() { <-topic.taken; leave() }, nil
}
