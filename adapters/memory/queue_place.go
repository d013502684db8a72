package memory

import "time"

// The methods here move entries between their places. All of them need q.mu.

// catchUp moves what has become due into its line, hands it to whoever waits for
// it, and returns the time.
func (q *Queue) catchUp() time.Duration {
	now := time.Since(q.start)
	var due []*line
	for {
		e := q.deadlines.first()
		if e == nil || e.at > now {
			break
		}
		q.take(e)
		q.place(e, waiting, e.at)
		due = append(due, e.line)
	}
	// Only now, so that the best of all that became due goes first.
	for _, l := range due {
		q.serve(l, now)
	}
	return now
}

// putBack makes e wait, or be delayed if delay is positive.
func (q *Queue) putBack(e *entry, now, delay time.Duration) {
	if delay > 0 {
		q.place(e, delayed, later(now, delay))
		q.setAlarm(now)
		return
	}
	q.place(e, waiting, now)
	q.serve(e.line, now)
}

// place puts e, which take took or which is new, where its state belongs.
func (q *Queue) place(e *entry, s state, at time.Duration) {
	e.state, e.at = s, at
	e.line.count[s]++
	if s == waiting {
		e.line.push(e)
	} else {
		q.deadlines.add(e)
	}
}

// take takes e out of its place.
func (q *Queue) take(e *entry) {
	e.line.count[e.state]--
	if e.state == waiting {
		e.line.unlink(e)
	} else {
		q.deadlines.remove(e)
	}
}

// forget removes e from the queue.
func (q *Queue) forget(e *entry) {
	q.take(e)
	delete(q.entries, e.task)
	if !isSystem(e.line.name) {
		q.counted--
	}
	q.tidy(e.line)
}

// line returns the line of that name, which it makes if need be.
func (q *Queue) line(name string) *line {
	l, ok := q.lines[name]
	if !ok {
		l = &line{name: name}
		q.lines[name] = l
	}
	return l
}

// tidy drops l if nothing is in it and nobody waits at it: names are the callers'
// own and would pile up.
func (q *Queue) tidy(l *line) {
	if l.count == [3]int{} && l.claims.Len() == 0 {
		delete(q.lines, l.name)
	}
}

// alarm is the timer for the first deadline. It runs only while a Claim waits.
type alarm struct {
	timer *time.Timer
	set   bool
	at    time.Duration
}

// setAlarm makes the queue wake up at its first deadline, if somebody waits. An
// alarm that is early only looks and sets itself again.
func (q *Queue) setAlarm(now time.Duration) {
	first := q.deadlines.first()
	if q.waiters == 0 || first == nil {
		if q.alarm.set {
			q.alarm.timer.Stop()
			q.alarm.set = false
		}
		return
	}
	if q.alarm.set && q.alarm.at <= first.at {
		return
	}
	q.alarm.set, q.alarm.at = true, first.at
	if q.alarm.timer == nil {
		q.alarm.timer = time.AfterFunc(first.at-now, q.ring)
	} else {
		q.alarm.timer.Reset(first.at - now)
	}
}

func (q *Queue) ring() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.alarm.set = false
	q.setAlarm(q.catchUp())
}

// best returns the entry that is to be claimed next from these lines, or nil:
// the highest priority, then what has been due for longest.
func best(lines []*line) *entry {
	var b *entry
	for _, l := range lines {
		if e := l.best(); e != nil && (b == nil || e.before(b)) {
			b = e
		}
	}
	return b
}

// before reports whether e is to be claimed before o.
func (e *entry) before(o *entry) bool {
	if e.priority != o.priority {
		return e.priority > o.priority
	}
	return e.sooner(o)
}

// sooner reports whether e is or was due before o.
func (e *entry) sooner(o *entry) bool {
	if e.at != o.at {
		return e.at < o.at
	}
	return e.arrival < o.arrival
}

// serve gives the entries of l to those who wait for them, first come first
// served.
func (q *Queue) serve(l *line, now time.Duration) {
	for l.count[waiting] > 0 && l.claims.Len() > 0 {
		c := l.claims.Front().Value.(*claim)
		q.leave(c)
		c.lease <- q.lease(best(c.lines), now, c.ttl)
	}
	q.setAlarm(now)
}
