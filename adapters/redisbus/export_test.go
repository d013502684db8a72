package redisbus

import (
	"time"

	"github.com/task-runner/task-runner/ports"
)

// SetBeat sets how soon a connection that has died silently is noticed. It goes
// before the first Subscribe.
func (b *Bus) SetBeat(d time.Duration) { b.hub.beat = d }

// MakeLook makes a reader look at the stream again.
func MakeLook(s ports.Subscription) { s.(*subscription).box.stale() }
