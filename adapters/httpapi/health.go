package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Health is the answer of /healthz and /readyz.
type Health struct {
	Status string            `json:"status" enum:"ok,ready,draining,unavailable"`
	Checks map[string]string `json:"checks,omitempty" doc:"Each check by name: ok or failed. Why it failed is in the server's log."`
}

type healthAnswer struct {
	Status int
	Body   Health
}

// readiness runs the checks, together and at most once in readyFor, so that
// whoever may ask does not load the backing parts.
type readiness struct {
	checks []Check
	log    *slog.Logger

	mu     sync.Mutex
	at     time.Time
	failed bool
	last   map[string]string
}

const (
	readyFor     = time.Second
	checkTimeout = 3 * time.Second
)

// state returns the state of each check.
func (c *readiness) state(ctx context.Context) (checks map[string]string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) >= readyFor {
		// The answer is for others too, who do not go away with this caller.
		c.run(context.WithoutCancel(ctx))
		c.at = time.Now()
	}
	return maps.Clone(c.last), !c.failed
}

func (c *readiness) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	errs := make([]error, len(c.checks))
	var wg sync.WaitGroup
	for i, check := range c.checks {
		wg.Go(func() { errs[i] = check.Ready(ctx) })
	}
	wg.Wait()
	c.last, c.failed = map[string]string{}, false
	for i, check := range c.checks {
		c.last[check.Name] = "ok"
		if errs[i] != nil {
			c.last[check.Name], c.failed = "failed", true
			c.log.WarnContext(ctx, "not ready", "check", check.Name, "error", errs[i])
		}
	}
}

func (a *API) healthz(*exchange) (*healthAnswer, error) {
	return &healthAnswer{Status: http.StatusOK, Body: Health{Status: "ok"}}, nil
}

func (a *API) readyz(x *exchange) (*healthAnswer, error) {
	if a.isDraining() {
		return &healthAnswer{Status: http.StatusServiceUnavailable, Body: Health{Status: "draining"}}, nil
	}
	checks, ok := a.ready.state(x.context())
	if !ok {
		return &healthAnswer{Status: http.StatusServiceUnavailable, Body: Health{Status: "unavailable", Checks: checks}}, nil
	}
	return &healthAnswer{Status: http.StatusOK, Body: Health{Status: "ready", Checks: checks}}, nil
}
