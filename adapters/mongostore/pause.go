package mongostore

import (
	"context"
	"math/rand/v2"
	"time"
)

// The first pause, and how often it is doubled: to a quarter of a second.
const (
	firstPause = time.Millisecond
	doublings  = 8
)

// pause waits before a round of a loop that goes round whenever somebody else was
// faster. There is no pause before the first round, and each is longer than the one
// before, so that whatever keeps a call from winning does not keep the server busy too.
func pause(ctx context.Context, round int) error {
	if round == 0 {
		return nil
	}
	d := firstPause << min(round-1, doublings)
	timer := time.NewTimer(d/2 + rand.N(d)) // spread, so that rivals do not meet again
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
