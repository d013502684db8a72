package httpapi

import (
	"testing"

	"github.com/task-runner/task-runner/testing/fakes"
)

// BenchmarkSubmitToEnd is what this package and the core add to a program's own
// time: from the submission to the end event that a reader sees.
func BenchmarkSubmitToEnd(b *testing.B) {
	s := serve(b, script(fakes.Stdout("hi\n")))
	for b.Loop() {
		r := s.stream(s.submit(hello), "")
		for e, ok := r.next(); e.name != "end"; e, ok = r.next() {
			if !ok {
				b.Fatal("no end")
			}
		}
		r.close()
	}
}

// BenchmarkReplay is the telling of a finished task.
func BenchmarkReplay(b *testing.B) {
	s := serve(b, idle)
	id := s.submit(hello)
	s.publish(id, running(1))
	for i := range int64(200) {
		s.publish(id, stdout(64*i, "0123456789012345678901234567890123456789012345678901234567890123"))
	}
	s.publish(id, end())
	for b.Loop() {
		if n := len(s.stream(id, "").rest()); n < 200 {
			b.Fatal(n)
		}
	}
}
