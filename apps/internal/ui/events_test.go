package ui_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/apps/internal/ui"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// staged is a task whose events the test publishes itself, below a real API, and the
// page before that.
type staged struct {
	t       testing.TB
	url, id string
	api     http.Handler
	page    http.Handler
	backend ports.Backend
}

func stage(t testing.TB, options ...memory.Option) *staged {
	t.Helper()
	s := &staged{t: t, backend: memory.New(options...)}
	core := taskrunner.Config{Backend: s.backend, Executor: fakes.NewExecutor(), Logger: slog.New(slog.DiscardHandler)}
	client, err := taskrunner.NewClient(core)
	require.NoError(t, err)
	s.api, err = httpapi.New(httpapi.Config{Client: client, Logger: core.Logger})
	require.NoError(t, err)
	s.page, err = ui.New(ui.Config{API: s.api, Secret: secret})
	require.NoError(t, err)
	srv := httptest.NewServer(s.page)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	res, err := http.Post(s.url+"/api/v1/tasks", "application/json", strings.NewReader(`{"language":"python","code":"x"}`))
	require.NoError(t, err)
	defer res.Body.Close()
	var accepted httpapi.Accepted
	require.NoError(t, json.NewDecoder(res.Body).Decode(&accepted))
	s.id = accepted.TaskID
	return s
}

// publish publishes what a worker would.
func (s *staged) publish(events ...ports.Event) {
	s.t.Helper()
	for _, e := range events {
		e.Task, e.Time, e.Attempt = ports.TaskID(s.id), time.Now(), max(e.Attempt, 1)
		_, err := s.backend.Events.Publish(s.t.Context(), e)
		require.NoError(s.t, err)
	}
}

func starts(attempt int) ports.Event {
	return ports.Event{Type: ports.EventStatus, Status: ports.StatusRunning, Attempt: attempt}
}

func writes(t ports.EventType, offset int, text string) ports.Event {
	return ports.Event{Type: t, Offset: int64(offset), Data: []byte(text)}
}

func ends() ports.Event {
	return ports.Event{Type: ports.EventEnd, Status: ports.StatusSucceeded, Cause: ports.CauseExit}
}

// told is an event as a page gets it. Its id is the place that a browser is at then.
type told struct{ id, name, data string }

// output is the data of what a program wrote.
type output struct {
	Runs      [][]string `json:"runs"`
	Text      *string    `json:"text"`
	Offset    int        `json:"offset"`
	End       int        `json:"end"`
	Attempt   int        `json:"attempt"`
	Truncated bool       `json:"truncated"`
	Snapshot  bool       `json:"snapshot"`
}

func (e told) output(t testing.TB) output {
	t.Helper()
	var o output
	require.NoError(t, json.Unmarshal([]byte(e.data), &o))
	assert.Nil(t, o.Text, "the text is in the runs")
	require.NotNil(t, o.Runs)
	return o
}

// page reads a page's events.
type page struct {
	t        testing.TB
	res      *http.Response
	lines    *bufio.Reader
	close    context.CancelFunc
	lastID   string
	comments []string
}

func open(t testing.TB, url, lastID string) *page {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		_ = res.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return &page{t: t, res: res, lines: bufio.NewReader(res.Body), close: cancel, lastID: lastID}
}

func (s *staged) open(lastID string) *page {
	s.t.Helper()
	return open(s.t, s.url+"/tasks/"+s.id+"/events", lastID)
}

// next returns the next event; none at the end, which is as clean as any other answer's.
func (p *page) next() (e told) {
	p.t.Helper()
	for {
		line, err := p.lines.ReadString('\n')
		if err == io.EOF {
			assert.Empty(p.t, line, "the stream ends between lines")
			return told{}
		}
		require.NoError(p.t, err)
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			p.lastID = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "retry":
			assert.Equal(p.t, "2000", value)
		case "":
			if value != "" {
				p.comments = append(p.comments, value)
			} else if e.name != "" {
				e.id = p.lastID
				return e
			}
		default:
			p.t.Errorf("line %q", line)
		}
	}
}

func (p *page) until(name string) told {
	p.t.Helper()
	for {
		e := p.next()
		require.NotEmpty(p.t, e.name, "the stream ended before %s", name)
		if e.name == name {
			return e
		}
	}
}

func (p *page) rest() (all []told) {
	p.t.Helper()
	for e := p.next(); e.name != ""; e = p.next() {
		all = append(all, e)
	}
	return all
}

// runs returns the runs of one output, of which neighbours of one class are one.
func runs(t testing.TB, name string, events []told) (all [][]string) {
	t.Helper()
	for _, e := range events {
		if e.name != name {
			continue
		}
		for _, r := range e.output(t).Runs {
			if n := len(all); n > 0 && len(all[n-1]) == len(r) && (len(r) == 1 || all[n-1][1] == r[1]) && r[0] != "\r" && all[n-1][0] != "\r" {
				all[n-1][0] += r[0]
				continue
			}
			all = append(all, r)
		}
	}
	return all
}

func TestAPageGetsOutputInColoursAsItComes(t *testing.T) {
	t.Parallel()
	second, end := make(chan struct{}), make(chan struct{})
	api := serve(t, taskrunner.Policy{}, fakes.Stdout("a\x1b[31mred"), fakes.Stderr("\x1b[1moh"), fakes.Until(second), fakes.Stdout("der\x1b[0m\n"),
		fakes.Until(end), fakes.Exit(2))
	s := before(t, "http://"+api.addr)
	p := open(t, s.url+"/tasks/"+s.submit()+"/events", "")
	h := p.res.Header
	assert.Equal(t, "text/event-stream", h.Get("Content-Type"))
	assert.Equal(t, "no-store", h.Get("Cache-Control"))
	assert.Equal(t, "no", h.Get("X-Accel-Buffering"))
	assert.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'")
	o := p.until("stdout").output(t)
	assert.Equal(t, output{Runs: [][]string{{"a"}, {"red", "fg1"}}, End: 9, Attempt: 1}, o)
	close(second) // which is not written before the first was read
	o = p.until("stdout").output(t)
	assert.Equal(t, output{Runs: [][]string{{"der", "fg1"}, {"\n"}}, Offset: 9, End: 17, Attempt: 1}, o)
	close(end)
	assert.Contains(t, p.until("end").data, `"exit_code":2`)
	assert.Empty(t, p.rest(), "nothing follows the end")
	assert.Equal(t, http.StatusNoContent, open(t, p.res.Request.URL.String(), p.lastID).res.StatusCode)
}

func TestAPageResumesAnywhereInItsColours(t *testing.T) {
	t.Parallel()
	s := stage(t)
	s.publish(starts(1),
		writes(ports.EventStdout, 0, "plain"), writes(ports.EventStderr, 0, "\x1b[1;4"), writes(ports.EventStdout, 5, "\x1b[38;5;196;48;2;0;0;255mred"),
		ports.Event{Type: ports.EventUsage, Sample: ports.Sample{At: time.Second, CPU: 1, Memory: 5}}, writes(ports.EventStderr, 5, ";31mbold"), writes(ports.EventStdout, 35, "still\x1b["),
		writes(ports.EventStdout, 42, "0mnot\r"), writes(ports.EventStdout, 48, "\n10%\r"), writes(ports.EventStdout, 53, "20%\x1b]0;tit"),
		starts(2), ports.Event{Type: ports.EventStdout, Data: []byte("le\aagain"), Attempt: 2}, ends())
	all := s.open("").rest()
	require.Len(t, all, 14)
	assert.Equal(t, [][]string{{"plain"}, {"redstill", "fg9 bg12"}, {"not\n10%"}, {"\r"}, {"20%leagain"}}, runs(t, "stdout", all))
	assert.Equal(t, [][]string{{"bold", "fg1 b u"}}, runs(t, "stderr", all))
	assert.Equal(t, "usage", all[5].name)
	assert.Contains(t, all[5].data, `"cpu_percent":100`)
	ids := map[string]bool{}
	for i, e := range all[:len(all)-1] {
		assert.False(t, ids[e.id], "an id is given once: %s", e.id)
		ids[e.id] = true
		assert.Equal(t, all[i+1:], s.open(e.id).rest(), "after %s", e.id)
		query := open(t, s.url+"/tasks/"+s.id+"/events?last_event_id="+e.id, "")
		assert.Equal(t, all[i+1:], query.rest(), "for readers that cannot set headers")
	}
}

func TestAnIDIsTheAPIsUnlessThereIsAStateToKeep(t *testing.T) {
	t.Parallel()
	s := stage(t)
	s.publish(starts(1), writes(ports.EventStdout, 0, "\x1b[31ma"), writes(ports.EventStderr, 0, "b"), writes(ports.EventStdout, 6, "\x1b[mc"), ends())
	var raw, got []string
	for _, e := range open(t, s.url+"/api/v1/tasks/"+s.id+"/stream", "").rest() {
		raw = append(raw, e.id)
	}
	for _, e := range s.open("").rest() {
		got = append(got, e.id)
	}
	require.Len(t, raw, 6)
	assert.Equal(t, []string{raw[0], raw[1], raw[2] + ".1.G1szODs1OzFt.", raw[3] + ".1.G1szODs1OzFt.", raw[4], raw[5]}, got)
}

func TestEachAttemptHasATerminalOfItsOwn(t *testing.T) {
	t.Parallel()
	s := stage(t)
	again := writes(ports.EventStdout, 0, "again")
	again.Attempt = 2
	s.publish(starts(1), writes(ports.EventStdout, 0, "\x1b[31mred\x1b]0;"), starts(2), again, ends())
	all := s.open("").rest()
	assert.Equal(t, [][]string{{"red", "fg1"}, {"again"}}, runs(t, "stdout", all))
	assert.Equal(t, all[3:], s.open(all[2].id).rest())
	assert.Equal(t, all[4:], s.open(all[3].id).rest())
}

func TestASnapshotBeginsAnew(t *testing.T) {
	t.Parallel()
	s := stage(t, memory.WithMaxTopicEvents(3))
	first := s.open("").next()
	s.publish(starts(1), writes(ports.EventStdout, 0, "\x1b[31mred"))
	place := s.open("").until("stdout").id
	require.Contains(t, place, ".")

	task, err := s.backend.Store.Get(t.Context(), ports.TaskID(s.id))
	require.NoError(t, err)
	task.Status, task.Attempt, task.StartedAt = ports.StatusRunning, 1, time.Now()
	_, err = s.backend.Store.Update(t.Context(), task)
	require.NoError(t, err)
	log, err := s.backend.Logs.Create(t.Context(), ports.LogKey{Task: task.ID, Attempt: 1, Name: ports.LogStdout})
	require.NoError(t, err)
	_, err = io.WriteString(log, "\x1b[31mred, \x1b[1mbold ")
	require.NoError(t, err)
	s.publish(writes(ports.EventStdout, 8, ", \x1b[1mbold "), writes(ports.EventStdout, 20, "and "), writes(ports.EventStdout, 24, "so "), writes(ports.EventStdout, 27, "on"), ends())

	for _, lastID := range []string{"", first.id, place} {
		all := s.open(lastID).rest()
		assert.Equal(t, "status", all[0].name)
		assert.Contains(t, all[0].data, `"snapshot":true`)
		assert.Empty(t, all[0].id, "until it is whole there is no place to resume from")
		assert.True(t, all[1].output(t).Snapshot)
		assert.Empty(t, all[1].id)
		text := ""
		for _, r := range runs(t, "stdout", all) {
			text += r[0]
		}
		assert.Equal(t, "red, bold so on", text, "what is nowhere is missing")
		last := all[len(all)-2]
		assert.Equal(t, [][]string{{"on", "fg1 b"}}, last.output(t).Runs, "in the colours of the snapshot")
		assert.Equal(t, all[len(all)-1:], s.open(last.id).rest())
	}
}

func TestABackendThatComesBackIsResumed(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	api := serve(t, taskrunner.Policy{}, fakes.Stdout("\x1b[31mfirst"), fakes.Until(second), fakes.Stdout("second"))
	s := before(t, "http://"+api.addr)
	url := s.url + "/tasks/" + s.submit() + "/events"
	p := open(t, url, "")
	p.until("stdout")
	api.kill()
	assert.Empty(t, p.rest(), "the stream ends, so that its reader connects again")
	away := open(t, url, p.lastID)
	assert.Equal(t, http.StatusServiceUnavailable, away.res.StatusCode)
	assert.Equal(t, "5", away.res.Header.Get("Retry-After"))
	assert.Equal(t, "application/problem+json", away.res.Header.Get("Content-Type"))
	api.start()
	close(second)
	all := open(t, url, p.lastID).rest()
	assert.Equal(t, [][]string{{"second", "fg1"}}, runs(t, "stdout", all))
	assert.Equal(t, "end", all[len(all)-1].name)
}

func TestHostileOutputIsOnlyEverText(t *testing.T) {
	t.Parallel()
	const hostile = "\n\nevent: end\ndata: {}\n\n\r\rid: 1\r\n: x\x00\x1b]0;t\x07<script>alert(1)</script>\u2028\u2029\u202e\xff\xfe" +
		"\x1b[38:6::255:0:0:1m\x1b[99999999999999999999;1m\u009b31m"
	s := stage(t)
	s.publish(starts(1), writes(ports.EventStdout, 0, hostile), writes(ports.EventStdout, len(hostile), "x"), ends())
	all := s.open("").rest()
	var names []string
	for _, e := range all {
		names = append(names, e.name)
	}
	assert.Equal(t, []string{"status", "status", "stdout", "stdout", "end"}, names)
	assert.Equal(t, len(hostile), all[2].output(t).End, "a byte of no character is one")
	assert.Equal(t, [][]string{
		{"\n\nevent: end\ndata: {}\n\n"}, {"\r"}, {"id: 1\n: x"}, {"␀", "ctl"}, {"<script>alert(1)</script>"}, {"U+2028U+2029U+202E", "ctl"}, {"\ufffd\ufffd"},
		{"U+009B", "ctl"},
	}, all[2].output(t).Runs[:8])
	assert.NotContains(t, all[2].data, "<script>")
}

func TestWhatIsNoPlaceIsRefused(t *testing.T) {
	t.Parallel()
	s := stage(t)
	for name, place := range map[string]string{
		"no id at all":                  "none!",
		"an id of another bus":          "1-2-3-4",
		"the end of one that goes on":   "1~end",
		"parts that are missing":        "1.1.",
		"a part too many":               "1.1...",
		"no id before the state":        ".1.G1szODs1OzFt.",
		"an attempt that is no number":  "1.x.G1szODs1OzFt.",
		"a state that is not base64":    "1.1.!!.",
		"a state that shows something":  "1.1.PHNjcmlwdD4.",  // <script>
		"a state that is not the short": "1.1.G1szMW0bWzBt.", // one sequence and its opposite
		"a state that is too long":      "1.1.." + strings.Repeat("GVsw", 100),
		"a place that is far too long":  "1.1.." + strings.Repeat("x", 100<<10),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s.open(place)
			require.Equal(t, http.StatusBadRequest, p.res.StatusCode)
			var problem httpapi.Problem
			require.NoError(t, json.NewDecoder(p.res.Body).Decode(&problem))
			assert.Equal(t, "invalid_input", problem.Code)
			require.NotEmpty(t, problem.Errors)
			assert.Equal(t, "Last-Event-ID", problem.Errors[0].Field)
			assert.NotEmpty(t, problem.RequestID)
		})
	}
	p := open(t, s.url+"/tasks/0199/events", "")
	assert.Equal(t, http.StatusNotFound, p.res.StatusCode)
	assert.Equal(t, "application/problem+json", p.res.Header.Get("Content-Type"))
	head, err := http.Head(s.url + "/tasks/" + s.id + "/events")
	require.NoError(t, err)
	require.NoError(t, head.Body.Close())
	assert.Equal(t, "text/event-stream", head.Header.Get("Content-Type"), "and it ends")
}

// eventsOf answers with a page before an API that is f.
func eventsOf(t *testing.T, f http.HandlerFunc) *page {
	t.Helper()
	srv := httptest.NewServer(newUI(t, f))
	t.Cleanup(srv.Close)
	return open(t, srv.URL+"/tasks/1/events", "")
}

func TestAnAPIThatMakesNoSenseIsNoStream(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer string
		want   []told
	}{
		"an event that is too long":     {"event: usage\ndata: 1\n\nevent: stdout\ndata: " + strings.Repeat("x", 2<<20) + "\n\n", []told{{"", "usage", "1"}}},
		"one that is broken":            {"event: usage\ndata: 1\n\nevent: stdout\ndata: {\n\nevent: usage\ndata: 2\n\n", []told{{"", "usage", "1"}}},
		"one that is cut off":           {"event: usage\ndata: 1\n\nevent: usage\nda", []told{{"", "usage", "1"}}},
		"one without data":              {"event: stdout\n\n", nil},
		"one that nobody knows":         {"id: 7\nevent: news\ndata: {\"a\": 1}\n\n", []told{{"7", "news", `{"a": 1}`}}},
		"an output that says nothing":   {"event: stdout\ndata: {}\n\n", []told{{"", "stdout", `{"runs":[],"offset":0,"end":0,"attempt":0}`}}},
		"fields without spaces":         {"id:7\nevent:usage\ndata:1\n\n", []told{{"7", "usage", "1"}}},
		"an output that was cut":        {"event: stderr\ndata: {\"text\":\"\",\"offset\":3,\"attempt\":1,\"truncated\":true}\n\n", []told{{"", "stderr", `{"runs":[],"offset":3,"end":3,"attempt":1,"truncated":true}`}}},
		"an ID that is to be forgotten": {"id: 7\nevent: usage\ndata: 1\n\nid: \nevent: usage\ndata: 2\n\n", []told{{"7", "usage", "1"}, {"", "usage", "2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := eventsOf(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, tt.answer)
			})
			assert.Equal(t, tt.want, p.rest())
		})
	}
	p := eventsOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	assert.Equal(t, http.StatusBadGateway, p.res.StatusCode)
	p = eventsOf(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	assert.Equal(t, http.StatusBadGateway, p.res.StatusCode)
}

func TestCommentsPassAndKeepAStreamOpen(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	p := eventsOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 2 {
			_, _ = io.WriteString(w, "retry: 2000\n\n: heartbeat\n\n")
			assert.NoError(t, http.NewResponseController(w).Flush())
			<-seen // the next is not written before this one was read
		}
	})
	for range 2 {
		for _, want := range []string{"retry: 2000\n", "\n", ": heartbeat\n", "\n"} {
			line, err := p.lines.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, want, line)
		}
		seen <- struct{}{}
	}
	assert.Empty(t, p.rest())
}

func TestAReaderOfEventsWhoGoesEndsTheCall(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	p := eventsOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: usage\ndata: 1\n\n")
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-r.Context().Done()
		close(gone)
	})
	p.until("usage")
	p.close()
	<-gone
}

// stuck is a reader that accepts nothing any more, and notes the deadlines.
type stuck struct {
	deadlines
	accepts int
	flushes int
}

func (s *stuck) Write(p []byte) (int, error) {
	if s.accepts--; s.accepts < 0 {
		return 0, errors.New("i/o timeout")
	}
	return s.deadlines.Write(p)
}

func (s *stuck) FlushError() error {
	s.flushes++
	return nil
}

func TestAReaderOfEventsHasTenSecondsForEachWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		h := newUI(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(gone)
			w.Header().Set("Content-Type", "text/event-stream")
			for {
				_, _ = io.WriteString(w, "event: usage\ndata: 1\n\n")
				if http.NewResponseController(w).Flush() != nil || r.Context().Err() != nil {
					return
				}
				time.Sleep(time.Minute)
			}
		}))
		w := &stuck{deadlines: deadlines{ResponseRecorder: httptest.NewRecorder()}, accepts: 2}
		begin := time.Now()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/tasks/1/events", nil))
		<-gone
		require.GreaterOrEqual(t, len(w.write), 4)
		assert.Equal(t, begin.Add(10*time.Second), w.write[0])
		assert.Zero(t, w.write[2], "none is left for the silence between two events")
		assert.Equal(t, strings.Repeat("event: usage\ndata: 1\n\n", 2), w.Body.String())
	})
}

func TestEventsThatAreThereAlreadyAreSentTogether(t *testing.T) {
	t.Parallel()
	h := newUI(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 1000 {
			_, _ = io.WriteString(w, "event: usage\ndata: 1\n\n")
		}
	}))
	w := &stuck{deadlines: deadlines{ResponseRecorder: httptest.NewRecorder()}, accepts: 2000}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/tasks/1/events", nil))
	assert.Equal(t, 1000, strings.Count(w.Body.String(), "event: usage\ndata: 1\n\n"))
	assert.Less(t, w.flushes, 50)
}

// silent is a reader that notes when it got the first event.
type silent struct {
	http.ResponseWriter
	first func()
	told  bool
}

func (s *silent) Write(p []byte) (int, error) {
	if !s.told && strings.Contains(string(p), "event: stdout") {
		s.told = true
		s.first()
	}
	return len(p), nil
}

func (s *silent) Flush() {}

// BenchmarkReaders says how much memory each reader takes who waits for more, of the
// page's events and of the API's: the page's take some 13 KiB more, of which most is the
// stack of a goroutine.
func BenchmarkReaders(b *testing.B) {
	const n = 1000
	for _, c := range []struct{ name, path string }{{"api", "/api/v1/tasks/%s/stream"}, {"page", "/tasks/%s/events"}} {
		b.Run(c.name, func(b *testing.B) {
			s := stage(b)
			s.publish(starts(1), writes(ports.EventStdout, 0, strings.Repeat("\x1b[31mred\x1b[0m\n", 200)), writes(ports.EventStderr, 0, "\x1b[31mred"))
			used := func() int64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapInuse + m.StackInuse)
			}
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				begin := used()
				var reading atomic.Int64
				ready, done := make(chan struct{}), make(chan struct{}, n)
				for range n {
					go func() {
						r := httptest.NewRequest(http.MethodGet, fmt.Sprintf(c.path, s.id), nil).WithContext(ctx)
						s.page.ServeHTTP(&silent{ResponseWriter: httptest.NewRecorder(), first: func() {
							if reading.Add(1) == n {
								close(ready)
							}
						}}, r)
						done <- struct{}{}
					}()
				}
				<-ready
				b.ReportMetric(float64(used()-begin)/n, "B/reader")
				cancel()
				for range n {
					<-done
				}
			}
		})
	}
}
