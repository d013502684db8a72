package redisbus

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var wholeEvent = ports.Event{
	Attempt: 3, Type: ports.EventEnd, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Status: ports.StatusFailed,
	Cause: ports.CauseSignal, ExitCode: math.MinInt32, Signal: "é\x00\xff", Data: []byte("a b\x00\xff"), Offset: math.MaxInt64,
	Truncated: true, Sample: ports.Sample{At: time.Hour + 1, CPU: 1.0 / 3, Memory: math.MaxInt64},
}

func TestDecode(t *testing.T) {
	whole := string(encode(&wholeEvent))
	t.Run("gives back every field", func(t *testing.T) {
		got, err := decode(whole)
		require.NoError(t, err)
		assert.Equal(t, wholeEvent, got)
	})
	t.Run("refuses an event that was cut anywhere", func(t *testing.T) {
		for n := range len(whole) {
			_, err := decode(whole[:n])
			assert.Error(t, err, "the first %d bytes", n)
		}
	})
	for what, s := range map[string]string{
		"refuses what follows an event":           whole + "\x00",
		"refuses a version that it does not know": "\x02" + whole[1:],
	} {
		t.Run(what, func(t *testing.T) {
			_, err := decode(s)
			assert.Error(t, err)
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(string(encode(&wholeEvent)))
	f.Add(string(encode(&ports.Event{})))
	f.Fuzz(func(t *testing.T, s string) {
		e, err := decode(s)
		if err != nil {
			return
		}
		again := encode(&e)
		assert.LessOrEqual(t, len(again), len(s))
		e, err = decode(string(again))
		require.NoError(t, err)
		assert.Equal(t, again, encode(&e))
	})
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"0-0", "1767323045000006-12", "-1", "1", "01-1", "18446744073709551616-1", "1-1-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseID(s)
		if err == nil {
			assert.Equal(t, s, id.String())
		} else {
			assert.Zero(t, id)
		}
	})
}

func TestParseMessage(t *testing.T) {
	event := string(encode(&wholeEvent))
	m, err := parseMessage("1-6 2-7 " + event)
	require.NoError(t, err)
	assert.Equal(t, eventID{1, 6}, m.before)
	assert.Equal(t, eventID{2, 7}, m.id)
	got, err := m.event()
	require.NoError(t, err)
	assert.Equal(t, wholeEvent, got)

	for _, bad := range []string{"", "deleted", "1-6", "1-6 2-7", "x 2-7 ", "1-6 x ", "1-6 2-8 " + event, "1-6 2-6 " + event} {
		_, err := parseMessage(bad)
		assert.Error(t, err, "%q", bad)
	}
}

func TestParsePage(t *testing.T) {
	page, deleted, err := parsePage([]string{"12", "2-7", "one", "3-8", "two"})
	require.NoError(t, err)
	assert.Equal(t, "12", deleted)
	assert.Equal(t, []entry{{eventID{2, 7}, "one"}, {eventID{3, 8}, "two"}}, page)

	for _, bad := range [][]string{nil, {"", "2-7"}, {"", "x", "one"}} {
		_, _, err := parsePage(bad)
		assert.Error(t, err, "%q", bad)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add("0-0 1-1 " + string(encode(&wholeEvent)))
	f.Add("deleted")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseMessage(s)
		if err == nil {
			assert.Equal(t, m.before.n+1, m.id.n)
			_, _ = m.event()
		}
	})
}
