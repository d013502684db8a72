package conformance

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var logConcurrencyChecks = []logCheck{
	{"lets one of many creates of one key win", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		for range 5 {
			key := newLogKey()
			var winner atomic.Int32
			concurrently(8, func(i int) {
				w, err := r.Create(r.ctx, key)
				if err != nil {
					assert.ErrorIs(t, err, ports.ErrExists)
					return
				}
				assert.True(t, winner.CompareAndSwap(0, int32(i)+1), "two created the log")
				_, err = fmt.Fprintf(w, "writer %d", i+1)
				assert.NoError(t, err)
				assert.NoError(t, w.Close())
			})
			r.requireLog(key, fmt.Appendf(nil, "writer %d", winner.Load()))
		}
	}},
	{"serves readers while many logs grow", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		content := logContent(200_000)
		keys := make([]ports.LogKey, 4)
		writers := make([]io.WriteCloser, len(keys))
		for i := range keys {
			keys[i] = newLogKey()
			writers[i] = r.writer(keys[i])
		}
		concurrently(2*len(keys), func(i int) {
			key, w := keys[i/2], writers[i/2]
			if i%2 == 0 {
				for rest := content; len(rest) > 0; {
					n := min(7001, len(rest))
					_, err := w.Write(rest[:n])
					assert.NoError(t, err)
					rest = rest[n:]
				}
				assert.NoError(t, w.Close())
				return
			}
			var got []byte
			for complete := false; !complete; {
				rc, info, err := r.Open(r.ctx, key, int64(len(got)), -1)
				if !assert.NoError(t, err) {
					return
				}
				piece, err := io.ReadAll(rc)
				assert.NoError(t, err)
				assert.NoError(t, rc.Close())
				assert.EqualValues(t, info.Size, len(got)+len(piece))
				got, complete = append(got, piece...), info.Complete
			}
			assert.True(t, bytes.Equal(content, got), "the reader saw something else than was written")
		})
	}},
}

var logContextChecks = []logCheck{
	{"does nothing in a context that is done", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		r.write(key, []byte("content"))
		for what, ctx := range doneContexts(t) {
			fresh := newLogKey()
			_, err := r.Create(ctx, fresh)
			requireContextError(t, ctx, err, what)
			r.requireNoLog(fresh, what)
			_, _, err = r.Open(ctx, key, 0, -1)
			requireContextError(t, ctx, err, what)
			_, err = r.SignedURL(ctx, key, time.Minute)
			requireContextError(t, ctx, err, what)
			requireContextError(t, ctx, r.Delete(ctx, key.Task), what)
			r.requireLog(key, []byte("content"))
		}
	}},
}

var logFullChecks = []logCheck{
	{"keeps what it accepted before it was full and has room again after a Delete", func(t *testing.T, h LogSinkHarness) {
		h.New = h.Full
		r := newLogRig(t, h)
		small := newLogKey()
		r.write(small, []byte("small"))
		key := newLogKey()
		w, written := r.writer(key), []byte(nil)
		var err error
		for piece := logContent(10_000); err == nil && len(written) <= 8<<20; {
			var n int
			n, err = w.Write(piece)
			require.True(t, n == len(piece) || err != nil, "a short write without an error")
			written = append(written, piece[:n]...)
		}
		requireSentinel(t, err, ports.ErrFull)
		r.requireStarted(key, written)
		require.NoError(t, w.Close())
		r.requireLog(key, written)
		r.requireLog(small, []byte("small"))

		require.NoError(t, r.Delete(r.ctx, key.Task))
		again := newLogKey()
		r.write(again, written[:len(written)/2])
		r.requireLog(again, written[:len(written)/2])
	}},
}
