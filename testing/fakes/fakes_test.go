package fakes_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Without faults the fake keeps every promise that the backend below it keeps.

func TestTheStoreConforms(t *testing.T) {
	t.Parallel()
	conformance.Store(t, conformance.StoreHarness{
		New:    func(*testing.T) ports.Store { return fakes.NewBackend().Ports().Store },
		Full:   func(*testing.T) ports.Store { return fakes.Wrap(memory.New(memory.WithMaxTasks(10))).Ports().Store },
		Bubble: true,
	})
}

func TestTheQueueConforms(t *testing.T) {
	t.Parallel()
	conformance.Queue(t, conformance.QueueHarness{
		New: func(*testing.T) ports.Queue { return fakes.NewBackend().Ports().Queue },
		Full: func(*testing.T) ports.Queue {
			return fakes.Wrap(memory.New(memory.WithMaxQueueEntries(10))).Ports().Queue
		},
		Bubble: true,
	})
}

func TestTheLogSinkConforms(t *testing.T) {
	t.Parallel()
	conformance.LogSink(t, conformance.LogSinkHarness{
		New: func(*testing.T) ports.LogSink { return fakes.NewBackend().Ports().Logs },
		Full: func(*testing.T) ports.LogSink {
			return fakes.Wrap(ports.Backend{Logs: memory.NewLogSink(memory.WithMaxLogBytes(1 << 20))}).Ports().Logs
		},
		Bubble: true,
	})
}

func TestTheEventBusConforms(t *testing.T) {
	t.Parallel()
	conformance.EventBus(t, conformance.EventBusHarness{
		New: func(*testing.T) ports.EventBus { return fakes.NewBackend().Ports().Events },
		Trimming: func(*testing.T) ports.EventBus {
			return fakes.Wrap(memory.New(memory.WithMaxTopicEvents(100))).Ports().Events
		},
		Full: func(*testing.T) ports.EventBus {
			return fakes.Wrap(ports.Backend{Events: memory.NewEventBus(memory.WithMaxEventBytes(1 << 18))}).Ports().Events
		},
		Bubble: true,
	})
}

// everyCall calls every method of a backend once, on a task of its own.
func everyCall(ctx context.Context, b ports.Backend) map[fakes.Op]error {
	task := ports.Task{ID: "task", Status: ports.StatusQueued, CreatedAt: time.Unix(1, 0).UTC()}
	key := ports.LogKey{Task: task.ID, Attempt: 1, Name: ports.LogStdout}
	errs := make(map[fakes.Op]error)
	stored, err := b.Store.Create(ctx, task)
	errs["store.Create"] = err
	_, errs["store.Get"] = b.Store.Get(ctx, task.ID)
	stored, errs["store.Update"] = b.Store.Update(ctx, stored)
	_, errs["store.List"] = b.Store.List(ctx, ports.ListQuery{})
	errs["queue.Enqueue"] = b.Queue.Enqueue(ctx, ports.Entry{Task: task.ID, Queue: "q"})
	lease, err := b.Queue.Claim(ctx, ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
	errs["queue.Claim"] = err
	lease, errs["queue.Extend"] = b.Queue.Extend(ctx, lease, time.Minute)
	_, errs["queue.Stats"] = b.Queue.Stats(ctx, "q")
	errs["queue.Nack"] = b.Queue.Nack(ctx, lease, 0)
	lease, _ = b.Queue.Claim(ctx, ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Minute})
	errs["queue.Ack"] = b.Queue.Ack(ctx, lease)
	_, errs["queue.Cancel"] = b.Queue.Cancel(ctx, task.ID)
	if w, err := b.Logs.Create(ctx, key); err != nil {
		errs["logs.Create"], errs["logs.Write"], errs["logs.Close"] = err, err, err
	} else {
		errs["logs.Create"] = nil
		_, errs["logs.Write"] = w.Write([]byte("x"))
		errs["logs.Close"] = w.Close()
	}
	r, _, err := b.Logs.Open(ctx, key, 0, -1)
	if errs["logs.Open"] = err; err == nil {
		_ = r.Close()
	}
	_, errs["logs.SignedURL"] = b.Logs.SignedURL(ctx, key, time.Minute)
	_, errs["events.Publish"] = b.Events.Publish(ctx, ports.Event{Task: task.ID, Type: ports.EventStatus})
	if sub, err := b.Events.Subscribe(ctx, task.ID, ports.Position{}); err != nil {
		errs["events.Subscribe"], errs["events.Next"] = err, err
	} else {
		errs["events.Subscribe"] = nil
		_, errs["events.Next"] = sub.Next(ctx)
		_ = sub.Close()
	}
	errs["logs.Delete"] = b.Logs.Delete(ctx, task.ID)
	errs["events.Delete"] = b.Events.Delete(ctx, task.ID)
	errs["store.Delete"] = b.Store.Delete(ctx, task.ID, stored.Version)
	return errs
}

func TestEveryCallPassesTheHooksAtBothEnds(t *testing.T) {
	t.Parallel()
	b := fakes.NewBackend()
	ends := make(map[fakes.Op]map[fakes.Phase]int)
	b.Use(func(_ context.Context, c fakes.Call) error {
		if ends[c.Op] == nil {
			ends[c.Op] = make(map[fakes.Phase]int)
		}
		ends[c.Op][c.Phase]++
		assert.Equal(t, c.Nth, ends[c.Op][c.Phase])
		return nil
	})
	errs := everyCall(t.Context(), b.Ports())
	for op, err := range errs {
		switch op {
		case "queue.Cancel":
			assert.ErrorIs(t, err, ports.ErrNotFound)
		case "logs.SignedURL":
			assert.ErrorIs(t, err, errors.ErrUnsupported)
		default:
			assert.NoError(t, err, op)
		}
		assert.NotZero(t, ends[op][fakes.Before], op)
		assert.Equal(t, ends[op][fakes.Before], ends[op][fakes.After], op)
	}
	assert.Len(t, ends, len(errs))
	assert.Len(t, b.Calls(), len(errs)+1, "one claim more")
}

func TestEveryCallFailsWhereItIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		for op := range everyCall(t.Context(), fakes.NewBackend().Ports()) {
			for _, phase := range []fakes.Phase{fakes.Before, fakes.After} {
				b := fakes.NewBackend()
				b.Use(fakes.FailNth(op, 1, phase, broken))
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // a claim may wait for what failed
				assert.ErrorIs(t, everyCall(ctx, b.Ports())[op], broken, "%s %s", phase, op)
				cancel()
			}
		}
	})
}

func TestAFaultBeforeACallLeavesNoEffectAndOneAfterItDoes(t *testing.T) {
	t.Parallel()
	for phase, want := range map[fakes.Phase]error{fakes.Before: ports.ErrNotFound, fakes.After: nil} {
		b := fakes.NewBackend()
		b.Use(fakes.FailAt(1, phase, errors.New("connection reset")))
		_, err := b.Ports().Store.Create(t.Context(), ports.Task{ID: "task", Status: ports.StatusQueued})
		require.EqualError(t, err, "connection reset")
		_, err = b.Ports().Store.Get(t.Context(), "task")
		require.ErrorIs(t, err, want)
	}
}

func TestACrashedProcessIsGoneAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := fakes.NewBackend()
		other := b.Process()
		b.CrashAt(3, fakes.After)
		claimed := make(chan error, 1)
		go func() {
			_, err := b.Ports().Queue.Claim(t.Context(), ports.ClaimRequest{Queues: []string{"q"}, TTL: time.Second})
			claimed <- err
		}()
		synctest.Wait()
		require.NoError(t, b.Ports().Queue.Enqueue(t.Context(), ports.Entry{Task: "a", Queue: "r"}))
		require.ErrorIs(t, b.Ports().Queue.Enqueue(t.Context(), ports.Entry{Task: "b", Queue: "r"}), fakes.ErrCrashed)
		require.ErrorIs(t, <-claimed, fakes.ErrCrashed, "also what was waiting")
		<-b.Crashed()
		for op, err := range everyCall(t.Context(), b.Ports()) {
			assert.ErrorIs(t, err, fakes.ErrCrashed, op)
		}
		stats, err := other.Ports().Queue.Stats(t.Context(), "r")
		require.NoError(t, err)
		assert.Equal(t, 2, stats.Waiting, "the last call had its effect")
	})
}

func TestAPausedProcessStandsStillAndThenGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := fakes.NewBackend()
		b.PauseAt(1, fakes.Before, time.Minute)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		other := make(chan error, 1)
		go func() {
			time.Sleep(time.Second / 2)
			_, err := b.Ports().Queue.Stats(t.Context(), "q")
			assert.Equal(t, time.Minute, time.Since(begin), "the other calls stand still as well")
			other <- err
		}()
		require.NoError(t, b.Ports().Queue.Enqueue(ctx, ports.Entry{Task: "a", Queue: "q"}), "a packet on its way arrives")
		assert.Equal(t, time.Minute, time.Since(begin))
		require.NoError(t, <-other)
		require.ErrorIs(t, b.Ports().Queue.Enqueue(ctx, ports.Entry{Task: "b", Queue: "q"}), context.DeadlineExceeded)
	})
}

func job(out, err io.Writer) ports.Job {
	return ports.Job{Task: "task", Attempt: 1, Stdout: out, Stderr: err}
}

func TestAScriptIsRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out, errOut bytes.Buffer
		var samples []ports.Sample
		release := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(release) })
		e := fakes.NewExecutor(
			fakes.Stdout("a"), fakes.Sleep(time.Second), fakes.Until(release), fakes.Stderr("bc"),
			fakes.Sample(ports.Sample{At: 1}), fakes.End(ports.Outcome{Cause: ports.CauseTimeout, Signal: "SIGKILL"}),
			fakes.Stdout("never"),
		).Next(fakes.Fail(errors.New("broken"))).Next(fakes.Panic("boom"))
		require.NoError(t, e.Check(t.Context()))

		_, err := e.Run(t.Context(), job(&out, &errOut))
		require.ErrorContains(t, err, "broken")
		require.PanicsWithValue(t, "boom", func() { _, _ = e.Run(t.Context(), job(&out, &errOut)) })

		j := job(&out, &errOut)
		started := false
		j.Started, j.Sample = func() { started = true }, func(s ports.Sample) { samples = append(samples, s) }
		o, err := e.Run(t.Context(), j)
		require.NoError(t, err)
		assert.True(t, started)
		assert.Equal(t, "a", out.String())
		assert.Equal(t, "bc", errOut.String())
		assert.Equal(t, []ports.Sample{{At: 1}}, samples)
		assert.Equal(t, ports.Outcome{
			Cause: ports.CauseTimeout, ExitCode: -1, Signal: "SIGKILL", StdoutBytes: 1, StderrBytes: 2,
			Usage: ports.Usage{WallTime: new(time.Second)},
		}, o)
		assert.Len(t, e.Jobs(), 3)
		require.NoError(t, e.Close(t.Context()))
	})
}

func TestAScriptEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]fakes.Step{"sleeping": fakes.Sleep(time.Hour), "waiting": fakes.Until(nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := fakes.NewExecutor(fakes.Stdout("a"), step)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				o, err := e.Run(ctx, job(io.Discard, io.Discard))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, ports.CauseCancelled, o.Cause)
				assert.EqualValues(t, 1, o.StdoutBytes)
				assert.Equal(t, time.Minute, *o.Usage.WallTime)
			})
		})
	}
}

func TestCloseWaitsOrKills(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := fakes.NewExecutor(fakes.Sleep(time.Hour))
		ended := make(chan error, 1)
		go func() {
			_, err := e.Run(t.Context(), job(io.Discard, io.Discard))
			ended <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, e.Close(ctx), context.DeadlineExceeded)
		require.ErrorIs(t, <-ended, ports.ErrClosed)
		require.NoError(t, e.Close(t.Context()), "again")
		_, err := e.Run(t.Context(), job(io.Discard, io.Discard))
		require.ErrorIs(t, err, ports.ErrClosed)
	})
}
