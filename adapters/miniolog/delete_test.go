package miniolog_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

func TestADeletedLogLeavesNothing(t *testing.T) {
	t.Parallel()
	for what, then := range map[string]func(t *testing.T, w io.WriteCloser){
		"whose writer goes on": func(t *testing.T, w io.WriteCloser) {
			n, err := w.Write(content(3 * buffer))
			require.ErrorIs(t, err, ports.ErrGone)
			require.Less(t, n, 3*buffer)
			n, err = w.Write([]byte("more"))
			require.ErrorIs(t, err, ports.ErrGone)
			require.Zero(t, n)
			require.ErrorIs(t, w.Close(), ports.ErrGone)
			require.ErrorIs(t, w.Close(), ports.ErrGone)
		},
		"whose writer closes it": func(t *testing.T, w io.WriteCloser) {
			require.ErrorIs(t, w.Close(), ports.ErrGone)
		},
		"whose writer is gone as well": func(*testing.T, io.WriteCloser) {},
	} {
		for size, n := range map[string]int{"short": 10, "long": 3*buffer + 10} {
			t.Run(size+", "+what, func(t *testing.T) {
				t.Parallel()
				client := client(t)
				s := newSink(t, client, miniolog.Config{})
				w := create(t, s)
				write(t, w, content(n))
				require.NotEmpty(t, objects(t, client, s.Prefix()))
				require.NoError(t, s.Delete(t.Context(), key.Task))
				then(t, w)
				require.Empty(t, objects(t, client, s.Prefix()))
			})
		}
	}
}

func TestAClosedLogIsOneObject(t *testing.T) {
	t.Parallel()
	client := client(t)
	for _, n := range []int{0, buffer, 3 * buffer} {
		s := newSink(t, client, miniolog.Config{})
		w := create(t, s)
		write(t, w, content(n))
		require.NoError(t, w.Close())
		require.Len(t, objects(t, client, s.Prefix()), 1, "of %d bytes", n)
	}
}

// A part is written before the head that counts it, which may fail.
func TestAPartThatNoHeadCounts(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	client := g.client(t, 1)
	s := newSink(t, client, miniolog.Config{})
	w := create(t, s)
	write(t, w, content(buffer))
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		return isPut(r, "logs") && answer(w, r, http.StatusServiceUnavailable, "SlowDown")
	})
	n, err := w.Write([]byte("more"))
	require.Error(t, err)
	require.Zero(t, n)
	require.Len(t, objects(t, client, s.Prefix()), 2, "the head and the part")
	g.set(nil)
	require.NoError(t, w.Close())
	requireLog(t, s, content(buffer))
	require.Len(t, objects(t, client, s.Prefix()), 1)
}

// A worker may die when it has closed a log and not yet removed its parts.
func TestPartsThatWereNotRemoved(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	client := g.client(t, 1)
	s := newSink(t, client, miniolog.Config{})
	w := create(t, s)
	write(t, w, content(3*buffer))
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodPost && answer(w, r, http.StatusForbidden, minio.AccessDenied)
	})
	require.NoError(t, w.Close())
	requireLog(t, s, content(3*buffer))
	require.Len(t, objects(t, client, s.Prefix()), 3, "the log and two parts")
	require.Error(t, s.Delete(t.Context(), key.Task))
	g.set(nil)
	require.NoError(t, s.Delete(t.Context(), key.Task))
	require.Empty(t, objects(t, client, s.Prefix()))
}

func TestALogIsDeletedUnderItsReader(t *testing.T) {
	t.Parallel()
	for what, then := range map[string]func(t *testing.T, s ports.LogSink){
		"and that is all": func(*testing.T, ports.LogSink) {},
		"and another takes its name": func(t *testing.T, s ports.LogSink) {
			w := create(t, s)
			write(t, w, content(3*buffer))
			require.NoError(t, w.Close())
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newSink(t, client(t), miniolog.Config{})
			write(t, create(t, s), content(3*buffer))
			r, _, err := s.Open(t.Context(), key, 0, -1)
			require.NoError(t, err)
			defer r.Close()
			_, err = io.ReadFull(r, make([]byte, 10))
			require.NoError(t, err)
			require.NoError(t, s.Delete(t.Context(), key.Task))
			then(t, s)
			_, err = io.Copy(io.Discard, r)
			require.ErrorIs(t, err, ports.ErrGone)
		})
	}
}

func TestABucketWithVersions(t *testing.T) {
	t.Parallel()
	client := client(t)
	name := testenv.Unique(t)
	require.NoError(t, client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}))
	require.NoError(t, client.EnableVersioning(t.Context(), name))
	s, err := miniolog.New(t.Context(), client, miniolog.Config{Bucket: name, Buffer: buffer})
	require.NoError(t, err)
	w := create(t, s)
	write(t, w, content(3*buffer))
	require.NoError(t, w.Close())
	requireLog(t, s, content(3*buffer))
	require.NoError(t, s.Delete(t.Context(), key.Task))
	for o := range client.ListObjectsIter(t.Context(), name, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		require.NoError(t, o.Err)
		require.Fail(t, "something is left", o.Key)
	}
	require.NoError(t, client.RemoveBucket(t.Context(), name))
}
