package redisqueue

import (
	"context"
	"fmt"
	"slices"

	"github.com/task-runner/task-runner/internal/redisserver"
	"github.com/task-runner/task-runner/ports"
)

// Pause stops every Claim of every process from taking anything from the named
// queue, until Resume. All else goes on: entries are added, and leases that are
// out stay good. It outlives this process.
func (q *Queue) Pause(ctx context.Context, queue string) error {
	if err := validateName(queue); err != nil {
		return err
	}
	_, err := redisserver.Do(ctx, func(ctx context.Context) (int64, error) {
		return q.client.SAdd(ctx, q.key("paused", ""), queue).Result()
	})
	if err != nil {
		return fmt.Errorf("pausing queue %q: %w", queue, err)
	}
	return nil
}

// Resume ends a Pause, and wakes those who wait. It does nothing to a queue that
// is not paused.
func (q *Queue) Resume(ctx context.Context, queue string) error {
	if err := validateName(queue); err != nil {
		return err
	}
	_, err := redisserver.Do(ctx, func(ctx context.Context) (struct{}, error) {
		err := q.client.SRem(ctx, q.key("paused", ""), queue).Err()
		if err == nil {
			q.mark(q.key("wake:", queue))
		}
		return struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("resuming queue %q: %w", queue, err)
	}
	return nil
}

// Paused returns the names of the paused queues, sorted.
func (q *Queue) Paused(ctx context.Context) ([]string, error) {
	names, err := redisserver.Do(ctx, func(ctx context.Context) ([]string, error) {
		return q.client.SMembers(ctx, q.key("paused", "")).Result()
	})
	if err != nil {
		return nil, fmt.Errorf("reading which queues are paused: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

func validateName(queue string) error {
	if queue == "" || len(queue) > ports.MaxQueueName {
		return ports.Invalid("queue", "must have 1 to %d bytes", ports.MaxQueueName)
	}
	return nil
}
