// Package servetest runs a service within a test, and asks it as its users do.
package servetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/task-runner/task-runner/apps/internal/serve"
	"github.com/task-runner/task-runner/apps/internal/wire"
)

// Service is a program that serves on a free port of loopback.
type Service struct {
	// URL is where.
	URL string

	tb     testing.TB
	client *http.Client
	stop   context.CancelFunc
	done   chan struct{}
	code   int
	log    log
}

// log is what a service has said so far.
type log struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// Env are the variables that name these servers.
func Env(s wire.Servers) []string {
	return []string{
		"MONGO_URI=" + s.MongoURI, "MONGO_DB_NAME=" + s.MongoDB, "REDIS_URL=" + s.RedisURL, "MINIO_ENDPOINT=" + s.MinIOEndpoint,
		"MINIO_ACCESS_KEY=" + s.MinIOAccessKey, "MINIO_SECRET_KEY=" + s.MinIOSecretKey, "MINIO_BUCKET=" + s.MinIOBucket,
	}
}

// Start starts a program and waits until it listens. It is stopped at the end of the test
// at the latest.
func Start(tb testing.TB, p *serve.Program, run func(context.Context, *serve.Process) error, env []string, args ...string) *Service {
	tb.Helper()
	ctx, stop := context.WithCancel(tb.Context())
	transport := &http.Transport{}
	s := &Service{tb: tb, client: &http.Client{Transport: transport}, stop: stop, done: make(chan struct{})}
	listening := make(chan struct{})
	go func() {
		defer close(s.done)
		s.code = p.Run(ctx, args, env, io.Discard, &s.log, func(ctx context.Context, p *serve.Process) error {
			s.URL = serve.URL(p.Listener.Addr())
			close(listening)
			return run(ctx, p)
		})
	}()
	tb.Cleanup(func() {
		s.Stop()
		transport.CloseIdleConnections()
		if tb.Failed() {
			tb.Logf("the log of the service at %s:\n%s", s.URL, s.Log())
		}
	})
	select {
	case <-listening:
	case <-s.done:
		tb.Fatalf("the service ended: %s", s.Log())
	}
	return s
}

// Stop does what a signal does, and returns the exit code of the program.
func (s *Service) Stop() int {
	s.stop()
	<-s.done
	return s.code
}

// Log is what it has logged so far.
func (s *Service) Log() string { return s.log.String() }

// Answer is what a service answered.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do makes a request.
func (s *Service) Do(method, path, body string) Answer {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.tb.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.tb.Fatal(err)
	}
	return Answer{answer.StatusCode, answer.Header, string(text)}
}

// Ready returns the status of /readyz, and what it says of each check.
func (s *Service) Ready() (int, map[string]string) {
	s.tb.Helper()
	answer := s.Do(http.MethodGet, "/readyz", "")
	var said struct{ Checks map[string]string }
	if err := json.Unmarshal([]byte(answer.Body), &said); err != nil {
		s.tb.Fatalf("reading %q: %v", answer.Body, err)
	}
	return answer.Status, said.Checks
}

// Submit submits a program in Bash and returns the task's ID.
func (s *Service) Submit(code string) string {
	s.tb.Helper()
	body, _ := json.Marshal(map[string]string{"language": "bash", "code": code}) // of which nothing can fail
	answer := s.Do(http.MethodPost, "/api/v1/tasks", string(body))
	var task struct {
		ID string `json:"task_id"`
	}
	if err := json.Unmarshal([]byte(answer.Body), &task); err != nil || answer.Status != http.StatusAccepted {
		s.tb.Fatalf("submitting a task: %d %s", answer.Status, answer.Body)
	}
	return task.ID
}

// Event is one event of a stream.
type Event struct {
	Kind string
	Data struct{ Status, Text string }
}

// Stream follows a task from behind the event of this ID on, "" for its beginning, and
// calls each for every event. It returns the ID to resume from, once the service has
// ended the stream.
func (s *Service) Stream(task, last string, each func(Event)) string {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tb.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/tasks/"+task+"/stream", nil)
	if err != nil {
		s.tb.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer answer.Body.Close()
	var e Event
	id := last
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			e.Kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.Data); err != nil {
				s.tb.Fatalf("reading %q: %v", value, err)
			}
		case "":
			if e.Kind != "" {
				last = id
				each(e)
			}
			e = Event{}
		}
	}
	if err := lines.Err(); err != nil {
		s.tb.Fatalf("following a task: %v", err)
	}
	return last
}
