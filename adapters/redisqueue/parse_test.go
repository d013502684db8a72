package redisqueue

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestDurationsAreRoundedUpToMilliseconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int64{
		0:                             0,
		1:                             1,
		time.Millisecond - 1:          1,
		time.Millisecond:              1,
		time.Millisecond + 1:          2,
		time.Hour:                     3_600_000,
		math.MaxInt64:                 9_223_372_036_855,
		math.MaxInt64 - 6*time.Second: 9_223_372_030_855,
	} {
		assert.Equal(t, want, millis(d), d)
	}
}

func FuzzParseFound(f *testing.F) {
	f.Add("none\x001500")
	f.Add("none\x00-1")
	f.Add("lease\x00task\x00queue\x000001764153600123456\x002\x001764153612345")
	f.Add("lease\x00task")
	f.Fuzz(func(t *testing.T, reply string) {
		found, err := parseFound(strings.Split(reply, "\x00"))
		if err != nil {
			require.Zero(t, found)
			return
		}
		if !found.leased {
			require.Equal(t, ports.Lease{}, found.lease)
		}
	})
}

func TestRepliesAreRead(t *testing.T) {
	t.Parallel()
	got, err := parseFound([]string{"none", "1500"})
	require.NoError(t, err)
	require.Equal(t, found{next: 1500 * time.Microsecond}, got)
	got, err = parseFound([]string{"lease", "task", "a queue", "0001764153600123456", "2", "1764153612345"})
	require.NoError(t, err)
	require.Equal(t, found{leased: true, lease: ports.Lease{
		Task: "task", Queue: "a queue", Fence: 1764153600123456, Deliveries: 2, ExpiresAt: time.UnixMilli(1764153612345),
	}}, got)
	for _, bad := range [][]string{{""}, {"none"}, {"none", "x"}, {"lease", "t", "q", "1", "2"}, {"lease", "t", "q", "1", "2", "x"}} {
		_, err := parseFound(bad)
		require.ErrorContains(t, err, "not understood")
	}
	require.ErrorContains(t, verdict([]string{"surprise"}), "not understood")
}
