package main

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// rival is asynq. A task costs one script that moves it from the pending list to
// the active one and writes a lease, and one that removes all of it and counts it
// as processed. No fence: a worker whose lease has expired can still finish a task
// that another one has. One goroutine of a server dequeues, all others finish.
type rival struct {
	client    *asynq.Client
	inspector *asynq.Inspector
	redis     *redis.Client
	queue     string
	interval  time.Duration
}

// newRival returns an asynq that asks an empty queue for tasks at this interval.
func newRival(client *redis.Client, interval time.Duration) contender {
	return &rival{
		client:    asynq.NewClientFromRedisClient(client),
		inspector: asynq.NewInspectorFromRedisClient(client),
		redis:     client,
		queue:     rand.Text(),
		interval:  interval,
	}
}

func (r *rival) enqueue(ctx context.Context, id string) error {
	// The ID stands for the payload that it is in redisqueue, and keeps a task from
	// being enqueued twice, as it does there.
	_, err := r.client.EnqueueContext(ctx, asynq.NewTask("bench", []byte(id)), asynq.Queue(r.queue), asynq.TaskID(id))
	return err
}

func (r *rival) consume(ctx context.Context, n int, handle func()) error {
	server := asynq.NewServerFromRedisClient(r.redis, asynq.Config{
		Concurrency:       n,
		Queues:            map[string]int{r.queue: 1},
		TaskCheckInterval: r.interval,
		LogLevel:          asynq.FatalLevel, // what it could not finish is seen by what is left
	})
	err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		handle()
		return nil
	}))
	if err != nil {
		return err
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

func (r *rival) left(context.Context) (int, error) {
	info, err := r.inspector.GetQueueInfo(r.queue)
	if err != nil {
		return 0, err
	}
	return info.Size, nil
}
