package memory

import "github.com/task-runner/task-runner/ports"

var (
	_ ports.Store    = (*Store)(nil)
	_ ports.Queue    = (*Queue)(nil)
	_ ports.LogSink  = (*LogSink)(nil)
	_ ports.EventBus = (*EventBus)(nil)
)

// config is what the options set.
type config struct {
	tasks        int
	taskBytes    int64
	queueEntries int
	logBytes     int64
	topicEvents  int
	topicBytes   int64
	eventBytes   int64
}

// Option changes one bound. A bound below 1 means the default.
type Option func(*config)

// WithMaxTasks bounds how many tasks the store keeps. Default: 10,000.
func WithMaxTasks(n int) Option { return func(c *config) { c.tasks = n } }

// WithMaxTaskBytes bounds the bytes of all records together: sources, inputs,
// labels and results. A result is kept even where it goes beyond. Default: 256 MiB.
func WithMaxTaskBytes(n int64) Option { return func(c *config) { c.taskBytes = n } }

// WithMaxQueueEntries bounds how many entries all queues hold together, waiting
// and leased, without those of the system's own. Default: 100,000.
func WithMaxQueueEntries(n int) Option { return func(c *config) { c.queueEntries = n } }

// WithMaxLogBytes bounds the bytes of all logs together. Default: 512 MiB.
func WithMaxLogBytes(n int64) Option { return func(c *config) { c.logBytes = n } }

// WithMaxTopicEvents bounds how many events of one task are kept; the oldest
// are trimmed. Default: 16,384.
func WithMaxTopicEvents(n int) Option { return func(c *config) { c.topicEvents = n } }

// WithMaxTopicBytes bounds the bytes of one task's events; the oldest are
// trimmed. Default: 4 MiB, which holds 1 MiB of each stream and some hours of
// usage samples.
func WithMaxTopicBytes(n int64) Option { return func(c *config) { c.topicBytes = n } }

// WithMaxEventBytes bounds the bytes of the events of all tasks together.
// Default: 256 MiB.
func WithMaxEventBytes(n int64) Option { return func(c *config) { c.eventBytes = n } }

const mib = 1 << 20

func configure(opts []Option) config {
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	orDefault(&c.tasks, 10_000)
	orDefault(&c.taskBytes, 256*mib)
	orDefault(&c.queueEntries, 100_000)
	orDefault(&c.logBytes, 512*mib)
	orDefault(&c.topicEvents, 16_384)
	orDefault(&c.topicBytes, 4*mib)
	orDefault(&c.eventBytes, 256*mib)
	return c
}

func orDefault[T int | int64](bound *T, def T) {
	if *bound < 1 {
		*bound = def
	}
}

// New returns a Backend whose four parts share one life: what one of them needs
// room for, the oldest finished task gives up in all of them. Logs and events of
// tasks that its store does not have are leftovers, and the first to go.
func New(opts ...Option) ports.Backend {
	c := configure(opts)
	j := newJanitor(c)
	return ports.Backend{Store: j.store, Queue: newQueue(c), Logs: j.logs, Events: j.events}
}
