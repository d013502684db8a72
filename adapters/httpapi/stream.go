package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

const (
	// heartbeat is how long a stream is silent at most, so that proxies keep it
	// open and both ends notice when the other one is gone.
	heartbeat = 15 * time.Second
	// retryHint tells readers how many milliseconds to wait before they connect again.
	retryHint = "retry: 2000\n\n"
	// snapshotSize bounds what a snapshot has of one output: what is sent live of
	// it, too.
	snapshotSize = 1 << 20
	// snapshotPiece is how much of that goes into one event.
	snapshotPiece = 64 << 10
)

// outputs are the events of outputs, which have the names of their logs.
var outputs = []taskrunner.EventType{ports.EventStdout, ports.EventStderr}

// stream follows one task for one reader.
type stream struct {
	*exchange
	id     taskrunner.TaskID
	out    sseWriter
	watch  *taskrunner.Watch
	cursor cursor
	// untouched says that the reader asked for the beginning and got nothing yet.
	untouched bool
}

// streamEvents serves the events of a task until its end, or until the reader is
// gone, too slow, or sent away because the server stops.
func (a *API) streamEvents(x *exchange) error {
	id, err := x.taskID()
	if err != nil {
		return err
	}
	s := &stream{exchange: x, id: id, out: sseWriter{w: x.w}}
	if err := s.resume(); err != nil {
		return err
	}
	task, err := a.client.Get(x.context(), id)
	if err != nil {
		return err
	}
	if s.cursor.ended {
		if !task.Status.Terminal() {
			return badCursor()
		}
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	leave, ok := a.enter()
	if !ok {
		a.meters.drop(dropTooMany)
		return newProblem(http.StatusServiceUnavailable, "too_many_readers", "Too many readers are connected; try again later.").retry("5")
	}
	defer leave()
	if a.draining.Err() != nil {
		a.meters.drop(dropDraining)
		return newProblem(http.StatusServiceUnavailable, "unavailable", "The server is shutting down; try again.").retry("1")
	}
	a.meters.streams.Inc()
	defer a.meters.streams.Dec()
	ctx, stop := a.untilDrain(x.context())
	defer stop()

	gone := false
	if s.watch, err = a.client.Watch(ctx, id, taskrunner.Position{After: s.cursor.after}); err != nil {
		if errors.Is(err, ports.ErrInvalid) {
			return badCursor()
		}
		if gone = errors.Is(err, ports.ErrGone); !gone {
			return err
		}
	}
	defer func() { s.close() }()
	if err := s.begin(); err != nil || x.r.Method == http.MethodHead {
		return nil
	}
	if gone {
		if err := s.restart(ctx); err != nil {
			s.ended(ctx, err)
			return nil
		}
	}
	// All events of a finished task are there already: they need not be sent one
	// by one.
	s.out.lazy = task.Status.Terminal()
	s.ended(ctx, s.run(ctx))
	return nil
}

func badCursor() error { return issue("Last-Event-ID", "must be the id of an event of this stream") }

// resume sets the cursor from the Last-Event-ID header, or the query parameter
// for readers that cannot set a header.
func (s *stream) resume() error {
	id := s.query.get("last_event_id")
	if h := s.r.Header.Get("Last-Event-ID"); h != "" {
		id = h
	}
	c, ok := parseCursor(id)
	if !ok {
		return badCursor()
	}
	s.cursor, s.untouched = c, id == ""
	return nil
}

// begin sends the header.
func (s *stream) begin() error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	err := s.out.write([]byte(retryHint))
	// From here on the connection is read only to see that the reader stays.
	_ = s.w.control.SetReadDeadline(time.Time{})
	return err
}

// run sends events until there is a reason to stop; that is io.EOF after the end.
func (s *stream) run(ctx context.Context) error {
	for {
		e, err := s.next(ctx)
		switch {
		case errors.Is(err, ports.ErrGone):
			if err := s.restart(ctx); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if s.untouched {
			s.untouched = false
			// Output follows a status event of its attempt. If the first event is
			// none, that one was trimmed, and output may have been with it.
			if e.Type != ports.EventStatus {
				if err := s.snapshot(ctx); err != nil {
					return err
				}
			}
		}
		if err := s.send(e); err != nil {
			return err
		}
		if e.Type == ports.EventEnd {
			return io.EOF
		}
	}
}

// errReader says that the reader is gone or too slow.
var errReader = errors.New("the reader is gone")

// next waits for the next event, with heartbeats meanwhile.
func (s *stream) next(ctx context.Context) (taskrunner.Event, error) {
	for {
		beat, cancel := context.WithTimeout(ctx, heartbeat)
		e, err := s.watch.Next(beat)
		due := beat.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
		cancel()
		if !due {
			return e, err
		}
		if s.out.comment("heartbeat") != nil {
			return taskrunner.Event{}, errReader
		}
	}
}

// send sends one event of the bus.
func (s *stream) send(e taskrunner.Event) error {
	for _, t := range outputs {
		if held := s.cursor.output(t); held.brokenBy(e, t) {
			// Its place is still that of the event before this one.
			if err := s.text(t, held.flush(), false, false); err != nil {
				return err
			}
		}
	}
	if e.ID != "" {
		s.cursor.after = e.ID
	}
	var data any
	switch e.Type {
	case ports.EventStdout, ports.EventStderr:
		p := s.cursor.output(e.Type).add(e.Attempt, e.Offset, e.Data, e.Truncated)
		if p.text == "" && !e.Truncated {
			return nil // all of it is held back, or was seen
		}
		return s.text(e.Type, p, e.Truncated, false)
	case ports.EventStatus:
		data = statusOf(e)
	case ports.EventUsage:
		data = usageDataOf(e)
	case ports.EventEnd:
		s.cursor.ended = true
		data = endOf(e)
	default:
		return nil // of a later version
	}
	id := s.cursor.String()
	return s.reader(s.out.event(string(e.Type), &id, data))
}

// text sends a piece of an output. What belongs to a snapshot is no place to
// resume from.
func (s *stream) text(t taskrunner.EventType, p piece, truncated, snapshot bool) error {
	var id *string
	if !snapshot {
		id = new(s.cursor.String())
	}
	return s.reader(s.out.event(string(t), id, outputData{
		Text: p.text, Offset: p.offset, Attempt: s.cursor.output(t).attempt, Truncated: truncated, Snapshot: snapshot,
	}))
}

// reader turns an error of writing to the reader into errReader.
func (s *stream) reader(err error) error {
	if err != nil {
		return errReader
	}
	return nil
}

// restart begins anew after the reader's place was trimmed: with a snapshot, and
// then all events that are kept, which are all newer than that place.
func (s *stream) restart(ctx context.Context) error {
	s.close()
	watch, err := s.api.client.Watch(ctx, s.id, taskrunner.Position{})
	if err != nil {
		return err
	}
	s.watch, s.cursor, s.untouched = watch, cursor{}, false
	return s.snapshot(ctx)
}

// snapshot sends the task's status and the output so far. Output that the events
// which follow have too is sent once.
func (s *stream) snapshot(ctx context.Context) error {
	task, err := s.api.client.Get(ctx, s.id)
	if err != nil {
		return err
	}
	// An empty id: until the snapshot is whole, a reader that loses the connection
	// begins at the beginning, and gets another one.
	data := statusData{Status: string(task.Status), Attempt: task.Attempt, Time: timeOf(time.Now()), Snapshot: true}
	if err := s.reader(s.out.event(string(ports.EventStatus), new(""), data)); err != nil {
		return err
	}
	s.cursor.stdout, s.cursor.stderr = textStream{}, textStream{}
	if task.Attempt == 0 {
		return nil
	}
	for _, t := range outputs {
		if err := s.snapshotOutput(ctx, task, t); err != nil {
			return err
		}
	}
	return nil
}

// snapshotOutput sends the beginning of an output from its log or, if that is no
// longer kept, from the record.
func (s *stream) snapshotOutput(ctx context.Context, task taskrunner.Task, t taskrunner.EventType) error {
	body, info, err := s.api.client.Logs(ctx, s.id, string(t), 0, snapshotSize)
	if errors.Is(err, ports.ErrNotFound) {
		return s.snapshotRecord(task, t)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	size := min(info.Size, snapshotSize)
	buf := make([]byte, snapshotPiece)
	for sent := int64(0); sent < size; {
		n, err := io.ReadFull(body, buf[:min(size-sent, snapshotPiece)])
		if err != nil {
			return err
		}
		sent += int64(n)
		cut := sent == size && info.Size > size
		p := s.cursor.output(t).add(task.Attempt, sent-int64(n), buf[:n], cut)
		if err := s.text(t, p, cut, true); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) snapshotRecord(task taskrunner.Task, t taskrunner.EventType) error {
	if task.Result == nil {
		return nil
	}
	out := task.Result.Stdout
	if t == ports.EventStderr {
		out = task.Result.Stderr
	}
	data := out.Head
	if !out.Truncated {
		data = append(data[:len(data):len(data)], out.Tail...)
	}
	if len(data) == 0 {
		return nil
	}
	p := s.cursor.output(t).add(task.Attempt, 0, data, out.Truncated)
	return s.text(t, p, out.Truncated, true)
}

// ended says goodbye where the reader is still there to hear it, and logs what
// operators should know. Readers connect again, and resume.
func (s *stream) ended(ctx context.Context, err error) {
	switch {
	case errors.Is(err, io.EOF):
		_ = s.out.flush()
	case errors.Is(err, errReader):
		if s.w.late() {
			s.api.meters.drop(dropSlow)
		}
	case s.context().Err() != nil:
	case errors.Is(context.Cause(ctx), errDraining):
		s.api.meters.drop(dropDraining)
		_ = s.out.comment("the server is shutting down")
	case errors.Is(err, ports.ErrNotFound):
		_ = s.out.comment("the task was deleted")
	default:
		s.api.meters.drop(dropFailed)
		s.api.log.ErrorContext(ctx, "a stream broke off", "request_id", s.exchange.id, "task", s.id, "error", err)
		_ = s.out.comment("interrupted")
	}
}

func (s *stream) close() {
	if s.watch != nil {
		_ = s.watch.Close()
	}
}
