package redisbus

import (
	_ "embed" // for the scripts
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/task-runner/task-runner/ports"
)

var (
	//go:embed scripts/publish.lua
	publishSource string
	//go:embed scripts/position.lua
	positionSource string
	//go:embed scripts/look.lua
	lookSource string
	//go:embed scripts/delete.lua
	deleteSource string

	publishScript  = redis.NewScript(publishSource)
	positionScript = redis.NewScript(positionSource)
	lookScript     = redis.NewScript(lookSource)
	deleteScript   = redis.NewScript(deleteSource)
)

// Braces would end the hash tag that keeps the keys of a topic together.
var tagEscaper = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

// keys returns the keys of a task's topic: the stream, whose name is also the
// channel's, and the topic's facts.
func (b *Bus) keys(id ports.TaskID) []string {
	base := b.config.Prefix + ":{" + tagEscaper.Replace(string(id)) + "}:"
	return []string{base + "events", base + "facts"}
}
