package miniolog_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

func TestMain(m *testing.M) {
	// A client need not be patient: no test gains from waiting before a request is repeated.
	minio.DefaultRetryUnit, minio.DefaultRetryCap = time.Millisecond, 10*time.Millisecond
	goleak.VerifyTestMain(m)
}

// store returns the store that the tests share. It lives as long as any of them uses it,
// which is why they run in parallel.
func store(t testing.TB) *testenv.MinIOServer {
	t.Helper()
	return testenv.MinIO(t)
}

// newClient returns a client of the shared store, reached at endpoint, that tries a
// request so many times; 0: as often as it likes.
func newClient(t testing.TB, endpoint string, tries int) *minio.Client {
	t.Helper()
	s := store(t)
	transport, err := minio.DefaultTransport(false)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	client, err := minio.New(endpoint, &minio.Options{
		Transport: transport, MaxRetries: tries,
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
	})
	require.NoError(t, err)
	return client
}

// client returns a client of the shared store.
func client(t testing.TB) *minio.Client {
	t.Helper()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return newClient(t, store(t).Endpoint, 0)
}

// bucket is where most tests keep their logs, each under a prefix of its own.
const bucket = "taskrunner-test"

// buffer is small, so that logs have parts.
const buffer = 16 << 10

// never is when a test wants nothing flushed but by itself.
const never = 1 << 50

// newSink returns a sink with an own prefix.
func newSink(t testing.TB, client *minio.Client, cfg miniolog.Config) *miniolog.LogSink {
	t.Helper()
	cfg.Bucket, cfg.Prefix = bucket, testenv.Unique(t)+"/"
	if cfg.Buffer == 0 {
		cfg.Buffer = buffer
	}
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = never
	}
	s, err := miniolog.New(t.Context(), client, cfg)
	require.NoError(t, err)
	return s
}

// key is the key of most tests' only log.
var key = ports.LogKey{Task: "task", Attempt: 1, Name: ports.LogStdout}

// content returns n bytes of text, different everywhere.
func content(n int) []byte {
	b := make([]byte, 0, n+20)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "line %d\n", i)
	}
	return b[:n]
}

func create(t testing.TB, s ports.LogSink) io.WriteCloser {
	t.Helper()
	w, err := s.Create(t.Context(), key)
	require.NoError(t, err)
	return w
}

func write(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	n, err := w.Write(p)
	require.NoError(t, err)
	require.Equal(t, len(p), n)
}

// read returns the log as it is now, and whether it is complete.
func read(t testing.TB, s ports.LogSink) (string, bool) {
	t.Helper()
	r, info, err := s.Open(t.Context(), key, 0, -1)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return string(b), info.Complete
}

// requireLog demands a complete log with this content.
func requireLog(t testing.TB, s ports.LogSink, want []byte) {
	t.Helper()
	got, complete := read(t, s)
	require.True(t, complete)
	require.Len(t, got, len(want))
	require.True(t, got == string(want), "the bytes differ")
}

// objects returns the keys of what is in the bucket below a prefix.
func objects(t testing.TB, client *minio.Client, prefix string) (keys []string) {
	t.Helper()
	for o := range client.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		require.NoError(t, o.Err)
		keys = append(keys, o.Key)
	}
	return keys
}
