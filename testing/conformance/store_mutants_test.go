package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/task-runner/task-runner/ports"
)

// bentStore is a store some of whose methods are replaced.
type bentStore struct {
	ports.Store
	create func(context.Context, ports.Task) (ports.Task, error)
	get    func(context.Context, ports.TaskID) (ports.Task, error)
	update func(context.Context, ports.Task) (ports.Task, error)
	list   func(context.Context, ports.ListQuery) (ports.Page, error)
	delete func(context.Context, ports.TaskID, int64) error
}

// storeMutant returns a mutant that bends a store.
func storeMutant(name, noticedBy string, bend func(b *bentStore)) mutant[ports.Store] {
	return mutant[ports.Store]{name, noticedBy, func(s ports.Store) ports.Store {
		b := &bentStore{Store: s, create: s.Create, get: s.Get, update: s.Update, list: s.List, delete: s.Delete}
		bend(b)
		return b
	}}
}

func (b *bentStore) Create(ctx context.Context, task ports.Task) (ports.Task, error) {
	return b.create(ctx, task)
}

func (b *bentStore) Get(ctx context.Context, id ports.TaskID) (ports.Task, error) {
	return b.get(ctx, id)
}

func (b *bentStore) Update(ctx context.Context, task ports.Task) (ports.Task, error) {
	return b.update(ctx, task)
}

func (b *bentStore) List(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
	return b.list(ctx, q)
}

func (b *bentStore) Delete(ctx context.Context, id ports.TaskID, version int64) error {
	return b.delete(ctx, id, version)
}

// bendStored passes every task through f before it is stored.
func (b *bentStore) bendStored(f func(*ports.Task)) {
	b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
		task = task.Clone()
		f(&task)
		return b.Store.Create(ctx, task)
	}
}

// bendQuery passes every query through f.
func (b *bentStore) bendQuery(f func(*ports.ListQuery)) {
	b.list = func(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
		f(&q)
		return b.Store.List(ctx, q)
	}
}

// bendPage passes every page through f.
func (b *bentStore) bendPage(f func(ports.ListQuery, *ports.Page)) {
	b.list = func(ctx context.Context, q ports.ListQuery) (ports.Page, error) {
		page, err := b.Store.List(ctx, q)
		f(q, &page)
		return page, err
	}
}

// blind makes updates and deletes disregard the version they are given.
func (b *bentStore) blind() {
	b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
		now, err := b.Store.Get(ctx, task.ID)
		if err != nil {
			return ports.Task{}, err
		}
		task.Version = now.Version
		return b.Store.Update(ctx, task)
	}
	b.delete = func(ctx context.Context, id ports.TaskID, _ int64) error {
		now, err := b.Store.Get(ctx, id)
		if err != nil {
			return err
		}
		return b.Store.Delete(ctx, id, now.Version)
	}
}

// sharing makes the store give out the very task that it was passed.
func (b *bentStore) sharing() {
	shared := map[ports.TaskID]ports.Task{}
	b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
		stored, err := b.Store.Create(ctx, task)
		if err == nil {
			task.Version = 1
			shared[task.ID] = task
		}
		return stored, err
	}
	b.get = func(_ context.Context, id ports.TaskID) (ports.Task, error) { return shared[id], nil }
}

var storeMutants = slices.Concat(storeWriteMutants, storeListMutants, storeContentMutants)

var storeWriteMutants = []mutant[ports.Store]{
	storeMutant("Create keeps the version it is given", "Create/stores a task at version 1, whatever version it is given", func(b *bentStore) {
		b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			stored, err := b.Store.Create(ctx, task)
			stored.Version = task.Version
			return stored, err
		}
	}),
	storeMutant("Create overwrites", "Create/refuses an ID that is taken and returns its task", func(b *bentStore) {
		b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			_ = b.Store.Delete(ctx, task.ID, 1)
			return b.Store.Create(ctx, task)
		}
	}),
	storeMutant("a refused Create returns what it was passed", "Create/refuses an ID that is taken and returns its task", func(b *bentStore) {
		b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			stored, err := b.Store.Create(ctx, task)
			if err != nil {
				return task, err
			}
			return stored, nil
		}
	}),
	storeMutant("idempotency keys are ignored", "Create/refuses an idempotency key that is taken and returns its task", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.Spec.IdempotencyKey = "" })
	}),
	storeMutant("idempotency keys are everybody's", "Create/keeps the idempotency keys of owners apart", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.Owner = "" })
	}),
	storeMutant("owner and key are joined", "Create/keeps the idempotency keys of owners apart", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) {
			task.Owner, task.Spec.IdempotencyKey = "", task.Owner+":"+task.Spec.IdempotencyKey
		})
	}),
	storeMutant("the empty key is a key", "Create/takes an empty idempotency key for none", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.Spec.IdempotencyKey += "x" })
	}),
	storeMutant("a refused Create takes its key along", "Create/refuses an ID that is taken and returns its task", func(b *bentStore) {
		taken := map[string]bool{}
		b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			if key := task.Spec.IdempotencyKey; key != "" && taken[key] {
				return ports.Task{}, fmt.Errorf("creating: %w", ports.ErrExists)
			}
			taken[task.Spec.IdempotencyKey] = true
			return b.Store.Create(ctx, task)
		}
	}),
	storeMutant("IDs are folded", "Create/takes every valid ID, each for itself", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.ID = ports.TaskID(strings.ToLower(string(task.ID))) })
	}),
	storeMutant("a bad ID is mended", "Create/refuses what is no ID and stores nothing", func(b *bentStore) {
		b.bendStored(func(task *ports.Task) { task.ID = ports.TaskID(fmt.Sprintf("%.100x", "x"+task.ID)) })
	}),
	storeMutant("two can create one task", "Concurrency/lets one of many creates of one ID win", func(b *bentStore) {
		b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			stored, err := b.Store.Create(ctx, task)
			if errors.Is(err, ports.ErrExists) {
				return stored, nil
			}
			return stored, err
		}
	}),
	storeMutant("an ID is a prefix", "Get/knows no task that was not created", func(b *bentStore) {
		b.get = func(ctx context.Context, id ports.TaskID) (ports.Task, error) {
			return b.Store.Get(ctx, id[:1])
		}
	}),
	storeMutant("reads are behind", "Get/sees every write that returned before", func(b *bentStore) {
		old := map[ports.TaskID]ports.Task{}
		b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			old[task.ID], _ = b.Store.Get(ctx, task.ID)
			return b.Store.Update(ctx, task)
		}
		b.get = func(_ context.Context, id ports.TaskID) (ports.Task, error) { return old[id], nil }
	}),
	storeMutant("any version may update", "Update/refuses any version but the stored one and changes nothing", (*bentStore).blind),
	storeMutant("an increment is lost", "Concurrency/loses no increment", (*bentStore).blind),
	storeMutant("two can update one version", "Concurrency/lets one of many updates of one version win", (*bentStore).blind),
	storeMutant("any version may delete", "Delete/refuses any version but the stored one and removes nothing", (*bentStore).blind),
	storeMutant("an update undoes a delete", "Concurrency/lets either an update or a delete of one version win", func(b *bentStore) {
		b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			updated, err := b.Store.Update(ctx, task)
			if errors.Is(err, ports.ErrNotFound) {
				return task, nil
			}
			return updated, err
		}
		b.delete = func(ctx context.Context, id ports.TaskID, version int64) error {
			err := b.Store.Delete(ctx, id, version)
			if errors.Is(err, ports.ErrConflict) {
				return nil
			}
			return err
		}
	}),
	storeMutant("Update creates", "Update/knows no task that was not created and creates none", func(b *bentStore) {
		b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			updated, err := b.Store.Update(ctx, task)
			if errors.Is(err, ports.ErrNotFound) {
				return b.Store.Create(ctx, task)
			}
			return updated, err
		}
	}),
	storeMutant("Update leaves what is not set", "Update/takes away what the new task does not have", func(b *bentStore) {
		b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			if now, err := b.Store.Get(ctx, task.ID); err == nil && task.Result == nil {
				task.Result = now.Result
			}
			return b.Store.Update(ctx, task)
		}
	}),
	storeMutant("Update overlooks what it may not change", "Update/never changes what a task is known by", func(b *bentStore) {
		b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			stored, err := b.Store.Get(ctx, task.ID)
			if err != nil {
				return ports.Task{}, err
			}
			task.Owner, task.CreatedAt = stored.Owner, stored.CreatedAt
			task.Spec.IdempotencyKey = stored.Spec.IdempotencyKey
			return b.Store.Update(ctx, task)
		}
	}),
	storeMutant("Update changes the owner", "Update/never changes what a task is known by", func(b *bentStore) {
		b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			updated, err := b.Store.Update(ctx, task)
			if errors.Is(err, ports.ErrInvalid) {
				_ = b.Store.Delete(ctx, task.ID, task.Version)
				return b.Store.Create(ctx, task)
			}
			return updated, err
		}
	}),
	storeMutant("a version does not grow", "Update/replaces the task and raises its version by one", func(b *bentStore) {
		b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			updated, err := b.Store.Update(ctx, task)
			updated.Version = task.Version
			return updated, err
		}
	}),
	storeMutant("a stale version is told as a missing task", "Update/refuses any version but the stored one and changes nothing", func(b *bentStore) {
		b.update = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			updated, err := b.Store.Update(ctx, task)
			if errors.Is(err, ports.ErrConflict) {
				err = fmt.Errorf("updating: %w", ports.ErrNotFound)
			}
			return updated, err
		}
	}),
	storeMutant("Delete keeps the idempotency key", "Delete/frees the ID and the idempotency key", func(b *bentStore) {
		b.delete = func(ctx context.Context, id ports.TaskID, version int64) error {
			task, _ := b.Store.Get(ctx, id)
			err := b.Store.Delete(ctx, id, version)
			if err == nil {
				task.ID += "-ghost"
				_, _ = b.Store.Create(ctx, task)
			}
			return err
		}
	}),
	storeMutant("Delete can be repeated", "Delete/removes the task from everywhere", func(b *bentStore) {
		b.delete = func(ctx context.Context, id ports.TaskID, version int64) error {
			if err := b.Store.Delete(ctx, id, version); !errors.Is(err, ports.ErrNotFound) {
				return err
			}
			return nil
		}
	}),
	storeMutant("a done context is ignored", "Context/does nothing in a context that is done", func(b *bentStore) {
		b.delete = func(ctx context.Context, id ports.TaskID, version int64) error {
			if err := b.Store.Delete(context.WithoutCancel(ctx), id, version); err != nil {
				return err
			}
			return ctx.Err()
		}
	}),
	storeMutant("a full store drops what comes", "Full/refuses a task for which it has no room and stays usable", func(b *bentStore) {
		b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			stored, err := b.Store.Create(ctx, task)
			if errors.Is(err, ports.ErrFull) {
				return task, nil
			}
			return stored, err
		}
	}),
	storeMutant("a full store does not know what it has", "Full/knows a task that it has although it is full", func(b *bentStore) {
		full := false
		b.create = func(ctx context.Context, task ports.Task) (ports.Task, error) {
			if full {
				return ports.Task{}, fmt.Errorf("creating: %w", ports.ErrFull)
			}
			stored, err := b.Store.Create(ctx, task)
			full = errors.Is(err, ports.ErrFull)
			return stored, err
		}
	}),
}
