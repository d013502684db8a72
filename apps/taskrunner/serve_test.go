package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// service is the program serving, as one who uses it sees it.
type service struct {
	t        *testing.T
	api, web string
	banner   string
	client   *http.Client
	stop     context.CancelFunc
	done     chan struct{}
	code     int
	stderr   bytes.Buffer // may be read once done is closed
}

// serving starts the program with the sandbox on free ports. It is stopped at the
// end of the test at the latest.
func serving(t *testing.T, args ...string) *service {
	t.Helper()
	needSandbox(t)
	return start(t, []string{noEngine}, args...)
}

func start(t *testing.T, env []string, args ...string) *service {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	transport := &http.Transport{}
	s := &service{t: t, client: &http.Client{Transport: transport}, stop: cancel, done: make(chan struct{})}
	stdout, banner := io.Pipe()
	go func() {
		defer close(s.done)
		s.code = run(ctx, append([]string{"--api-addr=127.0.0.1:0", "--web-addr=127.0.0.1:0"}, args...), env, nil, banner, &s.stderr)
		_ = banner.Close()
	}()
	t.Cleanup(func() {
		cancel()
		<-s.done
		transport.CloseIdleConnections()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C") {
		s.banner += lines.Text() + "\n"
	}
	require.NoError(t, lines.Err())
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	urls := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(s.banner, 2)
	require.Len(t, urls, 2, "banner: %s", s.banner)
	s.web, s.api = urls[0], urls[1]
	return s
}

// wait waits for the program's end and returns its exit code.
func (s *service) wait() int {
	<-s.done
	return s.code
}

func (s *service) do(method, url, body string, header ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	require.NoError(s.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(r)
	require.NoError(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, string(text)
}

// submit submits a program and returns the task's ID.
func (s *service) submit(base, language, code string) string {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"language": language, "code": code})
	require.NoError(s.t, err)
	status, answer := s.do(http.MethodPost, base+"/api/v1/tasks", string(body))
	require.Equal(s.t, http.StatusAccepted, status, answer)
	var task struct {
		ID string `json:"task_id"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(answer), &task))
	return task.ID
}

// event is one event of a stream.
type event struct {
	kind string
	data struct{ Status, Cause, Text string }
}

// stream follows a task over Server-Sent Events. It calls each, if not nil, with
// every event, and returns all of them once the server ends the stream.
func (s *service) stream(base, id string, each func(event)) (events []event) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, base+"/api/v1/tasks/"+id+"/stream", nil)
	require.NoError(s.t, err)
	res, err := s.client.Do(r)
	require.NoError(s.t, err)
	defer res.Body.Close()
	require.Equal(s.t, "text/event-stream", res.Header.Get("Content-Type"))
	var e event
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event":
			e = event{kind: value}
		case field == "data":
			require.NoError(s.t, json.Unmarshal([]byte(value), &e.data))
		case lines.Text() == "" && e.kind != "":
			events = append(events, e)
			if each != nil {
				each(e)
			}
			e = event{}
		}
	}
	require.NoError(s.t, lines.Err())
	return events
}

func text(events []event, kind string) (all string) {
	for _, e := range events {
		if e.kind == kind {
			all += e.data.Text
		}
	}
	return all
}

func TestServeRunsTasksAndTellsEverythingLive(t *testing.T) {
	t.Parallel()
	s := serving(t, "--concurrency=2")
	for _, want := range []string{"Executor   sandbox, chosen because it can enforce every limit here; not docker, because no Docker engine answers at unix:///nonexistent/docker.sock\n", "Languages  bash, javascript, python", "kept for 24h"} {
		assert.Contains(t, s.banner, want)
	}
	for _, base := range []string{s.api, s.web} { // the web page's server passes the API on
		for language, code := range map[string]string{
			"python":     "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)",
			"javascript": "console.log('out'); console.error('err'); process.exitCode = 3",
			"bash":       "echo out; echo err >&2; exit 3",
		} {
			id := s.submit(base, language, code)
			events := s.stream(base, id, nil)
			assert.Equal(t, "out\n", text(events, "stdout"), language)
			assert.Equal(t, "err\n", text(events, "stderr"), language)
			last := events[len(events)-1]
			assert.Equal(t, "end", last.kind)
			assert.Equal(t, "failed", last.data.Status)

			task := base + "/api/v1/tasks/" + id
			_, log := s.do(http.MethodGet, task+"/logs/stdout", "")
			assert.Equal(t, "out\n", log)
			_, metrics := s.do(http.MethodGet, task+"/metrics", "")
			var used struct {
				CPU  float64 `json:"cpu_time_ms"`
				Wall float64 `json:"wall_time_ms"`
				Peak int64   `json:"peak_memory_bytes"`
			}
			require.NoError(t, json.Unmarshal([]byte(metrics), &used))
			assert.Positive(t, used.CPU, language)
			assert.Positive(t, used.Wall, language)
			assert.Positive(t, used.Peak, language)
		}
	}
	status, page := s.do(http.MethodGet, s.web+"/", "")
	assert.Equal(t, 200, status)
	assert.Contains(t, page, `href="`+s.api+`/docs"`)
	status, _ = s.do(http.MethodGet, s.api+"/readyz", "")
	assert.Equal(t, 200, status)
	status, _ = s.do(http.MethodGet, s.web+"/readyz", "")
	assert.Equal(t, 404, status, "only the API is passed on")

	s.stop()
	assert.Equal(t, 0, s.wait(), &s.stderr)
}

func TestSessionsOutliveTheProcessOnlyWithASecret(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	const secret = "0123456789abcdef0123456789abcdef"
	cookie := func(s *service) *http.Cookie {
		s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		res, err := s.client.PostForm(s.web+"/theme", url.Values{"theme": {"dark"}})
		require.NoError(t, err)
		defer res.Body.Close()
		require.Len(t, res.Cookies(), 1)
		return res.Cookies()[0]
	}
	dark := func(s *service, of *http.Cookie) bool {
		status, page := s.do(http.MethodGet, s.web+"/", "", "Cookie", of.Name+"="+of.Value)
		require.Equal(t, http.StatusOK, status)
		return strings.Contains(page, `data-theme="dark"`)
	}
	for name, tt := range map[string]struct {
		env  []string
		kept bool
	}{
		"with one":    {[]string{noEngine, "SECRET_KEY=" + secret}, true},
		"without one": {[]string{noEngine}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := start(t, tt.env)
			mine := cookie(before)
			assert.True(t, dark(before, mine))
			before.stop()
			require.Equal(t, 0, before.wait())
			assert.Equal(t, tt.kept, dark(start(t, tt.env), mine))
			for _, told := range []string{before.banner, before.stderr.String()} {
				assert.NotContains(t, told, secret)
				assert.NotContains(t, told, mine.Value)
			}
		})
	}
}

func TestACancelEndsATaskSoon(t *testing.T) {
	t.Parallel()
	s := serving(t)
	id := s.submit(s.web, "bash", "trap '' TERM INT; echo started; sleep 600")
	var once sync.Once
	events := s.stream(s.web, id, func(e event) {
		if e.kind == "stdout" {
			once.Do(func() {
				status, answer := s.do(http.MethodPost, s.web+"/api/v1/tasks/"+id+"/cancel", "")
				assert.Equal(t, 202, status, answer)
			})
		}
	})
	assert.Equal(t, "cancelled", events[len(events)-1].data.Status)
}

func TestDrainLetsTasksEndAndTheirWatchersSeeIt(t *testing.T) {
	t.Parallel()
	s := serving(t)
	id := s.submit(s.api, "bash", "echo started; sleep 1; echo done")
	events := s.stream(s.api, id, func(e event) {
		if e.kind == "stdout" {
			s.stop()
		}
	})
	assert.Equal(t, "started\ndone\n", text(events, "stdout"))
	assert.Equal(t, "succeeded", events[len(events)-1].data.Status)
	assert.Equal(t, 0, s.wait())
	assert.Contains(t, s.stderr.String(), "draining; a second signal stops at once")
}

func TestDrainDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	s := serving(t, "--drain-timeout=100ms", "--concurrency=1")
	running := s.submit(s.api, "bash", "trap '' TERM INT; echo started; sleep 600")
	events := s.stream(s.api, running, func(e event) {
		if e.kind == "stdout" {
			s.submit(s.api, "bash", "echo waiting")
			s.stop()
		}
	})
	assert.NotEqual(t, "end", events[len(events)-1].kind, "the task was given back to a queue that ends with the process")
	assert.Equal(t, 1, s.wait())
	assert.Contains(t, s.stderr.String(), "tasks were still running after 100ms and were killed")
	assert.Contains(t, s.stderr.String(), "tasks that were waiting in memory are lost")
}

func TestAServerThatOthersCanReachIsWarnedOf(t *testing.T) {
	t.Parallel()
	s := serving(t, "--web-addr=0.0.0.0:0", "--log-format=json")
	_, page := s.do(http.MethodGet, s.web+"/", "")
	assert.NotContains(t, page, "/docs", "an address on this machine is none for a browser elsewhere")
	s.stop()
	require.Equal(t, 0, s.wait())
	assert.Contains(t, s.stderr.String(), "THERE IS NO ACCESS CONTROL")
	assert.Equal(t, 1, strings.Count(s.stderr.String(), `"flag":"--web-addr"`))
	assert.NotContains(t, s.stderr.String(), "--api-addr")
}

func TestAWebPageUnderAForeignNameCannotReachTheAPI(t *testing.T) {
	t.Parallel()
	s := serving(t, "--allowed-hosts=run.example")
	ask := func(base, host string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/languages", nil)
		require.NoError(t, err)
		r.Host = host
		res, err := s.client.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		return res.StatusCode
	}
	for _, base := range []string{s.api, s.web} {
		assert.Equal(t, 421, ask(base, "evil.example"))
		assert.Equal(t, 200, ask(base, "run.example:80"))
		assert.Equal(t, 200, ask(base, "localhost"))
	}
}

func TestTheOperatorsBoundsHold(t *testing.T) {
	t.Parallel()
	s := serving(t, "--max-memory=64m", "--max-timeout=5", "--allowed-languages=bash")
	_, limits := s.do(http.MethodGet, s.api+"/api/v1/limits", "")
	assert.Contains(t, limits, `"default":{"cpu_limit":1,"memory_limit":67108864,"timeout":5,`, "a default is no more than its maximum")
	for body, want := range map[string]string{
		`{"language":"bash","code":"true","memory_limit":"65m"}`: "memory_limit must be from 6 MiB to 64 MiB",
		`{"language":"bash","code":"true","timeout":6}`:          "timeout must be from 1ms to 5s",
		`{"language":"bash","code":"true","network":true}`:       "network must be false",
		`{"language":"python","code":"1"}`:                       "language must be one of bash",
	} {
		status, answer := s.do(http.MethodPost, s.api+"/api/v1/tasks", body)
		assert.Equal(t, 400, status, body)
		assert.Contains(t, answer, want)
	}
}
