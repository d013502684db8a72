package main

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// contender is a queue, ours or another one, with nothing in it at first.
type contender interface {
	// enqueue adds a task with this ID.
	enqueue(ctx context.Context, id string) error
	// consume takes tasks, n at a time, calls handle for each and acknowledges it,
	// until ctx is done.
	consume(ctx context.Context, n int, handle func()) error
	// left counts the tasks that wait or are being worked on.
	left(ctx context.Context) (int, error)
}

// plan says how much is measured.
type plan struct {
	rounds, tasks         int // of enqueue and claim+ack: short and many, so that the sides meet the same noise
	idleRounds, idleTasks int // of the latency
}

var (
	full  = plan{rounds: 9, tasks: 1500, idleRounds: 3, idleTasks: 192}
	short = plan{rounds: 3, tasks: 700, idleRounds: 1, idleTasks: 64}
)

// consumers are how many of them claim at the same time.
var consumers = []int{1, 8, 32}

// How often asynq asks an empty queue: unless told otherwise, and at its most
// eager. Any shorter one keeps a core busy with asking.
const (
	lazy  = time.Second
	eager = time.Millisecond
)

// measureQueues compares redisqueue with asynq, in alternating rounds. The
// database is empty before and afterwards.
func measureQueues(ctx context.Context, client *redis.Client, p plan) ([]row, error) {
	var rows []row
	for _, n := range consumers {
		more, err := compareRates(ctx, client, p, n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	more, err := compareLatencies(ctx, client, p)
	return append(rows, more...), err
}

// compareRates measures how many tasks a second n producers enqueue, and n
// consumers claim and acknowledge.
func compareRates(ctx context.Context, client *redis.Client, p plan, n int) ([]row, error) {
	enqueue := row{what: fmt.Sprintf("enqueue/s, %d at a time", n)}
	claim := row{what: fmt.Sprintf("claim+ack/s, %d at a time", n)}
	for range p.rounds {
		mine, err := newOurs(ctx, client)
		if err != nil {
			return nil, err
		}
		for _, side := range []struct {
			contender
			enqueued, claimed *figures
		}{
			{mine, &enqueue.ours, &claim.ours},
			// It asks in vain only when all has been measured: then it should end soon.
			{newRival(client, eager), &enqueue.rival, &claim.rival},
		} {
			enqueued, claimed, err := rates(ctx, side, p.tasks, n)
			if err == nil {
				err = client.FlushDB(ctx).Err()
			}
			if err != nil {
				return nil, fmt.Errorf("measuring %s and %s with %T: %w", enqueue.what, claim.what, side.contender, err)
			}
			*side.enqueued = append(*side.enqueued, enqueued)
			*side.claimed = append(*side.claimed, claimed)
		}
	}
	return []row{enqueue, claim}, nil
}

// rates has n producers enqueue these tasks and then n consumers work them off. It
// returns how many of both there were in a second.
func rates(ctx context.Context, c contender, tasks, n int) (enqueued, claimed float64, err error) {
	start := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() error {
			for range tasks*(i+1)/n - tasks*i/n {
				if err := c.enqueue(gctx, newID()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	enqueued = float64(tasks) / time.Since(start).Seconds()

	// The time is that from the first handler to the last one. By then all but the
	// last few tasks have been acknowledged, no more than n.
	handled := make(chan time.Time, tasks)
	err = whileConsuming(ctx, c, n, handled, func(ctx context.Context) error {
		first, err := receive(ctx, handled)
		last := first
		for range tasks - 1 {
			if err == nil {
				last, err = receive(ctx, handled)
			}
		}
		claimed = float64(tasks-1) / last.Sub(first).Seconds()
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	left, err := c.left(ctx)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d of %d tasks are left", left, tasks)
	}
	return enqueued, claimed, err
}

// compareLatencies measures how long it takes from before an enqueue to the
// handler's start when the queue is empty and one consumer waits at it.
func compareLatencies(ctx context.Context, client *redis.Client, p plan) ([]row, error) {
	var ours50, ours99 figures
	rivals := []struct {
		interval time.Duration
		lanes    int // as many as Redis does not notice
		p50, p99 figures
	}{
		{interval: lazy, lanes: 64},
		{interval: eager, lanes: 1},
	}
	for range p.idleRounds {
		c, err := newOurs(ctx, client)
		if err != nil {
			return nil, err
		}
		p50, p99, err := latencies(ctx, []contender{c}, p.idleTasks, eager)
		if err != nil {
			return nil, fmt.Errorf("measuring the latency of redisqueue: %w", err)
		}
		ours50, ours99 = append(ours50, p50), append(ours99, p99)
		for i := range rivals {
			r := &rivals[i]
			var lanes []contender
			for range r.lanes {
				lanes = append(lanes, newRival(client, r.interval))
			}
			p50, p99, err := latencies(ctx, lanes, p.idleTasks, r.interval)
			if err != nil {
				return nil, fmt.Errorf("measuring the latency of asynq: %w", err)
			}
			r.p50, r.p99 = append(r.p50, p50), append(r.p99, p99)
		}
		if err := client.FlushDB(ctx).Err(); err != nil {
			return nil, err
		}
	}
	var rows []row
	for _, r := range rivals {
		against := fmt.Sprintf(" (asynq asks every %v)", r.interval)
		rows = append(rows,
			row{what: "enqueue -> claim, idle, p50" + against, ours: ours50, rival: r.p50, latency: true},
			row{what: "enqueue -> claim, idle, p99" + against, ours: ours99, rival: r.p99, latency: true})
	}
	return rows, nil
}

// latencies takes these samples, spread over the lanes, which are queues that have
// nothing to do with each other: a contender that sleeps for long can be measured
// often enough in a short time. It returns percentiles in milliseconds.
//
// Between two samples a lane is idle for a random while of up to 20 ms or two
// intervals, so that the enqueue comes at no particular point of a sleep.
func latencies(ctx context.Context, lanes []contender, samples int, interval time.Duration) (p50, p99 float64, err error) {
	pause := max(20*time.Millisecond, 2*interval)
	took := make(chan float64, samples)
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range lanes {
		g.Go(func() error {
			handled := make(chan time.Time, 1)
			return whileConsuming(ctx, c, 1, handled, func(ctx context.Context) error {
				for i := range 1 + samples/len(lanes) {
					select {
					case <-time.After(mathrand.N(pause)):
					case <-ctx.Done():
					}
					start := time.Now()
					if err := c.enqueue(ctx, newID()); err != nil {
						return err
					}
					at, err := receive(ctx, handled)
					if err != nil {
						return err
					}
					if i > 0 { // at the first one the consumer may not yet have been waiting
						took <- at.Sub(start).Seconds() * 1000
					}
				}
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	close(took)
	var all figures
	for ms := range took {
		all = append(all, ms)
	}
	return all.quantile(0.5), all.quantile(0.99), nil
}

// whileConsuming calls f while n consumers run, which send the time of every
// handler's start to handled.
func whileConsuming(ctx context.Context, c contender, n int, handled chan<- time.Time, f func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	consuming, stop := context.WithCancel(ctx)
	g.Go(func() error { return c.consume(consuming, n, func() { handled <- time.Now() }) })
	g.Go(func() error {
		defer stop()
		return f(ctx)
	})
	return g.Wait()
}

func receive(ctx context.Context, c <-chan time.Time) (time.Time, error) {
	select {
	case t := <-c:
		return t, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// newID returns 36 bytes, as many as the ID of a task has.
func newID() string { return (rand.Text() + rand.Text())[:36] }
