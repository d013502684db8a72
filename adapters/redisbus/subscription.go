package redisbus

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/task-runner/task-runner/internal/redisserver"
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
	// since is when the reader came, in microseconds of Redis.
	since uint64
}

// subscription is a ports.Subscription.
type subscription struct {
	bus    *Bus
	task   ports.TaskID
	stream string // also the channel
	box    mailbox
	ctx    context.Context // done when it, or the bus, is closed
	cancel context.CancelFunc

	// These belong to Next.
	place  place
	page   []redis.XMessage // read from the stream, to be returned
	more   bool             // the stream has more than the page
	looked time.Time        // when it was last known that nothing was missed
	gone   bool
}

// Next implements ports.Subscription. It bears with a Redis that is away while it
// waits; one that is away when the stream must be read is an error, after which
// Next may be called again and goes on where it was.
func (s *subscription) Next(ctx context.Context) (ports.Event, error) {
	for {
		e, ok, err := s.next(ctx)
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

// next takes one step towards the next event.
func (s *subscription) next(ctx context.Context) (ports.Event, bool, error) {
	if err := ctx.Err(); err != nil {
		return ports.Event{}, false, err
	}
	// What was read from the stream is worth nothing when there is reason to look
	// again: it may have been trimmed meanwhile.
	if look, deleted := s.box.takeLook(); look || s.more && len(s.page) == 0 {
		if err := s.look(ctx, deleted); err != nil {
			s.box.stale()
			return ports.Event{}, false, err
		}
	}
	if s.gone {
		return ports.Event{}, false, ports.ErrGone
	}
	if len(s.page) > 0 {
		return s.turn()
	}
	m := s.box.takeMail()
	switch {
	case m == nil:
		s.wait(ctx)
	case m.id.compare(s.place.id) <= 0 && !s.place.next:
		// It was in the stream.
	case m.before == s.place.id && !s.place.next:
		return s.advance(m.id, m.event)
	default:
		s.box.stale()
	}
	return ports.Event{}, false, nil
}

// turn returns the next event of the page.
func (s *subscription) turn() (ports.Event, bool, error) {
	id, err := parseID(s.page[0].ID)
	if err != nil {
		return ports.Event{}, false, err
	}
	payload, _ := s.page[0].Values["e"].(string)
	e, ok, err := s.advance(id, func() (ports.Event, error) { return decode(payload) })
	if ok {
		s.page[0] = redis.XMessage{}
		s.page = s.page[1:]
	}
	return e, ok, err
}

// advance moves on to an event.
func (s *subscription) advance(id eventID, event func() (ports.Event, error)) (ports.Event, bool, error) {
	e, err := event()
	if err != nil {
		s.box.stale() // it is met again in the stream
		return ports.Event{}, false, fmt.Errorf("event %v: %w", id, err)
	}
	e = e.Clone()
	e.ID, e.Task = ports.EventID(id.String()), s.task
	s.place.id, s.place.next, s.looked = id, false, time.Now()
	return e, true, nil
}

// look reads the next page from the stream. deleted is when the topic was.
func (s *subscription) look(ctx context.Context, deleted uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	from := s.place.id.String() // now: a call that was given up may run on while a later Next moves the place
	page, err := redisserver.Do(ctx, func(ctx context.Context) ([]redis.XMessage, error) {
		return s.bus.client.XRangeN(ctx, s.stream, from, "+", pageSize).Result()
	})
	if err != nil {
		return err
	}
	s.more, s.looked = len(page) == pageSize, time.Now()
	switch {
	case s.place.id == eventID{}:
		s.gone = s.gone || deleted > s.place.since
		if len(page) > 0 {
			first, err := parseID(page[0].ID)
			s.gone = s.gone || err != nil || first.n != 1
		}
	case len(page) == 0 || page[0].ID != s.place.id.String():
		s.gone = true
	case !s.place.next:
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
	s.bus.hub.remove(s.stream, &s.box)
	return nil
}
