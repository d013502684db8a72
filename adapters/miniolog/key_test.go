package miniolog

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestSegment(t *testing.T) {
	long := strings.Repeat("x", maxSegment+1)
	sum := sha256.Sum256([]byte(long))
	for what, c := range map[string]struct{ in, want string }{
		"an ID as Task Runner makes them stays what it is": {"0199b2a0-5c1e-7c3a-9f6e-2b7d9a1c4e50", "0199b2a0-5c1e-7c3a-9f6e-2b7d9a1c4e50"},
		"a slash makes no folder":                          {"artifacts/a", "artifacts_2Fa"},
		"dots lead nowhere":                                {"..", "_2E_2E"},
		"what looks like an escape is none":                {"_2E", "_5F2E"},
		"bytes of UTF-8 are bytes":                         {"é", "_C3_A9"},
		"the longest that fits":                            {long[1:], long[1:]},
		"what is too long is a hash":                       {long, "_h" + hex.EncodeToString(sum[:])},
		"what looks like a hash is none":                   {"_h00", "_5Fh00"},
	} {
		assert.Equal(t, c.want, segment(c.in), what)
	}
}

func TestKeysFit(t *testing.T) {
	s := &LogSink{cfg: Config{Prefix: strings.Repeat("p", maxPrefix-1) + "/"}}
	require.NoError(t, validPrefix(s.cfg.Prefix))
	key := ports.LogKey{
		Task:    ports.TaskID(strings.Repeat("/", ports.MaxIDLen)),
		Attempt: math.MaxInt, Name: "artifacts/" + strings.Repeat("x", ports.MaxPathLen),
	}
	require.NoError(t, key.Validate())
	for _, k := range []string{s.headKey(key), s.partKey(key, strings.Repeat("W", maxSegment), math.MaxInt64)} {
		assert.LessOrEqual(t, len(k), 1024, k)
		for part := range strings.SplitSeq(k, "/") {
			assert.LessOrEqual(t, len(part), 255, part)
		}
		assert.True(t, strings.HasPrefix(k, s.taskPrefix(key.Task)), k)
	}
}

// FuzzSegment looks for two strings that share a segment, and for one that a store
// could refuse.
func FuzzSegment(f *testing.F) {
	f.Add("a", "A")
	f.Add("a/b", "a_2Fb")
	f.Add(strings.Repeat("/", 100), segment(strings.Repeat("/", 100)))
	f.Add(strings.Repeat("é", 100), strings.Repeat("é", 101))
	allowed := regexp.MustCompile(`^[A-Za-z0-9_-]*$`)
	f.Fuzz(func(t *testing.T, a, b string) {
		sa, sb := segment(a), segment(b)
		require.LessOrEqual(t, len(sa), maxSegment)
		require.Regexp(t, allowed, sa)
		require.Equal(t, a == b, sa == sb, "%q and %q", sa, sb)
	})
}

// FuzzParseHead looks for a record that is believed although it cannot be.
func FuzzParseHead(f *testing.F) {
	f.Add(`{"writer":"W","parts":2,"part_size":4096}`, int64(30), "etag")
	f.Add(`{"writer":"W","complete":true}`, int64(0), "etag")
	f.Add(`{"writer":"W","parts":9223372036854775807,"part_size":67108864}`, int64(26), "etag")
	f.Add(`{"writer":"W","parts":-1,"part_size":-1}`, int64(26), "etag")
	f.Add(`null`, int64(-1), "")
	f.Fuzz(func(t *testing.T, text string, size int64, etag string) {
		h, err := parseHead(text, size, etag)
		if err != nil {
			require.ErrorIs(t, err, errForeign)
			return
		}
		require.NotEmpty(t, h.etag)
		require.NotEmpty(t, h.Writer)
		require.GreaterOrEqual(t, h.tail, int64(0))
		require.GreaterOrEqual(t, h.partBytes(), int64(0))
		require.GreaterOrEqual(t, h.size(), h.tail)
		if h.Complete {
			require.Equal(t, size, h.size())
		}
	})
}
