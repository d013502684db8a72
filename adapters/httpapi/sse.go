package httpapi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// This file has Server-Sent Events as the HTML standard defines them (section
// 9.2), and the ids that readers resume from.

// sseWriter writes events to one reader.
type sseWriter struct {
	w *response
	// lazy leaves what is written to be sent with what follows.
	lazy bool
}

// pieces are buffers for one event each: a reader that waits holds none.
var pieces = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// event writes one event and, unless id is nil, the id to resume from behind it;
// an empty one makes the reader forget the one it had. JSON has no line break, so
// nothing in data can end the event.
func (s *sseWriter) event(name string, id *string, data any) error {
	b := pieces.Get().(*bytes.Buffer)
	defer pieces.Put(b)
	b.Reset()
	if id != nil {
		b.WriteString("id: " + *id + "\n")
	}
	b.WriteString("event: " + name + "\ndata: ")
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return err
	}
	b.WriteByte('\n')
	return s.write(b.Bytes())
}

// comment writes a line that readers ignore.
func (s *sseWriter) comment(text string) error {
	if err := s.write([]byte(": " + text + "\n\n")); err != nil {
		return err
	}
	return s.flush()
}

func (s *sseWriter) write(p []byte) error {
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	if s.lazy {
		return nil
	}
	return s.flush()
}

func (s *sseWriter) flush() error { return s.w.FlushError() }

// cursor is a reader's place in a task's events: behind the event after, with
// what is held back of each output.
type cursor struct {
	after taskrunner.EventID
	// ended says that nothing follows.
	ended          bool
	stdout, stderr textStream
}

// String returns the id of the cursor: the event's own ID, then "~end" at the
// end, or "~o" (stdout) and "~e" (stderr) with the bytes held back in hex, their
// offset and their attempt: "42~oe282.1021.1".
func (c *cursor) String() string {
	if c.ended {
		return string(c.after) + "~end"
	}
	if c.after == "" {
		return "" // in a snapshot: begin anew
	}
	id := string(c.after)
	for _, s := range []struct {
		mark string
		*textStream
	}{{"~o", &c.stdout}, {"~e", &c.stderr}} {
		if len(s.held) > 0 {
			id += s.mark + hex.EncodeToString(s.held) +
				"." + strconv.FormatInt(s.next-int64(len(s.held)), 10) + "." + strconv.Itoa(s.attempt)
		}
	}
	return id
}

// maxEventID is the greatest length of an ID that a bus gives.
const maxEventID = 64

// parseCursor reads what String wrote, and nothing else.
func parseCursor(id string) (c cursor, ok bool) {
	after, rest, marked := strings.Cut(id, "~")
	c.after = taskrunner.EventID(after)
	if len(after) > maxEventID || strings.ContainsFunc(after, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) {
		return c, false
	}
	switch {
	case !marked:
		return c, true
	case rest == "end":
		c.ended = true
		return c, true
	}
	for mark := range strings.SplitSeq(rest, "~") {
		s := &c.stdout
		if strings.HasPrefix(mark, "e") {
			s = &c.stderr
		}
		if mark == "" || !s.parse(mark[1:]) {
			return c, false
		}
	}
	// Whatever else reads as the same place is not ours.
	return c, c.String() == id
}

func (s *textStream) parse(mark string) bool {
	held, numbers, _ := strings.Cut(mark, ".")
	offset, attempt, _ := strings.Cut(numbers, ".")
	b, err := hex.DecodeString(held)
	if err != nil || len(b) == 0 || len(b) >= utf8.UTFMax || cutRune(b) != len(b) {
		return false
	}
	at, err := strconv.ParseInt(offset, 10, 62)
	if err != nil || at < 0 {
		return false
	}
	n, err := strconv.ParseUint(attempt, 10, 31)
	*s = textStream{known: true, attempt: int(n), next: at + int64(len(b)), held: b}
	return err == nil
}

// The data of events.

type statusData struct {
	Status   string `json:"status" enum:"queued,running,succeeded,failed,timed_out,cancelled"`
	Attempt  int    `json:"attempt"`
	Time     *Time  `json:"time"`
	Snapshot bool   `json:"snapshot,omitempty" doc:"Set when events before this one are gone: forget all output, what was kept of it follows."`
}

type outputData struct {
	Text      string `json:"text" doc:"Valid UTF-8; a byte that is part of no character is U+FFFD."`
	Offset    int64  `json:"offset" doc:"How many bytes of this output came before, in this attempt."`
	Attempt   int    `json:"attempt"`
	Truncated bool   `json:"truncated,omitempty" doc:"Set on the last event of this output if the program wrote more, which the whole log has."`
	Snapshot  bool   `json:"snapshot,omitempty"`
}

type usageData struct {
	Sample
	Attempt int   `json:"attempt"`
	Time    *Time `json:"time"`
}

type endData struct {
	Status   string  `json:"status" enum:"succeeded,failed,timed_out,cancelled"`
	Cause    *string `json:"cause" nullable:"true"`
	ExitCode *int    `json:"exit_code"`
	Signal   *string `json:"signal"`
	Attempt  int     `json:"attempt"`
	Time     *Time   `json:"time"`
}

func statusOf(e taskrunner.Event) statusData {
	return statusData{Status: string(e.Status), Attempt: e.Attempt, Time: timeOf(e.Time)}
}

func usageDataOf(e taskrunner.Event) usageData {
	return usageData{Sample: sampleOf(e.Sample), Attempt: e.Attempt, Time: timeOf(e.Time)}
}

func endOf(e taskrunner.Event) endData {
	d := endData{Status: string(e.Status), Attempt: e.Attempt, Time: timeOf(e.Time)}
	d.Cause, d.ExitCode, d.Signal = outcomeOf(e.Cause, e.ExitCode, e.Signal)
	return d
}

// output returns the text of one output at the cursor.
func (c *cursor) output(t taskrunner.EventType) *textStream {
	if t == ports.EventStderr {
		return &c.stderr
	}
	return &c.stdout
}
