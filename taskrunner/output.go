package taskrunner

import (
	"slices"
	"unicode/utf8"
)

// maxInline is how many bytes of a task's output its record keeps, of both
// streams together.
const maxInline = 64 * kiB

// capture keeps the first and the last bytes of a stream in bounded memory: all
// of it up to maxInline, and beyond that the last maxInline/2 as well.
type capture struct {
	head  []byte
	tail  []byte // a ring once it is full
	next  int    // where the ring's oldest byte is
	bytes int64
}

// write takes the stream's next bytes.
func (c *capture) write(p []byte) {
	c.bytes += int64(len(p))
	n := min(len(p), maxInline-len(c.head))
	c.head = append(c.head, p[:n]...)
	p = p[n:]
	if len(p) > maxInline/2 {
		p = p[len(p)-maxInline/2:]
	}
	n = min(len(p), maxInline/2-len(c.tail))
	c.tail = append(c.tail, p[:n]...)
	for p = p[n:]; len(p) > 0; p = p[n:] {
		n = copy(c.tail[c.next:], p)
		c.next = (c.next + n) % len(c.tail)
	}
}

// last returns the stream's last n bytes, which are at most maxInline/2.
func (c *capture) last(n int) []byte {
	tail := append(slices.Clone(c.tail[c.next:]), c.tail[:c.next]...)
	if missing := n - len(tail); missing > 0 {
		tail = append(slices.Clone(c.head[len(c.head)-missing:]), tail...)
	}
	return tail[len(tail)-n:]
}

// output returns what at most room bytes can keep of the stream, of which the
// program wrote total bytes. Text is cut between characters.
func (c *capture) output(room int, total int64) Output {
	o := Output{Bytes: max(total, c.bytes)}
	if c.bytes <= int64(room) {
		o.Head = c.head
	} else {
		o.Head = c.head[:room/2]
		o.Head = o.Head[:utf8Cut(o.Head)]
		o.Tail = c.last(room / 2)
		o.Tail = o.Tail[utf8Skip(o.Tail):]
	}
	o.Truncated = int64(len(o.Head)+len(o.Tail)) < o.Bytes
	return o
}

// inline shares maxInline between two streams: half each, and what one does not
// need goes to the other.
func inline(stdout, stderr *capture, stdoutBytes, stderrBytes int64) (Output, Output) {
	const half = maxInline / 2
	a := int(min(stdout.bytes, maxInline))
	b := int(min(stderr.bytes, maxInline))
	roomA := max(half, maxInline-b)
	roomB := max(half, maxInline-a)
	return stdout.output(roomA, stdoutBytes), stderr.output(roomB, stderrBytes)
}

// utf8Cut returns how much of b remains when a character that b's end cuts is
// left out. What is not UTF-8 anyway is not cut.
func utf8Cut(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

// utf8Skip returns where the first character of b begins that b's start does
// not cut. What is not UTF-8 anyway is not cut.
func utf8Skip(b []byte) int {
	for i := range min(len(b), utf8.UTFMax) {
		if utf8.RuneStart(b[i]) {
			return i
		}
	}
	if len(b) < utf8.UTFMax {
		return len(b) // all of it belongs to the character that was cut
	}
	return 0
}
