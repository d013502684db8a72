package httpapi

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
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
	id    taskrunner.TaskID
	out   sseWriter
	watch *taskrunner.Watch
	// finished says that the task was, before the watch began.
	finished bool
	// untouched says that the reader asked for the beginning and got nothing yet.
	untouched bool
	// shown is how far a snapshot told each output of attempt: no byte of it is told
	// again.
	shown   map[taskrunner.EventType]int64
	attempt int
}

// endMark is behind the ID of the end event: nothing follows it. No bus's ID has it.
const endMark = "~end"

// streamEvents serves the events of a task until its end, or until the reader is
// gone, too slow, or sent away because the server stops.
//
// Most of the time a stream waits, and its stack is kept: whatever is large belongs
// into functions that return before, such as find and open.
func (a *API) streamEvents(x *exchange) error {
	s := &stream{exchange: x, out: sseWriter{w: x.w}}
	after, told, err := s.find()
	if err != nil || told {
		return err
	}
	leave, ok := a.enter()
	if !ok {
		a.meters.drop(dropTooMany)
		return newProblem(http.StatusServiceUnavailable, "too_many_readers", "Too many readers are connected; try again later.").retry("5")
	}
	defer leave()
	if a.isDraining() {
		a.meters.drop(dropDraining)
		return newProblem(http.StatusServiceUnavailable, "unavailable", "The server is shutting down; try again.").retry("1")
	}
	a.meters.streams.Inc()
	defer a.meters.streams.Dec()
	ctx, stop := a.untilDrain(x.context())
	defer stop()
	defer s.close()
	if serving, err := s.open(ctx, after); !serving {
		return err
	}
	s.ended(ctx, s.run(ctx))
	return nil
}

// find finds the task and the place in its events that the reader asks for. A reader
// who has the end already is told so.
func (s *stream) find() (after taskrunner.EventID, told bool, err error) {
	if s.id, err = s.taskID(); err != nil {
		return "", false, err
	}
	task, err := s.api.client.Get(s.context(), s.id)
	if err != nil {
		return "", false, err
	}
	place, ended := strings.CutSuffix(s.lastEventID(), endMark)
	if ended {
		if !task.Status.Terminal() {
			return "", false, badEventID()
		}
		s.w.WriteHeader(http.StatusNoContent)
		return "", true, nil
	}
	// All events of a finished task are there already: they need not be sent one by one.
	s.finished = task.Status.Terminal()
	s.untouched = place == ""
	return taskrunner.EventID(place), false, nil
}

// open begins the answer, unless the watch cannot begin. It reports whether events are
// to follow.
func (s *stream) open(ctx context.Context, after taskrunner.EventID) (bool, error) {
	var err error
	s.watch, err = s.api.client.Watch(ctx, s.id, taskrunner.Position{After: after})
	gone := errors.Is(err, ports.ErrGone)
	switch {
	case errors.Is(err, ports.ErrInvalid):
		return false, badEventID()
	case err != nil && !gone:
		return false, err
	}
	if !s.begin() || s.r.Method == http.MethodHead {
		return false, nil
	}
	if gone {
		if err := s.restart(ctx); err != nil {
			s.ended(ctx, err)
			return false, nil
		}
	}
	s.out.lazy = s.finished
	return true, nil
}

// lastEventID returns the place that the reader resumes from: the header, or the
// query parameter of those that cannot set one.
func (x *exchange) lastEventID() string {
	return cmp.Or(x.r.Header.Get("Last-Event-ID"), x.query.get("last_event_id"))
}

func badEventID() error { return issue("Last-Event-ID", "must be the id of an event of this stream") }

// begin sends the header, and reports whether the reader is there.
func (s *stream) begin() bool {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	return s.out.write([]byte(retryHint)) == nil
}

// run sends events until there is a reason to stop; that is io.EOF after the end.
func (s *stream) run(ctx context.Context) error {
	var e taskrunner.Event
	for {
		err := s.next(ctx, &e)
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
		if err := s.send(&e); err != nil {
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
func (s *stream) next(ctx context.Context, e *taskrunner.Event) (err error) {
	for {
		beat, cancel := context.WithTimeout(ctx, heartbeat)
		*e, err = s.watch.Next(beat)
		due := beat.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
		cancel()
		if !due {
			return err
		}
		if s.out.comment("heartbeat") != nil {
			return errReader
		}
	}
}

// send sends one event of the bus, under the bus's ID of it.
func (s *stream) send(e *taskrunner.Event) error {
	id := string(e.ID)
	var data any
	switch e.Type {
	case ports.EventStdout, ports.EventStderr:
		if e.Attempt == s.attempt {
			if seen := min(s.shown[e.Type]-e.Offset, int64(len(e.Data))); seen > 0 {
				e.Data, e.Offset = e.Data[seen:], e.Offset+seen
			}
		}
		if len(e.Data) == 0 && !e.Truncated {
			return nil // the snapshot had it
		}
		data = outputData{Text: toText(e.Data), Offset: e.Offset, Attempt: e.Attempt, Truncated: e.Truncated}
	case ports.EventStatus:
		data = statusOf(*e)
	case ports.EventUsage:
		data = usageDataOf(*e)
	case ports.EventEnd:
		id += endMark
		data = endOf(*e)
	default:
		return nil // of a later version
	}
	return s.write(e.Type, &id, data)
}

// write writes one event to the reader. Without an id it is no place to resume
// from; an empty one makes the reader forget the place it had.
func (s *stream) write(t taskrunner.EventType, id *string, data any) error {
	if s.out.event(string(t), id, data) != nil {
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
	s.watch, s.untouched = watch, false
	return s.snapshot(ctx)
}

// snapshot sends the task's status and the output so far. Output that the events
// which follow have too is sent once.
func (s *stream) snapshot(ctx context.Context) error {
	task, err := s.api.client.Get(ctx, s.id)
	if err != nil {
		return err
	}
	s.attempt, s.shown = task.Attempt, map[taskrunner.EventType]int64{}
	// Until the snapshot is whole, a reader that loses the connection begins at the
	// beginning, and gets another one.
	data := statusData{Status: string(task.Status), Attempt: task.Attempt, Time: timeOf(time.Now()), Snapshot: true}
	if err := s.write(ports.EventStatus, new(""), data); err != nil || task.Attempt == 0 {
		return err
	}
	for _, t := range outputs {
		if err := s.snapshotOutput(ctx, task, t); err != nil {
			return err
		}
	}
	return nil
}

// snapshotOutput sends the beginning of an output from its log or, if that is not
// kept, what the record has of it.
func (s *stream) snapshotOutput(ctx context.Context, task taskrunner.Task, t taskrunner.EventType) error {
	body, info, err := s.api.client.Logs(ctx, s.id, string(t), 0, snapshotSize)
	switch {
	case errors.Is(err, ports.ErrNotFound) && task.Result != nil: // the record has it not whole
		out := task.Result.Stdout
		if t == ports.EventStderr {
			out = task.Result.Stderr
		}
		return s.snapshotText(t, out.Head, true)
	case errors.Is(err, ports.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	defer body.Close()
	buf := make([]byte, snapshotPiece)
	held := 0 // bytes in buf that begin a character
	for left := min(info.Size, snapshotSize); left > 0; {
		n, err := io.ReadFull(body, buf[held:min(held+int(left), len(buf))])
		if err != nil {
			return err
		}
		left -= int64(n)
		data := buf[:held+n]
		cut := left == 0 && info.Size > snapshotSize
		held = 0
		if whole := left == 0 && info.Complete && !cut; !whole {
			held = cutRune(data) // the rest of it comes, or is cut off
		}
		if err := s.snapshotText(t, data[:len(data)-held], cut); err != nil {
			return err
		}
		copy(buf, data[len(data)-held:])
	}
	return nil
}

// snapshotText sends what comes next of an output in a snapshot.
func (s *stream) snapshotText(t taskrunner.EventType, data []byte, cut bool) error {
	if len(data) == 0 && !cut {
		return nil
	}
	offset := s.shown[t]
	s.shown[t] += int64(len(data))
	return s.write(t, nil, outputData{Text: toText(data), Offset: offset, Attempt: s.attempt, Truncated: cut, Snapshot: true})
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
