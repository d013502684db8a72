package miniolog_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/ports"
)

func TestAWriterGoesOnAfterAnOutage(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		status int
		code   string
		want   error
	}{
		"of a store that fails":          {http.StatusInternalServerError, minio.InternalError, nil},
		"of a store without room":        {http.StatusInsufficientStorage, "XMinioStorageFull", ports.ErrFull},
		"of a bucket that is all it may": {http.StatusBadRequest, "XMinioAdminBucketQuotaExceeded", ports.ErrFull},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			s := newSink(t, g.client(t, 1), miniolog.Config{})
			w := create(t, s)
			all := content(3 * buffer)
			write(t, w, all[:buffer])
			g.set(func(w http.ResponseWriter, r *http.Request) bool {
				return r.Method == http.MethodPut && answer(w, r, c.status, c.code)
			})
			check := func(err error) {
				t.Helper()
				require.Error(t, err)
				if c.want != nil {
					require.ErrorIs(t, err, c.want)
				}
				a, ok := errors.AsType[minio.ErrorResponse](err)
				require.True(t, ok, "the cause is not kept")
				require.Equal(t, c.code, a.Code)
			}
			// A full buffer takes nothing more.
			for range 2 {
				n, err := w.Write(all[buffer:])
				check(err)
				require.Zero(t, n)
			}
			_, err := s.Create(t.Context(), ports.LogKey{Task: "other", Attempt: 1, Name: ports.LogStderr})
			check(err)
			got, complete := read(t, s)
			require.False(t, complete)
			require.Empty(t, got)

			g.set(nil)
			write(t, w, all[buffer:])
			g.set(func(w http.ResponseWriter, r *http.Request) bool {
				return r.Method == http.MethodPut && answer(w, r, c.status, c.code)
			})
			check(w.Close())
			got, complete = read(t, s)
			require.False(t, complete)
			require.Equal(t, string(all[:2*buffer]), got)

			g.set(nil)
			require.NoError(t, w.Close())
			requireLog(t, s, all)
		})
	}
}

// A short outage is none for a writer whose buffer has room.
func TestAFlushThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	s := newSink(t, g.client(t, 1), miniolog.Config{FlushEvery: 1})
	w := create(t, s)
	failed := make(chan struct{})
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		select {
		case failed <- struct{}{}:
		default: // nobody waits for it
		}
		return answer(w, r, http.StatusServiceUnavailable, "SlowDown")
	})
	write(t, w, []byte("one, "))
	<-failed
	write(t, w, []byte("two"))
	<-failed
	g.set(nil)
	waitFor(t, s, "one, two")
	require.NoError(t, w.Close())
	requireLog(t, s, []byte("one, two"))
}

// What a writer holds is safe from a Close that fails: it is flushed, and there can be
// another Close.
func TestACloseThatFailsLosesNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	s := newSink(t, g.client(t, 1), miniolog.Config{FlushEvery: 1})
	w := create(t, s)
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPut && answer(w, r, http.StatusServiceUnavailable, "SlowDown")
	})
	write(t, w, []byte("text"))
	require.Error(t, w.Close())
	g.set(nil)
	waitFor(t, s, "text")
	n, err := w.Write([]byte("more"))
	require.ErrorIs(t, err, ports.ErrClosed)
	require.Zero(t, n)
	require.NoError(t, w.Close())
	requireLog(t, s, []byte("text"))
}

// A store that has no room for the whole log beside its parts has some for its end, which
// cannot wait: a caller has no more use for the context of a writer that it closed.
func TestACloseThatFailsHasFlushed(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	s := newSink(t, g.client(t, 1), miniolog.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, key)
	require.NoError(t, err)
	write(t, w, content(2*buffer))
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		return complete.MatchString(r.Header.Get(metadataHeader)) && answer(w, r, http.StatusInsufficientStorage, "XMinioStorageFull")
	})
	require.ErrorIs(t, w.Close(), ports.ErrFull)
	cancel()
	got, complete := read(t, s)
	require.False(t, complete)
	require.Equal(t, string(content(2*buffer)), got)
}

// A Close puts the parts together as they are read. A store that refuses the whole must
// not leave it reading.
func TestACloseThatFailsReadsNothingMore(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	s := newSink(t, g.client(t, 1), miniolog.Config{})
	w := create(t, s)
	write(t, w, content(2*buffer))
	reading, ended := make(chan struct{}), make(chan struct{})
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodGet:
			close(reading)
			<-r.Context().Done()
			close(ended)
			return true
		case complete.MatchString(r.Header.Get(metadataHeader)):
			<-reading
			answer := http.NewResponseController(w)
			assert.NoError(t, answer.EnableFullDuplex()) // or it would await the body
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(http.StatusForbidden)
			assert.NoError(t, answer.Flush())
			_, _ = io.Copy(io.Discard, r.Body)
			return true
		}
		return false
	})
	require.Error(t, w.Close())
	<-ended
	g.set(nil)
	require.NoError(t, w.Close())
	requireLog(t, s, content(2*buffer))
}

// What is written slowly is readable soon, in the head alone.
func TestFlush(t *testing.T) {
	t.Parallel()
	client := client(t)
	s := newSink(t, client, miniolog.Config{FlushEvery: 1})
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, key)
	require.NoError(t, err)
	text := ""
	for _, piece := range []string{"a", "few", " words"} {
		write(t, w, []byte(piece))
		text += piece
		waitFor(t, s, text)
	}
	require.Len(t, objects(t, client, s.Prefix()), 1)
	cancel()
	require.ErrorIs(t, w.Close(), context.Canceled)
	got, complete := read(t, s)
	require.False(t, complete)
	require.Equal(t, text, got)
}

// waitFor reads the log until it is what it should be. It never is more.
func waitFor(t *testing.T, s ports.LogSink, want string) {
	t.Helper()
	for {
		got, complete := read(t, s)
		require.False(t, complete)
		if got == want {
			return
		}
		require.Less(t, len(got), len(want))
		require.Equal(t, want[:len(got)], got)
	}
}

// A store that stands still holds nobody for longer than their context.
func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	setUp := func(t *testing.T) (*gate, *miniolog.LogSink) {
		g := newGate(t)
		return g, newSink(t, g.client(t, 0), miniolog.Config{})
	}
	for what, begin := range map[string]func(t *testing.T, s *miniolog.LogSink, ctx context.Context) func() error{
		"Create": func(_ *testing.T, s *miniolog.LogSink, ctx context.Context) func() error {
			return func() error { _, err := s.Create(ctx, key); return err }
		},
		"Write": func(t *testing.T, s *miniolog.LogSink, ctx context.Context) func() error {
			w, err := s.Create(ctx, key)
			require.NoError(t, err)
			return func() error { _, err := w.Write(content(2 * buffer)); return err }
		},
		"Close": func(t *testing.T, s *miniolog.LogSink, ctx context.Context) func() error {
			w, err := s.Create(ctx, key)
			require.NoError(t, err)
			write(t, w, content(3*buffer))
			return w.Close
		},
		"Open": func(t *testing.T, s *miniolog.LogSink, ctx context.Context) func() error {
			require.NoError(t, create(t, s).Close())
			return func() error { _, _, err := s.Open(ctx, key, 0, -1); return err }
		},
		"Read": func(t *testing.T, s *miniolog.LogSink, ctx context.Context) func() error {
			w := create(t, s)
			write(t, w, content(10))
			require.NoError(t, w.Close())
			r, _, err := s.Open(ctx, key, 0, -1)
			require.NoError(t, err)
			return func() error { _, err := r.Read(make([]byte, 10)); return err }
		},
		"SignedURL": func(t *testing.T, s *miniolog.LogSink, ctx context.Context) func() error {
			require.NoError(t, create(t, s).Close())
			return func() error { _, err := s.SignedURL(ctx, key, 1e10); return err }
		},
		"Delete": func(_ *testing.T, s *miniolog.LogSink, ctx context.Context) func() error {
			return func() error { return s.Delete(ctx, key.Task) }
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g, s := setUp(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			call := begin(t, s, ctx)
			g.set(func(_ http.ResponseWriter, r *http.Request) bool {
				_, _ = io.Copy(io.Discard, r.Body) // only then does a server see its client go
				cancel()
				<-r.Context().Done()
				return true
			})
			require.ErrorIs(t, call(), context.Canceled)
		})
	}
}

func TestALogHasALongestLength(t *testing.T) {
	t.Parallel()
	s := newSink(t, client(t), miniolog.Config{})
	s.SetMaxLog(4 * buffer)
	w := create(t, s)
	n, err := w.Write(content(10 * buffer))
	require.ErrorIs(t, err, ports.ErrFull)
	require.Equal(t, 4*buffer, n)
	require.NoError(t, w.Close())
	requireLog(t, s, content(4*buffer))
}

// However long a log is, what is in memory of it is a buffer.
func TestMemoryIsBounded(t *testing.T) {
	const size, bound = 48 << 20, 24 << 20
	s := newSink(t, client(t), miniolog.Config{Buffer: 1 << 20})
	w := create(t, s)
	piece := content(1 << 20)
	var peak uint64
	measure := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
	}
	for range size / len(piece) {
		write(t, w, piece)
		measure()
	}
	closed := make(chan error)
	go func() { closed <- w.Close() }()
	often := time.NewTicker(time.Millisecond)
	defer often.Stop()
	for done := false; !done; {
		select {
		case err := <-closed:
			require.NoError(t, err)
			done = true
		case <-often.C:
			measure()
		}
	}
	r, info, err := s.Open(t.Context(), key, 0, -1)
	require.NoError(t, err)
	require.EqualValues(t, size, info.Size)
	n, err := io.Copy(writerFunc(func(p []byte) { measure() }), r)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.NoError(t, r.Close())
	require.NoError(t, s.Delete(t.Context(), key.Task))
	assert.Less(t, peak, uint64(bound))
}

// writerFunc takes what it is given.
type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
