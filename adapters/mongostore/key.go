package mongostore

import (
	"context"
	"errors"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/task-runner/task-runner/ports"
)

// key says which task has an idempotency key.
type key struct {
	ID       string        `bson:"_id"`
	Task     string        `bson:"task"`
	Creation bson.ObjectID `bson:"creation"`
}

// keyOf returns the entry by which d has its key.
func keyOf(d *document) key {
	return key{keyID(d.Record.Owner, d.Record.Spec.IdempotencyKey), d.ID, d.Creation}
}

// keyID returns one string for a key and its owner that no other two give.
func keyID(owner, key text) string {
	return strconv.Quote(string(owner)) + " " + strconv.Quote(string(key))
}

// claim gives the key to d unless another task has it, and returns whose it is. That
// one has been published if it is another's.
func (s *Store) claim(ctx context.Context, d *document) (*document, error) {
	mine := keyOf(d)
	for round := 0; ; round++ {
		if err := pause(ctx, round); err != nil {
			return nil, err
		}
		_, err := again(ctx, func() (*mongo.InsertOneResult, error) { return s.keys.InsertOne(ctx, mine) })
		if err == nil {
			return d, nil
		}
		if !mongo.IsDuplicateKeyError(err) {
			return nil, err
		}
		held, err := s.holder(ctx, mine.ID)
		switch {
		case errors.Is(err, ports.ErrNotFound):
			continue // it was freed meanwhile
		case err != nil:
			return nil, err
		case held.Creation == d.Creation:
			return d, nil
		}
		switch winner, err := s.published(ctx, held); {
		case err == nil:
			return winner, nil
		case !errors.Is(err, ports.ErrNotFound):
			return nil, err
		}
		// Its task was there before the key was, so that it has been deleted.
		taken, err := s.takeOver(ctx, held, mine)
		if err != nil {
			return nil, err
		}
		if taken {
			return d, nil
		}
	}
}

// holder returns who has the key. ErrNotFound: nobody.
func (s *Store) holder(ctx context.Context, id string) (key, error) {
	var held key
	err := s.keys.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&held)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return key{}, ports.ErrNotFound
	}
	return held, cause(ctx, err)
}

// published returns the task that has a key, and sees to it that others see it.
func (s *Store) published(ctx context.Context, held key) (*document, error) {
	d, err := s.find(ctx, text(held.Task))
	switch {
	case err != nil:
		return nil, err
	case d.Creation != held.Creation:
		return nil, ports.ErrNotFound
	case !d.Pending:
		return d, nil
	}
	there, err := s.publish(ctx, d)
	if err == nil && !there {
		err = ports.ErrNotFound
	}
	return d, err
}

// takeOver gives a key to another task, unless it is no longer as it was.
func (s *Store) takeOver(ctx context.Context, was, next key) (bool, error) {
	answer, err := again(ctx, func() (*mongo.UpdateResult, error) {
		return s.keys.UpdateOne(ctx,
			bson.D{{Key: "_id", Value: was.ID}, {Key: "creation", Value: was.Creation}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "task", Value: next.Task}, {Key: "creation", Value: next.Creation}}}})
	})
	return err == nil && answer.MatchedCount == 1, err
}

// free frees the key of a task that is no more, if it has one.
func (s *Store) free(ctx context.Context, d *document) error {
	if d.Record.Spec.IdempotencyKey == "" {
		return nil
	}
	held := keyOf(d)
	_, err := again(ctx, func() (*mongo.DeleteResult, error) {
		return s.keys.DeleteOne(ctx, bson.D{{Key: "_id", Value: held.ID}, {Key: "creation", Value: held.Creation}})
	})
	return err
}
