package conformance

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// logRig is a log sink under test with what the cases do to it.
type logRig struct {
	ports.LogSink
	t   *testing.T
	h   LogSinkHarness
	ctx context.Context
}

func newLogRig(t *testing.T, h LogSinkHarness) *logRig {
	return &logRig{LogSink: h.New(t), t: t, h: h, ctx: patientContext(t)}
}

// newLogKey returns the key of stdout of a new task's first attempt.
func newLogKey() ports.LogKey {
	return ports.LogKey{Task: newID(), Attempt: 1, Name: ports.LogStdout}
}

// writer creates a log and returns its writer.
func (r *logRig) writer(key ports.LogKey) io.WriteCloser {
	r.t.Helper()
	w, err := r.Create(r.ctx, key)
	require.NoError(r.t, err, "creating %+v", key)
	return w
}

// write creates a log with this content and closes it.
func (r *logRig) write(key ports.LogKey, content []byte) {
	r.t.Helper()
	w := r.writer(key)
	mustWrite(r.t, w, content)
	require.NoError(r.t, w.Close())
}

func mustWrite(t *testing.T, w io.Writer, p []byte) {
	t.Helper()
	n, err := w.Write(p)
	require.NoError(t, err)
	require.Equal(t, len(p), n)
}

// read returns a range of a log and what is known of it.
func (r *logRig) read(key ports.LogKey, offset, length int64) ([]byte, ports.LogInfo) {
	r.t.Helper()
	rc, info, err := r.Open(r.ctx, key, offset, length)
	require.NoError(r.t, err, "opening %+v", key)
	b, err := io.ReadAll(rc)
	require.NoError(r.t, err)
	require.NoError(r.t, rc.Close())
	return b, info
}

// requireLog demands a complete log with this content.
func (r *logRig) requireLog(key ports.LogKey, content []byte, msg ...any) {
	r.t.Helper()
	got, info := r.read(key, 0, -1)
	require.Equal(r.t, ports.LogInfo{Size: int64(len(content)), Complete: true}, info, msg...)
	requireBytes(r.t, content, got, msg...)
}

// requireStarted demands that the log is not complete and has at least what
// written is but for the bytes that the sink may hold back.
func (r *logRig) requireStarted(key ports.LogKey, written []byte) {
	r.t.Helper()
	got, info := r.read(key, 0, -1)
	require.False(r.t, info.Complete)
	require.EqualValues(r.t, len(got), info.Size)
	require.GreaterOrEqual(r.t, info.Size, int64(len(written))-r.h.Buffered)
	require.True(r.t, bytes.HasPrefix(written, got), "the log is not what was written")
}

func (r *logRig) requireNoLog(key ports.LogKey, msg ...any) {
	r.t.Helper()
	_, _, err := r.Open(r.ctx, key, 0, -1)
	requireSentinel(r.t, err, ports.ErrNotFound, msg...)
}

// requireBytes compares without printing megabytes.
func requireBytes(t *testing.T, want, got []byte, msg ...any) {
	t.Helper()
	if len(want) > 4096 {
		require.Len(t, got, len(want), msg...)
		require.True(t, bytes.Equal(want, got), "the bytes differ")
		return
	}
	require.Equal(t, string(want), string(got), msg...)
}

// logContent returns n bytes that are different everywhere.
func logContent(n int) []byte {
	b := make([]byte, n)
	state := uint32(n)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return b
}
