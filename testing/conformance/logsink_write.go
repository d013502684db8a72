package conformance

import (
	"bytes"
	"context"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var logWriteChecks = []logCheck{
	{"takes pieces of any size", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key, content := newLogKey(), logContent(300_000)
		w := r.writer(key)
		for rest, i := content, 0; len(rest) > 0; i++ {
			n := min([]int{1, 0, 511, 512, 513, 4096, 65_536, 65_537, 7, 100_000}[i%10], len(rest))
			mustWrite(t, w, rest[:n])
			rest = rest[n:]
		}
		require.NoError(t, w.Close())
		r.requireLog(key, content)
	}},
	{"keeps nothing that it was passed", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		w := r.writer(key)
		buf := []byte("before")
		mustWrite(t, w, buf)
		copy(buf, "after!")
		mustWrite(t, w, buf)
		copy(buf, "spoilt")
		require.NoError(t, w.Close())
		r.requireLog(key, []byte("beforeafter!"))
	}},
	{"can be closed again", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		w := r.writer(key)
		mustWrite(t, w, []byte("content"))
		for range 3 {
			require.NoError(t, w.Close())
		}
		r.requireLog(key, []byte("content"))
	}},
	{"refuses to write once it is closed", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		w := r.writer(key)
		mustWrite(t, w, []byte("content"))
		require.NoError(t, w.Close())
		n, err := w.Write([]byte("more"))
		requireSentinel(t, err, ports.ErrClosed)
		assert.Zero(t, n)
		require.NoError(t, w.Close())
		r.requireLog(key, []byte("content"))
	}},
	{"keeps what it accepted although its context ended", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key, content := newLogKey(), logContent(int(h.Buffered)+100_000)
		ctx, cancel := context.WithCancel(r.ctx)
		w, err := r.Create(ctx, key)
		require.NoError(t, err)
		mustWrite(t, w, content[:50_000])
		mustWrite(t, w, content[50_000:])
		cancel()
		n, err := w.Write([]byte("more"))
		requireContextError(t, ctx, err)
		assert.Zero(t, n)
		for range 2 {
			requireContextError(t, ctx, w.Close())
		}
		r.requireStarted(key, content)
		_, err = r.Create(r.ctx, key)
		requireSentinel(t, err, ports.ErrExists)
	}},
	{"keeps what it accepted although it is never closed", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key, content := newLogKey(), logContent(int(h.Buffered)+100_000)
		mustWrite(t, r.writer(key), content)
		r.requireStarted(key, content)
	}},
}

var logOpenChecks = []logCheck{
	{"reads any range", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		for _, size := range []int64{0, 1, 10, 1000, 200_000} {
			key, content := newLogKey(), logContent(int(size))
			r.write(key, content)
			for _, offset := range []int64{0, 1, 5, 511, 512, 65_536, size / 2, size - 1, size, size + 1, 1 << 40, math.MaxInt64} {
				if offset < 0 {
					continue
				}
				for _, length := range []int64{-1, -100, math.MinInt64, 0, 1, 3, 1000, 65_537, size, size + 1, math.MaxInt64} {
					got, info := r.read(key, offset, length)
					from := min(offset, size)
					to := size
					if length >= 0 {
						to = from + min(length, size-from)
					}
					requireBytes(t, content[from:to], got, "%d bytes from %d of %d", length, offset, size)
					require.Equal(t, ports.LogInfo{Size: size, Complete: true}, info)
				}
			}
		}
	}},
	{"refuses a negative offset", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		r.write(key, []byte("content"))
		for _, offset := range []int64{-1, math.MinInt64} {
			_, _, err := r.Open(r.ctx, key, offset, 1)
			requireSentinel(t, err, ports.ErrInvalid)
		}
	}},
	{"gives a reader that behaves like one", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key, content := newLogKey(), logContent(3000)
		r.write(key, content)
		rc, _, err := r.Open(r.ctx, key, 100, 2000)
		require.NoError(t, err)
		require.NoError(t, iotest.TestReader(struct{ io.Reader }{rc}, content[100:2100]))
		require.NoError(t, rc.Close())
	}},
	{"gives readers that know nothing of each other", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key, content := newLogKey(), logContent(1000)
		r.write(key, content)
		a, _, err := r.Open(r.ctx, key, 0, -1)
		require.NoError(t, err)
		b, _, err := r.Open(r.ctx, key, 500, -1)
		require.NoError(t, err)
		buf := make([]byte, 100)
		_, err = io.ReadFull(a, buf)
		require.NoError(t, err)
		clear(buf) // which is the caller's
		gotB, err := io.ReadAll(b)
		require.NoError(t, err)
		require.NoError(t, b.Close())
		gotA, err := io.ReadAll(a)
		require.NoError(t, err)
		require.NoError(t, a.Close())
		requireBytes(t, content[100:], gotA)
		requireBytes(t, content[500:], gotB)
		r.requireLog(key, content)
	}},
	{"gives a reader that can be left unread, and reads no more once it is closed", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		r.write(key, logContent(1000))
		rc, _, err := r.Open(r.ctx, key, 0, -1)
		require.NoError(t, err)
		require.NoError(t, rc.Close())
		n, err := rc.Read(make([]byte, 10))
		assert.Zero(t, n)
		require.Error(t, err)
		require.NotErrorIs(t, err, io.EOF)
	}},
}

var logGrowingChecks = []logCheck{
	{"can be read while it is written", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		w := r.writer(key)
		r.requireStarted(key, nil)
		var written []byte
		for range 5 {
			piece := logContent(int(h.Buffered) + 70_001)
			mustWrite(t, w, piece)
			written = append(written, piece...)
			r.requireStarted(key, written)
		}
		require.NoError(t, w.Close())
		r.requireLog(key, written)
	}},
	{"ends for a reader where it ended when that was opened", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key, content := newLogKey(), logContent(int(h.Buffered)+1000)
		w := r.writer(key)
		mustWrite(t, w, content)
		rc, info, err := r.Open(r.ctx, key, 0, -1)
		require.NoError(t, err)
		mustWrite(t, w, content)
		require.NoError(t, w.Close())
		got, err := io.ReadAll(io.LimitReader(rc, info.Size+1))
		require.NoError(t, err)
		require.NoError(t, rc.Close())
		requireBytes(t, content[:info.Size], got)
		r.requireLog(key, append(bytes.Clone(content), content...))
	}},
}
