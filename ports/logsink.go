package ports

import (
	"context"
	"io"
	"strings"
	"time"
)

// LogSink keeps whole outputs, too large for a Store, keyed by task and attempt
// so that a second attempt can never overwrite the first one's.
type LogSink interface {
	// Create starts a log and returns its writer. ErrExists: the key was created
	// before, by anybody; the log there is untouched. ErrInvalid: a bad key. A
	// sink without room answers Create and Write with ErrFull.
	//
	// ctx governs the writer's whole life: once it is done, Write and Close fail.
	// Bytes that Write accepted stay readable even if the writer is never closed
	// or its process dies; an adapter that buffers says how much may be lost.
	// One goroutine at a time uses a writer. Close may be called again; Write
	// after Close is ErrClosed.
	Create(ctx context.Context, key LogKey) (io.WriteCloser, error)

	// Open returns a reader of length bytes from offset, and what is known of the
	// log now. A length below 0 means to the end as it is now; a range that ends
	// past the end is cut, one that starts past it reads nothing. The caller
	// closes the reader. ErrNotFound: there is no such log.
	// ErrInvalid: a bad key or a negative offset.
	Open(ctx context.Context, key LogKey, offset, length int64) (io.ReadCloser, LogInfo, error)

	// SignedURL returns a URL from which anybody can read the log until ttl has
	// passed, reachable from a browser. errors.ErrUnsupported: this sink has
	// none. ErrNotFound: there is no such log.
	SignedURL(ctx context.Context, key LogKey, ttl time.Duration) (string, error)

	// Delete removes all logs of a task, whatever their attempt. Deleting what is
	// not there is no error. A writer that is still open afterwards fails or
	// writes into nothing; it never brings the log back.
	Delete(ctx context.Context, id TaskID) error
}

// LogKey names one log.
type LogKey struct {
	Task TaskID
	// Attempt is the attempt that wrote it, from 1.
	Attempt int
	// Name is LogStdout, LogStderr, or "artifacts/" and a clean relative path.
	Name string
}

// The names of a task's streams.
const (
	LogStdout = "stdout"
	LogStderr = "stderr"
)

// Validate returns a *FieldError unless the key is one that a LogSink accepts.
func (k LogKey) Validate() error {
	if err := k.Task.Validate(); err != nil {
		return err
	}
	if k.Attempt < 1 {
		return Invalid("attempt", "must be at least 1")
	}
	if k.Name == LogStdout || k.Name == LogStderr {
		return nil
	}
	path, ok := strings.CutPrefix(k.Name, "artifacts/")
	if !ok {
		return Invalid("name", "must be stdout, stderr or artifacts/ and a path")
	}
	return ValidatePath("name", path)
}

// LogInfo is what is known of a log.
type LogInfo struct {
	// Size is its length in bytes now.
	Size int64
	// Complete reports that its writer was closed: it will not grow any more.
	Complete bool
}
