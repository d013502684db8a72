//go:build linux

package main

import (
	"syscall"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// outbox holds frames until the launcher takes them. Output goes in only while
// there is room for a whole piece, and a launcher that does not read thereby
// stops the program and nothing else; what is left over is for the few small
// frames that must always fit.
type outbox struct {
	buf        [2*(frame.HeaderSize+frame.MaxData) + outboxReserve]byte
	start, end int // what the launcher has not taken
}

// outboxReserve is room for a Started per step, a sample and the result.
const outboxReserve = 4 << 10

// room reports whether a whole piece of output fits.
func (o *outbox) room() bool {
	if o.end+frame.HeaderSize+frame.MaxData+outboxReserve > len(o.buf) && o.start > 0 {
		o.end = copy(o.buf[:], o.buf[o.start:o.end])
		o.start = 0
	}
	return o.end+frame.HeaderSize+frame.MaxData+outboxReserve <= len(o.buf)
}

// receive reads at most limit bytes from fd and adds them as a frame of type t. It
// returns what read did. There must be room.
func (o *outbox) receive(t frame.Type, fd int, limit int64) (int, error) {
	body := o.buf[o.end+frame.HeaderSize:]
	n, err := read(fd, body[:min(limit, frame.MaxData)])
	if n > 0 {
		frame.PutHeader(o.buf[o.end:], t, n)
		o.end += frame.HeaderSize + n
	}
	return n, err
}

// add adds a small frame, which fits.
func (o *outbox) add(f []byte) { o.end += copy(o.buf[o.end:], f) }

// spare reports whether a frame fits that can be left out.
func (o *outbox) spare() bool { return o.end+outboxReserve <= len(o.buf) }

func (o *outbox) empty() bool { return o.start == o.end }

// flush gives the launcher what it takes now. It reports false when the launcher
// will never read again.
func (o *outbox) flush() bool {
	for !o.empty() {
		n, err := write(toLauncher, o.buf[o.start:o.end])
		if err == syscall.EAGAIN {
			return true
		}
		if err != nil {
			return false
		}
		o.start += n
	}
	o.start, o.end = 0, 0
	return true
}

// wait blocks until the launcher takes something. It reports false when it will
// never read again.
func (o *outbox) wait() bool {
	poll([]pollFD{{fd: toLauncher, events: pollOut}}, -1)
	return o.flush()
}

// finish gives the launcher everything.
func (o *outbox) finish() {
	for o.flush() && !o.empty() {
		if !o.wait() {
			return
		}
	}
}
