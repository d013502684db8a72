package taskrunner

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Config is what clients and workers are built from. Every field but Backend,
// and for a Worker Executor, has a default.
type Config struct {
	// Backend is where tasks, queue, logs and events live. Required, all four.
	Backend ports.Backend
	// Executor runs the tasks. Required by NewWorker, ignored by NewClient.
	Executor ports.Executor
	// Languages are the languages that tasks may be written in.
	// Default: BuiltinLanguages().
	Languages []ports.Language
	// Policy is the operator's bounds. Zero fields mean DefaultPolicy's.
	Policy Policy

	// WorkerName names this worker in leases. Default: host name and process ID.
	WorkerName string
	// Queues are the queues that the worker claims from. Default: DefaultQueue.
	Queues []string
	// Concurrency is how many tasks the worker runs at once. Default: the number
	// of processors.
	Concurrency int
	// LeaseTTL is how long a task stays with a worker that is not heard of.
	// Default: 10 s; at least 100 ms. The heartbeat comes every third of it, and
	// every second at least, since it is also how a cancel is heard.
	LeaseTTL time.Duration
	// RetryDelay is how long a task waits after an attempt that was lost.
	// Default: 1 s, doubled with each further attempt, at most a minute.
	RetryDelay time.Duration
	// ReconcileEvery is how often one of the workers compares store and queue and
	// mends what a crash left between them. Default: 30 s; negative: never this one.
	ReconcileEvery time.Duration
	// Retention is how long finished tasks are kept with their logs and events;
	// at least LeaseTTL. Default: 0, for ever.
	Retention time.Duration
	// Logger gets what operators should know: IDs, numbers and errors, never a
	// task's code, input or output. Default: slog.Default().
	Logger *slog.Logger
	// TraceParent, if set, is asked once by every Submit for the W3C traceparent of
	// its context, "" if there is none. The record keeps it, and the executor gets it
	// with each attempt. What is no traceparent of version 00 is dropped: a trace is
	// never a reason to refuse a task. Default: none.
	TraceParent func(context.Context) string
}

// minLeaseTTL bounds LeaseTTL below: heartbeats closer than some ten a second
// would be lost to the scheduler of a busy machine.
const minLeaseTTL = 100 * time.Millisecond

// complete returns c with every default filled in and the languages that its
// policy allows, or a *FieldError that names the field.
func (c Config) complete() (Config, registry, error) {
	for _, part := range []struct {
		field   string
		missing bool
	}{
		{"backend.store", c.Backend.Store == nil},
		{"backend.queue", c.Backend.Queue == nil},
		{"backend.logs", c.Backend.Logs == nil},
		{"backend.events", c.Backend.Events == nil},
	} {
		if part.missing {
			return c, registry{}, ports.Invalid(part.field, "must be set")
		}
	}
	if c.Languages == nil {
		c.Languages = BuiltinLanguages()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Queues = slices.Clone(c.Queues)
	if len(c.Queues) == 0 {
		c.Queues = []string{ports.DefaultQueue}
	}
	c.Concurrency = orElse(c.Concurrency, runtime.GOMAXPROCS(0))
	c.LeaseTTL = orElse(c.LeaseTTL, 10*time.Second)
	c.RetryDelay = orElse(c.RetryDelay, time.Second)
	c.ReconcileEvery = orElse(c.ReconcileEvery, 30*time.Second)
	if c.WorkerName == "" {
		host, _ := os.Hostname() // a worker without a host name still has a process ID
		c.WorkerName = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	switch {
	case c.Concurrency < 0:
		return c, registry{}, ports.Invalid("concurrency", "must not be negative")
	case c.LeaseTTL < minLeaseTTL:
		return c, registry{}, ports.Invalid("lease_ttl", "must be at least %s", minLeaseTTL)
	case c.RetryDelay < 0:
		return c, registry{}, ports.Invalid("retry_delay", "must not be negative")
	case c.Retention < 0:
		return c, registry{}, ports.Invalid("retention", "must not be negative")
	}
	for i, q := range c.Queues {
		if err := checkQueueName(fmt.Sprintf("queues[%d]", i), q); err != nil {
			return c, registry{}, err
		}
	}

	var err error
	if c.Policy, err = c.Policy.complete(); err != nil {
		return c, registry{}, err
	}
	langs, err := newRegistry(c.Languages)
	if err == nil && len(c.Policy.Languages) > 0 {
		langs, err = langs.only("policy.languages", c.Policy.Languages)
	}
	if err == nil && len(langs.byName) == 0 {
		err = ports.Invalid("languages", "must have at least one")
	}
	if err != nil {
		return c, registry{}, err
	}
	c.Languages = sortedLanguages(langs.byName)
	c.Policy.Languages = nil
	for _, l := range c.Languages {
		c.Policy.Languages = append(c.Policy.Languages, l.Name)
	}
	return c, langs, nil
}
