package redisbus

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/task-runner/task-runner/ports"
)

// message is an event as it is told to all readers of its topic at once.
type message struct {
	before eventID // the event that it follows, zero if it is the first
	id     eventID
	event  func() (ports.Event, error) // decodes it, once for all readers
}

// parseMessage reads what the scripts publish: an event, or when the topic was
// deleted, in microseconds of Redis.
func parseMessage(s string) (m *message, deleted uint64, err error) {
	before, rest, _ := strings.Cut(s, " ")
	if before == "deleted" {
		deleted, err = strconv.ParseUint(rest, 10, 64)
		return nil, deleted, err
	}
	id, payload, ok := strings.Cut(rest, " ")
	m = &message{event: sync.OnceValues(func() (ports.Event, error) { return decode(payload) })}
	if m.before, err = parseID(before); err != nil {
		return nil, 0, err
	}
	if m.id, err = parseID(id); err != nil {
		return nil, 0, err
	}
	if !ok || m.id.n != m.before.n+1 {
		return nil, 0, fmt.Errorf("a message about event %v that does not follow %v", m.id, m.before)
	}
	return m, 0, nil
}
