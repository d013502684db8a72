package mongostore

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/task-runner/task-runner/ports"
)

// leftAfter is how old a pending task is that nobody is creating any more. A creator
// that is slower than this is told so and tries again.
const leftAfter = time.Hour

// sweep ends the creation of tasks that are pending for longer than age: the one that
// has its key is published, as its creator may have been told of by another one, and
// any other one is removed, of which nobody was told.
func (s *Store) sweep(ctx context.Context, age time.Duration) error {
	left, err := s.tasks.Find(ctx, bson.D{
		{Key: "pending", Value: true},
		{Key: "schema", Value: schema}, // those of a later version are that one's to end
		{Key: "creation", Value: bson.D{{Key: "$lt", Value: bson.NewObjectIDFromTimestamp(time.Now().Add(-age))}}},
	})
	if err != nil {
		return cause(ctx, err)
	}
	defer func() { _ = left.Close(ctx) }()
	for left.Next(ctx) {
		d, err := decode(left.Current)
		if err != nil {
			return err
		}
		if err := s.end(ctx, d); err != nil {
			return err
		}
	}
	return cause(ctx, left.Err())
}

func (s *Store) end(ctx context.Context, d *document) error {
	held, err := s.holder(ctx, keyOf(d).ID)
	if err != nil && !errors.Is(err, ports.ErrNotFound) {
		return err
	}
	if held.Creation == d.Creation {
		_, err := s.publish(ctx, d)
		return err
	}
	return s.discard(ctx, d)
}
