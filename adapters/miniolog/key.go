package miniolog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/task-runner/task-runner/ports"
)

// maxSegment keeps a segment of a key within the 255 bytes that a file's name may
// have, since MinIO keeps objects in folders of these names.
const maxSegment = 200

// segment turns any string into a segment of a key: letters, digits and "-" stand for
// themselves, any other byte is "_" and two digits. So none is "." or ".." or holds a
// slash, and no two strings share one. What would be too long is "_h" and its hash,
// which is no escape, as "h" is no digit.
func segment(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02X", c)
		}
	}
	if b.Len() <= maxSegment {
		return b.String()
	}
	sum := sha256.Sum256([]byte(s))
	return "_h" + hex.EncodeToString(sum[:])
}

// taskPrefix is what the keys of all objects of a task begin with, and no others.
func (s *LogSink) taskPrefix(id ports.TaskID) string {
	return s.cfg.Prefix + "tasks/" + segment(string(id)) + "/"
}

// headKey is the key of a log's head.
func (s *LogSink) headKey(key ports.LogKey) string {
	return s.taskPrefix(key.Task) + strconv.Itoa(key.Attempt) + "/logs/" + segment(key.Name)
}

// partsPrefix is what the keys of all parts of a writer begin with.
func (s *LogSink) partsPrefix(key ports.LogKey, writer string) string {
	return s.taskPrefix(key.Task) + strconv.Itoa(key.Attempt) + "/parts/" + segment(writer) + "/"
}

// partKey is the key of a writer's part, from 0.
func (s *LogSink) partKey(key ports.LogKey, writer string, number int64) string {
	return s.partsPrefix(key, writer) + fmt.Sprintf("%08d", number)
}
