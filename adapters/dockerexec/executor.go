package dockerexec

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/seccomp"
	"github.com/task-runner/task-runner/internal/warmpool"
	"github.com/task-runner/task-runner/ports"
)

// Executor runs each job in a container of its own. It is safe for concurrent use.
type Executor struct {
	cli     client.APIClient
	cfg     Config
	engine  engine
	profile string
	images  *images
	depot   depot
	pool    *warmpool.Pool[kind, *sandbox]

	// id is that of this executor among all that use the engine.
	id string
	// numbers counts the containers, from somewhere at random.
	numbers atomic.Int64
	// overhead is what supervisors take for themselves, as the last one said.
	overhead atomic.Pointer[overhead]
	// last is the kind of the last job, for Check; nil before the first one.
	last atomic.Pointer[kind]

	jobs      *runner.Jobs
	readers   sync.WaitGroup // goroutines that read what a container says
	takeDowns sync.WaitGroup
	janitor   janitor
	alive     atomic.Int64
	unpooled  atomic.Int64 // containers of kinds that the pool does not keep
	updates   atomic.Int64
	leaks     atomic.Int64

	mu    sync.Mutex
	left  []string // IDs of containers that could not be removed
	freed error
	free  sync.Once
}

var _ ports.Executor = (*Executor)(nil)

// New asks the engine whether it can enforce every limit, puts the supervisor into
// it and begins to fill the pool. Its error says what to mend; nothing is left
// behind then. No image is pulled before it is needed. The caller closes the
// executor, and after that the client.
func New(ctx context.Context, cli *client.Client, cfg Config) (*Executor, error) {
	x, err := newExecutor(ctx, cli, cfg)
	if err != nil {
		return nil, fmt.Errorf("setting up the Docker executor: %w", err)
	}
	return x, nil
}

func newExecutor(ctx context.Context, cli client.APIClient, cfg Config) (*Executor, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	x := &Executor{cli: cli, cfg: cfg, id: strings.ToLower(rand.Text()[:12]), jobs: runner.NewJobs("Docker executor")}
	if x.engine, err = checkEngine(ctx, cli, cfg); err != nil {
		return nil, err
	}
	profile, err := seccomp.Profile(x.engine.Arch)
	if err != nil {
		return nil, err
	}
	x.profile = string(profile)
	x.depot = depot{cli: cli, arch: x.engine.Arch, turn: make(chan struct{}, 1)}
	if _, err := x.depot.get(ctx); err != nil {
		return nil, err
	}
	x.numbers.Store(mathrand.Int64N(users))
	size := cmp.Or(cfg.Pool, 2*x.engine.CPUs)
	x.images = newImages(cli, cfg, x.engine.Arch)
	x.pool = warmpool.New(warmpool.Config[kind, *sandbox]{
		Make:     x.newSandbox,
		Discard:  (*sandbox).discard,
		Healthy:  (*sandbox).healthy,
		Size:     max(0, size),
		MaxMakes: x.engine.CPUs,
		IdleTTL:  cfg.IdleTTL,
	})
	x.janitor.start(func(ctx context.Context) {
		// What cannot be removed now is tried again the next time.
		_, _ = Reap(ctx, cli, ReapOptions{Grace: cfg.ReapAfter})
	}, cfg.ReapAfter)
	for _, lang := range cfg.Warm {
		if _, ok, err := x.images.present(ctx, lang.Image); err == nil && ok {
			k := x.kindOf(ports.Job{Language: lang, Spec: ports.Spec{Limits: cfg.Limits}})
			x.last.Store(&k)
			x.pool.Warm(k)
		}
	}
	return x, nil
}

// complete returns the configuration with its defaults.
func (c Config) complete() (Config, error) {
	usual := ports.Limits{CPU: 1, Memory: 256 << 20, PIDs: 64, Disk: 64 << 20, Timeout: time.Minute, Output: 1}
	l := &c.Limits
	l.CPU, l.Memory = cmp.Or(l.CPU, usual.CPU), cmp.Or(l.Memory, usual.Memory)
	l.PIDs, l.Disk = cmp.Or(l.PIDs, usual.PIDs), cmp.Or(l.Disk, usual.Disk)
	l.Timeout, l.Output = cmp.Or(l.Timeout, usual.Timeout), usual.Output
	c.Pull = cmp.Or(c.Pull, PullMissing)
	c.IdleTTL = cmp.Or(c.IdleTTL, 10*time.Minute)
	c.ReapAfter = cmp.Or(c.ReapAfter, defaultReapGrace)
	if c.Name == "" {
		c.Name, _ = os.Hostname() // it is for people
	}
	switch {
	case c.Pull != PullNever && c.Pull != PullMissing && c.Pull != PullAlways:
		return c, ports.Invalid("docker_pull", "must be %s, %s or %s", PullNever, PullMissing, PullAlways)
	case c.Pool > users:
		return c, ports.Invalid("docker_pool", "must be at most %d, the number of users that containers have", users)
	case c.IdleTTL < 0 || c.IdleTTL > restTTL:
		return c, ports.Invalid("idle_ttl", "must be positive and at most %s", restTTL)
	case c.ReapAfter < minReapGrace:
		return c, ports.Invalid("reap_after", "must be at least %s", minReapGrace)
	}
	if err := checkTaskLimits(*l); err != nil {
		return c, fmt.Errorf("the limits that containers are made with: %w", err)
	}
	return c, checkAllowList(c.AllowedImages)
}

// Check asks the engine whether it still enforces every limit, and starts a container
// of the kind that was used last, if its image is still there.
func (x *Executor) Check(ctx context.Context) error {
	ctx, done, err := x.jobs.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if _, err := checkEngine(ctx, x.cli, x.cfg); err != nil {
		return err
	}
	k := x.last.Load()
	if k == nil {
		return nil
	}
	// An image that has gone is one language's trouble.
	if _, ok, err := x.images.present(ctx, k.image); err != nil || !ok {
		return err
	}
	s, err := x.newSandbox(ctx, *k)
	if err != nil {
		return fmt.Errorf("trying a container: %w", err)
	}
	s.discard()
	return nil
}

// Run implements ports.Executor. The image of the job's language is pulled first
// where that is necessary and allowed.
func (x *Executor) Run(ctx context.Context, job ports.Job) (ports.Outcome, error) {
	if err := x.checkJob(job); err != nil {
		return ports.Outcome{}, err
	}
	cancelled := ports.Outcome{Cause: ports.CauseCancelled, ExitCode: -1}
	jobCtx, done, err := x.jobs.Begin(ctx)
	if err != nil {
		return cancelled, err
	}
	defer done()
	if _, err := x.images.get(jobCtx, job.Language.Image); err != nil {
		return x.jobs.Ended(ctx, cancelled, err)
	}
	k := x.kindOf(job)
	s, err := x.sandbox(jobCtx, k)
	if err != nil {
		return x.jobs.Ended(ctx, cancelled, fmt.Errorf("getting a container: %w", err))
	}
	defer s.discard()
	x.last.Store(&k)
	o, err := s.run(jobCtx, job)
	return x.jobs.Ended(ctx, o, err)
}

// sandbox returns a container of the kind, out of the pool if there is one.
func (x *Executor) sandbox(ctx context.Context, k kind) (*sandbox, error) {
	if k.disk != x.cfg.Limits.Disk {
		// The limit is anybody's to choose: whoever varies it would fill the pool with
		// containers that are of use to nobody else.
		x.unpooled.Add(1)
		return x.newSandbox(ctx, k)
	}
	s, _, err := x.pool.Get(ctx, k)
	return s, err
}

// Close implements ports.Executor.
func (x *Executor) Close(ctx context.Context) error {
	x.jobs.Close(ctx)
	x.free.Do(func() {
		x.janitor.stop()
		x.images.close()
		x.freed = x.pool.Close(context.WithoutCancel(ctx))
		x.takeDowns.Wait()
		x.readers.Wait()
		x.freed = errors.Join(x.freed, x.removeLeft())
	})
	return x.freed
}

// Stats returns the counts.
func (x *Executor) Stats() Stats {
	p := x.pool.Stats()
	return Stats{
		Warm: p.Hits, Cold: p.Misses + x.unpooled.Load(), Updated: x.updates.Load(),
		Ready: p.Ready, Alive: int(x.alive.Load()), Failed: p.Failures, Leaked: x.leaks.Load(),
	}
}

// leaked notes that a container could not be removed.
func (x *Executor) leaked(id string) {
	x.leaks.Add(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.left = append(x.left, id)
}

// removeLeft tries once more to remove what could not be removed, as while the engine
// was away. Its error is about what is left even so.
func (x *Executor) removeLeft() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), takeDownTimeout)
	defer cancel()
	var errs []error
	for _, id := range x.left {
		errs = append(errs, x.tryRemove(ctx, id))
	}
	return errors.Join(errs...)
}

// blueprint returns what a container of the kind is made from.
func (x *Executor) blueprint(ctx context.Context, k kind) (*blueprint, error) {
	image, err := x.images.get(ctx, k.image)
	if err != nil {
		return nil, err
	}
	volume, err := x.depot.get(ctx)
	if err != nil {
		return nil, err
	}
	number := x.numbers.Add(1)
	b := &blueprint{
		name: fmt.Sprintf("taskrunner-%s-%d", x.id, number), user: x.engine.user(number),
		kind: k, id: image.ID, path: image.Path, covers: image.Volumes, volume: volume,
		limits: x.limitsFor(x.cfg.Limits, usualRequest), profile: x.profile, filter: filterFile, runtime: x.cfg.Runtime, network: x.cfg.Network,
		labels: map[string]string{
			labelRole: roleSandbox, labelExecutor: x.id, labelName: x.cfg.Name,
			labelExpires: x.engine.now().Add(makeTimeout + restTTL + k.budget).UTC().Format(expiryFormat),
		},
	}
	if x.engine.CgroupVersion == "1" && !k.networked {
		// Nothing limits the memory of sockets there, not even of loopback's.
		b.filter = filterUnixFile
	}
	return b, nil
}
