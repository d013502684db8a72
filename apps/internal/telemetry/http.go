package telemetry

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// Handler makes a span of every request, as a part of the caller's trace if it is in
// one. It is named by the method and the route, as the request's Pattern has it once h
// has served it: h, or a mux in it, sets that on the very request that it gets.
//
// Whether a caller's word that its trace is sampled counts is for OTEL_TRACES_SAMPLER
// to say: with a sampler that is "parentbased", as the default is, it does.
func (t *Tracing) Handler(h http.Handler) http.Handler {
	if t.provider == nil {
		return h
	}
	return otelhttp.NewHandler(h, "", t.http()...)
}

// Transport makes a span of every request that is sent, and tells its receiver of the
// trace.
func (t *Tracing) Transport(rt http.RoundTripper) http.RoundTripper {
	if t.provider == nil {
		return rt
	}
	return otelhttp.NewTransport(rt, t.http()...)
}

func (t *Tracing) http() []otelhttp.Option {
	return []otelhttp.Option{
		otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagator), otelhttp.WithFilter(traced),
	}
}

// traced reports whether a request gets a span. Probes come every few seconds and tell
// nothing. A stream lives for as long as its task: its span would be kept until then,
// thousands at once, and be told when nobody looks any more.
func traced(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics":
		return false
	}
	return !strings.HasSuffix(r.URL.Path, "/stream")
}
