package miniolog

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/task-runner/task-runner/ports"
)

// cause puts a sentinel before what the store answered, where there is one for it.
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
	switch answer := answerOf(err); {
	case answer.Code == minio.NoSuchKey:
		return fmt.Errorf("%w: %w", ports.ErrNotFound, err)
	case answer.StatusCode == http.StatusInsufficientStorage, isFull(answer.Code):
		return fmt.Errorf("%w: %w", ports.ErrFull, err)
	}
	return err
}

// isFull reports whether a store's code says that there is no room: S3 knows no such
// code, so that each store has its own.
func isFull(code string) bool {
	switch code {
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded":
		return true
	}
	return false
}

// answerOf returns what the store answered; it is zero if it did not.
func answerOf(err error) minio.ErrorResponse {
	answer, _ := errors.AsType[minio.ErrorResponse](err)
	return answer
}

// isCondition reports whether a request failed for its condition: the object is not
// what it was, is not there, or is being changed at the moment.
func isCondition(err error) bool {
	switch answerOf(err).Code {
	case minio.PreconditionFailed, minio.NoSuchKey, "ConditionalRequestConflict", "OperationAborted":
		return true
	}
	return false
}

func logError(doing string, key ports.LogKey, err error) error {
	return fmt.Errorf("%s log %q of task %q, attempt %d: %w", doing, key.Name, key.Task, key.Attempt, err)
}
