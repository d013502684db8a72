package httpapi

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// toText returns b as valid UTF-8: every byte that is not part of a character
// becomes one U+FFFD, so that cutting b elsewhere, between characters, gives the
// same text.
func toText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var text strings.Builder
	text.Grow(len(b) + 16)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		text.WriteRune(r)
		b = b[size:]
	}
	return text.String()
}

// cutRune returns how many bytes at the end of b begin a character whose rest is
// yet to come; at most utf8.UTFMax-1.
func cutRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if utf8.RuneStart(b[len(b)-n]) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}

// textStream joins the pieces of one output of one task to valid UTF-8. The zero
// value has seen nothing.
type textStream struct {
	// known says that attempt and next mean something.
	known   bool
	attempt int
	// next is the offset of the byte behind all that came.
	next int64
	// held are the last bytes that came, if they begin a character that is cut.
	held []byte
}

// piece is text of an output.
type piece struct {
	text   string
	offset int64
}

// add takes data at offset in attempt and returns the text that is complete with
// it. Bytes that came before are dropped. Where it breaks what is held, that was
// flushed before. The last data of a stream holds nothing back.
func (s *textStream) add(attempt int, offset int64, data []byte, last bool) piece {
	if !s.known || s.attempt != attempt {
		*s = textStream{known: true, attempt: attempt, next: offset}
	}
	if seen := s.next - offset; seen > 0 {
		data, offset = data[min(seen, int64(len(data))):], s.next
	}
	s.next = offset + int64(len(data))
	offset -= int64(len(s.held))
	data = slices.Concat(s.held, data)
	hold := 0
	if !last {
		hold = cutRune(data)
	}
	s.held = slices.Clone(data[len(data)-hold:])
	return piece{text: toText(data[:len(data)-hold]), offset: offset}
}

// flush gives up waiting for the rest of what is held and returns it.
func (s *textStream) flush() piece {
	p := piece{text: toText(s.held), offset: s.next - int64(len(s.held))}
	s.held = nil
	return p
}

// brokenBy reports whether something is held that will not be completed, as e
// came, where t is the type of this output's events.
func (s *textStream) brokenBy(e taskrunner.Event, t taskrunner.EventType) bool {
	return len(s.held) > 0 &&
		(e.Type == ports.EventEnd || e.Attempt != s.attempt || e.Type == t && e.Offset > s.next)
}
