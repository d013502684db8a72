package mongostore

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/ports"
)

// maxPageBytes ends a page whose documents have as many bytes, however few they are:
// 500 of the largest would be 8 GB. MongoDB's own answers are no larger.
const maxPageBytes = 16 << 20

// List implements ports.Store. A page of large tasks is shorter than its limit.
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
	page, err := s.page(ctx, filter, q.Limit)
	if err != nil {
		return ports.Page{}, fmt.Errorf("listing tasks: %w", err)
	}
	return page, nil
}

// page returns the first page of the tasks that the filter matches. One document more
// is asked for, which tells whether there is another page.
func (s *Store) page(ctx context.Context, filter bson.D, limit int) (ports.Page, error) {
	var page ports.Page
	if err := ctx.Err(); err != nil {
		return page, err
	}
	found, err := s.tasks.Find(ctx, filter, options.Find().SetLimit(int64(limit+1)).
		SetSort(bson.D{{Key: "created_at", Value: -1}, {Key: "_id", Value: -1}}))
	if err != nil {
		return page, cause(ctx, err)
	}
	// In a context that is done the server is told nothing, as it may not answer, and
	// ends what it keeps for the cursor by its own clock.
	defer func() { _ = found.Close(ctx) }()
	for size := 0; found.Next(ctx); size += len(found.Current) {
		if n := len(page.Tasks); n == limit || size >= s.pageBytes {
			last := page.Tasks[n-1]
			page.Next = position{last.CreatedAt.UnixMilli(), last.ID}.cursor()
			return page, nil
		}
		d, err := decode(found.Current)
		if err != nil {
			return page, err
		}
		page.Tasks = append(page.Tasks, d.Record.task(ports.TaskID(d.ID)))
	}
	return page, cause(ctx, found.Err())
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
