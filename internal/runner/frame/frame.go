// Package frame is the wire format between a launcher and the supervisor inside
// a sandbox. Both sides share it.
//
// A frame is one byte of type, four of length (big-endian) and that many of
// payload. The launcher sends one frame, TypeRequest. The supervisor sends
// TypeReady at once, then, for the request, TypeStarted for every step that it
// starts, TypeStdout, TypeStderr and TypeSample as they come, and TypeResult,
// which is the last. Integers are big-endian and of fixed size, strings and
// lists carry their length, so every value has exactly one encoding.
//
// Decoding is strict: an unknown type or version, a length above its bound, a
// value out of range, too few bytes or too many are all errors. The package
// imports no fmt, no reflect and no encoding/json, so that the supervisor stays
// small and starts quickly.
package frame

import (
	"encoding/binary"
	"io"
)

// Version is the protocol's version. Both sides refuse any other one: the
// launcher carries the supervisor that it talks to.
const Version = 1

// Type says what a frame is.
type Type uint8

// The types of frames.
const (
	TypeRequest Type = iota + 1 // launcher to supervisor: what to do
	TypeReady                   // the supervisor waits for its request
	TypeStarted                 // a step has started
	TypeStdout                  // a piece of the program's stdout
	TypeStderr                  // a piece of the program's stderr
	TypeSample                  // a look at the counters
	TypeResult                  // how it ended; the last frame
)

// Sizes in bytes.
const (
	// HeaderSize is the size of a frame's header.
	HeaderSize = 5
	// MaxData is the greatest payload of TypeStdout and TypeStderr.
	MaxData = 32 << 10
	// MaxRequest is the greatest payload of TypeRequest.
	MaxRequest = 32 << 20
)

// max returns the greatest payload of a frame of type t, and false for a type
// that does not exist.
func (t Type) max() (int, bool) {
	switch t {
	case TypeRequest:
		return MaxRequest, true
	case TypeReady, TypeStarted, TypeSample:
		return 64, true
	case TypeStdout, TypeStderr:
		return MaxData, true
	case TypeResult:
		return 256 + MaxMessage, true
	}
	return 0, false
}

// Error is a violation of the format or a value that it does not allow.
type Error struct {
	// Field is the value's name, such as "files[2].path"; "frame" for the frame
	// itself.
	Field string
	// Problem is the rest of a sentence that starts with the field.
	Problem string
}

// Error returns the field and the problem in one sentence.
func (e *Error) Error() string { return e.Field + " " + e.Problem }

// PutHeader writes the header of a frame into the first HeaderSize bytes of b.
func PutHeader(b []byte, t Type, size int) {
	b[0] = byte(t)
	binary.BigEndian.PutUint32(b[1:HeaderSize], uint32(size))
}

// ParseHeader checks and splits a header of HeaderSize bytes. Only the types
// that want names are accepted.
func ParseHeader(h []byte, want func(Type) bool) (Type, int, error) {
	if len(h) < HeaderSize {
		return 0, 0, &Error{"frame", "is cut short"}
	}
	t := Type(h[0])
	limit, known := t.max()
	if !known || !want(t) {
		return 0, 0, &Error{"frame", "is of a type that is not expected here"}
	}
	size := binary.BigEndian.Uint32(h[1:HeaderSize])
	if uint64(size) > uint64(limit) {
		return 0, 0, &Error{"frame", "is longer than its type allows"}
	}
	return t, int(size), nil
}

// FromSupervisor reports whether a supervisor may send frames of type t.
func FromSupervisor(t Type) bool { return t >= TypeReady && t <= TypeResult }

// FromLauncher reports whether a launcher may send frames of type t.
func FromLauncher(t Type) bool { return t == TypeRequest }

// A Reader reads the frames that a supervisor sends. It holds one frame at a
// time, in a buffer of its own.
type Reader struct {
	r   io.Reader
	buf [HeaderSize + MaxData]byte
}

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next frame; its payload is valid until the next call. The
// error is io.EOF at the end between two frames, io.ErrUnexpectedEOF within one,
// an *Error for a bad header, or the reader's own.
func (r *Reader) Next() (Type, []byte, error) {
	if _, err := io.ReadFull(r.r, r.buf[:HeaderSize]); err != nil {
		return 0, nil, err
	}
	t, size, err := ParseHeader(r.buf[:HeaderSize], FromSupervisor)
	if err != nil {
		return 0, nil, err
	}
	payload := r.buf[HeaderSize : HeaderSize+size]
	if _, err := io.ReadFull(r.r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return t, payload, nil
}
