package memory

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Store is a ports.Store.
type Store struct {
	maxTasks int
	maxBytes int64
	// dropped is told of each task that was dropped to make room, with no lock
	// held.
	dropped func(ports.TaskID)

	mu      sync.RWMutex
	records map[ports.TaskID]*record
	keys    map[ownedKey]*record
	// ordered holds all records by CreatedAt, then by ID, both ascending. Tasks
	// come almost in this order, so that an insertion is an append.
	ordered []*record
	// finished holds the records of terminal tasks, first finished first.
	finished *list.List
	// bytes is what all records take, finishedBytes what the finished ones do.
	bytes, finishedBytes int64
}

// record is a task as stored. The task is never changed in place: readers copy it
// after they let go of the lock.
type record struct {
	task     *ports.Task
	size     int64
	finished *list.Element
}

// ownedKey is an idempotency key, which is private to its owner.
type ownedKey struct{ owner, key string }

// NewStore returns an empty store. Being alone it drops its own oldest finished
// task when it is full, and knows nothing of logs and events.
func NewStore(opts ...Option) *Store { return newStore(configure(opts)) }

func newStore(c config) *Store {
	return &Store{
		maxTasks: c.tasks,
		maxBytes: c.taskBytes,
		dropped:  func(ports.TaskID) {},
		records:  map[ports.TaskID]*record{},
		keys:     map[ownedKey]*record{},
		finished: list.New(),
	}
}

// Create implements ports.Store.
func (s *Store) Create(ctx context.Context, task ports.Task) (ports.Task, error) {
	if err := task.ID.Validate(); err != nil {
		return ports.Task{}, err
	}
	if err := ctx.Err(); err != nil {
		return ports.Task{}, fmt.Errorf("creating task %q: %w", task.ID, err)
	}
	r := newRecord(task, 1)
	stored, dropped, err := s.insert(r)
	for _, id := range dropped {
		s.dropped(id)
	}
	if err != nil {
		err = fmt.Errorf("creating task %q: %w", task.ID, err)
	}
	if stored == nil {
		return ports.Task{}, err
	}
	return stored.Clone(), err
}

// insert adds r and returns its task, or the task that is there already. It also
// returns the tasks that were dropped to make room.
func (s *Store) insert(r *record) (stored *ports.Task, dropped []ports.TaskID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, ok := s.records[r.task.ID]; ok {
		return other.task, nil, ports.ErrExists
	}
	key := ownedKey{r.task.Owner, r.task.Spec.IdempotencyKey}
	if other, ok := s.keys[key]; ok && key.key != "" {
		return other.task, nil, ports.ErrExists
	}
	if r.size > s.maxBytes-(s.bytes-s.finishedBytes) || len(s.records)-s.finished.Len() >= s.maxTasks {
		return nil, nil, ports.ErrFull // even with no finished task left
	}
	for len(s.records) >= s.maxTasks || r.size > s.maxBytes-s.bytes {
		oldest := s.finished.Front().Value.(*record)
		s.remove(oldest)
		dropped = append(dropped, oldest.task.ID)
	}
	s.records[r.task.ID] = r
	if key.key != "" {
		s.keys[key] = r
	}
	at, _ := s.find(r.task.CreatedAt, r.task.ID)
	s.ordered = slices.Insert(s.ordered, at, r)
	s.rank(r)
	s.charge(r, r.size)
	return r.task, dropped, nil
}

// Get implements ports.Store.
func (s *Store) Get(ctx context.Context, id ports.TaskID) (ports.Task, error) {
	if err := ctx.Err(); err != nil {
		return ports.Task{}, fmt.Errorf("getting task %q: %w", id, err)
	}
	s.mu.RLock()
	r, ok := s.records[id]
	var task *ports.Task
	if ok {
		task = r.task
	}
	s.mu.RUnlock()
	if !ok {
		return ports.Task{}, fmt.Errorf("getting task %q: %w", id, ports.ErrNotFound)
	}
	return task.Clone(), nil
}

// Update implements ports.Store.
func (s *Store) Update(ctx context.Context, task ports.Task) (ports.Task, error) {
	if err := ctx.Err(); err != nil {
		return ports.Task{}, fmt.Errorf("updating task %q: %w", task.ID, err)
	}
	next := newRecord(task, task.Version+1)
	if err := s.replace(next, task.Version); err != nil {
		return ports.Task{}, fmt.Errorf("updating task %q: %w", task.ID, err)
	}
	return next.task.Clone(), nil
}

func (s *Store) replace(next *record, version int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.at(next.task.ID, version)
	if err != nil {
		return err
	}
	switch was := r.task; {
	case next.task.Owner != was.Owner:
		return ports.Invalid("owner", "cannot be changed")
	case next.task.Spec.IdempotencyKey != was.Spec.IdempotencyKey:
		return ports.Invalid("idempotency_key", "cannot be changed")
	case !next.task.CreatedAt.Equal(was.CreatedAt):
		return ports.Invalid("created_at", "cannot be changed")
	}
	s.charge(r, -r.size)
	r.task, r.size = next.task, next.size
	s.rank(r)
	s.charge(r, r.size)
	return nil
}

// Delete implements ports.Store.
func (s *Store) Delete(ctx context.Context, id ports.TaskID, version int64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("deleting task %q: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.at(id, version)
	if err != nil {
		return fmt.Errorf("deleting task %q: %w", id, err)
	}
	s.remove(r)
	return nil
}

// at returns the record of the task if it is at this version.
func (s *Store) at(id ports.TaskID, version int64) (*record, error) {
	r, ok := s.records[id]
	if !ok {
		return nil, ports.ErrNotFound
	}
	if r.task.Version != version {
		return nil, fmt.Errorf("version is %d and not %d: %w", r.task.Version, version, ports.ErrConflict)
	}
	return r, nil
}

// remove forgets r.
func (s *Store) remove(r *record) {
	s.charge(r, -r.size)
	if r.finished != nil {
		s.finished.Remove(r.finished)
	}
	delete(s.records, r.task.ID)
	if key := r.task.Spec.IdempotencyKey; key != "" {
		delete(s.keys, ownedKey{r.task.Owner, key})
	}
	at, _ := s.find(r.task.CreatedAt, r.task.ID)
	s.ordered = slices.Delete(s.ordered, at, at+1)
}

// charge adds n bytes of r to the sums.
func (s *Store) charge(r *record, n int64) {
	s.bytes += n
	if r.finished != nil {
		s.finishedBytes += n
	}
}

// rank puts r among the finished tasks if it is one. A task that changes once it
// is finished keeps its place.
func (s *Store) rank(r *record) {
	switch terminal := r.task.Status.Terminal(); {
	case terminal && r.finished == nil:
		r.finished = s.finished.PushBack(r)
	case !terminal && r.finished != nil:
		s.finished.Remove(r.finished)
		r.finished = nil
	}
}

// find returns the place of the task in ordered, and whether it is there.
func (s *Store) find(createdAt time.Time, id ports.TaskID) (int, bool) {
	return slices.BinarySearchFunc(s.ordered, position{createdAt, id}, func(r *record, p position) int {
		if c := r.task.CreatedAt.Compare(p.createdAt); c != 0 {
			return c
		}
		return strings.Compare(string(r.task.ID), string(p.id))
	})
}

// has reports whether the store has the task.
func (s *Store) has(id ports.TaskID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.records[id]
	return ok
}

// dropOldest removes the task that finished first, if one did, and returns its ID.
func (s *Store) dropOldest() (ports.TaskID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	front := s.finished.Front()
	if front == nil {
		return "", false
	}
	r := front.Value.(*record)
	s.remove(r)
	return r.task.ID, true
}

// newRecord returns a record of a copy of task at version. Its times lose their
// monotonic readings, which would make their order depend on where they come from.
func newRecord(task ports.Task, version int64) *record {
	t := task.Clone()
	t.Version = version
	for _, at := range []*time.Time{&t.CancelRequestedAt, &t.CreatedAt, &t.StartedAt, &t.FinishedAt} {
		*at = at.Round(0)
	}
	return &record{task: &t, size: sizeOf(&t)}
}
