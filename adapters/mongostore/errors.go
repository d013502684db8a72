package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/task-runner/task-runner/ports"
)

// Codes of MongoDB's.
const (
	maxTimeMSExpired = 50
	outOfDiskSpace   = 14031

	unauthorized         = 13
	authenticationFailed = 18
)

// cause puts a sentinel before what the driver returned, where there is one for it.
func cause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if done := ctx.Err(); done != nil {
		if errors.Is(err, done) {
			return err
		}
		return fmt.Errorf("%w: %w", done, err)
	}
	answer, ok := errors.AsType[mongo.ServerError](err)
	switch _, bounded := ctx.Deadline(); {
	case !ok:
		return err
	case bounded && answer.HasErrorCode(maxTimeMSExpired):
		// The driver tells the server the deadline, and leaves out the way there and
		// back: the server is the first to find that it has passed.
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	case isFull(answer):
		return fmt.Errorf("%w: %w", ports.ErrFull, err)
	}
	return err
}

// refused says how to mend what a first call comes to.
func refused(ctx context.Context, err error) error {
	answer, answered := errors.AsType[mongo.ServerError](err)
	err = cause(ctx, err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case !answered:
		return fmt.Errorf("no server that takes writes was found; check hosts, tls and replicaSet of the URI: %w", err)
	case answer.HasErrorCode(authenticationFailed):
		return fmt.Errorf("check user, password and authSource of the URI: %w", err)
	case answer.HasErrorCode(unauthorized):
		return fmt.Errorf("give the user the role readWrite on the database: %w", err)
	}
	return err
}

// isFull reports whether the server has no room. Only MongoDB has a code for it;
// hosted ones answer with a sentence about their quota and FerretDB with SQLite's.
func isFull(answer mongo.ServerError) bool {
	return answer.HasErrorCode(outOfDiskSpace) ||
		answer.HasErrorMessage("over your space quota") ||
		answer.HasErrorMessage("database or disk is full")
}

// again makes a write once more whose answer was lost, because the driver does so
// only on servers with sessions. The write is one that changes nothing the second time
// and knows its own first time again.
func again[T any](ctx context.Context, write func() (T, error)) (T, error) {
	answer, err := write()
	if mongo.IsNetworkError(err) && ctx.Err() == nil {
		answer, err = write()
	}
	return answer, cause(ctx, err)
}
