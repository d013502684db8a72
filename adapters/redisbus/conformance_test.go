package redisbus_test

import (
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEventBusConforms(t *testing.T) {
	h := harness(testenv.Redis(t))
	h.Full = func(t *testing.T) ports.EventBus {
		client := testenv.OwnRedis(t, testenv.RedisOptions{}).Client(t)
		b := newBus(t, client, redisbus.Config{})
		info := client.InfoMap(t.Context(), "memory")
		used, err := strconv.Atoi(info.Item("Memory", "used_memory"))
		require.NoError(t, err)
		require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", strconv.Itoa(used+1<<20)).Err())
		return b
	}
	conformance.EventBus(t, h)
}

func harness(client redis.UniversalClient) conformance.EventBusHarness {
	return conformance.EventBusHarness{
		New: func(t *testing.T) ports.EventBus { return newBus(t, client, redisbus.Config{}) },
		// More than a reader may have got already, which it need not be denied.
		Trimming: func(t *testing.T) ports.EventBus {
			return newBus(t, client, redisbus.Config{MaxEvents: 1000})
		},
	}
}

// newBus returns an empty bus, with a prefix of its own unless it is given one,
// which is closed at the end of the test.
func newBus(t testing.TB, client redis.UniversalClient, c redisbus.Config) *redisbus.Bus {
	t.Helper()
	if c.Prefix == "" {
		c.Prefix = testenv.Unique(t)
	}
	b, err := redisbus.New(t.Context(), client, c)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	return b
}
