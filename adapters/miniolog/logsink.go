package miniolog

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"

	"github.com/task-runner/task-runner/ports"
)

// LogSink is a ports.LogSink in a bucket. A log can be as long as 5 GiB; past that
// Write answers ports.ErrFull.
type LogSink struct {
	client   *minio.Client
	public   *minio.Client // signs URLs
	cfg      Config
	versions bool // the bucket keeps what is overwritten or removed
	maxLog   int64
	flushes  chan struct{} // holds one for each flush of a timer
}

// maxFlushes bounds how many timers' flushes are sent at a time, lest a thousand open
// logs mean a thousand connections.
const maxFlushes = 32

// Create implements ports.LogSink.
func (s *LogSink) Create(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	err := ctx.Err()
	if err == nil {
		var h head
		h, err = s.putOpen(ctx, key, head{record: record{Writer: rand.Text()}}, 0, nil)
		if err == nil {
			return &logWriter{ctx: ctx, sink: s, key: key, head: h}, nil
		}
	}
	return nil, logError("creating", key, err)
}

// Open implements ports.LogSink. ctx governs the reader too. A reader whose log is
// deleted fails with ports.ErrGone, or reads on to the end of the request it is in.
func (s *LogSink) Open(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
	if err := key.Validate(); err != nil {
		return nil, ports.LogInfo{}, err
	}
	if offset < 0 {
		return nil, ports.LogInfo{}, ports.Invalid("offset", "must not be negative")
	}
	h, err := s.stat(ctx, key)
	if err != nil {
		return nil, ports.LogInfo{}, logError("opening", key, err)
	}
	size := h.size()
	offset = min(offset, size)
	end := size
	if length >= 0 {
		end = offset + min(length, size-offset)
	}
	return s.reader(ctx, key, h, offset, end), ports.LogInfo{Size: size, Complete: h.Complete}, nil
}

// Delete implements ports.LogSink. In a bucket with versions it removes all of them.
func (s *LogSink) Delete(ctx context.Context, id ports.TaskID) error {
	if err := id.Validate(); err != nil {
		return nil //nolint:nilerr // no log can have such an ID
	}
	if err := s.remove(ctx, s.taskPrefix(id)); err != nil {
		return fmt.Errorf("deleting the logs of task %q: %w", id, err)
	}
	return nil
}

// remove removes every object whose key begins with prefix.
func (s *LogSink) remove(ctx context.Context, prefix string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var failed error
	found := func(yield func(minio.ObjectInfo) bool) {
		opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: s.versions}
		for object := range s.client.ListObjectsIter(ctx, s.cfg.Bucket, opts) {
			if object.Err != nil {
				failed = object.Err
				return
			}
			if !yield(object) {
				return
			}
		}
	}
	results, err := s.client.RemoveObjectsWithIter(ctx, s.cfg.Bucket, found, minio.RemoveObjectsOptions{})
	if err != nil {
		return cause(ctx, err)
	}
	for result := range results {
		if result.Err != nil && failed == nil {
			failed = result.Err
		}
	}
	if failed == nil {
		failed = ctx.Err() // the client ends silently
	}
	return cause(ctx, failed)
}
