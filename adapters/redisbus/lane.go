package redisbus

import (
	"crypto/rand"
	"strconv"
	"sync"
)

// lanes number the events that one Bus publishes, so that a topic takes each of
// them once, however often go-redis sends it because an answer was lost, and
// however late it comes. Events in one lane follow each other; those that are
// published at the same time have lanes of their own. A topic remembers the
// number of the last event in each lane.
type lanes struct {
	name string // nobody else's

	mu   sync.Mutex
	free []*lane
	n    int
}

type lane struct {
	name   string
	number uint64 // the last one given
}

func newLanes() *lanes { return &lanes{name: rand.Text()[:16]} }

// take returns a lane that nobody uses, with its next number. The one that was
// given back last comes first, so that a topic meets few of them.
func (l *lanes) take() *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		l.n++
		l.free = append(l.free, &lane{name: l.name + "." + strconv.Itoa(l.n)})
	}
	last := len(l.free) - 1
	lane := l.free[last]
	l.free = l.free[:last]
	lane.number++
	return lane
}

func (l *lanes) give(lane *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, lane)
}
