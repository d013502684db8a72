//go:build amd64 || arm64

package sandboxexec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/bpf"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/seccomp"
	"github.com/task-runner/task-runner/internal/warmpool"
	"github.com/task-runner/task-runner/ports"
)

// defaultDisk is the size of the writable file system of a sandbox that waits in
// the pool. A job with another limit has it changed, which costs a little.
const defaultDisk = 64 << 20

// Executor runs each job in a sandbox of its own. It is safe for concurrent use.
type Executor struct {
	nursery *nursery
	cgroups *cgroups
	filter  []bpf.RawInstruction
	lastCap uintptr
	uids    userIDs
	// networks are those that the next sandboxes get.
	networks networks
	pool     *warmpool.Pool[struct{}, *sandbox]

	alive     atomic.Int64
	leaks     atomic.Int64
	takeDowns sync.WaitGroup

	jobs  *runner.Jobs
	mu    sync.Mutex
	leak  error // of the first sandbox that could not be taken down whole
	freed error
	free  sync.Once
}

var _ ports.Executor = (*Executor)(nil)

// New prepares what all sandboxes share and begins to fill the pool. It refuses
// where a limit cannot be enforced, with an error that says what to mend, and
// leaves nothing behind then. The caller closes the executor.
func New(cfg Config) (*Executor, error) {
	x := &Executor{jobs: runner.NewJobs("sandbox executor")}
	if err := x.setUp(cfg); err != nil {
		_ = x.release() // the first error is the one to tell
		return nil, fmt.Errorf("setting up the sandbox executor: %w", err)
	}
	return x, nil
}

func (x *Executor) setUp(cfg Config) error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root to enforce its limits: run as root, or use another executor")
	}
	rootfs, err := filepath.Abs(cmp.Or(cfg.Rootfs, "/"))
	if err != nil {
		return err
	}
	if info, err := os.Stat(rootfs); err != nil {
		return fmt.Errorf("looking at the root file system: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("the root file system %s is not a folder", rootfs)
	}
	supervisor, err := runner.Binary(runtime.GOARCH)
	if err != nil {
		return err
	}
	if x.filter, err = seccomp.Filter(runtime.GOARCH); err != nil {
		return err
	}
	if x.lastCap, err = lastCapability(); err != nil {
		return err
	}
	if x.nursery, err = newNursery(rootfs, supervisor); err != nil {
		return fmt.Errorf("%w (in a container, it has to be a privileged one)", err)
	}
	if x.cgroups, err = newCgroups(cfg.CgroupParent); err != nil {
		return err
	}
	size := cfg.Pool
	if size == 0 {
		size = 2 * runtime.GOMAXPROCS(0)
	}
	x.networks.keep = max(0, size) + runtime.GOMAXPROCS(0)
	x.pool = warmpool.New(warmpool.Config[struct{}, *sandbox]{
		Make:     func(ctx context.Context, _ struct{}) (*sandbox, error) { return x.newSandbox(ctx) },
		Discard:  (*sandbox).discard,
		Healthy:  (*sandbox).healthy,
		Size:     max(0, size),
		MaxMakes: runtime.GOMAXPROCS(0),
		IdleTTL:  warmpool.Never,
	})
	x.pool.Warm(struct{}{})
	return nil
}

// Check starts a sandbox and takes it down again.
func (x *Executor) Check(ctx context.Context) error {
	ctx, done, err := x.jobs.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	s, err := x.newSandbox(ctx)
	if err != nil {
		return fmt.Errorf("trying a sandbox: %w", err)
	}
	s.discard()
	return nil
}

// Run implements ports.Executor.
func (x *Executor) Run(ctx context.Context, job ports.Job) (ports.Outcome, error) {
	if err := runner.CheckJob(job, false, job.Spec.Limits.Disk); err != nil {
		return ports.Outcome{}, err
	}
	cancelled := ports.Outcome{Cause: ports.CauseCancelled, ExitCode: -1}
	jobCtx, done, err := x.jobs.Begin(ctx)
	if err != nil {
		return cancelled, err
	}
	defer done()
	s, _, err := x.pool.Get(jobCtx, struct{}{})
	if err != nil {
		return x.jobs.Ended(ctx, cancelled, fmt.Errorf("getting a sandbox: %w", err))
	}
	defer s.discard()
	o, err := s.run(jobCtx, job)
	return x.jobs.Ended(ctx, o, err)
}

// Close implements ports.Executor.
func (x *Executor) Close(ctx context.Context) error {
	x.jobs.Close(ctx)
	x.free.Do(func() {
		x.freed = errors.Join(x.pool.Close(context.WithoutCancel(ctx)), x.release())
	})
	return x.freed
}

// release frees what setUp took, after the last sandbox is gone.
func (x *Executor) release() error {
	x.takeDowns.Wait()
	err := x.leak
	x.networks.close()
	if x.cgroups != nil {
		err = errors.Join(err, x.cgroups.remove())
	}
	if x.nursery != nil {
		err = errors.Join(err, x.nursery.Close())
	}
	return err
}

// Stats returns the counts.
func (x *Executor) Stats() Stats {
	p := x.pool.Stats()
	return Stats{Warm: p.Hits, Cold: p.Misses, Ready: p.Ready, Alive: int(x.alive.Load()), Leaked: x.leaks.Load()}
}

// leaked notes that a sandbox could not be taken down whole.
func (x *Executor) leaked(err error) {
	x.leaks.Add(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.leak == nil {
		x.leak = err
	}
}

func lastCapability() (uintptr, error) {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 0, fmt.Errorf("asking for the kernel's last capability: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 8)
	if err != nil {
		return 0, fmt.Errorf("asking for the kernel's last capability: %w", err)
	}
	return uintptr(n), nil
}
