package conformance_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/task-runner/task-runner/ports"
)

var busNextMutants = []mutant[ports.EventBus]{
	busMutant("Next does not wait", "Next/waits for an event", func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			bent.next = func(ctx context.Context) (ports.Event, error) {
				ctx, cancel := context.WithTimeout(ctx, 1)
				defer cancel()
				<-ctx.Done()
				return s.Next(ctx)
			}
		})
	}),
	busMutant("one reader is woken", "Next/wakes every reader that waits", func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			bent.next = func(ctx context.Context) (ports.Event, error) {
				e, err := s.Next(ctx)
				b.mu.Lock()
				b.count++
				first := b.count <= 2 // one of the round trip, one of the readers
				b.mu.Unlock()
				if !first {
					<-ctx.Done()
					return ports.Event{}, fmt.Errorf("reading: %w", ctx.Err())
				}
				return e, err
			}
		})
	}),
	busMutant("Next ignores its context", "Next/ends at a deadline", func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			bent.next = func(ctx context.Context) (ports.Event, error) { return s.Next(stopLater(ctx)) }
		})
	}),
	busMutant("an event is lost with the context", "Next/loses no event when its context ends", func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			lost := false
			bent.next = func(ctx context.Context) (ports.Event, error) {
				if lost && ctx.Err() == nil {
					lost = false
					_, _ = s.Next(ctx)
				}
				e, err := s.Next(ctx)
				lost = errors.Is(err, context.Canceled)
				return e, err
			}
		})
	}),
	busMutant("a second Close fails", "Close/can be called again", func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			closed := false
			bent.close = func() error {
				if closed {
					return fmt.Errorf("closing: %w", ports.ErrClosed)
				}
				closed = true
				return s.Close()
			}
		})
	}),
	busMutant("Close wakes nobody", "Close/wakes a Next that waits", func(b *bentBus) {
		b.bendSubscription(func(_ ports.Subscription, bent *bentSubscription) {
			bent.close = func() error { return nil }
		})
	}),
	busMutant("a closed subscription gives what is left", "Close/ends the subscription, whatever is left to read", func(b *bentBus) {
		b.bendSubscription(func(_ ports.Subscription, bent *bentSubscription) {
			bent.close = func() error { return nil }
		})
	}),
	busMutant("a closed subscription is told as a deleted topic", "Close/wakes a Next that waits", func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			bent.next = func(ctx context.Context) (ports.Event, error) {
				e, err := s.Next(ctx)
				if errors.Is(err, ports.ErrClosed) {
					err = fmt.Errorf("reading: %w", ports.ErrGone)
				}
				return e, err
			}
		})
	}),
	busMutant("Close ends every reader", "Close/ends the subscription, whatever is left to read", func(b *bentBus) {
		var all []ports.Subscription
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			all = append(all, s)
			bent.close = func() error {
				for _, s := range all {
					_ = s.Close()
				}
				return nil
			}
		})
	}),
}
