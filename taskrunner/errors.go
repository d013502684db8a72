package taskrunner

import "github.com/task-runner/task-runner/ports"

// The sentinel errors, for errors.Is; package ports documents each in full.
var (
	// ErrNotFound: the thing named does not exist.
	ErrNotFound = ports.ErrNotFound
	// ErrExists: a thing of this name was made before.
	ErrExists = ports.ErrExists
	// ErrConflict: the thing is not in a state that allows the change.
	ErrConflict = ports.ErrConflict
	// ErrLeaseLost: the task belongs to another worker now.
	ErrLeaseLost = ports.ErrLeaseLost
	// ErrCancelled: somebody asked for the task to be cancelled.
	ErrCancelled = ports.ErrCancelled
	// ErrGone: it existed and was trimmed or deleted.
	ErrGone = ports.ErrGone
	// ErrFull: a bound was reached; try again later.
	ErrFull = ports.ErrFull
	// ErrClosed: the object was closed.
	ErrClosed = ports.ErrClosed
	// ErrInvalid: the input can never be accepted as it is.
	ErrInvalid = ports.ErrInvalid
)
