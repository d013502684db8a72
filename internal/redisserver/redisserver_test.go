package redisserver

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const goodInfo = "# Server\r\nredis_version:7.0.15\r\nos:Linux 6.1:x\r\n\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n\r\n# Replication\r\nrole:master\r\n"

func TestServersAreJudged(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ old, new, refusal string }{
		"a good one":              {},
		"the oldest that will do": {"7.0.15", "6.2.0", ""},
		"one that comes later":    {"7.0.15", "10.1.0", ""},
		"an unstable build":       {"7.0.15", "255.255.255", ""},
		"one too old by a little": {"7.0.15", "6.0.16", "too old: Redis 6.2"},
		"one too old by much":     {"7.0.15", "5.0.14", "too old: Redis 6.2"},
		"one that hides it":       {"redis_version:7.0.15", "", `version "" is not understood`},
		"one that lies":           {"7.0.15", "seven", `version "seven" is not understood`},
		"a replica":               {"role:master", "role:slave", "give the address of its master"},
		"one that evicts":         {"noeviction", "allkeys-lru", "set `maxmemory-policy noeviction`"},
		"one that evicts some":    {"noeviction", "volatile-ttl", `maxmemory-policy is "volatile-ttl"`},
	} {
		err := checkInfo(strings.Replace(goodInfo, c.old, c.new, 1))
		if c.refusal == "" {
			assert.NoError(t, err, what)
		} else {
			assert.ErrorContains(t, err, c.refusal, what)
		}
	}
}

// answer is an error that a server answered.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

func TestWhatGoesWrongAtTheStartIsToldWithWhatToLookAt(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		err    error
		advice string
	}{
		"a wrong password":   {answer("WRONGPASS invalid"), "check the user and the password: WRONGPASS"},
		"no password":        {answer("NOAUTH required"), "check the user and the password: NOAUTH"},
		"no rights":          {answer("NOPERM info"), "which rights it needs: NOPERM"},
		"none in a script":   {answer("ERR The user executing the script can't publish"), "which rights it needs: ERR"},
		"none in a new one":  {answer("ERR ACL failure in script: User x has no"), "which rights it needs: ERR"},
		"nobody there":       {io.EOF, "check its address, and whether it speaks TLS: EOF"},
		"nobody in time":     {context.DeadlineExceeded, "check its address, and whether it speaks TLS: context"},
		"an end by a caller": {context.Canceled, "context canceled"},
		"anything else":      {answer("LOADING"), "LOADING"},
	} {
		err := Advise(c.err)
		assert.ErrorIs(t, err, c.err, what)
		assert.ErrorContains(t, err, c.advice, what)
	}
}

func TestAServerThatIsNotThereIsToldWithWhatToLookAt(t *testing.T) {
	t.Parallel()
	const nowhere = "127.0.0.1:1"
	server := redis.NewClient(&redis.Options{Addr: nowhere, MaxRetries: -1, DialerRetries: 1})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nowhere}, MaxRedirects: -1, DialerRetries: 1})
	for what, client := range map[string]redis.UniversalClient{"a server": server, "a cluster": cluster} {
		err := Check(t.Context(), client)
		require.ErrorContains(t, err, "checking the Redis", what)
		require.ErrorContains(t, err, "check its address", what)
		require.ErrorContains(t, err, nowhere, what)

		ctx, cancel := context.WithTimeout(t.Context(), 0)
		err = Check(ctx, client)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, what)
		require.ErrorContains(t, err, "check its address", what)
		require.NoError(t, client.Close())
	}
}

func FuzzCheckInfo(f *testing.F) {
	f.Add(goodInfo)
	f.Add("redis_version:..\nrole")
	f.Fuzz(func(t *testing.T, info string) {
		if checkInfo(info) == nil {
			fields := parseInfo(info)
			require.Equal(t, "master", fields["role"])
			require.Equal(t, "noeviction", fields["maxmemory_policy"])
		}
	})
}

func TestDoReturnsWhatWasDone(t *testing.T) {
	t.Parallel()
	got, err := Do(t.Context(), func(context.Context) (int, error) { return 42, nil })
	require.NoError(t, err)
	require.Equal(t, 42, got)
	broken := errors.New("broken")
	_, err = Do(t.Context(), func(context.Context) (int, error) { return 0, broken })
	require.ErrorIs(t, err, broken)
}

func TestDoEndsWithItsContext(t *testing.T) {
	t.Parallel()
	t.Run("before it began", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := Do(ctx, func(context.Context) (int, error) { panic("called") })
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("while f hangs", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		hang := make(chan struct{})
		_, err := Do(ctx, func(context.Context) (int, error) {
			cancel()
			<-hang
			return 1, nil
		})
		require.ErrorIs(t, err, context.Canceled)
		close(hang)
	})
	t.Run("when f fails of it", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Do(ctx, func(context.Context) (int, error) {
			cancel()
			return 0, errors.New("i/o timeout")
		})
		require.ErrorIs(t, err, context.Canceled)
	})
}
