package redisqueue

import (
	"encoding/json"
	"math"
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

// The reply is fuzzed as JSON, which has lists, texts and numbers as it has.
func FuzzParseFound(f *testing.F) {
	f.Add(`[1500]`, 1)
	f.Add(`[-1, [1, "task", "queue", "1764153600123456", 2, 1764153612345]]`, 64)
	f.Add(`[0, [2, "a", "q", "0000000000000007", 1, 0], [1, "b", "q", "0000000000000008", 1, 0]]`, 3)
	f.Add(`[0, [1, "a", "q", "7", 1, 0], [1, "b", "q", "8", 1, 0]]`, 2)
	f.Add(`[-1, 1, "task", "queue"]`, 1)
	f.Fuzz(func(t *testing.T, text string, n int) {
		var reply []any
		if json.Unmarshal([]byte(text), &reply) != nil || len(reply) == 0 || n < 1 || n > maxBatch {
			return
		}
		reply = integers(reply)
		all, err := parseFound(reply, n)
		if err != nil {
			require.Empty(t, all)
			return
		}
		require.Len(t, all, n, "every claim has an answer")
		leases := 0
		for _, f := range all {
			if f.leased {
				leases++
			} else {
				require.Equal(t, ports.Lease{}, f.lease)
			}
		}
		require.Len(t, reply, 1+leases, "no lease is left out")
	})
}

// integers returns list with whole numbers as Redis has them.
func integers(list []any) []any {
	for i, v := range list {
		switch v := v.(type) {
		case float64:
			list[i] = int64(v)
		case []any:
			list[i] = integers(v)
		}
	}
	return list
}

func TestRepliesAreRead(t *testing.T) {
	t.Parallel()
	none := found{next: 1500 * time.Microsecond}
	leased := found{leased: true, lease: ports.Lease{
		Task: "task", Queue: "a queue", Fence: 1764153600123456, Deliveries: 2, ExpiresAt: time.UnixMilli(1764153612345),
	}}
	// A lease for this claim, with one word of it exchanged.
	lease := func(claim int64, but int, word any) []any {
		words := []any{claim, "task", "a queue", "1764153600123456", int64(2), int64(1764153612345)}
		words[but] = word
		return words
	}
	to := func(claim int64) []any { return lease(claim, 0, claim) }
	next := int64(1500)
	for what, c := range map[string]struct {
		reply []any
		want  []found
	}{
		"nothing for two":         {[]any{next}, []found{none, none}},
		"a lease for the second":  {[]any{next, to(2)}, []found{none, leased}},
		"a lease for each of two": {[]any{next, to(1), to(2)}, []found{leased, leased}},
		"leases in another order": {[]any{next, to(3), to(1)}, []found{leased, none, leased}},
	} {
		got, err := parseFound(c.reply, len(c.want))
		require.NoError(t, err, what)
		require.Equal(t, c.want, got, what)
	}
	for what, bad := range map[string][]any{
		"no time":                   {"soon"},
		"no lease":                  {next, "lease"},
		"half a lease":              {next, to(1)[:3]},
		"a lease for nobody":        {next, to(0)},
		"a lease for somebody else": {next, to(3)},
		"two leases for one":        {next, to(1), to(1)},
		"a claim in words":          {next, lease(1, 0, "one")},
		"a task in numbers":         {next, lease(1, 1, next)},
		"no queue":                  {next, lease(1, 2, nil)},
		"a fence that is none":      {next, lease(1, 3, "high")},
		"a fence as a number":       {next, lease(1, 3, next)},
		"deliveries in words":       {next, lease(1, 4, "two")},
		"no expiry":                 {next, lease(1, 5, nil)},
	} {
		_, err := parseFound(bad, 2)
		require.ErrorContains(t, err, "not understood", what)
	}
	require.ErrorContains(t, verdict("surprise"), "not understood")
	_, err := parseInts([]any{next, "two"}, 2)
	require.ErrorContains(t, err, "not understood")
}
