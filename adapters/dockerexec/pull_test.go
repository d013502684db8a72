package dockerexec

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheEngineTellsOfAPull(t *testing.T) {
	t.Parallel()
	const start = `{"status":"Pulling from library/python","id":"3.13"}` + "\r\n"
	for _, tc := range []struct{ name, account, wantErr string }{
		{"that goes well", start + "\r\n" + `{"status":"Status: Downloaded newer image"}` + "\r\n", ""},
		{"without a word", "", ""},
		{"that fails", start + `{"errorDetail":{"code":1,"message":"no space left on device"},"error":"short"}` + "\r\n", "no space left on device"},
		{"that fails, in the way of old engines", start + `{"error":"toomanyrequests"}`, "toomanyrequests"},
		{"that fails for no reason", start + `{"errorDetail":{}}`, "no reason"},
		{"in a line that breaks off", start + `{"status":"Downl`, "unexpected end of JSON input"},
		{"in something else", start + "<html>\r\n", "invalid character"},
		{"in a line without an end", start + `{"status":"` + strings.Repeat("x", maxPullLine), "token too long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := readPull(iotest.OneByteReader(strings.NewReader(tc.account)), func(pullMessage) {})
			if tc.wantErr == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, tc.wantErr)
		})
	}
}

func TestAConnectionThatBreaksIsToldFromTheEndOfAPull(t *testing.T) {
	t.Parallel()
	account := io.MultiReader(strings.NewReader(`{"status":"Pulling"}`+"\r\n"), iotest.ErrReader(io.ErrUnexpectedEOF))
	assert.ErrorIs(t, readPull(account, func(pullMessage) {}), io.ErrUnexpectedEOF)
}

func TestALongReasonIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	err := readPull(strings.NewReader(`{"error":"x`+strings.Repeat("é", maxPullReason)+`"}`), func(pullMessage) {})
	require.Error(t, err)
	assert.LessOrEqual(t, len(err.Error()), maxPullReason+len("..."))
	assert.True(t, utf8.ValidString(err.Error()))
}

func TestAMeterAddsUpLayers(t *testing.T) {
	t.Parallel()
	var got []PullProgress
	now := time.Now()
	m := &meter{image: "a", report: func(p PullProgress) { got = append(got, p) }, now: func() time.Time { return now }, layers: map[string]layer{}}
	tell := func(account string) {
		t.Helper()
		now = now.Add(progressEvery)
		require.NoError(t, readPull(strings.NewReader(account), m.add))
	}
	last := func() PullProgress { return got[len(got)-1] }

	tell(`{"status":"Pulling fs layer","id":"l1"}`)
	assert.Equal(t, PullProgress{Image: "a"}, last(), "nothing is known yet")
	tell(`{"status":"Downloading","id":"l1","progressDetail":{"current":10,"total":100}}`)
	assert.Equal(t, PullProgress{Image: "a", Received: 10, Total: 100}, last())
	tell(`{"status":"Downloading","id":"l2","progressDetail":{"current":5}}`)
	assert.Equal(t, PullProgress{Image: "a", Received: 15, Total: 105}, last(), "a layer without a size is as large as what there is of it")
	tell(`{"status":"Extracting","id":"l1","progressDetail":{"current":1,"total":7}}`)
	assert.Equal(t, PullProgress{Image: "a", Received: 15, Total: 105}, last(), "this is another count")
	tell(`{"status":"Download complete","id":"l1"}`)
	assert.Equal(t, PullProgress{Image: "a", Received: 105, Total: 105}, last())
	tell(`{"status":"Pull complete","id":"l3"}`)
	assert.Equal(t, PullProgress{Image: "a", Received: 105, Total: 105}, last(), "of this one no size was told")

	// It does not report more often than it should, and the end always.
	n := len(got)
	for k := range 1000 {
		require.NoError(t, readPull(strings.NewReader(fmt.Sprintf(`{"status":"Downloading","id":"l4","progressDetail":{"current":%d,"total":1000}}`, k)), m.add))
	}
	assert.Len(t, got, n)
	cause := errors.New("broken")
	m.done(cause)
	assert.Equal(t, PullProgress{Image: "a", Received: 105 + 999, Total: 1105, Done: true, Err: cause}, last())
}

func TestAMeterThatNobodyReadsDoesNothing(t *testing.T) {
	t.Parallel()
	m := &meter{now: func() time.Time { panic("asked for the time") }}
	m.add(pullMessage{Status: "Downloading", ID: "l1"})
	m.done(nil)
	assert.Empty(t, m.layers)
}

// Whatever the account says, there is an end, and the counts make sense.
func FuzzAnAccountOfAPullIsReadWithoutHarm(f *testing.F) {
	for _, s := range []string{
		`{"status":"Downloading","id":"l1","progressDetail":{"current":10,"total":100}}` + "\r\n" + `{"status":"Download complete","id":"l1"}`,
		`{"status":"Downloading","progressDetail":{"current":-1,"total":9223372036854775807}}`,
		`{"status":"Downloading","progressDetail":{"current":9223372036854775807}}` + "\n" + `{"status":"Downloading","id":"2","progressDetail":{"current":9223372036854775807}}`,
		`{"progressDetail":null,"errorDetail":null}`, `{"errorDetail":{"message":"x"}}`, "null", "[]", "\n\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, account string) {
		var last PullProgress
		now := time.Now()
		m := &meter{layers: map[string]layer{}, report: func(p PullProgress) {
			last = p
			assert.LessOrEqual(t, int64(0), p.Received)
			assert.LessOrEqual(t, p.Received, p.Total)
		}, now: func() time.Time { now = now.Add(progressEvery); return now }}
		err := readPull(strings.NewReader(account), m.add)
		assert.LessOrEqual(t, len(m.layers), maxLayers)
		m.done(err)
		assert.True(t, last.Done)
		assert.Equal(t, err, last.Err)
	})
}
