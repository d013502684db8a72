package taskrunner

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// ids makes the IDs of this process's tasks.
var ids idSource

// idSource makes UUIDs of version 7 (RFC 9562, section 5.7). Within one source
// each is greater than the one before, also within a millisecond and when the
// clock goes back: the 12 bits behind the time count up from a random start
// (section 6.2, method 1), and carry into the time when they overflow.
type idSource struct {
	mu   sync.Mutex
	last uint64 // milliseconds << 12 | counter
}

func (s *idSource) next(now time.Time) TaskID {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand

	// The counter starts in its lower half, so that it has room to count.
	stamp := uint64(max(now.UnixMilli(), 0))<<12 | uint64(binary.BigEndian.Uint16(random[8:])&0x7ff)
	s.mu.Lock()
	if stamp <= s.last {
		stamp = s.last + 1
	}
	s.last = stamp
	s.mu.Unlock()

	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], stamp>>12<<16|stamp&0xfff)
	copy(u[8:], random[:8])
	u[6] |= 0x70            // version 7
	u[8] = u[8]&0x3f | 0x80 // variant of RFC 9562

	var text [36]byte
	hex.Encode(text[0:8], u[0:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:36], u[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return TaskID(text[:])
}
