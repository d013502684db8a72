package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/ports"
)

// queueName is the name of the one queue that a contender uses.
const queueName = "bench"

// ours is redisqueue. A task costs one Claim, which leases it under a fence, and
// one Ack, which checks the fence and removes it.
type ours struct{ queue ports.Queue }

func newOurs(ctx context.Context, client *redis.Client) (contender, error) {
	q, err := redisqueue.New(ctx, client, redisqueue.Config{Prefix: rand.Text()})
	return ours{q}, err
}

func (o ours) enqueue(ctx context.Context, id string) error {
	return o.queue.Enqueue(ctx, ports.Entry{Task: ports.TaskID(id), Queue: queueName})
}

func (o ours) consume(ctx context.Context, n int, handle func()) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		req := ports.ClaimRequest{Queues: []string{queueName}, Worker: fmt.Sprint(i), TTL: 30 * time.Second} // asynq's lease
		g.Go(func() error {
			for {
				l, err := o.queue.Claim(ctx, req)
				if err != nil {
					return err
				}
				handle()
				// What was begun is finished, as asynq does it.
				if err := o.queue.Ack(context.WithoutCancel(ctx), l); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (o ours) left(ctx context.Context) (int, error) {
	s, err := o.queue.Stats(ctx, queueName)
	return s.Waiting + s.Delayed + s.Leased, err
}
