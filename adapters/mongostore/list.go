package mongostore

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/ports"
)

// List implements ports.Store.
func (s *Store) List(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
	if q.Limit < 0 || q.Limit > ports.MaxPage {
		return ports.Page{}, ports.Invalid("limit", "must be between 1 and %d", ports.MaxPage)
	}
	if q.Limit == 0 {
		q.Limit = ports.DefaultPage
	}
	filter := filterOf(&q)
	if q.Cursor != "" {
		p, err := parseCursor(q.Cursor)
		if err != nil {
			return ports.Page{}, err
		}
		filter = append(filter, p.after()...)
	}
	tasks, err := s.list(ctx, filter, q.Limit+1)
	if err != nil {
		return ports.Page{}, fmt.Errorf("listing tasks: %w", err)
	}
	page := ports.Page{Tasks: tasks}
	if len(tasks) > q.Limit {
		page.Tasks = tasks[:q.Limit]
		last := tasks[q.Limit-1]
		page.Next = position{last.CreatedAt.UnixMilli(), last.ID}.cursor()
	}
	return page, nil
}

// list returns the first of the tasks that the filter matches.
func (s *Store) list(ctx context.Context, filter bson.D, limit int) ([]ports.Task, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := s.tasks.Find(ctx, filter, options.Find().SetLimit(int64(limit)).
		SetSort(bson.D{{Key: "created_at", Value: -1}, {Key: "_id", Value: -1}}))
	if err != nil {
		return nil, cause(ctx, err)
	}
	defer func() { _ = found.Close(context.WithoutCancel(ctx)) }()
	var tasks []ports.Task
	for found.Next(ctx) {
		d, err := decode(found.Current)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, d.Record.task(ports.TaskID(d.ID)))
	}
	return tasks, cause(ctx, found.Err())
}

// filterOf returns the filter of q without its cursor. All that comes from the caller
// is a value, a string or binary, and never an operator.
func filterOf(q *ports.ListQuery) bson.D {
	filter := bson.D{notPending}
	add := func(field string, condition any) { filter = append(filter, bson.E{Key: field, Value: condition}) }
	if !q.AnyOwner {
		add("owner", text(q.Owner))
	}
	if len(q.Statuses) > 0 {
		add("status", bson.D{{Key: "$in", Value: convert(q.Statuses, func(s ports.Status) text { return text(s) })}})
	}
	if q.Language != "" {
		add("spec.language", text(q.Language))
	}
	if !q.FinishedBefore.IsZero() {
		// What is kept has whole milliseconds: up, or the last one would be left out.
		add("finished_at", bson.D{{Key: "$lt", Value: millis(q.FinishedBefore.Add(time.Millisecond - 1))}})
	}
	if len(q.Labels) > 0 {
		add("spec.labels", bson.D{{Key: "$all", Value: pairs(q.Labels)}})
	}
	return filter
}
