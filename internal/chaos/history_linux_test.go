package chaos

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// history is what a reader hears of a task.
type history struct {
	statuses []taskrunner.Event
	stdout   []byte // of the last attempt
	end      *taskrunner.Event
}

// follow hears a task's events from the beginning to the end. A reader whose servers
// fail begins again.
func (w *world) follow(ctx context.Context, k *tracked) history {
	for {
		h, err := w.read(ctx, k)
		switch {
		case err == nil, ctx.Err() != nil:
			return h
		case !w.unsteady:
			assert.NoError(w.t, err, "following task %s", k.id)
			return h
		}
		passed(ctx.Done(), tick)
	}
}

func (w *world) read(ctx context.Context, k *tracked) (h history, err error) {
	watch, err := w.client.Watch(ctx, k.id, taskrunner.Position{})
	if err != nil {
		return h, err
	}
	defer func() { _ = watch.Close() }()
	for {
		e, err := watch.Next(ctx)
		if errors.Is(err, io.EOF) {
			assert.NotNil(w.t, h.end, "a history has an end")
			return h, nil
		}
		if err != nil {
			return h, err
		}
		assert.Nil(w.t, h.end, "nothing follows the end: %+v", e)
		switch e.Type {
		case ports.EventStatus:
			h.statuses = append(h.statuses, e)
			if e.Status == ports.StatusRunning {
				h.stdout = nil
				k.once.Do(func() { close(k.began) })
			}
		case ports.EventStdout:
			h.stdout = append(h.stdout, e.Data...)
		case ports.EventEnd:
			h.end = &e
		}
	}
}

// legal says what is wrong with the order of statuses that a reader heard.
func (h history) legal() string {
	attempt, status := 0, ports.Status("")
	for _, e := range h.statuses {
		switch {
		case e.Status.Terminal():
			return "an end is told as a status"
		case e.Attempt < attempt:
			return "an attempt is followed by an earlier one"
		case e.Attempt == attempt && e.Status == status:
			return "a status is told twice"
		case e.Attempt == attempt && status == ports.StatusQueued && attempt > 0:
			return "an attempt that was lost goes on"
		case e.Status == ports.StatusRunning && e.Attempt == 0:
			return "a run has no attempt"
		}
		attempt, status = e.Attempt, e.Status
	}
	return ""
}

// observer looks at all tasks in the store again and again, and suffers no change of
// one that has ended.
type observer struct {
	t      *testing.T
	store  ports.Store
	cancel context.CancelFunc
	done   sync.WaitGroup

	looking sync.Mutex                  // one looks at a time, or what was read first would be compared last
	known   map[ports.TaskID]ports.Task // as they were seen last
	changed map[ports.TaskID]bool       // those that did so after their end
}

// observe begins. It ends with the test, or with stop.
func observe(t *testing.T, store ports.Store) *observer {
	ctx, cancel := context.WithCancel(t.Context())
	o := &observer{t: t, store: store, cancel: cancel, known: map[ports.TaskID]ports.Task{}, changed: map[ports.TaskID]bool{}}
	o.done.Go(func() {
		ticker := time.NewTicker(time.Second) // FerretDB reads all of every task
		defer ticker.Stop()
		for ctx.Err() == nil {
			_, _ = o.look(ctx) // a server may be away
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(o.stop)
	return o
}

func (o *observer) stop() {
	o.cancel()
	o.done.Wait()
}

// look looks at all tasks once, and returns them.
func (o *observer) look(ctx context.Context) (all []ports.Task, err error) {
	o.looking.Lock()
	defer o.looking.Unlock()
	q := ports.ListQuery{AnyOwner: true, Limit: ports.MaxPage}
	for {
		bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
		page, err := o.store.List(bounded, q)
		cancel()
		if err != nil {
			return nil, err
		}
		o.compare(page.Tasks)
		all = append(all, page.Tasks...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, nil
		}
	}
}

func (o *observer) compare(tasks []ports.Task) {
	for _, now := range tasks {
		before, seen := o.known[now.ID]
		o.known[now.ID] = now
		if !seen {
			continue
		}
		assert.GreaterOrEqual(o.t, now.Version, before.Version, "versions of %s", now.ID)
		assert.GreaterOrEqual(o.t, now.Attempt, before.Attempt, "attempts of %s", now.ID)
		if before.Status.Terminal() && !assert.Equal(o.t, before, now, "a task that is over changes") {
			o.changed[now.ID] = true
		}
		if now.Version == before.Version {
			assert.Equal(o.t, before.Status, now.Status, "a status without a version")
		}
		assert.Equal(o.t, now.Status.Terminal(), now.Result != nil, "a result goes with an end")
	}
}
