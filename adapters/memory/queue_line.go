package memory

import (
	"container/list"
	"slices"
)

// line holds the entries of one named queue that are due.
type line struct {
	name string
	// ranks has one rank for each priority that waits, highest first.
	ranks []*rank
	// count counts the line's entries by state, wherever they are.
	count [3]int
	// claims are the Claims that wait, first come first.
	claims list.List
}

// rank holds the due entries of one priority as a list, first due first. Entries
// become due in the order of time, so that each is added at the end.
type rank struct {
	priority   int
	head, tail *entry
}

func (l *line) find(priority int) (int, bool) {
	return slices.BinarySearchFunc(l.ranks, priority, func(r *rank, p int) int { return p - r.priority })
}

// push adds e behind all others of its priority.
func (l *line) push(e *entry) {
	i, ok := l.find(e.priority)
	if !ok {
		l.ranks = slices.Insert(l.ranks, i, &rank{priority: e.priority})
	}
	r := l.ranks[i]
	e.prev, e.next = r.tail, nil
	if r.tail == nil {
		r.head = e
	} else {
		r.tail.next = e
	}
	r.tail = e
}

// unlink takes e out, wherever it stands.
func (l *line) unlink(e *entry) {
	i, _ := l.find(e.priority)
	r := l.ranks[i]
	if e.prev == nil {
		r.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		r.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	if r.head == nil {
		l.ranks = slices.Delete(l.ranks, i, i+1)
	}
}

// best returns the entry to be claimed next, or nil.
func (l *line) best() *entry {
	if len(l.ranks) == 0 {
		return nil
	}
	return l.ranks[0].head
}

// oldest returns the entry that has been due for longest, or nil.
func (l *line) oldest() *entry {
	var oldest *entry
	for _, r := range l.ranks {
		if oldest == nil || r.head.sooner(oldest) {
			oldest = r.head
		}
	}
	return oldest
}
