package cgroup

import (
	"bytes"
	"strconv"
)

// parseInt reads a file that holds one number, such as memory.current.
func parseInt(file []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(file)), 10, 64)
	return n, err == nil && n >= 0
}

// parseKey returns a parser of files that hold a "key number" per line, such as
// cpu.stat, for one of their keys. The number is multiplied by unit.
func parseKey(key string, unit int64) func([]byte) (int64, bool) {
	return func(file []byte) (int64, bool) {
		for line := range bytes.Lines(file) {
			name, value, ok := bytes.Cut(line, []byte{' '})
			if !ok || string(name) != key {
				continue
			}
			n, ok := parseInt(value)
			if !ok || n > maxInt64/unit {
				return 0, false
			}
			return n * unit, true
		}
		return 0, false
	}
}

const maxInt64 = 1<<63 - 1
