package taskrunner

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pattern is n bytes of which every 4 tell where they are.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i/4>>(6*(i%4)))%64%26)
	}
	return b
}

func TestOutputIsKeptAtBothEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		stdout, stderr         int
		headOut, tailOut       int
		headErr, tailErr       int
		truncOut, truncatedErr bool
	}{
		"nothing":                           {},
		"little":                            {stdout: 10, stderr: 20, headOut: 10, headErr: 20},
		"exactly half each":                 {stdout: 32 << 10, stderr: 32 << 10, headOut: 32 << 10, headErr: 32 << 10},
		"all of it to the one that needs":   {stdout: 64 << 10, headOut: 64 << 10},
		"one byte too many":                 {stdout: 64<<10 + 1, headOut: 32 << 10, tailOut: 32 << 10, truncOut: true},
		"much on one":                       {stdout: 1 << 20, headOut: 32 << 10, tailOut: 32 << 10, truncOut: true},
		"much on one and little on another": {stdout: 1 << 20, stderr: 1 << 10, headOut: 63 << 9, tailOut: 63 << 9, headErr: 1 << 10, truncOut: true},
		"much on both":                      {stdout: 1 << 20, stderr: 100 << 10, headOut: 16 << 10, tailOut: 16 << 10, headErr: 16 << 10, tailErr: 16 << 10, truncOut: true, truncatedErr: true},
	} {
		for _, piece := range []int{1 << 20, 4096, 777} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var out, err capture
				a, b := pattern(test.stdout), pattern(test.stderr)
				for chunk := range chunks(a, piece) {
					out.write(chunk)
				}
				for chunk := range chunks(b, piece) {
					err.write(chunk)
				}
				o, e := inline(&out, &err, 0, 0)
				assert.LessOrEqual(t, len(o.Head)+len(o.Tail)+len(e.Head)+len(e.Tail), maxInline)
				requireEnds(t, a, o, test.headOut, test.tailOut, test.truncOut)
				requireEnds(t, b, e, test.headErr, test.tailErr, test.truncatedErr)
			})
		}
	}
}

func chunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

func requireEnds(t *testing.T, all []byte, o Output, head, tail int, truncated bool) {
	t.Helper()
	require.Len(t, o.Head, head)
	require.Len(t, o.Tail, tail)
	assert.True(t, bytes.Equal(all[:head], o.Head), "the head is the first bytes")
	assert.True(t, bytes.Equal(all[len(all)-tail:], o.Tail), "the tail is the last bytes")
	assert.Equal(t, truncated, o.Truncated)
	assert.EqualValues(t, len(all), o.Bytes)
}

func TestOutputIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, char := range []string{"é", "€", "😀"} {
		for shift := range 5 {
			var c, none capture
			c.write([]byte(strings.Repeat("x", shift) + strings.Repeat(char, 40<<10)))
			o, _ := inline(&c, &none, 0, 0)
			assert.True(t, o.Truncated)
			assert.True(t, utf8.Valid(o.Head), "head")
			assert.True(t, utf8.Valid(o.Tail), "tail")
			assert.Greater(t, len(o.Head)+len(o.Tail), maxInline-2*utf8.UTFMax)
		}
	}
}

func TestOutputThatTheLimitCutIsTruncated(t *testing.T) {
	t.Parallel()
	var c, none capture
	c.write([]byte("abc"))
	o, e := inline(&c, &none, 1000, 0)
	assert.Equal(t, Output{Head: []byte("abc"), Bytes: 1000, Truncated: true}, o)
	assert.Equal(t, Output{}, e)
}

func FuzzCuttingLeavesValidTextValid(f *testing.F) {
	f.Add("aé€😀", 3)
	f.Add("\xf0\x9f", 1)
	f.Add("é", 1)
	f.Fuzz(func(t *testing.T, s string, at int) {
		b := []byte(s)
		at = min(max(at, 0), len(b))
		n, k := utf8Cut(b[:at]), utf8Skip(b[at:])
		require.True(t, n <= at && at-n < utf8.UTFMax)
		require.True(t, k <= len(b)-at && k < utf8.UTFMax)
		if utf8.ValidString(s) {
			require.True(t, utf8.Valid(b[:n]))
			require.True(t, utf8.Valid(b[at+k:]))
		}
	})
}
