package redisbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// An event is kept as a byte with the version of this encoding and its fields in
// order, without the task and the ID, which are those of the topic and the entry.
// Whole numbers are varints, strings follow their length; the data comes last, so
// that people who look at it with redis-cli find it as it is.
const encoding1 = 1

// encode returns e in bytes.
func encode(e *ports.Event) []byte {
	b := make([]byte, 0, 64+len(e.Signal)+len(e.Data))
	b = append(b, encoding1)
	b = binary.AppendVarint(b, int64(e.Attempt))
	b = appendString(b, string(e.Type))
	b = binary.AppendVarint(b, e.Time.Unix())
	b = binary.AppendVarint(b, int64(e.Time.Nanosecond()))
	b = appendString(b, string(e.Status))
	b = appendString(b, string(e.Cause))
	b = binary.AppendVarint(b, int64(e.ExitCode))
	b = appendString(b, e.Signal)
	b = binary.AppendVarint(b, e.Offset)
	truncated := int64(0)
	if e.Truncated {
		truncated = 1
	}
	b = binary.AppendVarint(b, truncated)
	b = binary.AppendVarint(b, int64(e.Sample.At))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(e.Sample.CPU))
	b = binary.AppendVarint(b, e.Sample.Memory)
	return appendString(b, string(e.Data))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decode reads what encode wrote, and nothing else. Time is in UTC, and empty data
// is nil.
func decode(s string) (ports.Event, error) {
	if s == "" || s[0] != encoding1 {
		return ports.Event{}, fmt.Errorf("an event in an encoding that is not known, %.1q: it is of another version of this program", s)
	}
	d := decoder{rest: []byte(s[1:])}
	e := ports.Event{
		Attempt: int(d.varint()),
		Type:    ports.EventType(d.string()),
	}
	seconds, nanoseconds := d.varint(), d.varint()
	e.Time = time.Unix(seconds, nanoseconds).UTC()
	e.Status, e.Cause = ports.Status(d.string()), ports.Cause(d.string())
	e.ExitCode, e.Signal = int(d.varint()), string(d.string())
	e.Offset = d.varint()
	truncated := d.varint()
	e.Truncated = truncated == 1
	e.Sample = ports.Sample{At: time.Duration(d.varint()), CPU: d.float(), Memory: d.varint()}
	if data := d.string(); len(data) > 0 {
		e.Data = data
	}
	if d.bad || len(d.rest) > 0 || truncated>>1 != 0 || nanoseconds < 0 || nanoseconds >= 1e9 {
		return ports.Event{}, errDamaged
	}
	return e, nil
}

var errDamaged = errors.New("a damaged event")

// decoder takes one field after another from rest. bad says that there were not
// enough bytes.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) float() float64 {
	if len(d.rest) < 8 {
		d.bad = true
		return 0
	}
	v := binary.BigEndian.Uint64(d.rest)
	d.skip(8)
	return math.Float64frombits(v)
}

func (d *decoder) string() []byte {
	size, n := binary.Uvarint(d.rest)
	d.skip(n)
	if d.bad || size > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	s := d.rest[:size:size]
	d.rest = d.rest[size:]
	return s
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, n = true, 0
	}
	d.rest = d.rest[n:]
}
