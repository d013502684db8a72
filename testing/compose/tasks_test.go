//go:build compose

package compose

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// spec is a task as it is submitted.
type spec struct {
	Language string  `json:"language"`
	Code     string  `json:"code"`
	Timeout  float64 `json:"timeout,omitempty"`
}

// task is what the tests look at of a task.
type task struct {
	ID       string `json:"task_id"`
	Status   string `json:"status"`
	Cause    string `json:"cause"`
	ExitCode *int   `json:"exit_code"`
	Attempt  int    `json:"attempt"`
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
}

// submit submits a task to the API at base, which has to take it.
func submit(t *testing.T, base string, s spec) task {
	t.Helper()
	var taken task
	status := call(t, http.MethodPost, base+"/api/v1/tasks", s, &taken)
	require.Equal(t, http.StatusAccepted, status)
	return taken
}

// event is one of a task's stream.
type event struct {
	id, kind string
	data     struct {
		Status  string `json:"status"`
		Cause   string `json:"cause"`
		Text    string `json:"text"`
		Attempt int    `json:"attempt"`
	}
}

// stream is a task's events, as they happen.
type stream struct {
	lines *bufio.Scanner
	stop  context.CancelFunc
}

// follow opens the stream of a task behind an event, from its beginning if that is empty.
func follow(t *testing.T, base, id, after string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	response := openStream(t, ctx, base, id, after)
	require.Equal(t, http.StatusOK, response.StatusCode)
	t.Cleanup(func() { _ = response.Body.Close() })
	return &stream{bufio.NewScanner(response.Body), cancel}
}

func openStream(t *testing.T, ctx context.Context, base, id, after string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/tasks/"+id+"/stream", http.NoBody)
	require.NoError(t, err)
	if after != "" {
		request.Header.Set("Last-Event-ID", after)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	return response
}

// next returns the next event. io.EOF: there are no more.
func (s *stream) next() (event, error) {
	var e event
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				return event{}, err
			}
		case "":
			if s.lines.Text() == "" && e.kind != "" {
				return e, nil
			}
		}
	}
	if err := s.lines.Err(); err != nil {
		return event{}, err
	}
	return event{}, io.EOF
}

// until returns the events up to the first one that is wanted, that one too.
func (s *stream) until(t *testing.T, wanted func(event) bool) []event {
	t.Helper()
	var all []event
	for {
		e, err := s.next()
		require.NoError(t, err, "after %+v", all)
		all = append(all, e)
		if wanted(e) {
			return all
		}
	}
}

// rest returns the events up to the end of the stream.
func (s *stream) rest(t *testing.T) []event {
	t.Helper()
	var all []event
	for {
		e, err := s.next()
		if err == io.EOF {
			return all
		}
		require.NoError(t, err, "after %+v", all)
		all = append(all, e)
	}
}

// runs is whether an event says that an attempt runs.
func runs(attempt int) func(event) bool {
	return func(e event) bool {
		return e.kind == "status" && e.data.Status == "running" && e.data.Attempt == attempt
	}
}

func isEnd(e event) bool { return e.kind == "end" }

// finish waits for a task's end and returns the task and all its events.
func finish(t *testing.T, base, id string) (task, []event) {
	t.Helper()
	events := follow(t, base, id, "").rest(t)
	var ended task
	require.Equal(t, http.StatusOK, call(t, http.MethodGet, base+"/api/v1/tasks/"+id, nil, &ended))
	return ended, events
}
