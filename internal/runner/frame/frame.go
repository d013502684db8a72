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

// Version is the protocol's version. Both sides refuse any other one: the
// launcher carries the supervisor that it talks to.
const Version = 2

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
	e := encoder{b[:0:HeaderSize]} // within b
	e.u8(byte(t))
	e.u32(uint32(size))
}

// ParseHeader checks and splits the header in the first HeaderSize bytes of h.
// Whether the type is one that the peer may send is the caller's to check.
func ParseHeader(h []byte) (t Type, size int, err error) {
	if len(h) < HeaderSize {
		return 0, 0, &Error{"frame", "is cut short"}
	}
	t = Type(h[0])
	limit, known := t.max()
	if !known {
		return 0, 0, &Error{"frame", "is of an unknown type"}
	}
	d := decoder{b: h[1:HeaderSize]}
	n := d.u32()
	if uint64(n) > uint64(limit) {
		return 0, 0, &Error{"frame", "is longer than its type allows"}
	}
	return t, int(n), nil
}
