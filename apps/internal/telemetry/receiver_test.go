package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/task-runner/task-runner/apps/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is what traces are sent to.
type receiver struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	raw      bytes.Buffer // all that came
	spans    []span
	resource map[string]any
}

// span is a span as it came.
type span struct {
	*otlp.Span
	attributes map[string]any
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t}
	r.url = serve(t, http.HandlerFunc(r.take))
	return r
}

func (r *receiver) take(_ http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var sent collector.ExportTraceServiceRequest
	if !assert.NoError(r.t, err) || !assert.NoError(r.t, proto.Unmarshal(body, &sent)) {
		return
	}
	assert.Equal(r.t, "/v1/traces", req.URL.Path)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw.Write(body)
	for _, of := range sent.ResourceSpans {
		r.resource = attributesOf(of.Resource.Attributes)
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				r.spans = append(r.spans, span{s, attributesOf(s.Attributes)})
			}
		}
	}
}

func attributesOf(list []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = v.IntValue
		case *common.AnyValue_DoubleValue:
			all[a.Key] = v.DoubleValue
		}
	}
	return all
}

// names returns the names of the spans that came, as often as each did.
func (r *receiver) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := []string{}
	for _, s := range r.spans {
		names = append(names, s.Name)
	}
	return names
}

// the returns the one span of a name.
func (r *receiver) the(name string) span {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []span
	for _, s := range r.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	require.Len(r.t, found, 1, name)
	return found[0]
}

// start starts traces to endpoint, with a logger that writes into log.
func start(t *testing.T, endpoint string, log io.Writer) *telemetry.Tracing {
	t.Helper()
	traces, err := telemetry.Start(t.Context(), telemetry.Config{
		Endpoint: endpoint, Service: "taskrunner-test", Version: "1.2.3",
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	require.NoError(t, err)
	return traces
}

func shutdown(t *testing.T, traces *telemetry.Tracing) {
	t.Helper()
	require.NoError(t, traces.Shutdown(context.Background()))
}

// serve serves h until the test's end.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// get asks for url and throws the answer away.
func get(t *testing.T, url string, header ...string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	send(t, http.DefaultTransport, req)
}

func send(t *testing.T, by http.RoundTripper, req *http.Request) string {
	t.Helper()
	res, err := by.RoundTrip(req)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return string(body)
}

// The caller's trace, as traceparents have it.
const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	sampled      = "00-" + callersTrace + "-" + callersSpan + "-01"
	unsampled    = "00-" + callersTrace + "-" + callersSpan + "-00"
)

// idOf returns the bytes of an ID in hexadecimal digits.
func idOf(t *testing.T, hex string) []byte {
	t.Helper()
	if len(hex) == 32 {
		id, err := trace.TraceIDFromHex(hex)
		require.NoError(t, err)
		return id[:]
	}
	id, err := trace.SpanIDFromHex(hex)
	require.NoError(t, err)
	return id[:]
}
