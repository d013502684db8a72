package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// Config is what an API is built from. Every field but Client has a default.
type Config struct {
	// Client does the work. Required.
	Client *taskrunner.Client
	// Ready are asked by /readyz, which says "ready" when none returns an error.
	Ready []Check
	// PublicURL is where clients reach this API, "https://run.example.com" or
	// with a path; it is what URLs in answers start with. Default: the scheme
	// and the host of the request.
	PublicURL string
	// AllowedHosts are the names or addresses, without port, that the Host header
	// may have; "localhost", "127.0.0.1" and "::1" for a server on a loopback
	// address. Default: any.
	AllowedHosts []string
	// AllowedOrigins are the origins ("https://ui.example.com") of the web pages
	// that may call this API from another origin. Default: none.
	AllowedOrigins []string
	// MaxReaders bounds the streams and waiting submissions served at once.
	// Default: 20000.
	MaxReaders int
	// MaxBodies bounds the bytes of all submissions that are being read or worked on
	// at once, each of which takes some three times its length of memory. It is at
	// least the size of the greatest body that the client's policy allows. Default:
	// 256 MiB, or that size.
	MaxBodies int64
	// MaxConnections bounds the connections of a server of NewServer, beyond which it
	// answers with 503; see LimitConnections. Default: MaxReaders and 4096 more.
	MaxConnections int
	// MaxWait is the greatest value of the query parameter wait. Default: 60 s.
	MaxWait time.Duration
	// WriteTimeout is how long a client may take to accept one write; a slower
	// one is cut off and may resume. Default: 10 s.
	WriteTimeout time.Duration
	// LogURLTTL is how long presigned log URLs are good. Default: 15 min.
	LogURLTTL time.Duration
	// Metrics gets the metrics of this API, the Go runtime and the process;
	// /metrics serves all that it has. No two APIs may share one. Default: a new one.
	Metrics *prometheus.Registry
	// Queues are the queues whose figures /metrics has. Default: DefaultQueue.
	Queues []string
	// Version is shown in the API's description. Default: "dev".
	Version string
	// Logger gets the errors that clients are not shown, and a line for each request
	// with its ID and its task's: at the level info where it may have changed
	// something, at debug where it only looked. Health and metrics have none. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Check is one condition of readiness.
type Check struct {
	// Name is shown by /readyz.
	Name string
	// Ready returns an error, which is logged and not shown, unless all is well.
	// It may be called at any time and has to end with its context.
	Ready func(ctx context.Context) error
}

// API serves HTTP; see New. It is safe for concurrent use.
type API struct {
	cfg     Config
	client  *taskrunner.Client
	log     *slog.Logger
	mux     *http.ServeMux
	origins map[string]bool
	hosts   hosts
	csrf    *http.CrossOriginProtection
	maxBody int64
	meters  *meters

	bodies   bodies
	readers  atomic.Int64
	ready    readiness
	draining context.Context
	drain    context.CancelFunc
}

// New returns an API for cfg. ErrInvalid: cfg is not complete or not sound.
func New(cfg Config) (*API, error) {
	if cfg.Client == nil {
		return nil, ports.Invalid("client", "is required")
	}
	if cfg.MaxReaders < 0 || cfg.MaxBodies < 0 || cfg.MaxConnections < 0 || cfg.MaxWait < 0 || cfg.WriteTimeout < 0 || cfg.LogURLTTL < 0 {
		return nil, ports.Invalid("config", "must not have negative bounds")
	}
	orDefault(&cfg.MaxReaders, 20000)
	greatest := maxBody(cfg.Client.Policy())
	orDefault(&cfg.MaxBodies, max(256<<20, greatest))
	if cfg.MaxBodies < greatest {
		return nil, ports.Invalid("max_bodies", "must be at least %d, the size of the greatest body", greatest)
	}
	orDefault(&cfg.MaxConnections, cfg.MaxReaders+4096)
	orDefault(&cfg.MaxWait, time.Minute)
	orDefault(&cfg.WriteTimeout, 10*time.Second)
	orDefault(&cfg.LogURLTTL, 15*time.Minute)
	orDefault(&cfg.Version, "dev")
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Queues = slices.Compact(slices.Sorted(slices.Values(cfg.Queues))); len(cfg.Queues) == 0 {
		cfg.Queues = []string{ports.DefaultQueue}
	}
	orDefault(&cfg.Logger, slog.Default())

	a := &API{
		cfg:     cfg,
		client:  cfg.Client,
		log:     cfg.Logger,
		origins: map[string]bool{},
		csrf:    http.NewCrossOriginProtection(),
		maxBody: greatest,
		bodies:  bodies{max: cfg.MaxBodies},
		ready:   readiness{checks: cfg.Ready, log: cfg.Logger},
	}
	if cfg.PublicURL != "" {
		u, err := url.Parse(cfg.PublicURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, ports.Invalid("public_url", "must be an http or https URL without user and query, such as https://run.example.com")
		}
		a.cfg.PublicURL = strings.TrimSuffix(cfg.PublicURL, "/")
	}
	var err error
	if a.hosts, err = hostsOf(cfg.AllowedHosts); err != nil {
		return nil, err
	}
	for _, o := range cfg.AllowedOrigins {
		if err := a.csrf.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("%w: %w", ports.Invalid("allowed_origins", "must be origins like https://ui.example.com, not %q", o), err)
		}
		a.origins[o] = true
	}
	if err := validChecks(cfg.Ready); err != nil {
		return nil, err
	}
	if slices.Contains(cfg.Queues, "") {
		return nil, ports.Invalid("queues", "must have names")
	}
	a.draining, a.drain = context.WithCancel(context.Background())
	if err := a.routes(); err != nil {
		return nil, err
	}
	a.meters, err = newMeters(cfg.Metrics, &queueMeter{client: cfg.Client, queues: cfg.Queues, log: cfg.Logger})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Drain ends every stream and every waiting submission, so that their readers
// connect again, to another instance; /readyz says "draining" from now on. The
// rest is served as before. It returns at once and may be called again.
func (a *API) Drain() { a.drain() }

func (a *API) isDraining() bool { return a.draining.Err() != nil }

// NewServer returns a server for api on addr with the timeouts recommended for
// it, whose Shutdown drains api first.
func NewServer(addr string, api *API) *http.Server {
	srv := &http.Server{
		Addr:              addr,
		Handler:           api,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(api.log.Handler(), slog.LevelWarn),
	}
	LimitConnections(srv, api.cfg.MaxConnections)
	srv.RegisterOnShutdown(api.Drain)
	return srv
}

var errDraining = errors.New("the server is shutting down")

// untilDrain returns a context that also ends, with errDraining as its cause,
// when the API drains.
func (a *API) untilDrain(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(a.draining, func() { cancel(errDraining) })
	return ctx, func() { stop(); cancel(nil) }
}

// enter counts one more reader in, unless there are too many.
func (a *API) enter() (leave func(), ok bool) {
	if a.readers.Add(1) > int64(a.cfg.MaxReaders) {
		a.readers.Add(-1)
		return nil, false
	}
	return func() { a.readers.Add(-1) }, true
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
