package conformance_test

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/task-runner/task-runner/ports"
)

var logReadMutants = []mutant[ports.LogSink]{
	logMutant("a log is complete from the start", "Growing/can be read while it is written", func(b *bentSink) {
		b.bendInfo(func(info *ports.LogInfo) { info.Complete = true })
	}),
	logMutant("a log is never complete", "Create/keeps what is written", func(b *bentSink) {
		b.bendInfo(func(info *ports.LogInfo) { info.Complete = false })
	}),
	logMutant("the size is that of the range", "Open/reads any range", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			rc, info, err := b.LogSink.Open(ctx, key, offset, length)
			if length >= 0 {
				info.Size = min(length, info.Size)
			}
			return rc, info, err
		}
	}),
	logMutant("a range is closed at its end", "Open/reads any range", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			if length > 0 && length < 1<<40 {
				length++
			}
			return b.LogSink.Open(ctx, key, offset, length)
		}
	}),
	logMutant("no bytes means all", "Open/reads any range", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			if length == 0 {
				length = -1
			}
			return b.LogSink.Open(ctx, key, offset, length)
		}
	}),
	logMutant("a range past the end is an error", "Open/reads any range", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			rc, info, err := b.LogSink.Open(ctx, key, offset, length)
			if err == nil && offset > info.Size {
				return nil, info, ports.Invalid("offset", "is past the end")
			}
			return rc, info, err
		}
	}),
	logMutant("a negative offset is the start", "Open/refuses a negative offset", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			return b.LogSink.Open(ctx, key, max(offset, 0), length)
		}
	}),
	logMutant("a reader follows the log", "Growing/ends for a reader where it ended when that was opened", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			rc, info, err := b.LogSink.Open(ctx, key, offset, length)
			if err != nil {
				return nil, info, err
			}
			more, _, _ := b.LogSink.Open(ctx, key, 0, 0)
			return struct {
				io.Reader
				io.Closer
			}{io.MultiReader(rc, &lateReader{make: func() io.Reader {
				r, _, _ := b.LogSink.Open(ctx, key, info.Size, -1)
				return r
			}}), more}, info, nil
		}
	}),
	logMutant("readers share a place", "Open/gives readers that know nothing of each other", func(b *bentSink) {
		var shared io.ReadCloser
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			rc, info, err := b.LogSink.Open(ctx, key, offset, length)
			if shared == nil {
				shared = rc
			}
			return shared, info, err
		}
	}),
	logMutant("a closed reader reads on", "Open/gives a reader that can be left unread, and reads no more once it is closed", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			rc, info, err := b.LogSink.Open(ctx, key, offset, length)
			return io.NopCloser(rc), info, err
		}
	}),
	logMutant("a missing log is an empty one", "Keys/finds no log but by its own key", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			rc, info, err := b.LogSink.Open(ctx, key, offset, length)
			if errors.Is(err, ports.ErrNotFound) {
				return io.NopCloser(strings.NewReader("")), ports.LogInfo{}, nil
			}
			return rc, info, err
		}
	}),
}

// lateReader is a reader that is made when it is first read.
type lateReader struct {
	make func() io.Reader
	r    io.Reader
}

func (l *lateReader) Read(p []byte) (int, error) {
	if l.r == nil {
		l.r = l.make()
	}
	return l.r.Read(p)
}
