package memory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// LogSink is a ports.LogSink. What Write accepted can be read at once. Once the
// sink is full, Create and Write answer ports.ErrFull.
type LogSink struct {
	bytes budget

	mu   sync.RWMutex
	logs map[ports.TaskID]map[logName]*log
}

// logName is a key without its task.
type logName struct {
	attempt int
	name    string
}

// NewLogSink returns an empty log sink. Being alone it frees no room but by Delete.
func NewLogSink(opts ...Option) *LogSink { return newLogSink(configure(opts)) }

func newLogSink(c config) *LogSink {
	return &LogSink{
		bytes: budget{max: c.logBytes},
		logs:  map[ports.TaskID]map[logName]*log{},
	}
}

// Create implements ports.LogSink.
func (s *LogSink) Create(ctx context.Context, key ports.LogKey) (io.WriteCloser, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, logError("creating", key, err)
	}
	charge := logOverhead + length(key.Task) + length(key.Name)
	if !s.bytes.takeOrReclaim(charge) {
		return nil, logError("creating", key, ports.ErrFull)
	}
	l := &log{budget: &s.bytes, charged: charge}
	if !s.add(key, l) {
		s.bytes.give(charge)
		return nil, logError("creating", key, ports.ErrExists)
	}
	return &logWriter{ctx: ctx, key: key, log: l}, nil
}

// add stores l under key and reports whether the key was free.
func (s *LogSink) add(key ports.LogKey, l *log) bool {
	name := logName{key.Attempt, key.Name}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.logs[key.Task][name]; ok {
		return false
	}
	if s.logs[key.Task] == nil {
		s.logs[key.Task] = map[logName]*log{}
	}
	s.logs[key.Task][name] = l
	return true
}

// Open implements ports.LogSink. The reader takes no copy of the log; when the log
// is deleted it fails with ports.ErrGone, so that a slow reader keeps no memory.
func (s *LogSink) Open(ctx context.Context, key ports.LogKey, offset, length int64) (io.ReadCloser, ports.LogInfo, error) {
	if err := key.Validate(); err != nil {
		return nil, ports.LogInfo{}, err
	}
	if offset < 0 {
		return nil, ports.LogInfo{}, ports.Invalid("offset", "must not be negative")
	}
	if err := ctx.Err(); err != nil {
		return nil, ports.LogInfo{}, logError("opening", key, err)
	}
	s.mu.RLock()
	l, ok := s.logs[key.Task][logName{key.Attempt, key.Name}]
	s.mu.RUnlock()
	if !ok {
		return nil, ports.LogInfo{}, logError("opening", key, ports.ErrNotFound)
	}
	info := l.info()
	offset = min(offset, info.Size)
	end := info.Size
	if length >= 0 {
		end = offset + min(length, info.Size-offset)
	}
	return &logReader{key: key, log: l, next: offset, end: end}, info, nil
}

// SignedURL implements ports.LogSink: nobody can reach this process's memory.
func (s *LogSink) SignedURL(ctx context.Context, key ports.LogKey, _ time.Duration) (string, error) {
	err := ctx.Err()
	if err == nil {
		err = errors.ErrUnsupported
	}
	return "", logError("signing a URL for", key, err)
}

// Delete implements ports.LogSink.
func (s *LogSink) Delete(ctx context.Context, id ports.TaskID) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("deleting the logs of task %q: %w", id, err)
	}
	s.remove(id)
	return nil
}

// remove forgets all logs of the task.
func (s *LogSink) remove(id ports.TaskID) {
	s.mu.Lock()
	removed := s.logs[id]
	delete(s.logs, id)
	s.mu.Unlock()
	for _, l := range removed {
		l.remove()
	}
}

// tasks returns the tasks that have logs.
func (s *LogSink) tasks() []ports.TaskID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.logs))
}

func logError(doing string, key ports.LogKey, err error) error {
	return fmt.Errorf("%s log %q of task %q, attempt %d: %w", doing, key.Name, key.Task, key.Attempt, err)
}
