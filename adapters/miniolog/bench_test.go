package miniolog_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// BenchmarkLog creates, writes and closes logs, and reads one back: of a hello, of what
// fits into one buffer, and of all that a task may write by default.
func BenchmarkLog(b *testing.B) {
	s, err := miniolog.New(b.Context(), client(b), miniolog.Config{Bucket: bucket, Prefix: testenv.Unique(b) + "/"})
	require.NoError(b, err)
	for _, size := range []int{6, 64 << 10, 10 << 20} {
		content := content(size)
		key := ports.LogKey{Task: ports.TaskID(fmt.Sprint(size)), Name: ports.LogStdout}
		b.Run(fmt.Sprintf("write/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				key.Attempt++
				w, err := s.Create(b.Context(), key)
				require.NoError(b, err)
				for rest := content; len(rest) > 0; {
					n := min(32<<10, len(rest)) // as an executor delivers it
					_, err := w.Write(rest[:n])
					require.NoError(b, err)
					rest = rest[n:]
				}
				require.NoError(b, w.Close())
			}
		})
		b.Run(fmt.Sprintf("read/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				r, _, err := s.Open(b.Context(), key, 0, -1)
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, r)
				require.NoError(b, err)
				require.NoError(b, r.Close())
			}
		})
		require.NoError(b, s.Delete(b.Context(), key.Task))
	}
}
