package dockerexec

import (
	"context"
	"sync"
	"time"
)

// janitor removes, every now and then, what dead workers have left.
type janitor struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func (j *janitor) start(reap func(context.Context), every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	j.cancel = cancel
	j.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			reap(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (j *janitor) stop() {
	j.cancel()
	j.done.Wait()
}
