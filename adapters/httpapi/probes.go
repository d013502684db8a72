package httpapi

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ProbesConfig is what Probes are built from. Every field has a default.
type ProbesConfig struct {
	// Ready are asked by /readyz, which says "ready" when none returns an error.
	Ready []Check
	// Starting says that these Probes stand in for an API whose parts have not been
	// reached yet: they are never ready, and every other path is unavailable (503)
	// for now, where it would not be found (404) otherwise.
	Starting bool
	// AllowedHosts are the names or addresses, without port, that the Host header
	// may have. Default: any.
	AllowedHosts []string
	// Metrics gets the metrics of the Go runtime and the process; /metrics serves
	// all that it has. An API may have the same one. Default: a new one.
	Metrics *prometheus.Registry
	// Logger gets the errors that are not shown. Default: slog.Default().
	Logger *slog.Logger
}

// Probes serve /healthz, /readyz and /metrics, as an API does, for a service that
// has no API, or none yet; see NewProbes. They are safe for concurrent use.
type Probes struct {
	ready    readiness
	starting bool
	hosts    hosts
	mux      *http.ServeMux
	draining atomic.Bool
}

// NewProbes returns Probes for cfg. ErrInvalid: cfg is not sound.
func NewProbes(cfg ProbesConfig) (*Probes, error) {
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	orDefault(&cfg.Logger, slog.Default())
	if err := validChecks(cfg.Ready); err != nil {
		return nil, err
	}
	allowed, err := hostsOf(cfg.AllowedHosts)
	if err != nil {
		return nil, err
	}
	if err := measureProcess(cfg.Metrics); err != nil {
		return nil, err
	}
	p := &Probes{
		ready:    readiness{checks: cfg.Ready, log: cfg.Logger},
		starting: cfg.Starting,
		hosts:    allowed,
		mux:      http.NewServeMux(),
	}
	p.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { alive().write(w) })
	p.mux.HandleFunc("GET /readyz", p.readyz)
	p.mux.Handle("GET "+metricsPath, metricsHandler(cfg.Metrics, cfg.Logger))
	return p, nil
}

// Drain makes /readyz say "draining" from now on. It may be called again.
func (p *Probes) Drain() { p.draining.Store(true) }

// probeTimeout is how long whoever asks may take to accept one write.
const probeTimeout = 10 * time.Second

// ServeHTTP implements http.Handler.
func (p *Probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := RequestID(r)
	res := newResponse(w, r, id, probeTimeout)
	fail := func(problem *Problem) {
		problem.RequestID = id
		problem.write(res)
	}
	if !p.hosts.allow(r) {
		fail(unknownHost())
		return
	}
	handler, pattern := p.mux.Handler(r)
	if pattern != "" {
		p.mux.ServeHTTP(res, r)
		return
	}
	problem := unrouted(handler, r, w.Header())
	if p.starting && problem.Status == http.StatusNotFound {
		problem = unavailable()
	}
	fail(problem)
}

func (p *Probes) readyz(w http.ResponseWriter, r *http.Request) {
	answer := p.ready.answer(r.Context(), p.draining.Load())
	if p.starting && answer.Status == http.StatusOK {
		answer.Status, answer.Body.Status = http.StatusServiceUnavailable, "starting"
	}
	answer.write(w)
}

// write writes the whole answer where huma does not.
func (h *healthAnswer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(h.Status)
	_ = encodeJSON(w, h.Body)
}
