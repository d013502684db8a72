package redisbus

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/task-runner/task-runner/ports"
)

// eventID is the ID of an event, and of its entry in the stream. It is the time of
// Redis in microseconds, or that of the event before if it is later, and the
// event's number in its topic, from 1. The zero value stands before all.
type eventID struct{ us, n uint64 }

func (id eventID) String() string {
	return strconv.FormatUint(id.us, 10) + "-" + strconv.FormatUint(id.n, 10)
}

func (id eventID) compare(other eventID) int {
	return cmp.Or(cmp.Compare(id.us, other.us), cmp.Compare(id.n, other.n))
}

// parseID reads what String wrote.
func parseID(s string) (eventID, error) {
	us, n, _ := strings.Cut(s, "-")
	id := eventID{}
	var err1, err2 error
	id.us, err1 = strconv.ParseUint(us, 10, 64)
	id.n, err2 = strconv.ParseUint(n, 10, 64)
	if err1 != nil || err2 != nil || id.String() != s {
		return eventID{}, fmt.Errorf("%.80q is not the ID of an event", s)
	}
	return id, nil
}

// parseAfter reads an ID that a caller gave.
func parseAfter(s ports.EventID) (eventID, error) {
	id, err := parseID(string(s))
	if err != nil || id.n == 0 {
		return eventID{}, ports.Invalid("after", "must be the ID of an event")
	}
	return id, nil
}
