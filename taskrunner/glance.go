package taskrunner

import (
	"context"
	"sync"
	"time"
)

// glances are looks at the store that the watches of a client share: many readers of
// one task ask the store no more often than one of them would.
type glances struct {
	mu     sync.Mutex
	byTask map[TaskID]*glance
}

// glance is what one look at a task came to, once it is done.
type glance struct {
	begun   time.Time
	done    chan struct{}
	attempt int
	final   *Task // the task, if it is terminal
	err     error
}

// look returns a glance that began less than maxAge ago. It asks get in a goroutine
// of its own, for all who wait for it: the first one may leave before.
func (g *glances) look(ctx context.Context, id TaskID, maxAge time.Duration, get func(context.Context, TaskID) (Task, error)) (*glance, error) {
	g.mu.Lock()
	shared := g.byTask[id]
	if shared == nil || time.Since(shared.begun) >= maxAge {
		shared = &glance{begun: time.Now(), done: make(chan struct{})}
		if g.byTask == nil {
			g.byTask = map[TaskID]*glance{}
		}
		g.byTask[id] = shared
		go func(ctx context.Context) {
			defer close(shared.done)
			var t Task
			err := guard(func() (err error) {
				t, err = get(ctx, id)
				return err
			})
			shared.attempt, shared.err = t.Attempt, err
			if err == nil && t.Status.Terminal() {
				shared.final = &t
			}
			if err != nil {
				g.forget(id, shared)
				return
			}
			time.AfterFunc(maxAge, func() { g.forget(id, shared) })
		}(context.WithoutCancel(ctx))
	}
	g.mu.Unlock()
	select {
	case <-shared.done:
		return shared, shared.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *glances) forget(id TaskID, old *glance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byTask[id] == old {
		delete(g.byTask, id)
	}
}
