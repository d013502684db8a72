package redisbus_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

func BenchmarkPublish(b *testing.B) {
	bus := newBus(b, testenv.Redis(b), redisbus.Config{})
	b.ReportAllocs()
	for b.Loop() {
		_, err := bus.Publish(b.Context(), event(1))
		require.NoError(b, err)
	}
	require.NoError(b, bus.Delete(b.Context(), "t"))
}

// A hundred tasks at once, each with one publisher and one reader.
func BenchmarkHundredTopics(b *testing.B) {
	bus := newBus(b, testenv.Redis(b), redisbus.Config{})
	b.ReportAllocs()
	var wg sync.WaitGroup
	for i := range 100 {
		id := ports.TaskID(fmt.Sprint("t", i))
		s, err := bus.Subscribe(b.Context(), id, ports.Position{})
		require.NoError(b, err)
		defer s.Close()
		n := (b.N + 99 - i) / 100
		wg.Go(func() {
			for range n {
				_, _ = bus.Publish(b.Context(), ports.Event{Task: id, Data: []byte("hello")})
			}
		})
		wg.Go(func() {
			for range n {
				_, _ = s.Next(b.Context())
			}
		})
	}
	wg.Wait()
}

// One operation is one event for one of a thousand readers of a task.
func BenchmarkFanOut(b *testing.B) {
	const readers = 1000
	bus := newBus(b, testenv.Redis(b), redisbus.Config{})
	events := max(b.N/readers, 1)
	var wg sync.WaitGroup
	step := make([]sync.WaitGroup, events)
	for range readers {
		s, err := bus.Subscribe(b.Context(), "t", ports.Position{})
		require.NoError(b, err)
		defer s.Close()
		wg.Go(func() {
			for i := range events {
				_, _ = s.Next(b.Context())
				step[i].Done()
			}
		})
	}
	for i := range step {
		step[i].Add(readers)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range step {
		publish(b, bus, i, i)
		step[i].Wait()
	}
	wg.Wait()
}

// One operation is one event that a reader finds in the stream.
func BenchmarkReplay(b *testing.B) {
	const events = 1000
	bus := newBus(b, testenv.Redis(b), redisbus.Config{})
	publish(b, bus, 1, events)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += events {
		s := subscribe(b, bus, ports.Position{})
		requireNumbers(b, s, 1, min(events, b.N-n))
		require.NoError(b, s.Close())
	}
}
