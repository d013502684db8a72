package httpapi

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/task-runner/task-runner/taskrunner"
)

// This file has Server-Sent Events as the HTML standard defines them (section
// 9.2), and the data of ours.

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
