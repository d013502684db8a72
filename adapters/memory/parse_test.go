package memory

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestCursorKeepsItsPosition(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]position{
		"now":              {time.Now(), "a"},
		"no time":          {time.Time{}, "a"},
		"before 1970":      {time.Date(1969, 1, 1, 0, 0, 0, 999_999_999, time.UTC), "~/..%"},
		"a far-off future": {time.Date(292277026596, 1, 1, 0, 0, 0, 1, time.UTC), "a"},
	} {
		got, err := parseCursor(p.cursor())
		require.NoError(t, err, name)
		assert.True(t, p.createdAt.Equal(got.createdAt), name)
		assert.Equal(t, p.id, got.id, name)
	}
}

func FuzzParseCursor(f *testing.F) {
	good := position{time.Date(2025, 3, 14, 15, 9, 26, 535, time.UTC), "01890a5d-ac96-774b-bcce-b302099a8057"}.cursor()
	for _, seed := range []string{good, good + "A", good[:20], "", "A", "AQ", "\x00", "AQAAAAAAAAAAAAAAAGE"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := parseCursor(cursor)
		if err != nil {
			require.ErrorIs(t, err, ports.ErrInvalid)
			return
		}
		require.NoError(t, p.id.Validate())
		require.Equal(t, cursor, p.cursor(), "two cursors for one position")
	})
}

func FuzzParseEventID(f *testing.F) {
	for _, seed := range []string{"", "1", "0", "01", "-1", "+1", "1_0", "18446744073709551615", "18446744073709551616", "１"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		n, err := parseEventID(ports.EventID(id))
		switch {
		case err != nil:
			require.ErrorIs(t, err, ports.ErrInvalid)
		case id == "":
			require.Zero(t, n)
		default:
			require.Positive(t, n)
			require.Equal(t, ports.EventID(id), eventID(n))
		}
	})
}
