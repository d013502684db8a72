package fakes

import (
	"context"
	"io"
	"time"

	"github.com/task-runner/task-runner/ports"
)

type store struct{ b *Backend }

func (s store) Create(ctx context.Context, t ports.Task) (ports.Task, error) {
	return do(ctx, s.b, "store.Create", t.ID, func(ctx context.Context) (ports.Task, error) {
		return s.b.inner.Store.Create(ctx, t)
	})
}

func (s store) Get(ctx context.Context, id ports.TaskID) (ports.Task, error) {
	return do(ctx, s.b, "store.Get", id, func(ctx context.Context) (ports.Task, error) {
		return s.b.inner.Store.Get(ctx, id)
	})
}

func (s store) Update(ctx context.Context, t ports.Task) (ports.Task, error) {
	return do(ctx, s.b, "store.Update", t.ID, func(ctx context.Context) (ports.Task, error) {
		return s.b.inner.Store.Update(ctx, t)
	})
}

func (s store) List(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
	return do(ctx, s.b, "store.List", "", func(ctx context.Context) (ports.Page, error) {
		return s.b.inner.Store.List(ctx, q)
	})
}

func (s store) Delete(ctx context.Context, id ports.TaskID, version int64) error {
	return do0(ctx, s.b, "store.Delete", id, func(ctx context.Context) error {
		return s.b.inner.Store.Delete(ctx, id, version)
	})
}

type queue struct{ b *Backend }

func (q queue) Enqueue(ctx context.Context, e ports.Entry) error {
	return do0(ctx, q.b, "queue.Enqueue", e.Task, func(ctx context.Context) error {
		return q.b.inner.Queue.Enqueue(ctx, e)
	})
}

func (q queue) Claim(ctx context.Context, req ports.ClaimRequest) (ports.Lease, error) {
	return do(ctx, q.b, "queue.Claim", "", func(ctx context.Context) (ports.Lease, error) {
		ctx, stop := q.b.mortal(ctx)
		defer stop()
		return q.b.inner.Queue.Claim(ctx, req)
	})
}

func (q queue) Extend(ctx context.Context, l ports.Lease, ttl time.Duration) (ports.Lease, error) {
	return do(ctx, q.b, "queue.Extend", l.Task, func(ctx context.Context) (ports.Lease, error) {
		return q.b.inner.Queue.Extend(ctx, l, ttl)
	})
}

func (q queue) Ack(ctx context.Context, l ports.Lease) error {
	return do0(ctx, q.b, "queue.Ack", l.Task, func(ctx context.Context) error {
		return q.b.inner.Queue.Ack(ctx, l)
	})
}

func (q queue) Nack(ctx context.Context, l ports.Lease, delay time.Duration) error {
	return do0(ctx, q.b, "queue.Nack", l.Task, func(ctx context.Context) error {
		return q.b.inner.Queue.Nack(ctx, l, delay)
	})
}

func (q queue) Cancel(ctx context.Context, id ports.TaskID) (ports.Cancelled, error) {
	return do(ctx, q.b, "queue.Cancel", id, func(ctx context.Context) (ports.Cancelled, error) {
		return q.b.inner.Queue.Cancel(ctx, id)
	})
}

func (q queue) Stats(ctx context.Context, name string) (ports.QueueStats, error) {
	return do(ctx, q.b, "queue.Stats", "", func(ctx context.Context) (ports.QueueStats, error) {
		return q.b.inner.Queue.Stats(ctx, name)
	})
}

type logs struct{ b *Backend }

func (l logs) Create(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
	w, err := do(ctx, l.b, "logs.Create", key.Task, func(ctx context.Context) (io.WriteCloser, error) {
		return l.b.inner.Logs.Create(ctx, key)
	})
	if err != nil {
		return nil, err
	}
	return logWriter{b: l.b, ctx: ctx, task: key.Task, w: w}, nil
}

func (l logs) Open(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
	var info ports.LogInfo
	r, err := do(ctx, l.b, "logs.Open", key.Task, func(ctx context.Context) (r io.ReadCloser, err error) {
		r, info, err = l.b.inner.Logs.Open(ctx, key, offset, length)
		return r, err
	})
	if err != nil {
		return nil, ports.LogInfo{}, err
	}
	return r, info, nil
}

func (l logs) SignedURL(ctx context.Context, key ports.LogKey, ttl time.Duration) (string, error) {
	return do(ctx, l.b, "logs.SignedURL", key.Task, func(ctx context.Context) (string, error) {
		return l.b.inner.Logs.SignedURL(ctx, key, ttl)
	})
}

func (l logs) Delete(ctx context.Context, id ports.TaskID) error {
	return do0(ctx, l.b, "logs.Delete", id, func(ctx context.Context) error {
		return l.b.inner.Logs.Delete(ctx, id)
	})
}

// logWriter is a log's writer; ctx is the one that governs its life.
type logWriter struct {
	b    *Backend
	ctx  context.Context
	task ports.TaskID
	w    io.WriteCloser
}

func (w logWriter) Write(p []byte) (int, error) {
	return do(w.ctx, w.b, "logs.Write", w.task, func(context.Context) (int, error) { return w.w.Write(p) })
}

func (w logWriter) Close() error {
	return do0(w.ctx, w.b, "logs.Close", w.task, func(context.Context) error { return w.w.Close() })
}

type events struct{ b *Backend }

func (e events) Publish(ctx context.Context, ev ports.Event) (ports.EventID, error) {
	return do(ctx, e.b, "events.Publish", ev.Task, func(ctx context.Context) (ports.EventID, error) {
		return e.b.inner.Events.Publish(ctx, ev)
	})
}

func (e events) Subscribe(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
	sub, err := do(ctx, e.b, "events.Subscribe", id, func(ctx context.Context) (ports.Subscription, error) {
		return e.b.inner.Events.Subscribe(ctx, id, from)
	})
	if err != nil {
		return nil, err
	}
	return subscription{Subscription: sub, b: e.b, task: id}, nil
}

func (e events) Delete(ctx context.Context, id ports.TaskID) error {
	return do0(ctx, e.b, "events.Delete", id, func(ctx context.Context) error {
		return e.b.inner.Events.Delete(ctx, id)
	})
}

// subscription is a subscription whose Close never fails, as it frees what the
// process holds.
type subscription struct {
	ports.Subscription
	b    *Backend
	task ports.TaskID
}

func (s subscription) Next(ctx context.Context) (ports.Event, error) {
	return do(ctx, s.b, "events.Next", s.task, func(ctx context.Context) (ports.Event, error) {
		ctx, stop := s.b.mortal(ctx)
		defer stop()
		return s.Subscription.Next(ctx)
	})
}
