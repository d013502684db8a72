package memory

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// BenchmarkClaimAck claims and acknowledges while many entries wait.
func BenchmarkClaimAck(b *testing.B) {
	for _, depth := range []int{1, 1000, 50_000} {
		b.Run(fmt.Sprintf("waiting=%d", depth), func(b *testing.B) {
			q := NewQueue()
			enqueue := func(n int) error {
				return q.Enqueue(b.Context(), ports.Entry{Task: ports.TaskID(fmt.Sprint(n)), Queue: "q", Priority: n % 5})
			}
			for n := range depth {
				if err := enqueue(n); err != nil {
					b.Fatal(err)
				}
			}
			req := ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute}
			b.ReportAllocs()
			n := depth
			for b.Loop() {
				l, err := q.Claim(b.Context(), req)
				if err != nil {
					b.Fatal(err)
				}
				if err := q.Ack(b.Context(), l); err != nil {
					b.Fatal(err)
				}
				if err := enqueue(n); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}

// BenchmarkExtend extends one of many leases.
func BenchmarkExtend(b *testing.B) {
	q := NewQueue()
	leases := make([]ports.Lease, 10_000)
	for i := range leases {
		err := q.Enqueue(b.Context(), ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: "q"})
		if err != nil {
			b.Fatal(err)
		}
		leases[i], err = q.Claim(b.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		if _, err := q.Extend(b.Context(), leases[i%len(leases)], time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublishNext measures the way of an event to a reader that waits.
func BenchmarkPublishNext(b *testing.B) {
	for _, readers := range []int{1, 100} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			bus := NewEventBus()
			got := make(chan struct{}, readers)
			for range readers {
				s, err := bus.Subscribe(b.Context(), "a", ports.Position{})
				if err != nil {
					b.Fatal(err)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					for {
						_, err := s.Next(b.Context())
						if err != nil {
							return
						}
						got <- struct{}{}
					}
				}()
				defer func() {
					_ = s.Close()
					<-done
				}()
			}
			e := ports.Event{Task: "a", Type: ports.EventStdout, Data: make([]byte, 1024)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bus.Publish(b.Context(), e); err != nil {
					b.Fatal(err)
				}
				for range readers {
					<-got
				}
			}
		})
	}
}

// BenchmarkPublishParallel publishes to a topic of its own from every goroutine.
func BenchmarkPublishParallel(b *testing.B) {
	bus := NewEventBus()
	topics := make(chan ports.TaskID, 1000)
	for i := range cap(topics) {
		topics <- ports.TaskID(fmt.Sprint(i))
	}
	b.RunParallel(func(pb *testing.PB) {
		e := ports.Event{Task: <-topics, Data: make([]byte, 1024)}
		for pb.Next() {
			if _, err := bus.Publish(b.Context(), e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLog writes 1 MiB in pieces of 32 KiB and reads it back.
func BenchmarkLog(b *testing.B) {
	s := NewLogSink()
	piece := make([]byte, 32<<10)
	key := ports.LogKey{Task: "a", Attempt: 1, Name: ports.LogStdout}
	b.SetBytes(1 << 20)
	for b.Loop() {
		w, err := s.Create(b.Context(), key)
		if err != nil {
			b.Fatal(err)
		}
		for range 32 {
			if _, err := w.Write(piece); err != nil {
				b.Fatal(err)
			}
		}
		r, _, err := s.Open(b.Context(), key, 0, -1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		if err := s.Delete(b.Context(), key.Task); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList lists the newest page of a full store.
func BenchmarkList(b *testing.B) {
	s := NewStore()
	for i := range 10_000 {
		_, err := s.Create(b.Context(), ports.Task{ID: ports.TaskID(fmt.Sprintf("%05d", i)), CreatedAt: time.Unix(int64(i), 0)})
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := s.List(b.Context(), ports.ListQuery{}); err != nil {
			b.Fatal(err)
		}
	}
}
