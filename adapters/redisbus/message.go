package redisbus

import (
	"cmp"
	"fmt"
	"slices"
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

// parseMessage reads what the scripts publish about an event.
func parseMessage(s string) (*message, error) {
	before, rest, _ := strings.Cut(s, " ")
	id, payload, ok := strings.Cut(rest, " ")
	m := &message{event: sync.OnceValues(func() (ports.Event, error) { return decode(payload) })}
	var err1, err2 error
	m.before, err1 = parseID(before)
	m.id, err2 = parseID(id)
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	if !ok || m.id.n != m.before.n+1 {
		return nil, fmt.Errorf("a message about event %v that does not follow %v", m.id, m.before)
	}
	return m, nil
}

// entry is an event as it is in the stream.
type entry struct {
	id      eventID
	payload string
}

// parsePage reads what the script look returns.
func parsePage(fields []string) (page []entry, deleted string, err error) {
	if len(fields)%2 == 0 {
		return nil, "", fmt.Errorf("a reply of %d fields", len(fields))
	}
	for pair := range slices.Chunk(fields[1:], 2) {
		id, err := parseID(pair[0])
		if err != nil {
			return nil, "", err
		}
		page = append(page, entry{id, pair[1]})
	}
	return page, fields[0], nil
}
