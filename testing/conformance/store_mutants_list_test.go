package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
)

var storeListMutants = []mutant[ports.Store]{
	storeMutant("the oldest come first", "List/goes from the newest to the oldest, and by ID where they are equal", func(b *bentStore) {
		b.bendPage(func(_ ports.ListQuery, page *ports.Page) { slices.Reverse(page.Tasks) })
	}),
	storeMutant("equal times are in no order", "List/goes from the newest to the oldest, and by ID where they are equal", func(b *bentStore) {
		b.bendPage(func(_ ports.ListQuery, page *ports.Page) {
			slices.SortStableFunc(page.Tasks, func(a, b ports.Task) int {
				if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
					return c
				}
				return strings.Compare(string(a.ID), string(b.ID))
			})
		})
	}),
	storeMutant("owners see each other", "List/gives the tasks that match all conditions", func(b *bentStore) {
		b.bendQuery(func(q *ports.ListQuery) { q.AnyOwner = true })
	}),
	storeMutant("labels are joined by or", "List/gives the tasks that match all conditions", func(b *bentStore) {
		b.bendQuery(func(q *ports.ListQuery) {
			for k := range q.Labels {
				q.Labels = map[string]string{k: q.Labels[k]}
			}
		})
	}),
	storeMutant("a missing label is an empty one", "List/gives the tasks that match all conditions", func(b *bentStore) {
		b.bendQuery(func(q *ports.ListQuery) {
			q.Labels = maps.Clone(q.Labels)
			maps.DeleteFunc(q.Labels, func(_, v string) bool { return v == "" })
		})
	}),
	storeMutant("before is also at", "List/gives the tasks that match all conditions", func(b *bentStore) {
		b.bendQuery(func(q *ports.ListQuery) {
			if !q.FinishedBefore.IsZero() {
				q.FinishedBefore = q.FinishedBefore.Add(1)
			}
		})
	}),
	storeMutant("only the first status counts", "List/gives the tasks that match all conditions", func(b *bentStore) {
		b.bendQuery(func(q *ports.ListQuery) { q.Statuses = q.Statuses[:min(1, len(q.Statuses))] })
	}),
	storeMutant("a language is ignored", "List/gives the tasks that match all conditions", func(b *bentStore) {
		b.bendQuery(func(q *ports.ListQuery) { q.Language = "" })
	}),
	storeMutant("a limit too high is cut", "List/refuses a limit out of bounds", func(b *bentStore) {
		b.bendQuery(func(q *ports.ListQuery) { q.Limit = min(q.Limit, ports.MaxPage) })
	}),
	storeMutant("the default page is another one", "Paging/has a page of 50 by default", func(b *bentStore) {
		b.bendQuery(func(q *ports.ListQuery) {
			if q.Limit == 0 {
				q.Limit = 20
			}
		})
	}),
	storeMutant("a cursor is an offset", "Paging/visits what was there once while tasks come in between", func(b *bentStore) {
		b.list = func(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
			offset, _ := strconv.Atoi(q.Cursor)
			limit := q.Limit
			q.Limit, q.Cursor = ports.MaxPage, ""
			page, err := b.Store.List(ctx, q)
			tasks := page.Tasks[min(offset, len(page.Tasks)):]
			if len(tasks) <= limit {
				return ports.Page{Tasks: tasks}, err
			}
			return ports.Page{Tasks: tasks[:limit], Next: strconv.Itoa(offset + limit)}, err
		}
	}),
	storeMutant("equal times are skipped", "Paging/visits every task once, whatever the size of a page", func(b *bentStore) {
		var last time.Time
		b.list = func(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
			page, err := b.Store.List(ctx, q)
			if q.Cursor != "" {
				page.Tasks = slices.DeleteFunc(page.Tasks, func(task ports.Task) bool { return !task.CreatedAt.Before(last) })
			}
			if len(page.Tasks) > 0 {
				last = page.Tasks[len(page.Tasks)-1].CreatedAt
			}
			return page, err
		}
	}),
	storeMutant("a full page has a next", "Paging/fills every page but the last, which has no next", func(b *bentStore) {
		b.bendPage(func(q ports.ListQuery, page *ports.Page) {
			if page.Next == "" && len(page.Tasks) == q.Limit {
				page.Next = "end"
			}
		})
	}),
	storeMutant("a bad cursor is the start", "Paging/refuses a cursor that no page gave", func(b *bentStore) {
		b.list = func(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
			page, err := b.Store.List(ctx, q)
			if errors.Is(err, ports.ErrInvalid) && len(q.Cursor) == 1 {
				q.Cursor = ""
				return b.Store.List(ctx, q)
			}
			return page, err
		}
	}),
	storeMutant("a bad cursor is told as a bad limit", "Paging/refuses a cursor that no page gave", func(b *bentStore) {
		b.list = func(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
			page, err := b.Store.List(ctx, q)
			if errors.Is(err, ports.ErrInvalid) {
				err = ports.Invalid("limit", "is wrong")
			}
			return page, err
		}
	}),
	storeMutant("a list has half of each task", "List/gives whole tasks", func(b *bentStore) {
		b.bendPage(func(_ ports.ListQuery, page *ports.Page) {
			for i := range page.Tasks {
				page.Tasks[i].Result = nil
			}
		})
	}),
}

var storeContentMutants = []mutant[ports.Store]{
	storeMutant("code is text", "Content/keeps every field and every byte", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.Spec.Code = strings.ToValidUTF8(task.Spec.Code, "\ufffd") })
	}),
	storeMutant("bytes end at NUL", "Content/keeps every field and every byte", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.Spec.Stdin, _, _ = bytes.Cut(task.Spec.Stdin, []byte{0}) })
	}),
	storeMutant("labels with dots are lost", "Content/keeps every field and every byte", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) {
			maps.DeleteFunc(task.Spec.Labels, func(k, _ string) bool { return strings.Contains(k, ".") })
		})
	}),
	storeMutant("a field is forgotten", "Content/keeps every field and every byte", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.Spec.Limits.Disk = 0 })
	}),
	storeMutant("the trace is forgotten", "Content/keeps every field and every byte", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.TraceParent = "" })
	}),
	storeMutant("unknown is zero", "Content/tells usage that is unknown from usage that is zero", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) {
			if task.Result.Usage.CPUTime == nil {
				task.Result.Usage.CPUTime = new(time.Duration)
			}
		})
	}),
	storeMutant("zero is unknown", "Content/tells usage that is unknown from usage that is zero", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) {
			if m := task.Result.Usage.PeakMemory; m != nil && *m == 0 {
				task.Result.Usage.PeakMemory = nil
			}
		})
	}),
	storeMutant("an empty result is none", "Content/tells no result from an empty one", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) {
			if task.Result != nil && task.Result.Cause == "" {
				task.Result = nil
			}
		})
	}),
	storeMutant("times are kept to the second", "Content/keeps times to the millisecond, and none as none", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.CreatedAt = task.CreatedAt.Truncate(time.Second) })
	}),
	storeMutant("no time is 1970", "Content/keeps times to the millisecond, and none as none", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.FinishedAt = time.UnixMilli(0) })
	}),
	storeMutant("what is large is cut", "Content/keeps 10 MiB of input", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.Spec.Files = task.Spec.Files[:min(8, len(task.Spec.Files))] })
	}),
	storeMutant("the argument is kept", "Copies/keeps nothing that it was passed", (*bentStore).sharing),
	storeMutant("the result is shared", "Copies/gives every caller a copy of its own", (*bentStore).sharing),
	storeMutant("the argument is changed", "Copies/changes nothing that it was passed", func(b *bentStore) {
		b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			stored, err := b.Store.Create(ctx, task)
			task.Spec.Labels["seen"] = "yes"
			return stored, err
		}
	}),
}
