package taskrunner

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// stream takes one of an attempt's output streams and passes it on to the log,
// to the people who watch, and to the record. It never fails and is never stuck
// for longer than a log sink may be.
type stream struct {
	kind  EventType
	limit int64 // Limits.Output
	bytes int64
	kept  capture
	log   *logWriter
	feed  *feed
}

// Write implements io.Writer for a Job. What the limit cuts is dropped, should
// the executor not have done so.
func (s *stream) Write(p []byte) (int, error) {
	kept := p[:min(int64(len(p)), s.limit-s.bytes)]
	if len(kept) > 0 {
		s.bytes += int64(len(kept))
		s.kept.write(kept)
		s.log.write(kept)
		s.feed.write(s.kind, kept)
	}
	if len(kept) < len(p) {
		s.feed.cut(s.kind)
	}
	return len(p), nil
}

// logTimeout is how long a log sink may take for one write. A sink that is stuck
// for longer has failed: it must not hold the program for ever.
const logTimeout = 15 * time.Second

// logWriter writes the whole log of a stream. A sink that fails costs the rest of
// the log, never the task.
type logWriter struct {
	w      io.WriteCloser
	cancel context.CancelFunc
	stuck  *time.Timer
	err    error
}

// openLog starts a log whose writer lives as long as ctx at most.
func openLog(ctx context.Context, sink LogSink, key ports.LogKey) *logWriter {
	ctx, cancel := context.WithCancel(ctx)
	l := &logWriter{cancel: cancel, stuck: time.AfterFunc(logTimeout, cancel)}
	l.w, l.err = sink.Create(ctx, key)
	l.stuck.Stop()
	return l
}

func (l *logWriter) write(p []byte) {
	if l.err != nil {
		return
	}
	l.stuck.Reset(logTimeout)
	n, err := l.w.Write(p)
	l.stuck.Stop()
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	l.err = err
}

// close completes the log and returns what went wrong with it, if anything.
func (l *logWriter) close() error {
	if l.w != nil {
		l.stuck.Reset(logTimeout)
		l.err = errors.Join(l.err, l.w.Close())
		l.stuck.Stop()
	}
	l.cancel()
	return l.err
}
