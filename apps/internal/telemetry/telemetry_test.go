package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/apps/internal/telemetry"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// service is an API and a worker over the memory adapters, with traces.
type service struct {
	t    *testing.T
	url  string
	exec *fakes.Executor
}

func newService(t *testing.T, traces *telemetry.Tracing, steps ...fakes.Step) *service {
	t.Helper()
	exec := fakes.NewExecutor(steps...)
	quiet := slog.New(slog.DiscardHandler)
	core := taskrunner.Config{
		Backend: memory.New(), Executor: traces.Executor(exec), Logger: quiet,
		RetryDelay: time.Millisecond, TraceParent: telemetry.TraceParent,
	}
	client, err := taskrunner.NewClient(core)
	require.NoError(t, err)
	worker, err := taskrunner.NewWorker(core)
	require.NoError(t, err)
	api, err := httpapi.New(httpapi.Config{Client: client, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, worker.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, worker.Stop(context.Background())) })
	return &service{t: t, url: serve(t, traces.Handler(api)), exec: exec}
}

// run submits a task, waits for its end and returns the answer.
func (s *service) run(header ...string) string {
	s.t.Helper()
	body := `{"language":"python","code":"print('a secret')","stdin":"a secret","env":{"KEY":"a secret"}}`
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/api/v1/tasks?wait=60s", strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(s.t, http.DefaultTransport, req)
}

func TestOneTraceFromTheRequestToTheRun(t *testing.T) {
	to := newReceiver(t)
	traces := start(t, to.url, t.Output())
	s := newService(t, traces, fakes.Stdout("a secret\n"), fakes.End(ports.Outcome{
		Cause: ports.CauseExit, ExitCode: 3, Message: "a secret",
		Usage: ports.Usage{CPUTime: new(1500 * time.Millisecond), PeakMemory: new(int64(4 << 20))},
	}))
	assert.Contains(t, s.run("traceparent", sampled, "baggage", "user=a%20secret"), `"exit_code":3`)
	shutdown(t, traces)

	assert.ElementsMatch(t, []string{"POST /api/v1/tasks", "wait in queue", "run task"}, to.names())
	request, wait, run := to.the("POST /api/v1/tasks"), to.the("wait in queue"), to.the("run task")
	for _, s := range []span{request, wait, run} {
		assert.Equal(t, idOf(t, callersTrace), s.TraceId, s.Name)
		assert.Equal(t, otlp.Status_STATUS_CODE_UNSET, s.Status.GetCode(), "%s: a program that fails is no error", s.Name)
	}
	assert.Equal(t, idOf(t, callersSpan), request.ParentSpanId)
	assert.Equal(t, request.SpanId, run.ParentSpanId)
	assert.Equal(t, request.SpanId, wait.ParentSpanId)
	assert.Equal(t, otlp.Span_SPAN_KIND_SERVER, request.Kind)
	assert.Equal(t, otlp.Span_SPAN_KIND_CONSUMER, run.Kind)
	assert.Equal(t, wait.EndTimeUnixNano, run.StartTimeUnixNano)

	job := s.exec.Jobs()[0]
	assert.EqualValues(t, job.CreatedAt.UnixNano(), wait.StartTimeUnixNano)
	wall, ok := run.attributes["taskrunner.task.wall_time_seconds"]
	assert.True(t, ok, "the executor measured it")
	assert.Equal(t, map[string]any{
		"taskrunner.task.id": string(job.Task), "taskrunner.task.attempt": int64(1),
		"taskrunner.task.language": "python", "taskrunner.task.queue": "default",
		"taskrunner.task.cause": "exit", "taskrunner.task.exit_code": int64(3),
		"taskrunner.task.cpu_time_seconds": 1.5, "taskrunner.task.wall_time_seconds": wall,
		"taskrunner.task.peak_memory_bytes": int64(4 << 20),
	}, run.attributes)
	assert.EqualValues(t, 200, request.attributes["http.response.status_code"])
	assert.NotContains(t, to.raw.String(), "secret")
	assert.Equal(t, "taskrunner-test", to.resource["service.name"])
	assert.Equal(t, "1.2.3", to.resource["service.version"])
}

func TestEveryAttemptIsInTheTrace(t *testing.T) {
	to := newReceiver(t)
	traces := start(t, to.url, t.Output())
	s := newService(t, traces)
	s.exec.Next(fakes.Fail(errors.New("the engine is \xff away" + strings.Repeat("!", 9000))))
	s.run("traceparent", sampled)
	shutdown(t, traces)
	assert.ElementsMatch(t, []string{"POST /api/v1/tasks", "wait in queue", "run task", "run task"}, to.names())
	for _, s := range to.spans {
		if s.Name != "run task" {
			continue
		}
		assert.Equal(t, idOf(t, callersTrace), s.TraceId)
		if s.attributes["taskrunner.task.attempt"] == int64(2) {
			assert.Equal(t, otlp.Status_STATUS_CODE_UNSET, s.Status.GetCode())
			continue
		}
		assert.Equal(t, otlp.Status_STATUS_CODE_ERROR, s.Status.GetCode())
		assert.Contains(t, s.Status.Message, "the engine is \uFFFD away!!!")
		assert.LessOrEqual(t, len(s.Status.Message), 1100)
	}
}

func TestWithoutAnEndpointNothingIsMadeOrWrapped(t *testing.T) {
	for name, set := range map[string]struct{ endpoint, variable, value string }{
		"no endpoint":     {"", "OTEL_SERVICE_NAME", "x"},
		"disabled":        {"http://127.0.0.1:1", "OTEL_SDK_DISABLED", "true"},
		"no exporter":     {"http://127.0.0.1:1", "OTEL_TRACES_EXPORTER", "none"},
		"not even looked": {"", "OTEL_BSP_MAX_QUEUE_SIZE", "many"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(set.variable, set.value)
			before := goleak.IgnoreCurrent()
			traces := start(t, set.endpoint, t.Output())
			goleak.VerifyNone(t, before)
			handler, executor := http.NewServeMux(), fakes.NewExecutor()
			assert.Same(t, handler, traces.Handler(handler))
			assert.Same(t, executor, traces.Executor(executor))
			assert.Same(t, http.DefaultTransport, traces.Transport(http.DefaultTransport))
			assert.Zero(t, testing.AllocsPerRun(10, func() { telemetry.TraceParent(t.Context()) }))
			shutdown(t, traces)
		})
	}
}

func TestVariablesThatCannotBeUsedAreNamed(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte("a-secret"), 0o600))
	bad := map[string][]string{
		"ENDPOINT": {"collector:4318", "grpc://a-secret:4317", "http://", "http://user:a-secret@host"}, "PROTOCOL": {"grpc"},
		"COMPRESSION": {"zip"}, "TIMEOUT": {"10s", "0", "-1"}, "HEADERS": {"a-secret", "k=%zz", "=v", "Authorization: Basic a-secret=="},
		"CERTIFICATE": {"/nowhere/a-secret", key}, "CLIENT_CERTIFICATE": {key}, "CLIENT_KEY": {key},
		"OTEL_SDK_DISABLED": {"yes"}, "OTEL_TRACES_EXPORTER": {"zipkin"}, "OTEL_TRACES_SAMPLER": {"sometimes"},
		"OTEL_TRACES_SAMPLER_ARG": {"half", "2", "-0.1", "NaN"}, "OTEL_RESOURCE_ATTRIBUTES": {"a-secret"},
		"OTEL_BSP_SCHEDULE_DELAY": {"5s"}, "OTEL_BSP_EXPORT_TIMEOUT": {"-1"}, "OTEL_BSP_MAX_QUEUE_SIZE": {"0", "99999999999"},
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": {"x"}, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": {"x"}, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": {"x"},
	}
	for _, name := range telemetry.Variables() {
		short := strings.TrimPrefix(strings.TrimPrefix(name, "OTEL_EXPORTER_OTLP_"), "TRACES_")
		values := bad[name]
		if values == nil {
			values = bad[short]
		}
		require.NotEmpty(t, values, "no bad value of %s is tried", name)
		for _, value := range values {
			t.Run(name+"="+filepath.Base(value), func(t *testing.T) {
				t.Setenv(name, value)
				_, err := telemetry.Start(t.Context(), telemetry.Config{Endpoint: "http://127.0.0.1:1", Logger: slog.Default()})
				require.ErrorContains(t, err, name+" must ")
				assert.NotContains(t, err.Error(), "a-secret")
			})
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, good := range []string{"http://localhost:4318", "https://otel.example.com/base/", "http://[::1]:4318"} {
		got, err := telemetry.ParseEndpoint(good)
		require.NoError(t, err)
		assert.Equal(t, good, got)
	}
	for bad, says := range map[string]string{
		"localhost:4318": "http://localhost:4318", "http://:4318": "must be", "unix:///run/x": "must be", "http://a b": "must be",
		"http://me:a-secret@host": "OTEL_EXPORTER_OTLP_HEADERS", "http://host?key=a-secret": "query", "http://host/#x": "fragment",
	} {
		_, err := telemetry.ParseEndpoint(bad)
		require.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "a-secret")
		_, err = telemetry.Start(t.Context(), telemetry.Config{Endpoint: bad, Logger: slog.Default()})
		require.ErrorContains(t, err, "OTEL_EXPORTER_OTLP_ENDPOINT must ")
	}
}

func TestTheSDKsVariablesHold(t *testing.T) {
	to := newReceiver(t)
	t.Run("a name", func(t *testing.T) {
		t.Setenv("OTEL_SERVICE_NAME", "mine")
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
		t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
		traces := start(t, to.url+"/", t.Output())
		get(t, serve(t, traces.Handler(http.NotFoundHandler())))
		shutdown(t, traces)
		assert.Equal(t, "mine", to.resource["service.name"])
		assert.Equal(t, "test", to.resource["deployment.environment.name"])
	})
	t.Run("another endpoint for traces", func(t *testing.T) {
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", to.url+"/v1/traces")
		traces := start(t, "http://127.0.0.1:1", t.Output())
		get(t, serve(t, traces.Handler(http.NotFoundHandler())))
		shutdown(t, traces)
		assert.Len(t, to.names(), 2)
	})
	t.Run("a sampler that does not believe callers", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0")
		traces := start(t, to.url, t.Output())
		newService(t, traces).run("traceparent", sampled)
		shutdown(t, traces)
		assert.Len(t, to.names(), 2, "as before")
	})
}

func TestACallerThatIsNotSampledHasNoSpans(t *testing.T) {
	to := newReceiver(t)
	traces := start(t, to.url, t.Output())
	s := newService(t, traces)
	s.run("traceparent", unsampled)
	shutdown(t, traces)
	assert.Empty(t, to.names())
	parent := s.exec.Jobs()[0].TraceParent
	assert.Equal(t, "00-"+callersTrace, parent[:35])
	assert.Equal(t, "-00", parent[len(parent)-3:], "the worker does not sample either")
}

func TestARequestGoesOnInTheNextService(t *testing.T) {
	to := newReceiver(t)
	traces := start(t, to.url, t.Output())
	backend := http.NewServeMux()
	backend.HandleFunc("GET /things/{id}", func(http.ResponseWriter, *http.Request) {})
	behind := serve(t, traces.Handler(backend))
	web := http.NewServeMux()
	web.HandleFunc("GET /{$}", func(_ http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, behind+"/things/1", nil)
		if assert.NoError(t, err) {
			send(t, traces.Transport(http.DefaultTransport), req)
		}
	})
	get(t, serve(t, traces.Handler(web)))
	shutdown(t, traces)
	first, call, second := to.the("GET /{$}"), to.the("HTTP GET"), to.the("GET /things/{id}")
	assert.Empty(t, first.ParentSpanId)
	assert.Equal(t, first.SpanId, call.ParentSpanId)
	assert.Equal(t, call.SpanId, second.ParentSpanId)
	assert.Equal(t, first.TraceId, second.TraceId)
}

func TestProbesAndStreamsHaveNoSpans(t *testing.T) {
	to := newReceiver(t)
	traces := start(t, to.url, t.Output())
	var got []string
	url := serve(t, traces.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, telemetry.TraceParent(r.Context()))
	})))
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/tasks/1/stream"} {
		get(t, url+path)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		require.NoError(t, err)
		send(t, traces.Transport(http.DefaultTransport), req)
	}
	assert.Equal(t, make([]string, 8), got)
	get(t, url+"/streams")
	shutdown(t, traces)
	assert.Equal(t, []string{"GET"}, to.names())
}

func TestTextsOfStrangersCostNoSpans(t *testing.T) {
	to := newReceiver(t)
	traces := start(t, to.url, t.Output())
	url := serve(t, traces.Handler(http.NotFoundHandler()))
	get(t, url+"/good")
	get(t, url+"/%ffa", "User-Agent", "\xfe", "X-Forwarded-For", "\xfd")
	get(t, url+"/%ff"+strings.Repeat("a", 9000))
	shutdown(t, traces)
	require.Equal(t, []string{"GET", "GET", "GET"}, to.names())
	assert.Equal(t, "/\uFFFDa", to.spans[1].attributes["url.path"])
	assert.Equal(t, "\uFFFD", to.spans[1].attributes["user_agent.original"])
	assert.Len(t, to.spans[2].attributes["url.path"], 1024)
}

func TestAReceiverThatHangsHoldsNobodyUp(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "3600000")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
	asked, gone := make(chan struct{}), make(chan struct{})
	ask, leave := sync.OnceFunc(func() { close(asked) }), sync.OnceFunc(func() { close(gone) })
	traces := start(t, serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the sender left
		ask()
		<-r.Context().Done()
		leave()
	})), io.Discard)
	traces.SetPatience(time.Millisecond)
	s := newService(t, traces)
	s.run()
	<-asked
	for range 20 { // more than there is room for
		assert.Contains(t, s.run(), `"succeeded"`)
	}
	select {
	case <-gone:
		require.Fail(t, "the receiver was given up before")
	default:
	}
	require.ErrorIs(t, traces.Shutdown(context.Background()), context.DeadlineExceeded)
	<-gone
	assert.Contains(t, s.run(), `"succeeded"`, "after the end, too")
	require.Eventually(t, func() bool { // what it says last would be said in the next test
		var stacks strings.Builder
		return pprof.Lookup("goroutine").WriteTo(&stacks, 2) == nil && !strings.Contains(stacks.String(), "atchSpanProcessor")
	}, time.Minute, time.Millisecond)
}

func TestAReceiverThatIsAwayIsToldNowAndThen(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	var log bytes.Buffer
	traces := start(t, "http://127.0.0.1:1", &log)
	s := newService(t, traces)
	for range 5 {
		assert.Contains(t, s.run(), `"succeeded"`)
	}
	shutdown(t, traces)
	assert.Equal(t, 1, strings.Count(log.String(), "traces cannot be sent"), log.String())
	assert.Contains(t, log.String(), "127.0.0.1:1")
}

// run runs one job as it is, by an executor with traces.
func run(t *testing.T, to *receiver, job ports.Job, steps ...fakes.Step) error {
	t.Helper()
	traces := start(t, to.url, t.Output())
	defer shutdown(t, traces)
	_, err := traces.Executor(fakes.NewExecutor(steps...)).Run(t.Context(), job)
	return err
}

func TestRunsThatGoOtherwise(t *testing.T) {
	parent := ports.Job{Task: "task", Attempt: 1, TraceParent: sampled, CreatedAt: time.Now().Add(-time.Hour)}
	t.Run("what waited is not known without a trace", func(t *testing.T) {
		for _, bad := range []string{"", "nonsense", "00-" + strings.Repeat("0", 32) + "-" + callersSpan + "-01"} {
			to, job := newReceiver(t), parent
			job.TraceParent = bad
			require.NoError(t, run(t, to, job))
			assert.Equal(t, []string{"run task"}, to.names())
			assert.Empty(t, to.the("run task").ParentSpanId, "it is a trace of its own")
		}
	})
	t.Run("a clock that is behind", func(t *testing.T) {
		to, job := newReceiver(t), parent
		job.CreatedAt = time.Now().Add(time.Hour)
		require.NoError(t, run(t, to, job))
		assert.Equal(t, []string{"run task"}, to.names())
	})
	t.Run("infrastructure as a cause", func(t *testing.T) {
		to := newReceiver(t)
		require.NoError(t, run(t, to, parent, fakes.End(ports.Outcome{Cause: ports.CauseInfrastructure, Message: "no disk"})))
		assert.Equal(t, "no disk", to.the("run task").Status.Message)
		assert.Equal(t, otlp.Status_STATUS_CODE_ERROR, to.the("run task").Status.Code)
		assert.NotContains(t, to.the("run task").attributes, "taskrunner.task.exit_code")
	})
	t.Run("a signal", func(t *testing.T) {
		to := newReceiver(t)
		require.NoError(t, run(t, to, parent, fakes.End(ports.Outcome{Cause: ports.CauseTimeout, Signal: "SIGKILL"})))
		assert.Equal(t, "SIGKILL", to.the("run task").attributes["taskrunner.task.signal"])
		assert.Equal(t, "timeout", to.the("run task").attributes["taskrunner.task.cause"])
	})
	t.Run("a cancel is no error", func(t *testing.T) {
		to := newReceiver(t)
		traces := start(t, to.url, t.Output())
		ctx, cancel := context.WithCancel(t.Context())
		_, err := traces.Executor(fakes.NewExecutor(fakes.Do(func(ports.Job) { cancel() }), fakes.Sleep(time.Hour))).Run(ctx, parent)
		require.ErrorIs(t, err, context.Canceled)
		shutdown(t, traces)
		assert.Equal(t, otlp.Status_STATUS_CODE_UNSET, to.the("run task").Status.GetCode())
		assert.Equal(t, "cancelled", to.the("run task").attributes["taskrunner.task.cause"])
	})
	t.Run("a panic passes through and is not quoted", func(t *testing.T) {
		to := newReceiver(t)
		assert.PanicsWithValue(t, "a secret", func() { _ = run(t, to, parent, fakes.Panic("a secret")) })
		assert.Equal(t, otlp.Status_STATUS_CODE_ERROR, to.the("run task").Status.Code)
		assert.NotContains(t, to.raw.String(), "secret")
	})
	t.Run("neither is a request's", func(t *testing.T) {
		to := newReceiver(t)
		traces := start(t, to.url, t.Output())
		h := traces.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a secret") }))
		assert.PanicsWithValue(t, "a secret", func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
		shutdown(t, traces)
		assert.Equal(t, []string{"GET"}, to.names())
		assert.NotContains(t, to.raw.String(), "secret")
	})
	t.Run("the executor behind sees no span", func(t *testing.T) {
		to := newReceiver(t)
		require.NoError(t, run(t, to, parent, func(ctx context.Context, _ ports.Job, _ *fakes.Count) (*ports.Outcome, error) {
			assert.Empty(t, telemetry.TraceParent(ctx))
			return nil, nil
		}))
	})
	t.Run("the rest is the executor's", func(t *testing.T) {
		traces := start(t, newReceiver(t).url, t.Output())
		inner := fakes.NewExecutor()
		e := traces.Executor(inner)
		inner.FailCheck(errors.New("broken"))
		require.ErrorContains(t, e.Check(t.Context()), "broken")
		require.NoError(t, e.Close(t.Context()))
		_, err := e.Run(t.Context(), parent)
		require.ErrorIs(t, err, ports.ErrClosed)
		shutdown(t, traces)
	})
}

func TestLogsNameTheTrace(t *testing.T) {
	to := newReceiver(t)
	traces := start(t, to.url, t.Output())
	var text bytes.Buffer
	log := slog.New(telemetry.LogHandler(slog.NewTextHandler(&text, nil))).With("a", 1)
	get(t, serve(t, traces.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		log.InfoContext(r.Context(), "inside")
		log.WithGroup("g").InfoContext(r.Context(), "in a group", "b", 2)
	}))), "traceparent", sampled)
	log.InfoContext(t.Context(), "outside")
	shutdown(t, traces)
	lines := strings.Split(text.String(), "\n")
	ids := fmt.Sprintf("trace_id=%s span_id=%x", callersTrace, to.the("GET").SpanId)
	assert.Contains(t, lines[0], "msg=inside a=1 "+ids)
	assert.Contains(t, lines[1], "g.b=2 g.trace_id="+callersTrace)
	assert.Contains(t, lines[2], "msg=outside a=1")
	assert.NotContains(t, lines[2], "trace_id")
}
