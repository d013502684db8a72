package redisbus

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/task-runner/task-runner/internal/redisserver"
	"github.com/task-runner/task-runner/ports"
)

// Config configures a Bus. The zero value is all defaults.
type Config struct {
	// Prefix starts the name of every key and channel, so that several buses can
	// share a server. 1 to 64 bytes without braces; default "taskrunner".
	Prefix string
	// MaxEvents is how many events a topic keeps, the newest; default 10,000. Both
	// streams of a task, in pieces as the core publishes them at most 20 times a
	// second, are below that for some minutes. What they hold is bounded by the core:
	// 1 MiB of live output for each stream of an attempt.
	MaxEvents int
	// TTL is how long a topic lasts after its last event; default 24 hours, at
	// least one second. Whoever resumes later reads the task and its log.
	TTL time.Duration
}

// Bus is a ports.EventBus on Redis. All events are in Redis: any number of Buses
// in any number of processes that use one server and one prefix are one bus.
type Bus struct {
	client redis.UniversalClient
	config Config
	name   string // nobody else's
	turns  *turns
	hub    *hub

	ctx    context.Context // done when the Bus is closed
	cancel context.CancelFunc
	start  sync.Once // starts the hub
	wg     sync.WaitGroup
}

// New returns a Bus on a *redis.Client or a *redis.ClusterClient, which stays the
// caller's to close, after the Bus. It refuses a server that it cannot trust with
// events; the error says which setting has to change.
func New(ctx context.Context, client redis.UniversalClient, c Config) (*Bus, error) {
	if c.Prefix == "" {
		c.Prefix = "taskrunner"
	}
	if c.MaxEvents == 0 {
		c.MaxEvents = 10_000
	}
	if c.TTL == 0 {
		c.TTL = 24 * time.Hour
	}
	switch {
	case len(c.Prefix) > 64 || strings.ContainsAny(c.Prefix, "{}"):
		return nil, ports.Invalid("prefix", "must have 1 to 64 bytes and no braces")
	case c.MaxEvents < 0:
		return nil, ports.Invalid("max_events", "must be positive")
	case c.TTL < time.Second:
		return nil, ports.Invalid("ttl", "must be at least one second")
	}
	if err := redisserver.Check(ctx, client); err != nil {
		return nil, fmt.Errorf("opening the event bus: %w", err)
	}
	b := &Bus{client: client, config: c, name: rand.Text(), turns: newTurns(), hub: newHub(client)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if err := b.probe(ctx); err != nil {
		return nil, fmt.Errorf("opening the event bus: trying out a topic: %w", redisserver.Advise(err))
	}
	return b, nil
}

// probe tries with a topic of its own what will be done with others.
func (b *Bus) probe(ctx context.Context) error {
	topic := ports.TaskID("probe-" + b.name)
	if _, err := b.publish(ctx, &ports.Event{Task: topic, Type: ports.EventUsage}); err != nil && !redisserver.IsFull(err) {
		return err
	}
	_, err := redisserver.Do(ctx, func(ctx context.Context) (int64, error) { // leaves no note, as Delete does
		return b.client.Del(ctx, b.keys(topic)...).Result()
	})
	return err
}

// Publish implements ports.EventBus. It is ErrFull when the memory that Redis may
// use is full. Events of one task wait for each other.
func (b *Bus) Publish(ctx context.Context, e ports.Event) (ports.EventID, error) {
	if err := e.Task.Validate(); err != nil {
		return "", err
	}
	id, err := b.publish(ctx, &e)
	if redisserver.IsFull(err) {
		err = fmt.Errorf("%w: %w", ports.ErrFull, err)
	}
	if err != nil {
		return "", fmt.Errorf("publishing to task %q: %w", e.Task, err)
	}
	return ports.EventID(id), nil
}

func (b *Bus) publish(ctx context.Context, e *ports.Event) (string, error) {
	number, give, err := b.turns.take(ctx, e.Task)
	if err != nil {
		return "", err
	}
	defer give()
	reply, err := b.run(ctx, publishScript, e.Task,
		b.name, number, encode(e), b.config.MaxEvents, b.config.TTL.Milliseconds())
	if err != nil {
		return "", err
	}
	return reply.Text()
}

// Subscribe implements ports.EventBus. The first one opens the connection over
// which all subscriptions are told of events.
func (b *Bus) Subscribe(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	where := "start"
	switch {
	case from.Now && from.After != "":
		return nil, ports.Invalid("after", "must be empty where the position is now")
	case from.Now:
		where = "now"
	case from.After != "":
		after, err := parseAfter(from.After)
		if err != nil {
			return nil, err
		}
		where = after.String()
	}
	// It listens first, so that it misses nothing once its place is fixed.
	s := &subscription{bus: b, task: id, channel: b.keys(id)[0], box: newMailbox()}
	s.ctx, s.cancel = context.WithCancel(b.ctx)
	if ctx.Err() == nil {
		b.listen(s)
	}
	place, err := b.position(ctx, id, where)
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("subscribing to task %q: %w", id, err)
	}
	s.place = place
	return s, nil
}

func (b *Bus) listen(s *subscription) {
	b.hub.add(s.channel, &s.box)
	b.start.Do(func() { b.wg.Go(func() { b.hub.run(b.ctx) }) })
}

// position finds the place where a subscription begins: start, now, or behind the
// event with that ID.
func (b *Bus) position(ctx context.Context, id ports.TaskID, where string) (place, error) {
	reply, err := b.run(ctx, positionScript, id, where)
	if err != nil {
		return place{}, err
	}
	fields, err := reply.StringSlice()
	if err == nil && len(fields) != 2 {
		err = fmt.Errorf("a reply of %d fields", len(fields))
	}
	if err != nil {
		return place{}, err
	}
	if fields[0] == "" && where != "now" && where != "start" {
		return place{}, ports.ErrGone
	}
	p := place{next: where == "start" && fields[0] != "", deleted: fields[1]}
	if fields[0] != "" {
		p.id, err = parseID(fields[0])
	}
	return p, err
}

// look reads at most count events of a topic, from that ID on. deleted is the note
// of the last Delete, empty if there is none, or none any more.
//
// It is a script since a cluster's client may send a plain XRANGE to a replica,
// which may not have yet what its master told.
func (b *Bus) look(ctx context.Context, id ports.TaskID, from eventID, count int) (page []entry, deleted string, err error) {
	reply, err := b.run(ctx, lookScript, id, from.String(), count)
	if err != nil {
		return nil, "", err
	}
	fields, err := reply.StringSlice()
	if err != nil {
		return nil, "", err
	}
	return parsePage(fields)
}

// Delete implements ports.EventBus.
func (b *Bus) Delete(ctx context.Context, id ports.TaskID) error {
	if valid := id.Validate() == nil; !valid {
		return nil // no such topic can be there
	}
	if _, err := b.run(ctx, deleteScript, id); err != nil {
		return fmt.Errorf("deleting the events of task %q: %w", id, err)
	}
	return nil
}

// run runs a script over the keys of a topic. It ends when the Bus is closed.
func (b *Bus) run(ctx context.Context, s *redis.Script, id ports.TaskID, args ...any) (*redis.Cmd, error) {
	if b.ctx.Err() != nil {
		return nil, ports.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	cmd, err := redisserver.Do(ctx, func(ctx context.Context) (*redis.Cmd, error) {
		cmd := s.Run(ctx, b.client, b.keys(id), args...)
		return cmd, cmd.Err()
	})
	if err != nil && b.ctx.Err() != nil {
		return nil, ports.ErrClosed
	}
	return cmd, err
}

// Close ends all subscriptions and closes the connection of the Bus, but not the
// client. It may be called again; calls that are under way or come later are
// ErrClosed.
func (b *Bus) Close() error {
	b.cancel()
	b.start.Do(func() {}) // nothing starts any more
	b.wg.Wait()
	return nil
}
