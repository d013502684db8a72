package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/task-runner/task-runner/ports"
)

// A task without an idempotency key is one insert. One with a key takes three steps,
// since a transaction is not to be had everywhere:
//
//	insert   the task, pending: nobody sees it
//	claim    the key: an insert, which decides who has it
//	publish  the task: it is no longer pending
//
// Whoever finds that another one has the key publishes that one's task, and discards
// its own. A task is removed before its key is freed. What a crash leaves behind, and
// what becomes of it:
//
//	after insert        a pending task without a key. The next of this ID settles it
//	                    as its creator would have; New removes it after an hour.
//	after claim         a pending task with a key. The next of this ID or of this key
//	                    publishes it; so does New after an hour.
//	after publish       nothing: all is done.
//	before discard      a pending task whose key is another's: as after insert, but
//	                    that the next of this ID discards it.
//	after remove        a key of a task that is no more. The next of this key takes
//	                    it over.
//
// A creator may also be slow instead of dead. Keys and steps are therefore bound to the
// creation and not to the ID, which may come again.

// errSwept is what a creator is told whose task was taken away before it was done.
var errSwept = errors.New("it was removed while it was being created: try again")

// Create implements ports.Store.
func (s *Store) Create(ctx context.Context, task ports.Task) (ports.Task, error) {
	if err := task.ID.Validate(); err != nil {
		return ports.Task{}, err
	}
	d, err := s.create(ctx, newDocument(task))
	if err != nil {
		err = fmt.Errorf("creating task %q: %w", task.ID, err)
	}
	if d == nil {
		return ports.Task{}, err
	}
	return d.Record.task(ports.TaskID(d.ID)).Clone(), err
}

// create returns the document that is stored now, with ErrExists if it is another one.
func (s *Store) create(ctx context.Context, d *document) (*document, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := s.encode(&d.Record); err != nil {
		return nil, err
	}
	for round := 0; ; round++ {
		if err := pause(ctx, round); err != nil {
			return nil, err
		}
		there, err := s.insert(ctx, d)
		switch {
		case err != nil:
			return nil, err
		case there.Creation == d.Creation:
			return s.settle(ctx, d)
		case !there.Pending:
			return there, ports.ErrExists
		}
		// Somebody else is at it, or died at it: that one comes first.
		if _, err := s.settle(ctx, there); err != nil && !errors.Is(err, ports.ErrExists) && !errors.Is(err, errSwept) {
			return nil, err
		}
	}
}

// insert adds d and returns it, or the document of this ID that is there already.
func (s *Store) insert(ctx context.Context, d *document) (*document, error) {
	for round := 0; ; round++ {
		if err := pause(ctx, round); err != nil {
			return nil, err
		}
		_, err := again(ctx, func() (*mongo.InsertOneResult, error) { return s.tasks.InsertOne(ctx, d) })
		if err == nil {
			return d, nil
		}
		if !mongo.IsDuplicateKeyError(err) {
			return nil, err
		}
		there, err := s.find(ctx, text(d.ID))
		if !errors.Is(err, ports.ErrNotFound) {
			return there, err
		}
	}
}

// settle ends the creation of d: it publishes d if that has its key, and else discards
// it and returns the one that has, with ErrExists.
func (s *Store) settle(ctx context.Context, d *document) (*document, error) {
	if !d.Pending {
		return d, nil
	}
	winner, err := s.claim(ctx, d)
	if err != nil {
		return nil, err
	}
	if winner.Creation != d.Creation {
		if err := s.discard(ctx, d); err != nil {
			return nil, err
		}
		return winner, ports.ErrExists
	}
	switch there, err := s.publish(ctx, d); {
	case err != nil:
		return nil, err
	case !there:
		if err := s.free(ctx, d); err != nil {
			return nil, err
		}
		return nil, errSwept
	}
	return d, nil
}

// publish makes the task of this creation visible. It returns false if it is no more.
func (s *Store) publish(ctx context.Context, d *document) (bool, error) {
	filter := bson.D{{Key: "_id", Value: d.ID}, {Key: "creation", Value: d.Creation}}
	answer, err := again(ctx, func() (*mongo.UpdateResult, error) {
		return s.tasks.UpdateOne(ctx, filter, bson.D{{Key: "$unset", Value: bson.D{{Key: "pending", Value: ""}}}})
	})
	return err == nil && answer.MatchedCount == 1, err
}

// discard removes the task of this creation if nobody has seen it.
func (s *Store) discard(ctx context.Context, d *document) error {
	_, err := again(ctx, func() (*mongo.DeleteResult, error) {
		return s.tasks.DeleteOne(ctx, bson.D{{Key: "_id", Value: d.ID}, {Key: "creation", Value: d.Creation}, {Key: "pending", Value: true}})
	})
	return err
}
