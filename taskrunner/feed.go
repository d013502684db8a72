package taskrunner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Output goes out live in pieces: at the latest pieceDelay after its first byte,
// or as soon as it has pieceSize bytes; at most maxLive bytes of a stream, so
// that a flood fills neither a bus nor this process. The whole is in the log.
const (
	pieceDelay = 50 * time.Millisecond
	pieceSize  = 32 * kiB
	maxLive    = 1 * miB
)

// feed publishes what happens in one attempt, in order, without ever holding up
// the program: it takes what comes into bounded buffers and publishes from a
// goroutine of its own, trying again while the bus fails.
type feed struct {
	bus  EventBus
	base Event // Task and Attempt
	log  *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	status  []Event
	stdout  live
	stderr  live
	sample  *Sample // the newest one that is not published
	closing bool
}

// live is one stream's output that is not published yet.
type live struct {
	pending []byte
	// offset is where pending begins in the stream.
	offset int64
	// more says that the stream went on beyond what is published live.
	more, told bool
}

// newFeed starts a feed for an attempt. It ends with close, or with ctx.
func newFeed(ctx context.Context, bus EventBus, t Task, log *slog.Logger) *feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{
		bus: bus, base: Event{Task: t.ID, Attempt: t.Attempt}, log: log,
		ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go f.run()
	return f
}

// tell publishes an event that cannot wait.
func (f *feed) tell(e Event) { f.put(func() { f.status = append(f.status, e) }) }

// observe publishes a sample, unless a newer one comes first.
func (f *feed) observe(s Sample) { f.put(func() { f.sample = &s }) }

// write publishes the next bytes of a stream.
func (f *feed) write(stream EventType, p []byte) {
	f.put(func() {
		l := f.live(stream)
		if l.told {
			return
		}
		room := max(maxLive-l.offset-int64(len(l.pending)), 0)
		l.more = l.more || int64(len(p)) > room
		l.pending = append(l.pending, p[:min(int64(len(p)), room)]...)
	})
}

// cut says that the program wrote more to a stream than was given to write.
func (f *feed) cut(stream EventType) { f.put(func() { f.live(stream).more = true }) }

func (f *feed) live(stream EventType) *live {
	if stream == ports.EventStderr {
		return &f.stderr
	}
	return &f.stdout
}

func (f *feed) put(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// close publishes what is left, for at most patience, and ends the feed.
func (f *feed) close(patience time.Duration) {
	f.put(func() { f.closing = true })
	giveUp := time.AfterFunc(patience, f.cancel)
	defer giveUp.Stop()
	<-f.done
	f.cancel()
}

func (f *feed) run() {
	defer close(f.done)
	var due <-chan time.Time // set while output waits for more
	lost := 0
	for {
		all := false
		select {
		case <-f.wake:
		case <-due:
			due, all = nil, true
		case <-f.ctx.Done():
			return
		}
		events, waiting, last := f.take(all)
		for _, e := range events {
			if err := f.publish(e); err != nil {
				if lost++; lost == 1 {
					f.log.Warn("live events of a task are lost", "error", err)
				}
			}
		}
		if last {
			return
		}
		if waiting && due == nil {
			due = time.After(pieceDelay)
		}
	}
}

func (f *feed) publish(e Event) error {
	return guard(func() error {
		return retry(f.ctx, portTimeout, func(ctx context.Context) error {
			_, err := f.bus.Publish(ctx, e)
			return err
		})
	})
}

// take returns the events to publish now: all that can be, or only what need not
// wait. waiting says that there is output left to wait for, last that nothing
// will follow.
func (f *feed) take(all bool) (events []Event, waiting, last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	events, f.status = f.status, nil
	for _, stream := range []EventType{ports.EventStdout, ports.EventStderr} {
		l := f.live(stream)
		for {
			e, ok := l.take(all, f.closing)
			if !ok {
				break
			}
			e.Task, e.Attempt, e.Type, e.Time = f.base.Task, f.base.Attempt, stream, now()
			events = append(events, e)
		}
		waiting = waiting || utf8Cut(l.pending) > 0
	}
	if f.sample != nil {
		e := f.base
		e.Type, e.Time, e.Sample = ports.EventUsage, now(), *f.sample
		events, f.sample = append(events, e), nil
	}
	return events, waiting, f.closing
}

// take returns the stream's next event, if there is one to publish now.
func (l *live) take(all, closing bool) (Event, bool) {
	n := min(len(l.pending), pieceSize)
	if !closing || n == pieceSize {
		n = utf8Cut(l.pending[:n])
	}
	switch {
	case n > 0 && (all || closing || l.more || len(l.pending) >= pieceSize):
		e := Event{Data: l.pending[:n:n], Offset: l.offset}
		l.pending = l.pending[n:]
		l.offset += int64(n)
		return e, true
	case l.more && !l.told:
		l.told, l.pending = true, nil
		return Event{Offset: l.offset, Truncated: true}, true
	}
	return Event{}, false
}
