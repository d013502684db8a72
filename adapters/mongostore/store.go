package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/ports"
)

// notPending is the condition of what may be seen.
var notPending = bson.E{Key: "pending", Value: bson.D{{Key: "$exists", Value: false}}}

// named returns the filter of one task that may be seen. The ID is whatever the
// caller gave.
func named(id ports.TaskID) bson.D {
	return bson.D{{Key: "_id", Value: text(id)}, notPending}
}

// Get implements ports.Store.
func (s *Store) Get(ctx context.Context, id ports.TaskID) (ports.Task, error) {
	d, err := s.visible(ctx, id)
	if err != nil {
		return ports.Task{}, fmt.Errorf("getting task %q: %w", id, err)
	}
	return d.Record.task(id), nil
}

// visible returns the task of this ID. ErrNotFound: there is none that may be seen.
func (s *Store) visible(ctx context.Context, id ports.TaskID) (*document, error) {
	d, err := s.find(ctx, text(id))
	if err == nil && d.Pending {
		return nil, ports.ErrNotFound
	}
	return d, err
}

// find returns the task of this ID, pending or not. ErrNotFound: there is none. It
// asks for the ID alone, which is all that FerretDB looks up in an index.
func (s *Store) find(ctx context.Context, id text) (*document, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	raw, err := s.tasks.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, ports.ErrNotFound
	}
	if err != nil {
		return nil, cause(ctx, err)
	}
	return decode(raw)
}

// Update implements ports.Store.
func (s *Store) Update(ctx context.Context, task ports.Task) (ports.Task, error) {
	r, err := s.update(ctx, task)
	if err != nil {
		return ports.Task{}, fmt.Errorf("updating task %q: %w", task.ID, err)
	}
	return r.task(task.ID).Clone(), nil
}

func (s *Store) update(ctx context.Context, task ports.Task) (*record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	version := task.Version
	task.Version++
	r := newRecord(task)
	raw, err := s.encode(&r)
	if err != nil {
		return nil, err
	}
	filter := append(named(task.ID),
		bson.E{Key: "schema", Value: schema},
		bson.E{Key: "version", Value: version},
		bson.E{Key: "owner", Value: r.Owner},
		bson.E{Key: "spec.idempotency_key", Value: r.Spec.IdempotencyKey},
		bson.E{Key: "created_at", Value: r.CreatedAt},
	)
	// Fields that are set leave alone what a later version keeps beside them.
	answer, err := again(ctx, func() (*mongo.UpdateResult, error) {
		return s.tasks.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: raw}})
	})
	if err != nil {
		return nil, err
	}
	if answer.MatchedCount == 1 {
		return &r, nil
	}
	stored, err := s.visible(ctx, task.ID)
	if err != nil {
		return nil, err
	}
	if stored.Record.Write == r.Write {
		return &r, nil // the first answer was lost
	}
	return nil, refusal(&stored.Record, &r, version)
}

// refusal says why stored did not become next, which was read at version.
func refusal(stored, next *record, version int64) error {
	switch {
	case stored.Version != version:
		return conflict(stored.Version, version)
	case stored.Owner != next.Owner:
		return ports.Invalid("owner", "cannot be changed")
	case stored.Spec.IdempotencyKey != next.Spec.IdempotencyKey:
		return ports.Invalid("idempotency_key", "cannot be changed")
	case !stored.CreatedAt.Equal(next.CreatedAt):
		return ports.Invalid("created_at", "cannot be changed")
	}
	return fmt.Errorf("the task changed meanwhile: %w", ports.ErrConflict)
}

func conflict(stored, given int64) error {
	return fmt.Errorf("version is %d and not %d: %w", stored, given, ports.ErrConflict)
}

// Delete implements ports.Store.
func (s *Store) Delete(ctx context.Context, id ports.TaskID, version int64) error {
	if err := s.delete(ctx, id, version); err != nil {
		return fmt.Errorf("deleting task %q: %w", id, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, id ports.TaskID, version int64) error {
	for round := 0; ; round++ {
		if err := pause(ctx, round); err != nil {
			return err
		}
		d, err := s.known(ctx, id)
		if err != nil {
			return err
		}
		if d.Record.Version != version {
			return conflict(d.Record.Version, version)
		}
		gone, err := s.remove(ctx, d)
		if err != nil {
			return err
		}
		if gone {
			return s.free(ctx, d)
		}
	}
}

// known returns what a task is known by, and its version.
func (s *Store) known(ctx context.Context, id ports.TaskID) (*document, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	raw, err := s.tasks.FindOne(ctx, bson.D{{Key: "_id", Value: text(id)}}, options.FindOne().SetProjection(bson.D{
		{Key: "schema", Value: 1}, {Key: "creation", Value: 1}, {Key: "pending", Value: 1}, {Key: "version", Value: 1},
		{Key: "owner", Value: 1}, {Key: "spec.idempotency_key", Value: 1},
	})).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, ports.ErrNotFound
	}
	if err != nil {
		return nil, cause(ctx, err)
	}
	d, err := decode(raw)
	if err == nil && d.Pending {
		return nil, ports.ErrNotFound
	}
	return d, err
}

// remove removes a task, but not its key, and reports whether it was as given. A lost
// answer is not asked for again: the second one would deny the first.
func (s *Store) remove(ctx context.Context, d *document) (bool, error) {
	answer, err := s.tasks.DeleteOne(ctx, bson.D{
		{Key: "_id", Value: d.ID}, {Key: "creation", Value: d.Creation}, {Key: "version", Value: d.Record.Version},
	})
	if err != nil {
		return false, cause(ctx, err)
	}
	return answer.DeletedCount == 1, nil
}
