package runner

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// reader splits what a supervisor sends into frames, one at a time.
type reader struct {
	buf  *bufio.Reader
	last int // size of the frame that was returned last, still in buf
}

func newReader(r io.Reader) *reader {
	return &reader{buf: bufio.NewReaderSize(r, frame.HeaderSize+frame.MaxData)}
}

// next returns the next frame; its payload is valid until the next call.
func (r *reader) next() (frame.Type, []byte, error) {
	_, _ = r.buf.Discard(r.last)
	r.last = 0
	header, err := r.buf.Peek(frame.HeaderSize)
	if err != nil {
		return 0, nil, lost(err)
	}
	t, size, err := frame.ParseHeader(header)
	if err != nil {
		return 0, nil, violation("%w", err)
	}
	if t == frame.TypeRequest {
		return 0, nil, violation("it sent a request")
	}
	whole, err := r.buf.Peek(frame.HeaderSize + size)
	if err != nil {
		return 0, nil, lost(err)
	}
	r.last = len(whole)
	return t, whole[frame.HeaderSize:], nil
}

// more reports whether bytes have arrived behind the frame that was returned last.
func (r *reader) more() bool { return r.buf.Buffered() > r.last }

func lost(err error) error {
	if errors.Is(err, io.EOF) {
		return ErrLost
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}
