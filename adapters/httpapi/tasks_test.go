package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestASubmissionIsAcceptedAndCanBeFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, script(fakes.Until(release), fakes.Stdout("hi\n"), fakes.Stderr("oh\n"), fakes.Exit(3)))

	r := s.do(http.MethodPost, "/api/v1/tasks", `{"code":"print('hi')","language":"py","cpu_limit":1.0,"memory_limit":"256m","timeout":30}`)
	accepted := decode[Accepted](t, r, http.StatusAccepted)
	assert.Equal(t, "queued", accepted.Status)
	assert.Equal(t, "/api/v1/tasks/"+accepted.TaskID, r.Header.Get("Location"))

	before := decode[Task](t, s.get(r.Header.Get("Location")), http.StatusOK)
	assert.Nil(t, before.Cause)
	assert.Nil(t, before.ExitCode)
	assert.Nil(t, before.FinishedAt)
	assert.Nil(t, before.Usage.CPUTimeMS, "what is not known is null")
	assert.Equal(t, "python", before.Language, "an alias becomes the name")
	assert.EqualValues(t, 256<<20, *before.Spec.MemoryLimit)
	assert.EqualValues(t, 30, *before.Spec.Timeout)
	assert.Positive(t, *before.Spec.PIDsLimit, "defaults are filled in")

	close(release)
	_, err := s.client.Wait(t.Context(), ports.TaskID(accepted.TaskID))
	require.NoError(t, err)
	after := decode[Task](t, s.get(r.Header.Get("Location")), http.StatusOK)
	assert.Equal(t, "failed", after.Status)
	assert.Equal(t, "exit", *after.Cause)
	assert.Equal(t, 3, *after.ExitCode)
	assert.Nil(t, after.Signal)
	assert.Equal(t, "hi\n", after.Stdout)
	assert.Equal(t, "oh\n", after.Stderr)
	assert.EqualValues(t, 3, after.StdoutBytes)
	assert.False(t, after.StdoutTruncated)
	assert.NotNil(t, after.Usage.WallTimeMS)
	assert.Regexp(t, `"finished_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`, s.get(r.Header.Get("Location")).body)
}

func TestAWaitAnswersWithTheFinishedTaskOrAfterItsTimeWithTheCurrentOne(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t)
	task := s.finish(hello)
	assert.Equal(t, "succeeded", task.Status)

	s.exec.Next(fakes.Until(release))
	r := s.do(http.MethodPost, "/api/v1/tasks?wait=1ms", hello)
	task = decode[Task](t, r, http.StatusAccepted)
	assert.NotEqual(t, "succeeded", task.Status)
	assert.Equal(t, "print('hi')", task.Spec.Code)
	close(release)
}

func TestAWaitEndsWhenTheServerDrains(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	s := serve(t)
	s.exec.Next(fakes.Do(func(ports.Job) { close(started) }), fakes.Until(nil))
	go func() {
		<-started
		s.api.Drain()
	}()
	r := s.do(http.MethodPost, "/api/v1/tasks?wait=60s", hello)
	assert.Equal(t, "running", decode[Task](t, r, http.StatusAccepted).Status)
	assert.Equal(t, "draining", decode[Health](t, s.get("/readyz"), http.StatusServiceUnavailable).Status)
}

func TestAnIdempotencyKeyReturnsTheFirstTaskOrRefusesAnotherBody(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	post := func(body string) reply {
		return s.do(http.MethodPost, "/api/v1/tasks", body, "Idempotency-Key", "once")
	}
	first := decode[Accepted](t, post(hello), http.StatusAccepted)
	again := decode[Accepted](t, post(hello), http.StatusAccepted)
	assert.Equal(t, first, again)
	p := problemIn(t, post(`{"language":"python","code":"print('bye')"}`), http.StatusConflict)
	assert.Equal(t, "idempotency_conflict", p.Code)
	assert.Equal(t, 1, s.count())
}

func TestASpecThatIsReadBackCanBeSubmittedAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	const body = `{"language":"python","files":[{"path":"a/main.py","content":"1"},{"path":"b","content_base64":"/w=="}],
		"entrypoint":"a/main.py","args":["x","é"],"stdin_base64":"/w==","env":{"A":"b"},"cpu_limit":0.5,"memory_limit":"64m","timeout":1.5,
		"pids_limit":8,"output_limit":"1m","disk_limit":1048576,"queue":"q","priority":-3,"max_attempts":2,"labels":{"a":"b"}}`
	read := func(body string) (task struct {
		Spec map[string]any `json:"spec"`
	}) {
		return decode[struct {
			Spec map[string]any `json:"spec"`
		}](t, s.get("/api/v1/tasks/"+s.submit(body)), http.StatusOK)
	}
	first := read(body)
	again, err := json.Marshal(first.Spec)
	require.NoError(t, err)
	assert.Equal(t, first, read(string(again)))
	assert.Equal(t, map[string]any{
		"language": "python", "entrypoint": "a/main.py", "args": []any{"x", "é"}, "stdin_base64": "/w==", "env": map[string]any{"A": "b"},
		"files":     []any{map[string]any{"path": "a/main.py", "content": "1"}, map[string]any{"path": "b", "content_base64": "/w=="}},
		"cpu_limit": 0.5, "memory_limit": float64(64 << 20), "timeout": 1.5, "pids_limit": 8.0, "output_limit": float64(1 << 20),
		"disk_limit": float64(1 << 20), "queue": "q", "priority": -3.0, "max_attempts": 2.0, "labels": map[string]any{"a": "b"}, "network": false,
	}, first.Spec)
}

func TestTasksAreListedNewestFirstAndFiltered(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	var ids []string
	for i := range 5 {
		language := []string{"python", "bash"}[i%2]
		ids = append(ids, s.submit(`{"language":"`+language+`","code":"1","labels":{"n":"`+strconv.Itoa(i)+`","all":"x=y"}}`))
	}
	s.do(http.MethodPost, "/api/v1/tasks/"+ids[0]+"/cancel", "")

	list := func(query string) (got []string, next *string) {
		page := decode[TaskList](t, s.get("/api/v1/tasks?"+query), http.StatusOK)
		for _, task := range page.Tasks {
			got = append(got, task.TaskID)
		}
		return got, page.NextCursor
	}
	for query, want := range map[string][]string{
		"":                                {ids[4], ids[3], ids[2], ids[1], ids[0]},
		"status=cancelled":                {ids[0]},
		"status=queued,cancelled&limit=5": {ids[4], ids[3], ids[2], ids[1], ids[0]},
		"status=running":                  nil,
		"language=py":                     {ids[4], ids[2], ids[0]},
		"label=n%3D2":                     {ids[2]},
		"label=all=x=y&label=n=3":         {ids[3]},
		"label=n=nobody":                  nil,
	} {
		got, next := list(query)
		assert.Equal(t, want, got, query)
		assert.Nil(t, next, query)
	}

	var all []string
	for query, more := "limit=2", true; more; {
		got, next := list(query)
		all = append(all, got...)
		if more = next != nil; more {
			query = "limit=2&cursor=" + url.QueryEscape(*next)
		}
	}
	assert.Equal(t, []string{ids[4], ids[3], ids[2], ids[1], ids[0]}, all)
	assert.Contains(t, s.get("/api/v1/tasks?status=running").body, `"tasks":[],"next_cursor":null`)
	assert.NotContains(t, s.get("/api/v1/tasks").body, `"code"`, "a list has no sources")
}

func TestATaskIsCancelledOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	id := s.submit(hello)
	r := s.do(http.MethodPost, "/api/v1/tasks/"+id+"/cancel", "", "Content-Type", "")
	assert.Equal(t, "cancelled", decode[Accepted](t, r, http.StatusAccepted).Status)
	p := problemIn(t, s.do(http.MethodPost, "/api/v1/tasks/"+id+"/cancel", ""), http.StatusConflict)
	assert.Equal(t, "finished", p.Code)
	task := decode[Task](t, s.get("/api/v1/tasks/"+id), http.StatusOK)
	assert.Equal(t, "cancelled", *task.Cause)
	assert.NotNil(t, task.CancelRequestedAt)
}

func TestMetricsHaveFiguresOnceFinishedAndNullBefore(t *testing.T) {
	t.Parallel()
	s := serve(t, script(fakes.End(ports.Outcome{Cause: ports.CauseOOM, Signal: "SIGKILL", Usage: ports.Usage{
		CPUTime: new(1500 * time.Microsecond), PeakMemory: new(int64(7)),
	}})))
	s.exec.Next(fakes.Sample(ports.Sample{At: 250 * time.Millisecond, CPU: 0.5, Memory: 3}), fakes.End(ports.Outcome{
		Cause: ports.CauseExit, Usage: ports.Usage{CPUTime: new(1500 * time.Microsecond), PeakMemory: new(int64(7))},
	}))
	id := s.finish(hello).TaskID
	m := decode[Metrics](t, s.get("/api/v1/tasks/"+id+"/metrics"), http.StatusOK)
	assert.Equal(t, 1.5, *m.CPUTimeMS)
	assert.EqualValues(t, 7, *m.PeakMemoryBytes)
	assert.Equal(t, []Sample{{AtMS: 250, CPUPercent: 50, MemoryBytes: 3}}, m.Samples)

	killed := s.finish(hello)
	assert.Equal(t, "oom", *killed.Cause)
	assert.Equal(t, "SIGKILL", *killed.Signal)
	assert.Nil(t, killed.ExitCode, "there is an exit code only if the program exited")

	s.exec.Next(fakes.Until(nil))
	id = s.submit(hello)
	assert.Contains(t, s.get("/api/v1/tasks/"+id+"/metrics").body, `"cpu_time_ms":null,"wall_time_ms":null,"peak_memory_bytes":null,"samples":[]`)
}

func TestOutputIsAlwaysValidUTF8AndSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	const euro = "\xe2\x82\xac"
	for name, c := range map[string]struct {
		out  ports.Output
		want string
	}{
		"whole output is joined before it is decoded": {ports.Output{Head: []byte("a\xe2"), Tail: []byte("\x82\xacb"), Bytes: 5}, "a" + euro + "b"},
		"bytes that are no text become U+FFFD":        {ports.Output{Head: []byte("a\xff\x00\x1b[31m")}, "a\ufffd\x00\x1b[31m"},
		"what is missing is counted":                  {ports.Output{Head: []byte("ab"), Tail: []byte("yz"), Bytes: 26, Truncated: true}, "ab\n[... 22 bytes left out ...]\nyz"},
		"characters that are cut are left out":        {ports.Output{Head: []byte("ab\xe2\x82"), Tail: []byte("\xacz"), Bytes: 26, Truncated: true}, "ab\n[... 23 bytes left out ...]\nz"},
		"no output":                                   {ports.Output{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.want, inline(c.out))
		})
	}
}

func TestLanguagesAndLimitsAreShown(t *testing.T) {
	t.Parallel()
	s := serve(t, idle, func(s *setup) { s.core.Policy.MaxCode = 1000 })
	l := decode[Languages](t, s.get("/api/v1/languages"), http.StatusOK)
	require.NotEmpty(t, l.Languages)
	for i, builtin := range taskrunner.BuiltinLanguages() {
		assert.Equal(t, builtin.Name, l.Languages[i].Name)
		assert.Equal(t, builtin.Sample, l.Languages[i].Sample)
	}
	assert.Contains(t, s.get("/api/v1/languages").body, `"name":"python","aliases":[`)
	limits := decode[ServiceLimits](t, s.get("/api/v1/limits"), http.StatusOK)
	assert.EqualValues(t, 1000, limits.MaxCodeBytes)
	assert.Positive(t, limits.Max.CPULimit)
	assert.LessOrEqual(t, limits.Default.Timeout, limits.Max.Timeout)
	assert.Equal(t, 60, limits.MaxWait)
}

func TestReadinessNamesTheChecksThatFailAndNotWhy(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	s := serve(t, idle, func(s *setup) {
		s.Ready = []Check{
			{Name: "store", Ready: func(context.Context) error { return nil }},
			{Name: "queue", Ready: func(context.Context) error {
				if failing.Load() {
					return errors.New("dial tcp 10.0.0.7: secret")
				}
				return nil
			}},
		}
	})
	failing.Store(true)
	r := s.get("/readyz")
	h := decode[Health](t, r, http.StatusServiceUnavailable)
	assert.Equal(t, Health{Status: "unavailable", Checks: map[string]string{"store": "ok", "queue": "failed"}}, h)
	assert.Equal(t, "ok", decode[Health](t, s.get("/healthz"), http.StatusOK).Status)
}

func TestReadinessIsAskedAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := readiness{log: slog.New(slog.DiscardHandler), checks: []Check{{"x", func(context.Context) error { calls++; return nil }}}}
		for range 3 {
			_, ok := c.state(t.Context())
			assert.True(t, ok)
		}
		assert.Equal(t, 1, calls)
		time.Sleep(readyFor)
		c.state(t.Context())
		assert.Equal(t, 2, calls)
	})
}

func TestTheLogHasALineWhenReadinessChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		queue := &part{}
		c := readiness{
			log:    slog.New(slog.NewTextHandler(&log, nil)),
			checks: []Check{new(part).check("store"), queue.check("queue")},
		}
		for _, err := range []error{nil, nil, errors.New("refused"), errors.New("timeout"), errors.New("refused"), nil, nil, errors.New("gone")} {
			queue.err = err
			_, ok := c.state(t.Context())
			assert.Equal(t, err == nil, ok)
			time.Sleep(readyFor)
		}
		assert.Regexp(t, `\A.*WARN msg="not ready" check=queue error=refused
.*INFO msg="ready again" check=queue
.*WARN msg="not ready" check=queue error=gone
\z`, log.String())
	})
}
