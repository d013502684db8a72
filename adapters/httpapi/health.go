package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Health is the answer of /healthz and /readyz.
type Health struct {
	Status string            `json:"status" enum:"ok,ready,starting,draining,unavailable"`
	Checks map[string]string `json:"checks,omitempty" doc:"Each check by name: ok or failed. Why it failed is in the server's log."`
}

type healthAnswer struct {
	Status int
	Body   Health
}

// validChecks refuses checks that cannot be run or told.
func validChecks(checks []Check) error {
	for _, c := range checks {
		if c.Name == "" || c.Ready == nil {
			return ports.Invalid("ready", "must have checks with a name and a function")
		}
	}
	return nil
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
	before := c.last
	c.last, c.failed = map[string]string{}, false
	for i, check := range c.checks {
		was, is := before[check.Name], "ok"
		if errs[i] != nil {
			is, c.failed = "failed", true
		}
		c.last[check.Name] = is
		// A line when it changes, and not for each who asks.
		switch {
		case is == was:
		case is == "failed":
			c.log.WarnContext(ctx, "not ready", "check", check.Name, "error", errs[i])
		case was == "failed":
			c.log.InfoContext(ctx, "ready again", "check", check.Name)
		}
	}
}

// answer is the answer of /readyz.
func (c *readiness) answer(ctx context.Context, draining bool) *healthAnswer {
	if draining {
		return &healthAnswer{Status: http.StatusServiceUnavailable, Body: Health{Status: "draining"}}
	}
	checks, ok := c.state(ctx)
	if !ok {
		return &healthAnswer{Status: http.StatusServiceUnavailable, Body: Health{Status: "unavailable", Checks: checks}}
	}
	return &healthAnswer{Status: http.StatusOK, Body: Health{Status: "ready", Checks: checks}}
}

// alive is the answer of /healthz.
func alive() *healthAnswer {
	return &healthAnswer{Status: http.StatusOK, Body: Health{Status: "ok"}}
}

func (a *API) healthz(*exchange) (*healthAnswer, error) { return alive(), nil }

func (a *API) readyz(x *exchange) (*healthAnswer, error) {
	return a.ready.answer(x.context(), a.isDraining()), nil
}
