package ports

import (
	"context"
	"time"
)

// Store keeps the tasks. It is the truth: the queue holds IDs and events tell
// people, but what a task is and how it ended is what the Store says.
//
// Reads see every write that returned before them (linearizable for one task).
type Store interface {
	// Create stores a new task at Version 1, whatever Version it is given, and
	// returns it as stored.
	//
	// If a task with this ID exists, or one of the same Owner with the same
	// non-empty Spec.IdempotencyKey, Create changes nothing and returns that task
	// with an error matching ErrExists. Of concurrent calls exactly one succeeds.
	// ErrInvalid: the ID is not valid. ErrFull: no room for it now.
	Create(ctx context.Context, task Task) (Task, error)

	// Get returns the task. ErrNotFound: there is none.
	Get(ctx context.Context, id TaskID) (Task, error)

	// Update replaces the stored task by this one if the stored Version equals
	// task.Version, and returns it with Version one higher.
	//
	// ErrConflict: the stored Version is another one; nothing was changed.
	// ErrNotFound: there is no task of this ID. ErrInvalid: Owner,
	// Spec.IdempotencyKey or CreatedAt is not as it was created.
	Update(ctx context.Context, task Task) (Task, error)

	// List returns the tasks that match q, newest first: by CreatedAt descending,
	// then by ID descending. Following the cursors visits every task once that
	// matched throughout, however many are created meanwhile.
	// ErrInvalid (a *FieldError for "cursor" or "limit"): the cursor is not one of
	// this store's, or the limit is out of its bounds.
	List(ctx context.Context, q ListQuery) (Page, error)

	// Delete removes the task, and frees its idempotency key, if its Version is
	// the given one. ErrConflict and ErrNotFound as for Update.
	Delete(ctx context.Context, id TaskID, version int64) error
}

// ListQuery says which tasks List returns. Conditions are joined by "and"; the
// zero value of each means "any".
type ListQuery struct {
	// Owner restricts the list to one owner's tasks; the owner of a task without
	// one is "". It is ignored when AnyOwner is set.
	Owner string
	// AnyOwner lists the tasks of all owners: for the system's own housekeeping.
	AnyOwner bool
	// Statuses are the statuses wanted.
	Statuses []Status
	// Language is the canonical name of the language wanted.
	Language string
	// Labels are label values that a task must have, all of them.
	Labels map[string]string
	// FinishedBefore wants tasks that finished strictly before this time.
	FinishedBefore time.Time
	// Limit is how many tasks a page has at most, 1 to MaxPage. Default: 50; a
	// greater or negative one is ErrInvalid.
	Limit int
	// Cursor continues after the page that returned it as Next, for a query that
	// is otherwise the same.
	Cursor string
}

// DefaultPage and MaxPage bound ListQuery.Limit.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// Page is one page of a list. It may be shorter than the limit where tasks are large,
// and another page follow.
type Page struct {
	Tasks []Task
	// Next is the cursor of the page after this one; empty on the last page.
	Next string
}
