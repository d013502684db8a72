package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// bentSink is a log sink some of whose methods are replaced.
type bentSink struct {
	ports.LogSink
	create func(context.Context, ports.LogKey) (io.WriteCloser, error)
	open   func(context.Context, ports.LogKey, int64, int64) (io.ReadCloser, ports.LogInfo, error)
	sign   func(context.Context, ports.LogKey, time.Duration) (string, error)
	delete func(context.Context, ports.TaskID) error
	keys   []ports.LogKey // that were created
}

// logMutant returns a mutant that bends a log sink.
func logMutant(name, noticedBy string, bend func(b *bentSink)) mutant[ports.LogSink] {
	return mutant[ports.LogSink]{name, noticedBy, func(s ports.LogSink) ports.LogSink {
		b := &bentSink{LogSink: s, create: s.Create, open: s.Open, sign: s.SignedURL, delete: s.Delete}
		bend(b)
		return b
	}}
}

func (b *bentSink) Create(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
	b.keys = append(b.keys, key)
	return b.create(ctx, key)
}

func (b *bentSink) Open(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
	return b.open(ctx, key, offset, length)
}

func (b *bentSink) SignedURL(ctx context.Context, key ports.LogKey, ttl time.Duration) (string, error) {
	return b.sign(ctx, key, ttl)
}

func (b *bentSink) Delete(ctx context.Context, id ports.TaskID) error { return b.delete(ctx, id) }

// bendKey passes every key through f.
func (b *bentSink) bendKey(f func(*ports.LogKey)) {
	b.create = func(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
		f(&key)
		return b.LogSink.Create(ctx, key)
	}
	b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
		f(&key)
		return b.LogSink.Open(ctx, key, offset, length)
	}
}

// bendInfo passes what is known of every log through f.
func (b *bentSink) bendInfo(f func(*ports.LogInfo)) {
	b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
		rc, info, err := b.LogSink.Open(ctx, key, offset, length)
		f(&info)
		return rc, info, err
	}
}

// bentWriter is a writer some of whose methods are replaced.
type bentWriter struct {
	write func([]byte) (int, error)
	close func() error
}

func (w *bentWriter) Write(p []byte) (int, error) { return w.write(p) }
func (w *bentWriter) Close() error                { return w.close() }

// bendWriter bends every writer.
func (b *bentSink) bendWriter(bend func(context.Context, io.WriteCloser, *bentWriter)) {
	b.create = func(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
		w, err := b.LogSink.Create(ctx, key)
		if err != nil {
			return nil, err
		}
		bent := &bentWriter{w.Write, w.Close}
		bend(ctx, w, bent)
		return bent, nil
	}
}

// buffered makes a writer keep everything until Close.
func buffered(_ context.Context, w io.WriteCloser, bent *bentWriter) {
	var buf []byte
	bent.write = func(p []byte) (int, error) {
		buf = append(buf, p...)
		return len(p), nil
	}
	bent.close = func() error {
		if _, err := w.Write(buf); err != nil {
			return err
		}
		return w.Close()
	}
}

var logMutants = slices.Concat(logKeyMutants, logWriteMutants, logReadMutants)

var logKeyMutants = []mutant[ports.LogSink]{
	logMutant("Create overwrites", "Create/refuses a key that was created before and leaves that log alone", func(b *bentSink) {
		b.create = func(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
			_ = b.LogSink.Delete(ctx, key.Task)
			return b.LogSink.Create(ctx, key)
		}
	}),
	logMutant("a refused Create empties the log", "Create/refuses a key that was created before and leaves that log alone", func(b *bentSink) {
		b.create = func(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
			w, err := b.LogSink.Create(ctx, key)
			if err != nil {
				_ = b.LogSink.Delete(ctx, key.Task)
			}
			return w, err
		}
	}),
	logMutant("two can create one log", "Concurrency/lets one of many creates of one key win", func(b *bentSink) {
		b.create = func(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
			w, err := b.LogSink.Create(ctx, key)
			if errors.Is(err, ports.ErrExists) {
				return &bentWriter{func(p []byte) (int, error) { return len(p), nil }, func() error { return nil }}, nil
			}
			return w, err
		}
	}),
	logMutant("attempts share a log", "Keys/keeps attempts and names apart", func(b *bentSink) {
		b.bendKey(func(key *ports.LogKey) { key.Attempt = min(key.Attempt, 1) })
	}),
	logMutant("artifacts share names with streams", "Keys/keeps attempts and names apart", func(b *bentSink) {
		b.bendKey(func(key *ports.LogKey) {
			if key.Name == "artifacts/stdout" {
				key.Name = ports.LogStdout
			}
		})
	}),
	logMutant("IDs are folded", "Keys/takes every valid ID, each for itself", func(b *bentSink) {
		b.bendKey(func(key *ports.LogKey) { key.Task = ports.TaskID(strings.ToLower(string(key.Task))) })
	}),
	logMutant("keys are joined to paths", "Keys/is not confused by IDs that look like parts of a key", func(b *bentSink) {
		b.bendKey(func(key *ports.LogKey) {
			if key.Validate() == nil {
				key.Task = ports.TaskID(fmt.Sprintf("%.128s", strings.TrimPrefix(path.Join("/", string(key.Task), fmt.Sprint(key.Attempt)), "/")))
				key.Attempt = 1
			}
		})
	}),
	logMutant("keys are joined with nothing between", "Keys/is not confused by IDs that look like parts of a key", func(b *bentSink) {
		b.bendKey(func(key *ports.LogKey) {
			if key.Validate() == nil {
				key.Task, key.Attempt = ports.TaskID(fmt.Sprintf("%.128s", fmt.Sprint(string(key.Task), key.Attempt))), 1
			}
		})
	}),
	logMutant("a path is cleaned", "Keys/refuses what is no key", func(b *bentSink) {
		b.bendKey(func(key *ports.LogKey) { key.Name = path.Clean(key.Name) })
	}),
	logMutant("attempts start at 0", "Keys/refuses what is no key", func(b *bentSink) {
		b.bendKey(func(key *ports.LogKey) {
			if key.Attempt >= 0 {
				key.Attempt++
			}
		})
	}),
	logMutant("names are a glob", "Keys/finds no log but by its own key", func(b *bentSink) {
		b.open = func(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
			for _, known := range b.keys {
				if ok, _ := path.Match(string(key.Task), string(known.Task)); ok {
					key.Task = known.Task
				}
			}
			return b.LogSink.Open(ctx, key, offset, length)
		}
	}),
	logMutant("Delete takes an ID for a prefix", "Delete/removes every log of the task and of no other", func(b *bentSink) {
		b.delete = func(ctx context.Context, id ports.TaskID) error {
			for _, key := range b.keys {
				if strings.HasPrefix(string(key.Task), string(id)) {
					_ = b.LogSink.Delete(ctx, key.Task)
				}
			}
			return ctx.Err()
		}
	}),
	logMutant("Delete leaves later attempts", "Delete/removes every log of the task and of no other", func(b *bentSink) {
		later := func(id ports.TaskID) ports.TaskID { return id + "#" }
		b.bendKey(func(key *ports.LogKey) {
			if key.Attempt > 1 {
				key.Task = later(key.Task)
			}
		})
	}),
	logMutant("Delete needs a log", "Delete/removes what is not there without an error", func(b *bentSink) {
		b.delete = func(ctx context.Context, id ports.TaskID) error {
			if _, _, err := b.LogSink.Open(ctx, ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStdout}, 0, 0); err != nil {
				return err
			}
			return b.LogSink.Delete(ctx, id)
		}
	}),
	logMutant("a writer brings a deleted log back", "Delete/is not undone by a writer that is still open", func(b *bentSink) {
		b.create = func(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
			w, err := b.LogSink.Create(ctx, key)
			if err != nil {
				return nil, err
			}
			return &bentWriter{w.Write, func() error {
				if w.Close() != nil {
					_, err := b.LogSink.Create(ctx, key)
					return err
				}
				return nil
			}}, nil
		}
	}),
	logMutant("a URL is empty", "SignedURL/is unsupported and says so", func(b *bentSink) {
		b.sign = func(ctx context.Context, _ ports.LogKey, _ time.Duration) (string, error) { return "", ctx.Err() }
	}),
	logMutant("a done context is ignored", "Context/does nothing in a context that is done", func(b *bentSink) {
		b.delete = func(ctx context.Context, id ports.TaskID) error {
			if err := b.LogSink.Delete(context.WithoutCancel(ctx), id); err != nil {
				return err
			}
			return ctx.Err()
		}
	}),
}

var logWriteMutants = []mutant[ports.LogSink]{
	logMutant("nothing is there before Close", "Write/keeps what it accepted although it is never closed", func(b *bentSink) { b.bendWriter(buffered) }),
	logMutant("a growing log is empty", "Growing/can be read while it is written", func(b *bentSink) { b.bendWriter(buffered) }),
	logMutant("what was written before the context ended is lost", "Write/keeps what it accepted although its context ended", func(b *bentSink) { b.bendWriter(buffered) }),
	logMutant("a writer outlives its context", "Write/keeps what it accepted although its context ended", func(b *bentSink) {
		b.create = func(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
			return b.LogSink.Create(context.WithoutCancel(ctx), key)
		}
	}),
	logMutant("a log is complete although its context ended", "Write/keeps what it accepted although its context ended", func(b *bentSink) {
		b.bendInfo(func(info *ports.LogInfo) { info.Complete = true })
	}),
	logMutant("the argument is kept", "Write/keeps nothing that it was passed", func(b *bentSink) {
		b.bendWriter(func(_ context.Context, w io.WriteCloser, bent *bentWriter) {
			var kept [][]byte
			bent.write = func(p []byte) (int, error) {
				kept = append(kept, p)
				return len(p), nil
			}
			bent.close = func() error {
				for _, p := range kept {
					if _, err := w.Write(p); err != nil {
						return err
					}
				}
				return w.Close()
			}
		})
	}),
	logMutant("a second Close fails", "Write/can be closed again", func(b *bentSink) {
		b.bendWriter(func(_ context.Context, w io.WriteCloser, bent *bentWriter) {
			closed := false
			bent.close = func() error {
				if closed {
					return fmt.Errorf("closing: %w", ports.ErrClosed)
				}
				closed = true
				return w.Close()
			}
		})
	}),
	logMutant("a closed writer swallows what comes", "Write/refuses to write once it is closed", func(b *bentSink) {
		b.bendWriter(func(_ context.Context, w io.WriteCloser, bent *bentWriter) {
			bent.write = func(p []byte) (int, error) {
				n, err := w.Write(p)
				if errors.Is(err, ports.ErrClosed) {
					return len(p), nil
				}
				return n, err
			}
		})
	}),
	logMutant("a long piece is cut", "Write/takes pieces of any size", func(b *bentSink) {
		b.bendWriter(func(_ context.Context, w io.WriteCloser, bent *bentWriter) {
			bent.write = func(p []byte) (int, error) {
				_, err := w.Write(p[:min(len(p), 1<<16)])
				return len(p), err
			}
		})
	}),
	logMutant("a large log is cut", "Create/keeps what is written", func(b *bentSink) {
		b.bendWriter(func(_ context.Context, w io.WriteCloser, bent *bentWriter) {
			bent.write = func(p []byte) (int, error) {
				_, err := w.Write(p[:min(len(p), 5<<20)])
				return len(p), err
			}
		})
	}),
	logMutant("a full sink claims more than it keeps", "Full/keeps what it accepted before it was full and has room again after a Delete", func(b *bentSink) {
		b.bendWriter(func(_ context.Context, w io.WriteCloser, bent *bentWriter) {
			bent.write = func(p []byte) (int, error) {
				_, err := w.Write(p)
				return len(p), err
			}
		})
	}),
	logMutant("a full sink drops what comes", "Full/keeps what it accepted before it was full and has room again after a Delete", func(b *bentSink) {
		b.bendWriter(func(_ context.Context, w io.WriteCloser, bent *bentWriter) {
			bent.write = func(p []byte) (int, error) {
				_, _ = w.Write(p)
				return len(p), nil
			}
		})
	}),
}
