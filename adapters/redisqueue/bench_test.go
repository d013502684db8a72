package redisqueue_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

func BenchmarkEnqueue(b *testing.B) {
	q := newQueue(b, testenv.Redis(b))
	for i := range b.N {
		require.NoError(b, q.Enqueue(b.Context(), ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: "q"}))
	}
}

// A claim and its ack, with the entries enqueued before.
func BenchmarkClaimAck(b *testing.B) {
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			q := newQueue(b, testenv.Redis(b))
			for i := range b.N {
				require.NoError(b, q.Enqueue(b.Context(), ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: "q"}))
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			inParallel(workers, func() {
				for left.Add(-1) >= 0 {
					l, err := q.Claim(b.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
					if err == nil {
						err = q.Ack(b.Context(), l)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// From an Enqueue to the Claim that waited for it.
func BenchmarkWake(b *testing.B) {
	q := newQueue(b, testenv.Redis(b))
	leases := make(chan ports.Lease)
	go func() {
		defer close(leases)
		for range b.N {
			l, err := q.Claim(b.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
			if err != nil {
				b.Error(err)
				return
			}
			leases <- l
		}
	}()
	for i := range b.N {
		require.NoError(b, q.Enqueue(b.Context(), ports.Entry{Task: ports.TaskID(fmt.Sprint(i)), Queue: "q"}))
		<-leases
	}
}
