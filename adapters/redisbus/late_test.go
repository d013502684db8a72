package redisbus_test

import (
	"context"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// slowRoad is a hook that holds up all commands about some tasks until they are
// told to go on. They do so even if nobody waits for them any more, as what is on
// the network does.
type slowRoad struct {
	streams []string
	held    chan heldUp
}

type heldUp struct{ pass, answered chan struct{} }

// arrive lets it go on and returns when it was answered.
func (h heldUp) arrive() {
	close(h.pass)
	<-h.answered
}

func (r *slowRoad) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *slowRoad) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (r *slowRoad) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		about := func(stream string) bool { return slices.Contains(cmd.Args(), any(stream)) }
		if !slices.ContainsFunc(r.streams, about) {
			return next(ctx, cmd)
		}
		h := heldUp{make(chan struct{}), make(chan struct{})}
		defer close(h.answered)
		r.held <- h
		<-h.pass
		return next(context.WithoutCancel(ctx), cmd)
	}
}

// onSlowRoad returns a bus whose commands about the tasks are held up.
func onSlowRoad(t *testing.T, prefix string, tasks ...ports.TaskID) (*redisbus.Bus, *slowRoad) {
	t.Helper()
	client := redis.NewClient(testenv.Redis(t).Options())
	t.Cleanup(func() { _ = client.Close() })
	b := newBus(t, client, redisbus.Config{Prefix: prefix})
	// The server knows the scripts then, so that each call is one command.
	publish(t, b, 0, 0)
	require.NoError(t, subscribe(t, b, ports.Position{}).Close())
	require.NoError(t, b.Delete(t.Context(), "t"))
	road := &slowRoad{held: make(chan heldUp, 100)}
	for _, id := range tasks {
		road.streams = append(road.streams, prefix+":{"+string(id)+"}:events")
	}
	client.AddHook(road)
	return b, road
}

// later calls f in the background.
func later(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func publishLater(ctx context.Context, b *redisbus.Bus, e ports.Event) <-chan error {
	return later(func() error {
		_, err := b.Publish(ctx, e)
		return err
	})
}

func TestAnEventThatWasGivenUpIsNotAppendedBehindALaterOne(t *testing.T) {
	prefix := testenv.Unique(t)
	b, road := onSlowRoad(t, prefix, "t", "other")
	ctx, giveUp := context.WithCancel(t.Context())
	one := publishLater(ctx, b, event(1))
	first := <-road.held
	giveUp()
	require.ErrorIs(t, <-one, context.Canceled)
	other := publishLater(t.Context(), b, ports.Event{Task: "other"})
	elsewhere := <-road.held
	two := publishLater(t.Context(), b, event(2))
	(<-road.held).arrive()
	require.NoError(t, <-two)
	first.arrive()
	elsewhere.arrive()
	require.NoError(t, <-other)

	direct := newBus(t, testenv.Redis(t), redisbus.Config{Prefix: prefix})
	publish(t, direct, 3, 3)
	requireNumbers(t, subscribe(t, direct, ports.Position{}), 2, 3)
}

func TestAnEventThatIsHeldUpHoldsUpItsTaskAlone(t *testing.T) {
	prefix := testenv.Unique(t)
	b, road := onSlowRoad(t, prefix, "t")
	one := publishLater(t.Context(), b, event(1))
	first := <-road.held
	_, err := b.Publish(t.Context(), ports.Event{Task: "other"})
	require.NoError(t, err)
	ctx, giveUp := context.WithCancel(t.Context())
	two := publishLater(ctx, b, event(2))
	three := publishLater(t.Context(), b, event(3))
	giveUp()
	require.ErrorIs(t, <-two, context.Canceled)
	assert.Empty(t, road.held, "two events of one task are under way")
	first.arrive()
	require.NoError(t, <-one)
	(<-road.held).arrive()
	require.NoError(t, <-three)
	s := subscribe(t, newBus(t, testenv.Redis(t), redisbus.Config{Prefix: prefix}), ports.Position{})
	requireNumbers(t, s, 1, 1)
	requireNumbers(t, s, 3, 3)
}

func TestCloseEndsTheCallsUnderWay(t *testing.T) {
	b, road := onSlowRoad(t, testenv.Unique(t), "t")
	calls := []<-chan error{
		publishLater(t.Context(), b, event(1)),
		later(func() error { return b.Delete(t.Context(), "t") }),
		later(func() error {
			_, err := b.Subscribe(t.Context(), "t", ports.Position{})
			return err
		}),
	}
	var held []heldUp
	for range calls {
		held = append(held, <-road.held)
	}
	calls = append(calls, publishLater(t.Context(), b, event(2))) // waits for its turn
	require.NoError(t, b.Close())
	for _, call := range calls {
		require.ErrorIs(t, <-call, ports.ErrClosed)
	}
	for _, h := range held {
		h.arrive()
	}
}
