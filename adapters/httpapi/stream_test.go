package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/fakes"
)

func (s *service) stream(id, lastID string) *sseReader {
	s.t.Helper()
	return openSSE(s.t, s.http, s.url+"/api/v1/tasks/"+id+"/stream", lastID)
}

// publish publishes what a worker would.
func (s *service) publish(id string, events ...ports.Event) {
	s.t.Helper()
	for _, e := range events {
		e.Task, e.Time = ports.TaskID(id), time.Now()
		if e.Attempt == 0 {
			e.Attempt = 1
		}
		_, err := s.backend.Events.Publish(s.t.Context(), e)
		require.NoError(s.t, err)
	}
}

func running(attempt int) ports.Event {
	return ports.Event{Type: ports.EventStatus, Status: ports.StatusRunning, Attempt: attempt}
}

func stdout(offset int64, data string) ports.Event {
	return ports.Event{Type: ports.EventStdout, Offset: offset, Data: []byte(data)}
}

func stderr(offset int64, data string) ports.Event {
	return ports.Event{Type: ports.EventStderr, Offset: offset, Data: []byte(data)}
}

func end() ports.Event {
	return ports.Event{Type: ports.EventEnd, Status: ports.StatusSucceeded, Cause: ports.CauseExit}
}

func TestAStreamTellsATaskFromItsBeginningToItsEnd(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, script(fakes.Until(release), fakes.Stdout("hi\n"), fakes.Stderr("oh\n"),
		fakes.Sample(ports.Sample{At: time.Second, CPU: 1, Memory: 5}), fakes.Exit(2)))
	id := s.submit(hello)
	r := s.stream(id, "")
	h := r.res.Header
	assert.Equal(t, "text/event-stream", h.Get("Content-Type"))
	assert.Equal(t, "no-store", h.Get("Cache-Control"))
	assert.Equal(t, "no", h.Get("X-Accel-Buffering"))
	first, _ := r.next()
	assert.Equal(t, "status", first.name)
	close(release)
	events := append([]sseEvent{first}, r.rest()...)

	assert.Equal(t, "hi\n", output(t, "stdout", events))
	assert.Equal(t, "oh\n", output(t, "stderr", events))
	last := events[len(events)-1]
	assert.Equal(t, "end", last.name)
	e := field[endData](t, last)
	assert.Equal(t, "failed", e.Status)
	assert.Equal(t, "exit", *e.Cause)
	assert.Equal(t, 2, *e.ExitCode)
	i := slices.IndexFunc(events, func(e sseEvent) bool { return e.name == "usage" })
	require.Positive(t, i)
	usage := field[usageData](t, events[i])
	assert.Equal(t, Sample{AtMS: 1000, CPUPercent: 100, MemoryBytes: 5}, usage.Sample)

	again := s.stream(id, last.id)
	assert.Equal(t, http.StatusNoContent, again.res.StatusCode, "nothing follows the end")
	assert.Equal(t, events, s.stream(id, "").rest(), "a finished task is told again")
}

func TestResumingAfterAnyIDGivesExactlyTheRest(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	s.publish(id, running(1),
		stdout(0, "a"), stderr(0, "😀"), ports.Event{Type: ports.EventUsage},
		stdout(1, "€b"), stderr(4, "x\xe2\x82"), stdout(5, "\xff"), end())
	all := s.stream(id, "").rest()
	require.Equal(t, "a€b\ufffd", output(t, "stdout", all))
	require.Equal(t, "😀x\ufffd\ufffd", output(t, "stderr", all))
	require.Equal(t, "end", all[len(all)-1].name)

	ids := map[string]bool{}
	for i, e := range all[:len(all)-1] {
		assert.False(t, ids[e.id], "an id is given once: %s", e.id)
		ids[e.id] = true
		assert.Equal(t, all[i+1:], s.stream(id, e.id).rest(), "after %s", e.id)
		query := openSSE(t, s.http, s.url+"/api/v1/tasks/"+id+"/stream?last_event_id="+e.id, "")
		query.lastID = e.id
		assert.Equal(t, all[i+1:], query.rest(), "for readers that cannot set headers")
	}
}

func TestACharacterThatIsWrittenInTwoHalvesIsToldWhole(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, script(fakes.Stdout("a\xe2"), fakes.Until(release), fakes.Stdout("\x82\xacb\xe2")))
	r := s.stream(s.submit(hello), "")
	var texts []string
	for e, ok := r.next(); ok; e, ok = r.next() {
		if e.name != "stdout" {
			continue
		}
		texts = append(texts, field[outputData](t, e).Text)
		if len(texts) == 1 {
			close(release) // the other half comes when the first one was to be seen
		}
	}
	require.NotEmpty(t, texts)
	assert.Equal(t, "a", texts[0])
	assert.Equal(t, "a€b\ufffd", strings.Join(texts, ""), "half a character is told when no more can come")
}

func TestAnOutputThatIsCutSaysSoOnItsLastEvent(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	s.publish(id, running(1), stdout(0, "a"), ports.Event{Type: ports.EventStdout, Offset: 1, Truncated: true}, end())
	events := s.stream(id, "").rest()
	last := field[outputData](t, events[len(events)-2])
	assert.Equal(t, outputData{Offset: 1, Attempt: 1, Truncated: true}, last)
}

func TestHostileOutputIsOnlyEverData(t *testing.T) {
	t.Parallel()
	const hostile = "\n\nevent: end\ndata: {}\n\n\r\rid: 1\r\n: x\x00\x1b]0;t\x07<script>alert(1)</script>\u2028\u2029\xff\xfe"
	s := serve(t, script(fakes.Stdout(hostile)))
	task := s.finish(hello)
	assert.Equal(t, toText([]byte(hostile)), task.Stdout)
	events := s.stream(task.TaskID, "").rest()
	assert.Equal(t, toText([]byte(hostile)), output(t, "stdout", events))
	ends := 0
	for _, e := range events {
		assert.Contains(t, []string{"status", "stdout", "usage", "end"}, e.name)
		if e.name == "end" {
			ends++
		}
	}
	assert.Equal(t, 1, ends)
}

func TestAReaderWhosePlaceWasTrimmedGetsASnapshotAndThenWhatIsNew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		logged string // how far the log is, which may be behind or ahead of the events
		resume bool
	}{
		"a reader who comes back":      {"0€1€2€3€4€", true},
		"a reader who is new":          {"0€1€2€3€4€", false},
		"the log is ahead":             {"0€1€2€3€4€5", true},
		"the log cuts a character":     {"0€1€2€3€4\xe2", true},
		"the log ends in what is kept": {"0€1€2€3", true},
		"the log ends before that":     {"0€", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, idle, func(s *setup) { s.core.Backend = memory.New(memory.WithMaxTopicEvents(3)) })
			id := s.submit(hello)
			queued, ok := s.stream(id, "").next()
			require.True(t, ok)
			s.start(id, c.logged)
			s.publish(id, running(1))
			for i := range 5 {
				s.publish(id, stdout(int64(4*i), fmt.Sprintf("%d€", i)))
			}
			lastID := ""
			if c.resume {
				lastID = queued.id
			}
			r := s.stream(id, lastID)
			snapshot, _ := r.next()
			assert.Equal(t, "status", snapshot.name)
			assert.Equal(t, "running", field[statusData](t, snapshot).Status)
			assert.True(t, field[statusData](t, snapshot).Snapshot)
			assert.Empty(t, snapshot.id, "until it is whole there is no place to resume from")
			// Only what is kept was read before more comes, which trims it.
			var rest []sseEvent
			for seen := int64(0); seen < 20; {
				e, ok := r.next()
				require.True(t, ok)
				rest = append(rest, e)
				seen = field[outputData](t, e).Offset + int64(len(field[outputData](t, e).Text))
			}
			s.publish(id, stdout(20, "5"), stdout(21, "6"), end())
			rest = append(rest, r.rest()...)
			for i, e := range slices.Backward(rest) {
				if e.name == "status" { // what was kept was trimmed before it was read
					rest = rest[i+1:]
					break
				}
			}

			assert.True(t, field[outputData](t, rest[0]).Snapshot)
			want := "0€1€2€3€4€56"
			if c.logged == "0€" {
				want = "0€" + "2€3€4€56" // what is nowhere is missing, and the offsets say so
			}
			assert.Equal(t, want, output(t, "stdout", rest), "each byte once")
			assert.Equal(t, "end", rest[len(rest)-1].name)
			for i, e := range rest[:len(rest)-1] {
				if e.id == "" {
					assert.True(t, field[outputData](t, e).Snapshot)
					continue
				}
				// The topic has room for the last three alone: anything older is
				// trimmed again.
				if i >= len(rest)-4 {
					assert.Equal(t, rest[i+1:], s.stream(id, e.id).rest(), "after %s", e.id)
				}
			}
		})
	}
}

// start makes the record of a task running, as a worker would, with a log.
func (s *service) start(id, logged string) {
	s.t.Helper()
	task, err := s.client.Get(s.t.Context(), ports.TaskID(id))
	require.NoError(s.t, err)
	task.Status, task.Attempt, task.StartedAt = ports.StatusRunning, 1, time.Now()
	_, err = s.backend.Store.Update(s.t.Context(), task)
	require.NoError(s.t, err)
	log, err := s.backend.Logs.Create(s.t.Context(), ports.LogKey{Task: task.ID, Attempt: 1, Name: ports.LogStdout})
	require.NoError(s.t, err)
	_, err = log.Write([]byte(logged))
	require.NoError(s.t, err)
}

func TestASnapshotOfOneAttemptHidesNothingOfTheNext(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	s.start(id, "first")
	require.NoError(t, s.backend.Events.Delete(t.Context(), ports.TaskID(id)))
	second := stdout(0, "second")
	second.Attempt = 2
	s.publish(id, ports.Event{Type: ports.EventUsage}, running(2), second, end())
	var texts []outputData
	for _, e := range s.stream(id, "").rest() {
		if e.name == "stdout" {
			texts = append(texts, field[outputData](t, e))
		}
	}
	assert.Equal(t, []outputData{{Text: "first", Attempt: 1, Snapshot: true}, {Text: "second", Attempt: 2}}, texts)
}

func TestASnapshotIsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	s.start(id, strings.Repeat("€", snapshotSize))
	require.NoError(t, s.backend.Events.Delete(t.Context(), ports.TaskID(id)))
	s.publish(id, end())
	events := s.stream(id, "").rest()
	assert.Equal(t, strings.Repeat("€", snapshotSize/3), output(t, "stdout", events), "only whole characters")
	last := field[outputData](t, events[len(events)-2])
	assert.True(t, last.Truncated)
	assert.True(t, last.Snapshot)
}

func TestAFinishedTaskWhoseEventsAreGoneIsToldFromItsRecord(t *testing.T) {
	t.Parallel()
	s := serve(t, script(fakes.Stdout("out\xe2"), fakes.Stderr("err")))
	id := s.finish(hello).TaskID
	require.NoError(t, s.backend.Events.Delete(t.Context(), ports.TaskID(id)))
	for _, alsoLogs := range []bool{false, true} {
		if alsoLogs {
			require.NoError(t, s.backend.Logs.Delete(t.Context(), ports.TaskID(id)))
		}
		events := s.stream(id, "").rest()
		names := make([]string, len(events))
		for i, e := range events {
			names[i] = e.name
		}
		assert.Equal(t, []string{"status", "stdout", "stderr", "end"}, names)
		assert.Equal(t, "out\ufffd", output(t, "stdout", events))
		last := events[len(events)-1]
		assert.Equal(t, http.StatusNoContent, s.stream(id, last.id).res.StatusCode)
	}
}

func TestALongOutputOfWhichOnlyTheRecordIsKeptIsToldUpToWhereItIsCut(t *testing.T) {
	t.Parallel()
	s := serve(t, script(fakes.Stdout(strings.Repeat("a", 100<<10)+"b")))
	id := s.finish(hello).TaskID
	require.NoError(t, s.backend.Events.Delete(t.Context(), ports.TaskID(id)))
	require.NoError(t, s.backend.Logs.Delete(t.Context(), ports.TaskID(id)))
	var texts []outputData
	for _, e := range s.stream(id, "").rest() {
		if e.name == "stdout" {
			texts = append(texts, field[outputData](t, e))
		}
	}
	require.Len(t, texts, 1)
	assert.Regexp(t, "^a+$", texts[0].Text)
	assert.True(t, texts[0].Truncated)
}

func TestReadersBeyondTheLimitAreAskedToComeBack(t *testing.T) {
	t.Parallel()
	s := serve(t, idle, func(s *setup) { s.MaxReaders = 1 })
	id := s.submit(hello)
	first := s.stream(id, "")
	_, ok := first.next()
	require.True(t, ok)
	r := s.get("/api/v1/tasks/" + id + "/stream")
	assert.Equal(t, "too_many_readers", problemIn(t, r, http.StatusServiceUnavailable).Code)
	assert.Equal(t, "5", r.Header.Get("Retry-After"))
	wait := s.do(http.MethodPost, "/api/v1/tasks?wait=60s", hello)
	assert.Equal(t, "queued", decode[Task](t, wait, http.StatusAccepted).Status, "there is no waiting either")
}

func TestDrainingEndsStreamsWithAWord(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	r := s.stream(id, "")
	_, ok := r.next()
	require.True(t, ok)
	s.api.Drain()
	assert.Empty(t, r.rest())
	assert.Equal(t, []string{"the server is shutting down"}, r.comments)
	problemIn(t, s.get("/api/v1/tasks/"+id+"/stream"), http.StatusServiceUnavailable)
}

func TestAStreamEndsWhenItsTaskIsDeleted(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	r := s.stream(id, "")
	_, ok := r.next()
	require.True(t, ok)
	task, err := s.client.Get(t.Context(), ports.TaskID(id))
	require.NoError(t, err)
	require.NoError(t, s.backend.Store.Delete(t.Context(), task.ID, task.Version))
	require.NoError(t, s.backend.Events.Delete(t.Context(), task.ID))
	assert.Empty(t, r.rest())
	assert.Equal(t, []string{"the task was deleted"}, r.comments)
}

func TestManyReadersSeeTheSame(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	const n = 50
	readers := make([]*sseReader, n)
	for i := range readers {
		readers[i] = s.stream(id, "")
	}
	s.publish(id, running(1))
	for i := range int64(20) {
		s.publish(id, stdout(3*i, "€"))
	}
	s.publish(id, end())
	got := make([][]sseEvent, n)
	var wg sync.WaitGroup
	for i, r := range readers {
		wg.Go(func() { got[i] = r.rest() })
	}
	wg.Wait()
	assert.Equal(t, strings.Repeat("€", 20), output(t, "stdout", got[0]))
	for _, events := range got[1:] {
		assert.Equal(t, got[0], events)
	}
}

func TestHEADOfAStreamHasItsHeaderAndEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	r := s.do(http.MethodHead, "/api/v1/tasks/"+s.submit(hello)+"/stream", "")
	assert.Equal(t, http.StatusOK, r.StatusCode)
	assert.Equal(t, "text/event-stream", r.Header.Get("Content-Type"))
}
