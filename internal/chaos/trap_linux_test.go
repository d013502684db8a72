package chaos

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/fakes"
)

// trap sends its own process a signal when that comes to a certain point of a task's
// life. The zero trap never does.
type trap struct {
	// Op is a method of a port, "queue.Ack", or of the executor. Where a call says what
	// becomes of the task that is part of it: "store.Update running", "events.Publish end".
	Op    fakes.Op
	Phase fakes.Phase
	Nth   int
	// Signal is SIGKILL or SIGSTOP.
	Signal syscall.Signal

	seen int
}

func (p trap) String() string {
	return fmt.Sprintf("%s call %d of %s", p.Phase, p.Nth, p.Op)
}

// reach says that the process has come to a point.
func (p *trap) reach(op fakes.Op, phase fakes.Phase) {
	if p.Op != op || p.Phase != phase {
		return
	}
	trapMutex.Lock()
	p.seen++
	here := p.seen == p.Nth
	trapMutex.Unlock()
	if here {
		// To this very thread, which takes it before it goes on: of a signal to the process
		// another thread may take care, while this one makes the call.
		runtime.LockOSThread()
		_ = syscall.Tgkill(os.Getpid(), syscall.Gettid(), p.Signal)
		runtime.UnlockOSThread()
		if p.Signal == syscall.SIGKILL {
			select {} // whichever thread dies first, nothing follows
		}
	}
}

// trapMutex guards the one trap of this process.
var trapMutex sync.Mutex

// around returns b with the trap at both ends of every call.
func (p *trap) around(b ports.Backend) ports.Backend {
	f := fakes.Wrap(b)
	f.Use(func(_ context.Context, c fakes.Call) error {
		p.reach(c.Op, c.Phase)
		return nil
	})
	b = f.Ports()
	b.Store, b.Events = namedStore{b.Store, p}, namedBus{b.Events, p}
	return b
}

// namedStore tells the updates apart.
type namedStore struct {
	ports.Store
	trap *trap
}

func (s namedStore) Update(ctx context.Context, t ports.Task) (ports.Task, error) {
	op := fakes.Op("store.Update " + t.Status)
	s.trap.reach(op, fakes.Before)
	defer s.trap.reach(op, fakes.After)
	return s.Store.Update(ctx, t)
}

// namedBus tells the events apart.
type namedBus struct {
	ports.EventBus
	trap *trap
}

func (b namedBus) Publish(ctx context.Context, e ports.Event) (ports.EventID, error) {
	op := fakes.Op("events.Publish " + string(e.Type))
	if e.Type == ports.EventStatus {
		op = fakes.Op("events.Publish " + string(e.Status))
	}
	b.trap.reach(op, fakes.Before)
	defer b.trap.reach(op, fakes.After)
	return b.EventBus.Publish(ctx, e)
}
