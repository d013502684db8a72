package conformance_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/task-runner/task-runner/ports"
)

// bentBus is a bus some of whose methods are replaced.
type bentBus struct {
	ports.EventBus
	publish   func(context.Context, ports.Event) (ports.EventID, error)
	subscribe func(context.Context, ports.TaskID, ports.Position) (ports.Subscription, error)
	delete    func(context.Context, ports.TaskID) error
	mu        sync.Mutex
	count     int
}

// bentSubscription is a subscription some of whose methods are replaced.
type bentSubscription struct {
	next  func(context.Context) (ports.Event, error)
	close func() error
}

func (s *bentSubscription) Next(ctx context.Context) (ports.Event, error) { return s.next(ctx) }
func (s *bentSubscription) Close() error                                  { return s.close() }

// busMutant returns a mutant that bends a bus.
func busMutant(name, noticedBy string, bend func(b *bentBus)) mutant[ports.EventBus] {
	return mutant[ports.EventBus]{name, noticedBy, func(e ports.EventBus) ports.EventBus {
		b := &bentBus{EventBus: e, publish: e.Publish, subscribe: e.Subscribe, delete: e.Delete}
		bend(b)
		return b
	}}
}

func (b *bentBus) Publish(ctx context.Context, e ports.Event) (ports.EventID, error) {
	return b.publish(ctx, e)
}

func (b *bentBus) Subscribe(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
	return b.subscribe(ctx, id, from)
}

func (b *bentBus) Delete(ctx context.Context, id ports.TaskID) error { return b.delete(ctx, id) }

// bendPublished passes every event through f.
func (b *bentBus) bendPublished(f func(*ports.Event)) {
	b.publish = func(ctx context.Context, e ports.Event) (ports.EventID, error) {
		e = e.Clone()
		f(&e)
		return b.EventBus.Publish(ctx, e)
	}
}

// bendPosition passes every position through f.
func (b *bentBus) bendPosition(f func(*ports.Position)) {
	b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
		f(&from)
		return b.EventBus.Subscribe(ctx, id, from)
	}
}

// bendSubscription bends every subscription.
func (b *bentBus) bendSubscription(bend func(ports.Subscription, *bentSubscription)) {
	b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
		s, err := b.EventBus.Subscribe(ctx, id, from)
		if err != nil {
			return nil, err
		}
		bent := &bentSubscription{s.Next, s.Close}
		bend(s, bent)
		return bent, nil
	}
}

// forgiving makes Subscribe start over where it should refuse with this error.
func (b *bentBus) forgiving(refusal error) {
	b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
		s, err := b.EventBus.Subscribe(ctx, id, from)
		if errors.Is(err, refusal) && id.Validate() == nil {
			return b.EventBus.Subscribe(ctx, id, ports.Position{})
		}
		return s, err
	}
}

var busMutants = slices.Concat(busPublishMutants, busSubscribeMutants, busNextMutants)

var busPublishMutants = []mutant[ports.EventBus]{
	busMutant("data is text", "Publish/keeps every field and every byte", func(b *bentBus) {
		b.bendPublished(func(e *ports.Event) { e.Data = []byte(strings.ToValidUTF8(string(e.Data), "?")) })
	}),
	busMutant("a field is forgotten", "Publish/keeps every field and every byte", func(b *bentBus) {
		b.bendPublished(func(e *ports.Event) { e.Sample.CPU = 0 })
	}),
	busMutant("what is large is cut", "Publish/keeps every field and every byte", func(b *bentBus) {
		b.bendPublished(func(e *ports.Event) { e.Data = e.Data[:min(len(e.Data), 32<<10)] })
	}),
	busMutant("IDs have other characters", "Publish/gives every event of a topic an ID of its own, whatever it had", func(b *bentBus) {
		b.publish = func(ctx context.Context, e ports.Event) (ports.EventID, error) {
			id, err := b.EventBus.Publish(ctx, e)
			return "ID_" + id, err
		}
	}),
	busMutant("an event keeps the ID it came with", "Publish/gives every event of a topic an ID of its own, whatever it had", func(b *bentBus) {
		b.publish = func(ctx context.Context, e ports.Event) (ports.EventID, error) {
			id, err := b.EventBus.Publish(ctx, e)
			if e.ID != "" {
				id = e.ID
			}
			return id, err
		}
	}),
	busMutant("events change places", "Publish/keeps the order of a publisher", swapping(1)),
	busMutant("topics are folded", "Publish/keeps the topics of all valid IDs apart", func(b *bentBus) {
		lower := func(id ports.TaskID) ports.TaskID { return ports.TaskID(strings.ToLower(string(id))) }
		b.bendPublished(func(e *ports.Event) { e.Task = lower(e.Task) })
		b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
			return b.EventBus.Subscribe(ctx, lower(id), from)
		}
	}),
	busMutant("a bad ID is mended", "Publish/refuses what is no ID", func(b *bentBus) {
		b.bendPublished(func(e *ports.Event) { e.Task = ports.TaskID(fmt.Sprintf("%.100x", "x"+e.Task)) })
	}),
	busMutant("readers share the data", "Publish/keeps nothing that it was passed and gives every reader a copy", func(b *bentBus) {
		data := map[ports.EventID][]byte{}
		b.publish = func(ctx context.Context, e ports.Event) (ports.EventID, error) {
			id, err := b.EventBus.Publish(ctx, e)
			data[id] = e.Data
			return id, err
		}
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			bent.next = func(ctx context.Context) (ports.Event, error) {
				e, err := s.Next(ctx)
				e.Data = data[e.ID]
				return e, err
			}
		})
	}),
	busMutant("a publisher waits for its slowest reader", "Next/holds nobody up when nobody calls it", func(b *bentBus) {
		b.publish = func(ctx context.Context, e ports.Event) (ports.EventID, error) {
			b.count++
			if b.count > 100 { // and nobody has read them all
				<-ctx.Done()
				return "", fmt.Errorf("publishing: %w", ctx.Err())
			}
			return b.EventBus.Publish(ctx, e)
		}
	}),
	busMutant("a slow reader misses events", "Next/holds nobody up when nobody calls it", func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			read := 0
			bent.next = func(ctx context.Context) (ports.Event, error) {
				if read++; read == 101 {
					_, _ = s.Next(ctx)
				}
				return s.Next(ctx)
			}
		})
	}),
	busMutant("readers see different orders", "Concurrency/has one order for all readers, and keeps that of every publisher", swapping(2)),
	busMutant("a done context is ignored", "Context/does nothing in a context that is done", func(b *bentBus) {
		b.publish = func(ctx context.Context, e ports.Event) (ports.EventID, error) {
			id, err := b.EventBus.Publish(context.WithoutCancel(ctx), e)
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return id, err
		}
	}),
	busMutant("a full bus drops what comes", "Full/refuses an event for which it has no room and stays usable", func(b *bentBus) {
		b.publish = func(ctx context.Context, e ports.Event) (ports.EventID, error) {
			id, err := b.EventBus.Publish(ctx, e)
			if errors.Is(err, ports.ErrFull) {
				return "1", nil
			}
			return id, err
		}
	}),
}

// swapping makes every nth subscription give its first two events in the wrong
// order.
func swapping(n int) func(b *bentBus) {
	return func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			b.mu.Lock()
			b.count++
			swap := b.count%n == 0
			b.mu.Unlock()
			var first *ports.Event
			read := 0
			bent.next = func(ctx context.Context) (ports.Event, error) {
				if read++; !swap || read > 2 {
					return s.Next(ctx)
				}
				if first != nil {
					return *first, nil
				}
				e, err := s.Next(ctx)
				if err != nil {
					return e, err
				}
				first = &e
				return s.Next(ctx)
			}
		})
	}
}

var busSubscribeMutants = []mutant[ports.EventBus]{
	busMutant("what was published before is lost", "Subscribe/starts at the beginning", func(b *bentBus) {
		b.bendPosition(func(from *ports.Position) { from.Now = from.After == "" })
	}),
	busMutant("a reader joins at its first Next", "Subscribe/starts now, at a place that is fixed when it returns", func(b *bentBus) {
		b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
			var s ports.Subscription
			return &bentSubscription{
				next: func(ctx context.Context) (ports.Event, error) {
					if s == nil {
						var err error
						if s, err = b.EventBus.Subscribe(ctx, id, from); err != nil {
							return ports.Event{}, err
						}
					}
					return s.Next(ctx)
				},
				close: func() error { return nil },
			}, nil
		}
	}),
	busMutant("a reader resumes at its last event", "Subscribe/starts just behind any event", func(b *bentBus) {
		before := map[ports.EventID]ports.EventID{}
		var last ports.EventID
		b.publish = func(ctx context.Context, e ports.Event) (ports.EventID, error) {
			id, err := b.EventBus.Publish(ctx, e)
			before[id], last = last, id
			return id, err
		}
		b.bendPosition(func(from *ports.Position) { from.After = before[from.After] })
	}),
	busMutant("a reader that resumes misses an event", "Subscribe/sees each event once when it resumes again and again", func(b *bentBus) {
		b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
			s, err := b.EventBus.Subscribe(ctx, id, from)
			if from.After != "" && err == nil {
				_, err = s.Next(ctx)
			}
			return s, err
		}
	}),
	busMutant("now wins over after", "Subscribe/refuses a position that means two things", func(b *bentBus) {
		b.bendPosition(func(from *ports.Position) {
			if from.Now {
				from.After = ""
			}
		})
	}),
	busMutant("a bad ID is the start", "Subscribe/refuses an ID that is not one of its own", func(b *bentBus) { b.forgiving(ports.ErrInvalid) }),
	busMutant("an ID is trimmed of spaces", "Subscribe/refuses an ID that is not one of its own", func(b *bentBus) {
		b.bendPosition(func(from *ports.Position) { from.After = ports.EventID(strings.TrimSpace(string(from.After))) })
	}),
	busMutant("a subscription ends with Subscribe's context", "Context/goes on with a subscription whose Subscribe had a context that ended", func(b *bentBus) {
		b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
			s, err := b.EventBus.Subscribe(ctx, id, from)
			if err != nil {
				return nil, err
			}
			return &bentSubscription{func(inner context.Context) (ports.Event, error) {
				if ctx.Err() != nil {
					return ports.Event{}, ctx.Err()
				}
				return s.Next(inner)
			}, s.Close}, nil
		}
	}),
	busMutant("Delete ends nobody", "Delete/ends the subscriptions that are open", func(b *bentBus) {
		b.delete = func(ctx context.Context, _ ports.TaskID) error { return ctx.Err() }
	}),
	busMutant("Delete ends nobody where there was no event", "Delete/ends the subscriptions that are open", func(b *bentBus) {
		there := map[ports.TaskID]bool{}
		b.bendPublished(func(e *ports.Event) { there[e.Task] = true })
		b.delete = func(ctx context.Context, id ports.TaskID) error {
			if !there[id] {
				return ctx.Err()
			}
			return b.EventBus.Delete(ctx, id)
		}
	}),
	busMutant("an old ID starts over", "Delete/makes the old IDs worth nothing, for ever", func(b *bentBus) { b.forgiving(ports.ErrGone) }),
	busMutant("an old ID is a bad one", "Delete/makes the old IDs worth nothing, for ever", func(b *bentBus) {
		b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
			s, err := b.EventBus.Subscribe(ctx, id, from)
			if errors.Is(err, ports.ErrGone) {
				err = ports.Invalid("after", "is unknown")
			}
			return s, err
		}
	}),
	busMutant("an old reader goes on in the new topic", "Delete/keeps an old subscription from the events of a new topic", func(b *bentBus) { restarting(b, ports.ErrGone) }),
	busMutant("Delete takes an ID for a prefix", "Delete/removes no other topic", func(b *bentBus) {
		b.delete = func(ctx context.Context, id ports.TaskID) error {
			_ = b.EventBus.Delete(ctx, id+"1")
			return b.EventBus.Delete(ctx, id)
		}
	}),
	busMutant("Delete judges the ID", "Delete/removes what is not there without an error", func(b *bentBus) {
		b.delete = func(ctx context.Context, id ports.TaskID) error {
			return cmp.Or(id.Validate(), b.EventBus.Delete(ctx, id))
		}
	}),
	busMutant("Delete needs a topic", "Delete/removes what is not there without an error", func(b *bentBus) {
		deleted := map[ports.TaskID]bool{}
		b.delete = func(ctx context.Context, id ports.TaskID) error {
			if deleted[id] {
				return fmt.Errorf("deleting: %w", ports.ErrNotFound)
			}
			deleted[id] = true
			return b.EventBus.Delete(ctx, id)
		}
	}),
	busMutant("a trimmed ID starts at what is left", "Trim/tells who resumes behind an event that too much was trimmed", func(b *bentBus) { b.forgiving(ports.ErrGone) }),
	busMutant("a reader that was too slow goes on behind the gap", "Trim/tells a reader that was too slow, and leaves it no gap", func(b *bentBus) { restarting(b, ports.ErrGone) }),
	busMutant("what is left has a gap", "Trim/starts at the oldest event kept and leaves none out", func(b *bentBus) {
		b.bendSubscription(func(s ports.Subscription, bent *bentSubscription) {
			read := 0
			bent.next = func(ctx context.Context) (ports.Event, error) {
				if read++; read == 2 {
					_, _ = s.Next(ctx)
				}
				return s.Next(ctx)
			}
		})
	}),
}

// restarting makes a reader that would get this error begin again with what there
// is.
func restarting(b *bentBus, failure error) {
	b.subscribe = func(ctx context.Context, id ports.TaskID, from ports.Position) (ports.Subscription, error) {
		s, err := b.EventBus.Subscribe(ctx, id, from)
		if err != nil {
			return nil, err
		}
		return &bentSubscription{
			next: func(ctx context.Context) (ports.Event, error) {
				e, err := s.Next(ctx)
				if errors.Is(err, failure) {
					if s, err = b.EventBus.Subscribe(ctx, id, ports.Position{}); err == nil {
						return s.Next(ctx)
					}
				}
				return e, err
			},
			close: func() error { return s.Close() },
		}, nil
	}
}
