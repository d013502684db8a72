package miniolog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/task-runner/task-runner/ports"
)

// logWriter is the one writer of a log. What it buffers is the end of the log behind
// the full parts, and stays buffered until it is a full part itself: so all of a short
// log is at hand when it is closed.
type logWriter struct {
	ctx  context.Context // governs the writer's life, as the port says
	sink *LogSink
	key  ports.LogKey

	sending sync.Mutex // held while anything is sent; before mu
	head    head       // as it was sent last
	parted  bool       // there may be parts, counted by the head or not

	mu      sync.Mutex
	tail    []byte // only ever appended to: what is being sent is not copied
	flushed int    // how much of tail is in the head
	timer   *time.Timer
	armed   bool
	gone    error
	closed  bool // Close was called, which may have failed
}

// Write implements io.Writer. It sends something only when the buffer is full.
func (w *logWriter) Write(p []byte) (int, error) {
	n := 0
	for {
		m, err := w.take(p[n:])
		n += m
		if err == nil && n < len(p) {
			err = w.sendPart()
		}
		if err != nil {
			return n, logError("writing", w.key, err)
		}
		if n == len(p) {
			return n, nil
		}
	}
}

// take buffers what there is room for.
func (w *logWriter) take(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return 0, ports.ErrClosed
	case w.ctx.Err() != nil:
		return 0, w.ctx.Err()
	case w.gone != nil:
		return 0, w.gone
	}
	p = p[:min(len(p), w.sink.cfg.Buffer-len(w.tail))]
	w.tail = append(w.tail, p...)
	w.arm()
	return len(p), nil
}

// arm sees to it that what is not flushed will be. The caller holds w.mu.
func (w *logWriter) arm() {
	if w.armed || w.gone != nil || w.flushed == len(w.tail) || w.ctx.Err() != nil {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(w.sink.cfg.FlushEvery, w.flush)
		return
	}
	w.timer.Reset(w.sink.cfg.FlushEvery)
}

// flush makes what is buffered readable, as far as it has come by now. That the store
// does not answer is nothing yet to tell the writer of: as long as its buffer has
// room it loses nothing, and there will be another flush.
func (w *logWriter) flush() {
	select {
	case w.sink.flushes <- struct{}{}:
		defer func() { <-w.sink.flushes }()
	case <-w.ctx.Done():
		return
	}
	if !w.sending.TryLock() {
		// What is being sent takes most of the buffer along. Others need the turn.
		w.mu.Lock()
		w.armed = false
		w.arm()
		w.mu.Unlock()
		return
	}
	defer w.sending.Unlock()
	w.mu.Lock()
	w.armed = false
	w.mu.Unlock()
	w.sendTail()
	w.mu.Lock()
	w.arm()
	w.mu.Unlock()
}

// sendTail puts into the head what of the tail is not there. The caller holds w.sending.
func (w *logWriter) sendTail() {
	w.mu.Lock()
	tail, done := w.tail, w.gone != nil || w.flushed == len(w.tail) || w.ctx.Err() != nil
	w.mu.Unlock()
	if done {
		return
	}
	next, err := w.sink.putOpen(w.ctx, w.key, w.head, w.head.Parts, tail)
	_ = w.sent(next, err, func() { w.flushed = len(tail) })
}

// sendPart makes a part of the buffer, which is full.
func (w *logWriter) sendPart() error {
	w.sending.Lock()
	defer w.sending.Unlock()
	if w.gone != nil {
		return w.gone
	}
	part := w.tail // nobody else changes it
	if w.head.partBytes()+2*int64(len(part)) > w.sink.maxLog {
		return ports.ErrFull
	}
	w.parted = true
	_, err := w.sink.client.PutObject(w.ctx, w.sink.cfg.Bucket, w.sink.partKey(w.key, w.head.Writer, w.head.Parts),
		bytes.NewReader(part), int64(len(part)), minio.PutObjectOptions{DisableMultipart: true})
	if err != nil {
		return cause(w.ctx, err)
	}
	next, err := w.sink.putOpen(w.ctx, w.key, w.head, w.head.Parts+1, nil)
	// A new buffer, as a connection that has failed may still be reading the old one.
	return w.sent(next, err, func() { w.tail, w.flushed = nil, 0 })
}

// sent notes what became of the head that was sent, which ends the log if it is complete
// or gone: an earlier one may have been complete of which the answer was lost. The caller
// holds w.sending.
func (w *logWriter) sent(next head, err error, ok func()) error {
	gone := errors.Is(err, ports.ErrGone)
	ended := gone || next.Complete
	w.mu.Lock()
	if err == nil {
		w.head = next
		ok()
	}
	if gone {
		w.gone = err
	}
	if ended {
		w.tail, w.flushed = nil, 0
		if w.timer != nil {
			w.timer.Stop()
		}
	}
	w.mu.Unlock()
	if ended && w.parted {
		w.removeParts()
	}
	return err
}

// removeParts removes what nobody reads any more. Where that fails it waits for
// the task's Delete, or for the bucket's rule.
func (w *logWriter) removeParts() {
	_ = w.sink.remove(w.ctx, w.sink.partsPrefix(w.key, w.head.Writer))
}

// Close implements io.Closer. It may be tried again if it fails; until then what was
// written is flushed as before, so that it stays readable. A store that answers gets it
// at once, as the caller may end the context next.
func (w *logWriter) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.sending.Lock()
	defer w.sending.Unlock()
	if w.head.Complete {
		return nil
	}
	if err := w.complete(); err != nil {
		if answerOf(err).StatusCode != 0 {
			w.sendTail()
		}
		return logError("closing", w.key, err)
	}
	return nil
}

// complete puts the whole log where its head is.
func (w *logWriter) complete() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.gone != nil {
		return w.gone
	}
	// Parts that are still being read when the log was put, or could not be, are let go.
	reading, stop := context.WithCancel(w.ctx)
	defer stop()
	parts, tail := w.head, w.tail
	parts.tail = 0
	body := func() io.ReadSeeker {
		return &rewinder{open: func() io.Reader {
			return io.MultiReader(w.sink.reader(reading, w.key, parts, 0, parts.size()), bytes.NewReader(tail))
		}}
	}
	if parts.Parts == 0 {
		body = func() io.ReadSeeker { return bytes.NewReader(tail) }
	}
	next, err := w.sink.putComplete(w.ctx, w.key, w.head, body, parts.size()+int64(len(tail)))
	return w.sent(next, err, func() {})
}

// rewinder is a body that a client can send once more from its start.
type rewinder struct {
	open func() io.Reader

	mu   sync.Mutex // a request that has failed may still be reading
	r    io.Reader
	gone error
}

// Read implements io.Reader.
func (r *rewinder) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.r == nil {
		r.r = r.open()
	}
	n, err := r.r.Read(p)
	if errors.Is(err, ports.ErrGone) {
		r.gone = err
	}
	return n, err
}

// Seek implements io.Seeker for the start alone. It fails once there is nothing more
// to read, so that the client does not try in vain.
func (r *rewinder) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r = nil
	return 0, r.gone
}
