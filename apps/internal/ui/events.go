package ui

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/task-runner/task-runner/adapters/httpapi"
)

// The page's events are the API's, with what a program wrote as runs instead of text.
//
// How text looks depends on what came before. So that a reader can resume anywhere, an
// event's ID is the API's with the state of the terminals behind it, unless that is the
// one they begin in:
//
//	5                      the API's ID 5
//	5.1.G1szODs1OzFt.      as above, but attempt 1 writes in red to stdout, in base64url
//
// Readers give it back as they got it. The API gets its part, and decides what follows:
// nothing is read twice, and what the API says of a place that is gone or wrong holds.
//
// The stream is read here and not by a library because those hide its comments, which
// keep it open, and keep a buffer for each reader that is as large as its largest event.

// eventFields are the fields of the API's answer that are the page's, too.
var eventFields = []string{"Cache-Control", "Content-Type", "Retry-After", "X-Accel-Buffering", "X-Request-Id"}

// maxEvent bounds an event of the API's: 64 KiB of output, of which JSON may make six
// times as much, with room.
const maxEvent = 1 << 20

// outputEvent is the data of what a program wrote, as the API has it and as the page does.
type outputEvent struct {
	Text   string `json:"text,omitempty"` // the API's
	Runs   styled `json:"runs"`           // the page's
	Offset int64  `json:"offset"`
	// End is how many bytes of this output came so far. Each character that stands for a
	// byte of none counts as one, also where a program wrote that very character.
	End       int64 `json:"end"`
	Attempt   int   `json:"attempt"`
	Truncated bool  `json:"truncated,omitempty"`
	Snapshot  bool  `json:"snapshot,omitempty"`
}

// events serves the events of a task. A stream that breaks off ends like any other, and
// its reader connects again.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	place, screens, err := placeOf(cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("last_event_id")))
	if err != nil {
		h.problem(w, &httpapi.Problem{
			Type: "about:blank", Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest,
			Detail: "Last-Event-ID " + err.Error(), Code: "invalid_input", RequestID: httpapi.RequestID(r),
			Errors: []httpapi.FieldIssue{{Field: "Last-Event-ID", Message: err.Error()}},
		})
		return
	}
	fields := []string{"Accept", "text/event-stream"}
	if place != "" {
		fields = append(fields, "Last-Event-ID", place)
	}
	res, err := h.api.do(r, r.Method, taskPath(r.PathValue("id"))+"/stream", nil, fields...)
	if err != nil {
		h.problem(w, err)
		return
	}
	defer res.Body.Close()
	stream := strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
	if res.StatusCode == http.StatusOK && !stream {
		h.problem(w, errors.New("the API's stream is none"))
		return
	}
	maps.Copy(w.Header(), pick(res.Header, eventFields))
	w.Header().Set("Cache-Control", "no-store")
	out := &writer{ResponseWriter: w, control: http.NewResponseController(w)}
	out.WriteHeader(res.StatusCode)
	if !stream {
		_, _ = io.Copy(out, res.Body)
		return
	}
	f := &feed{in: bufio.NewReaderSize(res.Body, streamBuffer), out: out, screens: screens}
	for err == nil {
		err = f.next()
	}
	_ = out.FlushError()
}

// feed passes a stream on. While it waits it holds nothing but what is here: next has
// no buffers before there is something to read.
type feed struct {
	in      *bufio.Reader
	out     *writer
	screens screens
}

// buffers are for one event each.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxKept is how large a buffer may be that waits for another event.
const maxKept = 64 << 10

func buffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func release(b *bytes.Buffer) {
	if b.Cap() <= maxKept {
		b.Reset()
		buffers.Put(b)
	}
}

// next passes what comes next, and sends it unless more is there already.
func (f *feed) next() error {
	if _, err := f.in.Peek(1); err != nil {
		return err
	}
	if err := f.pass(); err != nil {
		return err
	}
	if ready, _ := f.in.Peek(f.in.Buffered()); bytes.Contains(ready, []byte("\n\n")) {
		return nil
	}
	return f.out.FlushError()
}

// pass passes one event or comment.
func (f *feed) pass() error {
	block, turned := buffer(), buffer()
	defer release(block)
	defer release(turned)
	if err := readBlock(f.in, block); err != nil {
		return err
	}
	if err := f.screens.turn(block.Bytes(), turned); err != nil {
		return err
	}
	_, err := f.out.Write(turned.Bytes())
	return err
}

// readBlock reads up to an empty line, with which an event ends. One that ends before
// that is none.
func readBlock(in *bufio.Reader, block *bytes.Buffer) error {
	line := 0 // where it begins
	for {
		piece, err := in.ReadSlice('\n')
		if block.Len()+len(piece) > maxEvent {
			return fmt.Errorf("an event is longer than %d bytes", maxEvent)
		}
		block.Write(piece)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return err
		case block.Len() == line+1:
			return nil
		}
		line = block.Len()
	}
}

// screens are the terminals of one attempt's outputs.
type screens struct {
	attempt        int
	stdout, stderr *terminal // nil: nothing was written yet
}

// turn writes a block as the page has it. What is no event passes as it is.
func (s *screens) turn(block []byte, out *bytes.Buffer) error {
	var id, name, data []byte
	for line := range bytes.Lines(block) {
		field, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = value
		}
	}
	if name == nil {
		out.Write(block)
		return nil
	}
	data, err := s.show(string(name), data)
	if err != nil {
		return fmt.Errorf("reading an event %q: %w", name, err)
	}
	if id != nil {
		fmt.Fprintf(out, "id: %s\n", s.place(string(id)))
	}
	fmt.Fprintf(out, "event: %s\ndata: %s\n\n", name, data)
	return nil
}

// show returns the data of an event as the page has it.
func (s *screens) show(name string, data []byte) ([]byte, error) {
	if name != "status" && name != "stdout" && name != "stderr" {
		return data, nil
	}
	var e outputEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	if e.Attempt != s.attempt || name == "status" && e.Snapshot {
		*s = screens{attempt: e.Attempt}
	}
	screen := &s.stdout
	switch name {
	case "status":
		return data, nil
	case "stderr":
		screen = &s.stderr
	}
	if *screen == nil {
		*screen = newTerminal()
	}
	e.End = e.Offset + int64(len(e.Text)-strings.Count(e.Text, "\ufffd")*(utf8.RuneLen(utf8.RuneError)-1))
	e.Runs, e.Text = (*screen).write(e.Text), ""
	return json.Marshal(e)
}

// place returns the ID of an event that was shown. Nothing follows the end, and behind
// no ID there is no place.
func (s *screens) place(id string) string {
	stdout, stderr := s.stdout.place(), s.stderr.place()
	if stdout == "" && stderr == "" || id == "" || strings.Contains(id, "~") {
		return id
	}
	return id + "." + strconv.Itoa(s.attempt) + "." + stdout + "." + stderr
}

// placeOf returns the API's part of a place, and the terminals as they were there.
func placeOf(place string) (string, screens, error) {
	wrong := errors.New("must be the id of an event of this stream")
	if strings.ContainsFunc(place, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", screens{}, wrong // and can be no field of a request
	}
	id, state, ok := strings.Cut(place, ".")
	if !ok {
		return id, screens{}, nil
	}
	parts := strings.Split(state, ".")
	if len(place) > 1<<10 || len(parts) != 3 {
		return "", screens{}, wrong
	}
	attempt, err := strconv.Atoi(parts[0])
	if err != nil || id == "" {
		return "", screens{}, wrong
	}
	stdout, stderr := terminalAt(parts[1]), terminalAt(parts[2])
	if stdout == nil || stderr == nil {
		return "", screens{}, wrong
	}
	return id, screens{attempt, stdout, stderr}, nil
}

// place returns the terminal's state as a part of an ID.
func (t *terminal) place() string {
	if t == nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(t.state()))
}

// terminalAt returns a terminal with the state that place has; nil if that is none.
func terminalAt(place string) *terminal {
	state, err := base64.RawURLEncoding.DecodeString(place)
	if err != nil || len(state) > maxState {
		return nil
	}
	t := newTerminal()
	if runs := t.write(string(state)); len(runs) > 0 || t.state() != string(state) {
		return nil
	}
	return t
}
