package cgroup

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseInt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		want int64
		ok   bool
	}{
		"a number":                {"499712\n", 499712, true},
		"without a line feed":     {"7", 7, true},
		"zero":                    {"0\n", 0, true},
		"the greatest":            {"9223372036854775807\n", maxInt64, true},
		"one more":                {"9223372036854775808\n", 0, false},
		"negative":                {"-1\n", 0, false},
		"max, of a limit's file":  {"max\n", 0, false},
		"an empty file":           {"", 0, false},
		"two numbers":             {"1 2\n", 0, false},
		"two lines":               {"1\n2\n", 0, false},
		"hexadecimal":             {"0x10\n", 0, false},
		"underscores as in Go":    {"1_000\n", 0, false},
		"a number and a NUL byte": {"1\x00", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := parseInt([]byte(c.file))
			assert.Equal(t, c.ok, ok)
			if ok {
				assert.Equal(t, c.want, got)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		want int64
		ok   bool
	}{
		"the first line":                {"oom_kill 2\nother 3\n", 2000, true},
		"the last line":                 {"oom 1\noom_kill 2", 2000, true},
		"not a key that starts like it": {"oom_kill_disable 1\noom_group_kill 1\noom_kill 3\n", 3000, true},
		"missing":                       {"oom_kill_disable 0\nunder_oom 0\n", 0, false},
		"without a value":               {"oom_kill\n", 0, false},
		"with an empty value":           {"oom_kill \n", 0, false},
		"with two values":               {"oom_kill 1 2\n", 0, false},
		"not a number":                  {"oom_kill many\n", 0, false},
		"too great with its unit":       {"oom_kill 9223372036854775807\n", 0, false},
		"an empty file":                 {"", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := parseKey("oom_kill", 1000)([]byte(c.file))
			assert.Equal(t, c.ok, ok)
			assert.Equal(t, c.want, got)
		})
	}
}

// Whatever a file holds, a figure is either unknown or one that the file has.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1\n", "-1", "max\n", "key 7\nother 1\n", "key\n", "key 99999999999999999999\n", "\n\n", "key  1\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if n, ok := parseInt(file); ok {
			assert.GreaterOrEqual(t, n, int64(0))
			assert.Contains(t, string(file), strconv.FormatInt(n, 10))
		}
		if n, ok := parseKey("key", 1000)(file); ok {
			assert.GreaterOrEqual(t, n, int64(0))
			assert.Zero(t, n%1000)
			assert.Contains(t, string(file), "key ")
		}
	})
}
