package redisbus_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

// A cluster lets a script touch only the keys of one node, and passes messages on
// between its nodes.
func TestEventBusConformsOnACluster(t *testing.T) {
	conformance.EventBus(t, harness(testenv.RedisCluster(t)))
}

func TestASecureServer(t *testing.T) {
	server := testenv.OwnRedis(t, testenv.RedisOptions{Secure: true})
	b := newBus(t, server.Client(t), redisbus.Config{})
	s := subscribe(t, b, ports.Position{})
	publish(t, b, 1, 3)
	requireNumbers(t, s, 1, 3)

	opts := server.Options()
	opts.Password = "a-wrong-secret"
	wrong := redis.NewClient(opts)
	defer wrong.Close()
	_, err := redisbus.New(t.Context(), wrong, redisbus.Config{})
	require.ErrorContains(t, err, "check the user and the password")
	assert.NotContains(t, err.Error(), opts.Password)
}

func TestAUserWithoutRightsIsRefused(t *testing.T) {
	server := testenv.OwnRedis(t, testenv.RedisOptions{})
	admin := server.Client(t)
	as := func(name string, rules ...any) error {
		require.NoError(t, admin.Do(t.Context(), append([]any{"ACL", "SETUSER", name, "on", ">password"}, rules...)...).Err())
		opts := server.Options()
		opts.Username, opts.Password = name, "password"
		client := redis.NewClient(opts)
		t.Cleanup(func() { _ = client.Close() })
		b, err := redisbus.New(t.Context(), client, redisbus.Config{})
		if err == nil {
			err = b.Close()
		}
		return err
	}
	require.NoError(t, as("documented", "~{taskrunner}:*", "~taskrunner:*", "&taskrunner:*", "+@all", "-@admin", "-@dangerous", "+info"))
	for what, rules := range map[string][]any{
		"no server":   {"~*", "&*", "+@all", "-info"},
		"no scripts":  {"~*", "&*", "+@all", "-@scripting"},
		"no keys":     {"~others:*", "&*", "+@all"},
		"no channels": {"~*", "&others:*", "+@all"},
	} {
		require.ErrorContains(t, as(what[3:], rules...), "see in docs/operations.md which rights it needs: ", what)
	}
}

func TestAServerThatThrowsEventsAwayIsRefused(t *testing.T) {
	server := testenv.OwnRedis(t, testenv.RedisOptions{Args: []string{"--maxmemory-policy", "allkeys-lru"}})
	_, err := redisbus.New(t.Context(), server.Client(t), redisbus.Config{})
	require.ErrorContains(t, err, "maxmemory-policy")
}

func TestAServerWhoseMemoryIsFull(t *testing.T) {
	client := testenv.OwnRedis(t, testenv.RedisOptions{}).Client(t)
	b := newBus(t, client, redisbus.Config{})
	s := subscribe(t, b, ports.Position{})
	publish(t, b, 1, 3)
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	_, err := b.Publish(t.Context(), event(4))
	require.ErrorIs(t, err, ports.ErrFull)
	requireNumbers(t, s, 1, 3)
	requireNumbers(t, subscribe(t, b, ports.Position{}), 1, 3)
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	publish(t, b, 4, 5)
	requireNumbers(t, s, 4, 5)
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	require.NoError(t, b.Delete(t.Context(), "t"))
	requireGone(t, s)
}

func TestAServerThatIsKilledAndComesBack(t *testing.T) {
	server := testenv.OwnRedis(t, testenv.RedisOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	b := newBus(t, server.Client(t), redisbus.Config{})
	const events, readers = 600, 3
	seen := make([][]int64, readers)
	var wg sync.WaitGroup
	for i := range readers {
		s := subscribe(t, b, ports.Position{})
		wg.Go(func() {
			for len(seen[i]) == 0 || seen[i][len(seen[i])-1] < events {
				e, err := s.Next(t.Context())
				if err == nil {
					seen[i] = append(seen[i], e.Offset)
				} else if t.Context().Err() != nil || !assert.NotErrorIs(t, err, ports.ErrGone) {
					return
				}
			}
		})
	}
	unsure := map[int64]bool{} // whose first try failed after it may have been taken
	third := make(chan struct{})
	wg.Go(func() {
		for n := 1; n <= events; n++ {
			if n == events/3 {
				close(third)
			}
			for _, err := b.Publish(t.Context(), event(n)); err != nil; _, err = b.Publish(t.Context(), event(n)) {
				unsure[int64(n)] = true
				if t.Context().Err() != nil {
					return
				}
			}
		}
	})
	<-third
	server.Kill(t)
	server.Start(t)
	wg.Wait()
	for _, numbers := range seen {
		require.Equal(t, seen[0], numbers)
		require.True(t, slices.IsSorted(numbers), "events came out of order")
		for n := int64(1); n <= events; n++ {
			first, found := slices.BinarySearch(numbers, n)
			require.True(t, found, "event %d was lost", n)
			if !unsure[n] && first+1 < len(numbers) {
				require.NotEqual(t, n, numbers[first+1], "an event came twice")
			}
		}
	}
}
