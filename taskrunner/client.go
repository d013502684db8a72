package taskrunner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Client submits tasks and follows them. It is safe for concurrent use and has
// nothing to close.
//
// Waiting for a task (Run, Wait, Watch.Next) and reading a log take as long as they
// take. Any other method gives up after 10 s, with an error that matches
// context.DeadlineExceeded, when a part of the backend does not answer.
type Client struct {
	cfg     Config
	langs   registry
	glances glances
}

// NewClient returns a client for cfg. ErrInvalid (a *FieldError): cfg is not
// complete, or a field is not valid.
func NewClient(cfg Config) (*Client, error) {
	cfg, langs, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, langs: langs}, nil
}

// Run submits spec and waits until the task is terminal. Its error is about the
// service; how the program ended is in the task's Result. When ctx is done Run
// cancels the task and returns it as it is then, with ctx's error.
func (c *Client) Run(ctx context.Context, spec Spec) (Task, error) {
	t, err := c.Submit(ctx, spec)
	if err != nil {
		return t, err
	}
	done, err := c.Wait(ctx, t.ID)
	if err == nil {
		return done, nil
	}
	if ctx.Err() == nil {
		return t, err
	}
	_ = aside(ctx, portTimeout, func(ctx context.Context) error {
		stopped, err := c.Cancel(ctx, t.ID)
		if err == nil {
			t = stopped
		}
		return err // finished already, or the service is away: ctx's error says enough
	})
	return t, err
}

// Get returns the task. ErrNotFound: there is none.
func (c *Client) Get(ctx context.Context, id TaskID) (Task, error) {
	if err := id.Validate(); err != nil {
		return Task{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	return c.cfg.Backend.Store.Get(ctx, id)
}

// List returns tasks, newest first. The language may be given by an alias.
// ErrInvalid (a *FieldError): the limit, the cursor, a status or a label is not
// valid.
func (c *Client) List(ctx context.Context, q ListQuery) (Page, error) {
	if q.Limit < 0 || q.Limit > ports.MaxPage {
		return Page{}, ports.Invalid("limit", "must be from 1 to %d", ports.MaxPage)
	}
	for _, s := range q.Statuses {
		if !slices.Contains(ports.Statuses(), s) {
			return Page{}, ports.Invalid("status", "must be one of %v", ports.Statuses())
		}
	}
	if err := checkLabels(q.Labels); err != nil {
		return Page{}, err
	}
	if l, ok := c.langs.find(q.Language); ok {
		q.Language = l.Name
	}
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	return c.cfg.Backend.Store.List(ctx, q)
}

// Logs opens a whole stream (ports.LogStdout or ports.LogStderr) of the task's
// last attempt, length bytes from offset; a length below 0 means to the end. A
// task that has not started has empty logs. Where the log could not be kept, the
// record's own copy is returned if that is whole.
//
// ErrNotFound: no such task, or no log of it. ErrInvalid (a *FieldError): the
// stream or the offset is not valid.
func (c *Client) Logs(ctx context.Context, id TaskID, stream string, offset, length int64) (io.ReadCloser, LogInfo, error) {
	t, key, err := c.logKey(ctx, id, stream)
	if err != nil {
		return nil, LogInfo{}, err
	}
	if offset < 0 {
		return nil, LogInfo{}, ports.Invalid("offset", "must not be negative")
	}
	missing := ErrNotFound
	if key.Attempt > 0 {
		r, info, err := c.cfg.Backend.Logs.Open(ctx, key, offset, length)
		if !errors.Is(err, ErrNotFound) {
			return r, info, err
		}
		missing = err
	}
	var kept []byte
	if t.Result != nil {
		o := t.Result.Stdout
		if stream == ports.LogStderr {
			o = t.Result.Stderr
		}
		if o.Truncated {
			return nil, LogInfo{}, missing
		}
		kept = slices.Concat(o.Head, o.Tail)
	}
	info := LogInfo{Size: int64(len(kept)), Complete: t.Status.Terminal()}
	kept = kept[min(offset, info.Size):]
	if length >= 0 {
		kept = kept[:min(length, int64(len(kept)))]
	}
	return io.NopCloser(bytes.NewReader(kept)), info, nil
}

// LogURL returns a URL for a whole stream of the task's last attempt that
// anybody can read until ttl has passed. errors.ErrUnsupported: the log sink has
// none. ErrNotFound: no such task, or no log of it yet.
func (c *Client) LogURL(ctx context.Context, id TaskID, stream string, ttl time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	_, key, err := c.logKey(ctx, id, stream)
	switch {
	case err != nil:
		return "", err
	case ttl <= 0:
		return "", ports.Invalid("ttl", "must be positive")
	case key.Attempt == 0:
		return "", fmt.Errorf("the log of a task that has not started: %w", ErrNotFound)
	}
	return c.cfg.Backend.Logs.SignedURL(ctx, key, ttl)
}

func (c *Client) logKey(ctx context.Context, id TaskID, stream string) (Task, ports.LogKey, error) {
	if stream != ports.LogStdout && stream != ports.LogStderr {
		return Task{}, ports.LogKey{}, ports.Invalid("stream", "must be %s or %s", ports.LogStdout, ports.LogStderr)
	}
	t, err := c.Get(ctx, id)
	return t, ports.LogKey{Task: id, Attempt: t.Attempt, Name: stream}, err
}

// Languages returns the languages that tasks may be written in, by name.
func (c *Client) Languages() []Language {
	list := slices.Clone(c.cfg.Languages)
	for i := range list {
		list[i] = list[i].Clone()
	}
	return list
}

// Policy returns the policy in force, with all defaults filled in.
func (c *Client) Policy() Policy {
	p := c.cfg.Policy
	p.Languages, p.Queues = slices.Clone(p.Languages), slices.Clone(p.Queues)
	return p
}

// Stats counts the entries of a queue; one that was never used has none.
// ErrInvalid (a *FieldError): no queue can have this name.
func (c *Client) Stats(ctx context.Context, queue string) (ports.QueueStats, error) {
	if err := checkQueueName("queue", queue); err != nil {
		return ports.QueueStats{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	return c.cfg.Backend.Queue.Stats(ctx, queue)
}
