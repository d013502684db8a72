package redisbus

import (
	"context"
	"fmt"
	"time"

	"github.com/task-runner/task-runner/ports"
)

const (
	// pageSize is how many events are read from the stream at once: 1 MiB of the
	// pieces of output that the core publishes.
	pageSize = 32
	// lookEvery is how long a reader waits before it looks at the stream without
	// having been told anything, in case that messages were lost unnoticed.
	lookEvery = 15 * time.Second
)

// place is where a reader is in a topic.
type place struct {
	// id is the last event that was returned, or the first one to return if next
	// is set. It has to be in the stream: what follows an event that is no longer
	// there may be gone as well. The zero ID stands before a topic's first event.
	id   eventID
	next bool
	// deleted is the note of the Delete before the reader came. Another note is of
	// a later one, whatever the clock of Redis did meanwhile.
	deleted string
}

// subscription is a ports.Subscription.
type subscription struct {
	bus     *Bus
	task    ports.TaskID
	channel string
	box     mailbox
	ctx     context.Context // done when it, or the bus, is closed
	cancel  context.CancelFunc

	// These belong to Next.
	place  place
	page   []entry   // read from the stream, to be returned
	more   bool      // the stream has more than the page
	looked time.Time // when it was last known that nothing was missed
	gone   bool
}

// Next implements ports.Subscription. It bears with a Redis that is away while it
// waits; one that is away when the stream must be read is an error, after which
// Next may be called again and goes on where it was.
func (s *subscription) Next(ctx context.Context) (e ports.Event, err error) {
	for {
		ok, err := s.next(ctx, &e)
		switch {
		case s.ctx.Err() != nil:
			err = ports.ErrClosed
		case err == nil && ok:
			return e, nil
		}
		if err != nil {
			return ports.Event{}, fmt.Errorf("reading the events of task %q: %w", s.task, err)
		}
	}
}

// next takes one step towards the next event, and reports whether it has come. It
// waits, and has no event on its stack: the stack of every reader that waits is kept.
func (s *subscription) next(ctx context.Context, e *ports.Event) (ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if s.gone {
		return false, ports.ErrGone
	}
	if s.box.takeLook() || s.more && len(s.page) == 0 {
		if err := s.look(ctx); err != nil {
			s.box.stale()
			return false, err
		}
	}
	if len(s.page) > 0 {
		return s.turn(e)
	}
	m := s.box.takeMail()
	switch {
	case m == nil:
		s.wait(ctx)
	case m.id.compare(s.place.id) <= 0:
		// It was in the stream.
	case m.before == s.place.id:
		return s.advance(m.id, m.event, e)
	default:
		s.box.stale()
	}
	return false, nil
}

// turn takes the next event of the page.
func (s *subscription) turn(e *ports.Event) (ok bool, err error) {
	first := s.page[0]
	ok, err = s.advance(first.id, func() (ports.Event, error) { return decode(first.payload) }, e)
	if ok {
		s.page[0] = entry{}
		s.page = s.page[1:]
	}
	return ok, err
}

// advance moves on to an event.
func (s *subscription) advance(id eventID, event func() (ports.Event, error), e *ports.Event) (ok bool, err error) {
	came, err := event()
	if err != nil {
		s.box.stale() // it is met again in the stream
		return false, fmt.Errorf("event %v: %w", id, err)
	}
	*e = came.Clone()
	e.ID, e.Task = ports.EventID(id.String()), s.task
	s.place.id, s.place.next, s.looked = id, false, time.Now()
	return true, nil
}

// look reads the next page from the stream. A page that is still there is as good
// as before if the place is: what was trimmed is older. Once it is ErrGone, it is so
// for good.
func (s *subscription) look(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	kept, count := len(s.page) > 0, pageSize
	if kept {
		count = 1
	}
	page, deleted, err := s.bus.look(ctx, s.task, s.place.id, count)
	if err != nil {
		return err
	}
	s.looked = time.Now()
	if s.place.id == (eventID{}) {
		s.gone = deleted != "" && deleted != s.place.deleted || len(page) > 0 && page[0].id.n != 1
	} else {
		s.gone = len(page) == 0 || page[0].id != s.place.id
	}
	if s.gone {
		return ports.ErrGone
	}
	if kept {
		s.more = true
		return nil
	}
	s.more = len(page) == pageSize
	if s.place.id != (eventID{}) && !s.place.next {
		page = page[1:]
	}
	s.page = page
	return nil
}

// wait waits for a reason to take another step.
func (s *subscription) wait(ctx context.Context) {
	timer := time.NewTimer(time.Until(s.looked.Add(lookEvery)))
	defer timer.Stop()
	select {
	case <-s.box.bell:
	case <-timer.C:
		s.box.stale()
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
}

// Close implements ports.Subscription.
func (s *subscription) Close() error {
	s.cancel()
	s.bus.hub.remove(s.channel, &s.box)
	return nil
}
