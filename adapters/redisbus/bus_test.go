package redisbus_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// event returns the event of task "t" with that number.
func event(n int) ports.Event {
	return ports.Event{Task: "t", Type: ports.EventStdout, Offset: int64(n), Data: fmt.Appendf(nil, "event %d", n)}
}

// publish publishes the events with the numbers from first to last, and returns
// their IDs.
func publish(t testing.TB, b *redisbus.Bus, first, last int) []ports.EventID {
	t.Helper()
	var ids []ports.EventID
	for n := first; n <= last; n++ {
		id, err := b.Publish(t.Context(), event(n))
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

func subscribe(t testing.TB, b *redisbus.Bus, from ports.Position) ports.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), "t", from)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// requireNumbers demands that the events with the numbers from first to last come
// next. It tries again when Redis fails, as a reader may.
func requireNumbers(t testing.TB, s ports.Subscription, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		e, err := s.Next(t.Context())
		for fails := 0; err != nil && fails < 1000; fails++ {
			require.NotErrorIs(t, err, ports.ErrGone)
			e, err = s.Next(t.Context())
		}
		require.NoError(t, err)
		require.EqualValues(t, n, e.Offset)
	}
}

func requireGone(t testing.TB, s ports.Subscription) {
	t.Helper()
	for range 2 {
		_, err := s.Next(t.Context())
		require.ErrorIs(t, err, ports.ErrGone)
	}
}

func TestNewRefusesABadConfiguration(t *testing.T) {
	client := testenv.Redis(t)
	for field, c := range map[string]redisbus.Config{
		"prefix":     {Prefix: "a{b"},
		"max_events": {MaxEvents: -1},
		"ttl":        {TTL: time.Millisecond},
	} {
		_, err := redisbus.New(t.Context(), client, c)
		require.ErrorIs(t, err, ports.ErrInvalid)
		assert.ErrorContains(t, err, field)
	}
	_, err := redisbus.New(t.Context(), client, redisbus.Config{Prefix: strings.Repeat("x", 65)})
	require.ErrorIs(t, err, ports.ErrInvalid)
}

func TestNewTellsOfAServerThatIsNotThere(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", Password: "a-secret", MaxRetries: -1})
	defer client.Close()
	_, err := redisbus.New(t.Context(), client, redisbus.Config{})
	require.ErrorContains(t, err, "127.0.0.1:1")
	assert.NotContains(t, err.Error(), "a-secret")
}

func TestClose(t *testing.T) {
	b := newBus(t, testenv.Redis(t), redisbus.Config{})
	publish(t, b, 1, 1)
	unread, atEnd := subscribe(t, b, ports.Position{}), subscribe(t, b, ports.Position{Now: true})
	waits := make(chan error, 1)
	go func() {
		_, err := atEnd.Next(t.Context())
		waits <- err
	}()
	for range 2 {
		require.NoError(t, b.Close())
	}
	require.ErrorIs(t, <-waits, ports.ErrClosed)
	_, err := unread.Next(t.Context())
	require.ErrorIs(t, err, ports.ErrClosed)
	_, err = b.Publish(t.Context(), event(2))
	require.ErrorIs(t, err, ports.ErrClosed)
	_, err = b.Subscribe(t.Context(), "t", ports.Position{})
	require.ErrorIs(t, err, ports.ErrClosed)
	require.ErrorIs(t, b.Delete(t.Context(), "t"), ports.ErrClosed)
}

func TestATopicExpires(t *testing.T) {
	client, prefix := testenv.Redis(t), testenv.Unique(t)
	b := newBus(t, client, redisbus.Config{Prefix: prefix, TTL: time.Hour})
	publish(t, b, 1, 2)
	for _, key := range []string{prefix + ":{t}:events", prefix + ":{t}:facts"} {
		ttl, err := client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		assert.Positive(t, ttl)
		assert.LessOrEqual(t, ttl, time.Hour)
	}
}

func TestATopicThatIsDeletedLeavesANoteForAWhile(t *testing.T) {
	client, prefix := testenv.Redis(t), testenv.Unique(t)
	b := newBus(t, client, redisbus.Config{Prefix: prefix, TTL: time.Hour})
	requireNote := func(least, most time.Duration) {
		t.Helper()
		require.NoError(t, b.Delete(t.Context(), "t"))
		keys, err := client.Keys(t.Context(), prefix+":*").Result()
		require.NoError(t, err)
		require.Equal(t, []string{prefix + ":{t}:facts"}, keys)
		left, err := client.PTTL(t.Context(), keys[0]).Result()
		require.NoError(t, err)
		require.Greater(t, left, least)
		require.LessOrEqual(t, left, most)
	}
	requireNote(0, time.Minute) // there was nothing
	publish(t, b, 1, 2)
	requireNote(time.Minute, time.Hour)
	requireNote(time.Minute, time.Hour)
}

// It is set back, or another server takes over whose clock is behind.
func TestAClockOfRedisThatGoesBackHidesNoDelete(t *testing.T) {
	client, prefix := testenv.Redis(t), testenv.Unique(t)
	b := newBus(t, client, redisbus.Config{Prefix: prefix})
	deletedInFuture := func() {
		t.Helper()
		require.NoError(t, client.HSet(t.Context(), prefix+":{t}:facts", "deleted", "9000000000000000").Err())
	}
	deletedInFuture()
	s := subscribe(t, b, ports.Position{})
	require.NoError(t, b.Delete(t.Context(), "t"))
	requireGone(t, s)

	deletedInFuture()
	s = subscribe(t, b, ports.Position{})
	publish(t, b, 1, 1)
	requireNumbers(t, s, 1, 1)
	require.NoError(t, b.Delete(t.Context(), "t"))
}

func TestWhatIsGoneStaysGoneWhenRedisIsAway(t *testing.T) {
	client := redis.NewClient(testenv.Redis(t).Options())
	b := newBus(t, client, redisbus.Config{})
	s := subscribe(t, b, ports.Position{})
	require.NoError(t, b.Delete(t.Context(), "t"))
	requireGone(t, s)
	require.NoError(t, client.Close())
	redisbus.MakeLook(s)
	requireGone(t, s)
}

func TestManyReadersShareOneConnection(t *testing.T) {
	server, prefix := testenv.Redis(t), testenv.Unique(t)
	opts := *server.Options()
	opts.ClientName = prefix
	client := redis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	b := newBus(t, client, redisbus.Config{Prefix: prefix})
	var subs []ports.Subscription
	for range 1000 {
		subs = append(subs, subscribe(t, b, ports.Position{}))
	}
	publish(t, b, 1, 3)
	for _, s := range subs {
		requireNumbers(t, s, 1, 3)
	}
	clients, err := server.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(clients, "name="+prefix+" "))

	listeners := func() int64 {
		n, err := server.PubSubNumSub(t.Context(), prefix+":{t}:events").Result()
		require.NoError(t, err)
		return n[prefix+":{t}:events"]
	}
	assert.EqualValues(t, 1, listeners())
	for _, s := range subs {
		require.NoError(t, s.Close())
	}
	require.Eventually(t, func() bool { return listeners() == 0 }, time.Minute, time.Millisecond)
	requireNumbers(t, subscribe(t, b, ports.Position{}), 1, 3)
}

func TestReadersOfManyBusesSeeOneOrder(t *testing.T) {
	client, prefix := testenv.Redis(t), testenv.Unique(t)
	one, other := newBus(t, client, redisbus.Config{Prefix: prefix}), newBus(t, client, redisbus.Config{Prefix: prefix})
	s := subscribe(t, one, ports.Position{})
	for n := 1; n <= 20; n += 2 {
		publish(t, one, n, n)
		publish(t, other, n+1, n+1)
	}
	requireNumbers(t, s, 1, 20)
	requireNumbers(t, subscribe(t, other, ports.Position{}), 1, 20)
	require.NoError(t, other.Delete(t.Context(), "t"))
	requireGone(t, s)
}

func TestAnEventOfAnotherVersionIsAnError(t *testing.T) {
	client, prefix := testenv.Redis(t), testenv.Unique(t)
	b := newBus(t, client, redisbus.Config{Prefix: prefix})
	require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{
		Stream: prefix + ":{t}:events", ID: "1-1", Values: []string{"e", "\x63new"},
	}).Err())
	s := subscribe(t, b, ports.Position{})
	for range 2 {
		_, err := s.Next(t.Context())
		require.ErrorContains(t, err, "another version")
	}
	require.NoError(t, client.Del(t.Context(), prefix+":{t}:events").Err())
}

// answers is a hook that counts what Redis answers with.
type answers struct{ fields atomic.Int64 }

func (a *answers) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a *answers) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (a *answers) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if c, ok := cmd.(*redis.Cmd); ok {
			fields, _ := c.Slice()
			a.fields.Add(int64(len(fields)))
		}
		return err
	}
}

func TestAReaderThatLooksAgainDoesNotReadAPageAgain(t *testing.T) {
	client := redis.NewClient(testenv.Redis(t).Options())
	t.Cleanup(func() { _ = client.Close() })
	b := newBus(t, client, redisbus.Config{})
	publish(t, b, 1, 40)
	s := subscribe(t, b, ports.Position{})
	requireNumbers(t, s, 1, 1)
	var a answers
	client.AddHook(&a)
	for n := 2; n <= 30; n++ {
		redisbus.MakeLook(s)
		requireNumbers(t, s, n, n)
	}
	assert.Less(t, a.fields.Load(), int64(100))
	requireNumbers(t, s, 31, 35)
	redisbus.MakeLook(s)
	other := subscribe(t, b, ports.Position{Now: true})
	publish(t, b, 41, 45)
	requireNumbers(t, other, 41, 45)
	requireNumbers(t, s, 36, 45)
}

// A message may be missed, or come late: the one after it is not what comes next.
func TestAMessageThatDoesNotFollowIsNotTaken(t *testing.T) {
	client, prefix := testenv.Redis(t), testenv.Unique(t)
	b := newBus(t, client, redisbus.Config{Prefix: prefix})
	channel := prefix + ":{t}:events"
	s := subscribe(t, b, ports.Position{})
	publish(t, b, 1, 1)
	requireNumbers(t, s, 1, 1)
	require.Eventually(t, func() bool {
		n, err := client.PubSubNumSub(t.Context(), channel).Result()
		return err == nil && n[channel] == 1
	}, time.Minute, time.Millisecond)
	for n := 2; n <= 20; n++ {
		publish(t, b, n, n)
		requireNumbers(t, s, n, n)
		last, err := client.XRevRangeN(t.Context(), channel, "+", "-", 1).Result()
		require.NoError(t, err)
		message := fmt.Sprintf("1-6 9007199254740991-7 %s", last[0].Values["e"])
		require.NoError(t, client.Publish(t.Context(), channel, message).Err())
	}
	publish(t, b, 21, 25)
	requireNumbers(t, s, 21, 25)
}
