package memory

import (
	"cmp"
	"context"
	"io"
	"slices"
	"sync"
	"unsafe"

	"github.com/task-runner/task-runner/ports"
)

// A log grows by chunks, each as large as all before it within these bounds, so
// that a short one is cheap and a long one has few.
const (
	minChunk = 512
	maxChunk = 64 << 10
)

// logOverhead is what an empty log costs, its place in the sink's tables included.
const logOverhead = int64(unsafe.Sizeof(log{}) + 256)

// log is one log. Bytes below size never change again, so that they are read
// without the lock.
type log struct {
	budget *budget

	mu       sync.RWMutex
	chunks   []chunk
	size     int64
	charged  int64
	complete bool
	removed  bool
}

// chunk is a piece of a log that starts at an offset. Its length is fixed; the last
// one is not full yet.
type chunk struct {
	start int64
	data  []byte
}

func (l *log) info() ports.LogInfo {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return ports.LogInfo{Size: l.size, Complete: l.complete}
}

// append adds p and returns how much of it was accepted.
func (l *log) append(p []byte) (int, error) {
	n := 0
	for {
		m, grow, err := l.fill(p[n:])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
		if err := l.grow(grow); err != nil {
			return n, err
		}
	}
}

// fill copies what fits into the last chunk. It returns how much that was and how
// large the next chunk should be.
func (l *log) fill(p []byte) (n int, grow int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return 0, 0, ports.ErrGone
	}
	if len(l.chunks) > 0 {
		last := l.chunks[len(l.chunks)-1]
		n = copy(last.data[l.size-last.start:], p)
		l.size += int64(n)
	}
	want := max(l.size, int64(len(p)-n))
	return n, min(max(want, minChunk), maxChunk), nil
}

// grow adds a chunk. Making room for it may drop other tasks, so that no lock is
// held meanwhile; there is only one writer.
func (l *log) grow(size int64) error {
	if !l.budget.takeOrReclaim(size) {
		return ports.ErrFull
	}
	data := make([]byte, size)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		l.budget.give(size)
		return ports.ErrGone
	}
	l.charged += size
	l.chunks = append(l.chunks, chunk{l.size, data})
	return nil
}

// readAt reads some bytes at offset, which is below the log's size.
func (l *log) readAt(p []byte, offset int64) (int, error) {
	l.mu.RLock()
	chunks, removed := l.chunks, l.removed
	l.mu.RUnlock()
	if removed {
		return 0, ports.ErrGone
	}
	i, found := slices.BinarySearchFunc(chunks, offset, func(c chunk, o int64) int { return cmp.Compare(c.start, o) })
	if !found {
		i--
	}
	return copy(p, chunks[i].data[offset-chunks[i].start:]), nil
}

func (l *log) finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return ports.ErrGone
	}
	l.complete = true
	return nil
}

// remove frees what the log holds. It is called once, by whoever took the log out
// of the sink.
func (l *log) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed, l.chunks = true, nil
	l.budget.give(l.charged)
}

// logWriter is the one writer of a log.
type logWriter struct {
	ctx    context.Context // governs the writer's life, as the port says
	key    ports.LogKey
	log    *log
	closed bool
}

func (w *logWriter) Write(p []byte) (int, error) {
	if w.closed {
		return 0, logError("writing", w.key, ports.ErrClosed)
	}
	if err := w.ctx.Err(); err != nil {
		return 0, logError("writing", w.key, err)
	}
	n, err := w.log.append(p)
	if err != nil {
		err = logError("writing", w.key, err)
	}
	return n, err
}

func (w *logWriter) Close() error {
	if w.closed {
		return nil
	}
	err := w.ctx.Err()
	if err == nil {
		err = w.log.finish()
	}
	if err != nil {
		return logError("closing", w.key, err)
	}
	w.closed = true
	return nil
}

// logReader reads the bytes of a log from next to end.
type logReader struct {
	key       ports.LogKey
	log       *log
	next, end int64
	closed    bool
}

func (r *logReader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, logError("reading", r.key, ports.ErrClosed)
	}
	if r.next >= r.end {
		return 0, io.EOF
	}
	n, err := r.log.readAt(p[:min(int64(len(p)), r.end-r.next)], r.next)
	r.next += int64(n)
	if err != nil {
		err = logError("reading", r.key, err)
	}
	return n, err
}

func (r *logReader) Close() error {
	r.closed = true
	return nil
}
