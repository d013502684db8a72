package redisqueue

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/*.lua
var sources embed.FS

// script is one step of the queue, which Redis takes whole or not at all.
type script struct {
	source, hash string
	// once says that a second run after a first one, whose answer was lost, would
	// give a wrong answer: the library must report the loss and not try again.
	once bool
}

// A repeated enqueue or extend changes nothing, and a repeated claim is known by
// its name. But a repeated ack, nack or cancel would find its own work done and
// deny it.
var (
	enqueueScript = newScript("enqueue", false, "put")
	claimScript   = newScript("claim", false, "put", "held")
	extendScript  = newScript("extend", false, "put", "held")
	ackScript     = newScript("ack", true)
	nackScript    = newScript("nack", true, "put", "held")
	cancelScript  = newScript("cancel", true, "put", "held")
	statsScript   = newScript("stats", false)
)

// newScript returns the named script, behind lib and the other parts that it uses.
func newScript(name string, once bool, parts ...string) *script {
	var source strings.Builder
	for _, part := range slices.Concat([]string{"lib"}, parts, []string{name}) {
		source.WriteString(read(part))
	}
	return &script{source.String(), redis.NewScript(source.String()).Hash(), once}
}

func read(name string) string {
	text, err := sources.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(text)
}

// onceCmd is a command that go-redis does not send again.
type onceCmd struct{ *redis.Cmd }

func (onceCmd) NoRetry() bool { return true }

// run runs s over the keys of these queues, and returns its reply, of texts, int64s
// and more of such lists.
func (q *Queue) run(ctx context.Context, s *script, queues []string, args ...any) ([]any, error) {
	reply, err := q.eval(ctx, s, "evalsha", s.hash, queues, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = q.eval(ctx, s, "eval", s.source, queues, args)
	}
	return reply, err
}

func (q *Queue) eval(ctx context.Context, s *script, command, body string, queues []string, args []any) ([]any, error) {
	keys := len(q.shared) + 4*len(queues)
	line := make([]any, 0, 3+keys+len(args))
	line = append(line, command, body, keys)
	for _, key := range q.shared {
		line = append(line, key)
	}
	for _, name := range queues {
		line = append(line, q.key("ready:", name), q.key("delayed:", name), q.key("leased:", name), q.key("wake:", name))
	}
	cmd := redis.NewCmd(ctx, append(line, args...)...)
	var err error
	if s.once {
		err = q.client.Process(ctx, onceCmd{cmd})
	} else {
		err = q.client.Process(ctx, cmd)
	}
	if err != nil {
		return nil, err
	}
	reply, err := cmd.Slice()
	if err == nil && len(reply) == 0 {
		err = fmt.Errorf("an empty reply")
	}
	return reply, err
}

// key returns the key of that kind of the named queue. All keys share one hash
// tag, so that a cluster keeps them together.
func (q *Queue) key(kind, name string) string { return q.base + kind + name }
