package ports

import (
	"errors"
	"fmt"
)

// The sentinels. Test for them with errors.Is; each arrives wrapped in what was
// being done and carries its cause. A capability that a backing part does not
// have is errors.ErrUnsupported.
var (
	// ErrNotFound says that the thing named does not exist, or does no longer.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a thing of this name was made before.
	ErrExists = errors.New("already exists")
	// ErrConflict says that the thing changed since it was read, or is not in a
	// state that allows the change; read it again and decide again.
	ErrConflict = errors.New("conflict")
	// ErrLeaseLost says that the lease expired, was acknowledged or belongs to
	// somebody else now. Its holder is a ghost: it stops at once and writes
	// nothing more.
	ErrLeaseLost = errors.New("lease lost")
	// ErrCancelled says that somebody asked for the task to be cancelled. Unlike
	// context.Canceled it is about the task and not about the call.
	ErrCancelled = errors.New("task cancelled")
	// ErrGone says that what was asked for existed and has been trimmed or
	// deleted, so that it can never be had again.
	ErrGone = errors.New("gone")
	// ErrFull says that a bound on size or number was reached; try again later.
	ErrFull = errors.New("full")
	// ErrClosed says that the object was closed before or during the call.
	ErrClosed = errors.New("closed")
	// ErrInvalid says that an argument can never be accepted as it is. Most such
	// errors are a *FieldError.
	ErrInvalid = errors.New("invalid")
)

// FieldError is an ErrInvalid that names the field of the caller's input and
// says how to mend it. It is safe to show to whoever sent that input.
type FieldError struct {
	// Field is the path of the field as callers write it, in the snake case of
	// the HTTP API: "code", "limits.memory", "files[2].path".
	Field string
	// Problem says what is wrong and what would be right, as the rest of a
	// sentence that starts with the field: "must be at most 4 GiB".
	Problem string
}

// Error returns the field and the problem in one sentence.
func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Is reports whether target is ErrInvalid.
func (e *FieldError) Is(target error) bool { return target == ErrInvalid }

// Invalid returns a *FieldError for field with the formatted problem.
func Invalid(field, problem string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(problem, args...)}
}
