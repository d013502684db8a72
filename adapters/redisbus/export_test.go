package redisbus

import "time"

// SetBeat sets how soon a connection that has died silently is noticed. It goes
// before the first Subscribe.
func (b *Bus) SetBeat(d time.Duration) { b.hub.beat = d }
