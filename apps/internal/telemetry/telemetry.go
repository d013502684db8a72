// Package telemetry sends traces: of requests, and of the runs of the tasks that they
// submit, through the queue to the worker. It sends them by OTLP over HTTP to where
// OTEL_EXPORTER_OTLP_ENDPOINT says, and without that nothing is made, started or
// wrapped. All other OTEL_ variables that OpenTelemetry's SDK knows are its own to
// read, from the environment of the process.
//
// A trace is kept nowhere but at its receiver, and a receiver that is away or slow
// costs spans and nothing else. Spans have names, numbers and IDs, and never what a
// task's code, input or output is.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

const (
	// shutdownTimeout bounds how long Shutdown waits for the last spans to be sent.
	shutdownTimeout = 5 * time.Second
	// maxText bounds each text of a span in characters, since some are what strangers
	// send. OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT may set another bound.
	maxText = 1 << 10
	// reportEvery is how often at most operators are told that spans cannot be sent.
	reportEvery = time.Minute
)

// propagator is the form in which traces go from one process to the next. Baggage is
// not passed on: nobody here has a use for what strangers put there.
var propagator = propagation.TraceContext{}

// Config says what is sent, and where.
type Config struct {
	// Endpoint is the URL of the receiver, of the form that ParseEndpoint accepts.
	// Empty: no traces.
	Endpoint string
	// Service and Version name the program, unless OTEL_SERVICE_NAME or
	// OTEL_RESOURCE_ATTRIBUTES do.
	Service, Version string
	// Logger gets what goes wrong, now and then. Required.
	Logger *slog.Logger
}

// Tracing makes the spans of one process. The zero value makes none: its methods
// return what they are given, and cost nothing later. It is safe for concurrent use.
type Tracing struct {
	provider *sdktrace.TracerProvider // nil if there are no traces
	exporter *otlptrace.Exporter
	patience time.Duration
}

// Start starts to send traces, unless cfg has no endpoint, OTEL_SDK_DISABLED is true or
// OTEL_TRACES_EXPORTER is none. The error names the variable that cannot be used. A
// process calls it once, since some of OpenTelemetry's state is the process's.
func Start(ctx context.Context, cfg Config) (*Tracing, error) {
	if cfg.Endpoint == "" || is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
		return &Tracing{}, nil
	}
	endpoint, err := parseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s %w", endpointVariable, err)
	}
	if err := checkVariables(); err != nil {
		return nil, err
	}
	otel.SetErrorHandler(&reporter{log: cfg.Logger, now: rate.Sometimes{Interval: reportEvery}})
	otel.SetLogger(logr.FromSlogHandler(cfg.Logger.Handler()))

	// What the environment says beats what is said before it.
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(cfg.Service), semconv.ServiceVersion(cfg.Version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES cannot be used: %w", err)
	}
	var opts []otlptracehttp.Option
	if os.Getenv(tracesEndpointVariable) == "" {
		opts = append(opts, otlptracehttp.WithEndpointURL(endpoint.JoinPath("v1", "traces").String()))
	}
	exporter, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", endpointVariable, err)
	}
	limits := sdktrace.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = maxText
	}
	return &Tracing{
		exporter: exporter,
		patience: shutdownTimeout,
		provider: sdktrace.NewTracerProvider(
			sdktrace.WithResource(res),
			sdktrace.WithRawSpanLimits(limits),
			sdktrace.WithoutPanicRecording(), // a panic may quote anything
			sdktrace.WithSpanProcessor(mender{}),
			// It drops what does not fit into its queue, and so holds nobody up.
			sdktrace.WithBatcher(exporter),
		),
	}, nil
}

// Shutdown sends the spans that have ended and stops. Once ctx is done, or after 5 s,
// it gives up what is not sent. Spans that end later are dropped.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	// Or a request under way would go on behind.
	stop := context.AfterFunc(ctx, func() { _ = t.exporter.Shutdown(context.WithoutCancel(ctx)) })
	defer stop()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

func (t *Tracing) tracer() trace.Tracer {
	return t.provider.Tracer("github.com/task-runner/task-runner/apps/internal/telemetry")
}

// TraceParent returns the W3C traceparent of the span in ctx, "" if there is none: what
// taskrunner.Config wants of its TraceParent.
func TraceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// ParseEndpoint returns text if it may be an endpoint. Its error is the rest of a
// sentence that starts with the variable.
func ParseEndpoint(text string) (string, error) {
	_, err := parseEndpoint(text)
	return text, err
}

func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return nil, errors.New("must be an http or https URL, such as http://localhost:4318")
	case u.User != nil:
		return nil, errors.New("must have no user and password: a header in OTEL_EXPORTER_OTLP_HEADERS is for such")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must have neither a query nor a fragment")
	}
	return u, nil
}

// reporter tells operators of errors, but not of each: a receiver that is away makes
// one every few seconds.
type reporter struct {
	log    *slog.Logger
	now    rate.Sometimes
	errors atomic.Int64 // since the last one told
}

// Handle implements otel.ErrorHandler.
func (r *reporter) Handle(err error) {
	r.errors.Add(1)
	r.now.Do(func() {
		r.log.Warn("traces cannot be sent", "error", cut(err.Error()), "errors", r.errors.Swap(0))
	})
}

// cut returns the beginning of text that a span may have.
func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "\uFFFD")
}

// mender is a processor of spans that mends texts which are not UTF-8, such as the path
// of a stranger's request: one of them would cost all spans that are sent with it.
type mender struct{}

// OnStart implements sdktrace.SpanProcessor.
func (mender) OnStart(_ context.Context, span sdktrace.ReadWriteSpan) {
	for _, a := range span.Attributes() {
		if text := a.Value.AsString(); !utf8.ValidString(text) {
			span.SetAttributes(attribute.String(string(a.Key), cut(text)))
		}
	}
}

// OnEnd implements sdktrace.SpanProcessor.
func (mender) OnEnd(sdktrace.ReadOnlySpan) {}

// Shutdown implements sdktrace.SpanProcessor.
func (mender) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (mender) ForceFlush(context.Context) error { return nil }
