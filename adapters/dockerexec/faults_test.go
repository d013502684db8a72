package dockerexec_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// patience bounds every wait for what normally takes a second at most.
const patience = 90 * time.Second

// rig is an executor and the engine that it works on, at which a test looks by itself.
type rig struct {
	*dockerexec.Executor
	t    *testing.T
	cli  *client.Client // a line of the test's own
	name string         // no other executor has it
	bash ports.Language
	// closed says that the test has closed it.
	closed bool
}

// newRig returns an executor whose line to the engine is through, with a pool of the
// size of cfg. At the test's end, unless the test has closed it, it must close without
// an error; no container must be left.
func newRig(t *testing.T, cli, through *client.Client, cfg dockerexec.Config) *rig {
	t.Helper()
	r := &rig{t: t, cli: cli, name: "test-" + strings.ToLower(rand.Text()[:10]), bash: bash(t)}
	cfg.Name, cfg.Pull = r.name, dockerexec.PullNever
	r.Executor = newExecutor(t, through, cfg)
	t.Cleanup(func() {
		if !r.closed {
			r.within("Close", func() { assert.NoError(t, r.Close(context.Background())) })
		}
		assert.Empty(t, r.containers(), "containers that are left")
	})
	return r
}

// bash is the language of most tasks, as the engine of all tests has it.
func bash(t *testing.T) ports.Language {
	t.Helper()
	return testenv.Languages(t, testenv.Docker(t)).Bash
}

// noPool makes every task wait for a container of its own.
const noPool = -1

// within fails the test if f takes for ever.
func (r *rig) within(what string, f func()) {
	r.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		r.t.Fatalf("%s does not end", what)
	}
}

// eventually waits until ok.
func (r *rig) eventually(ok func() bool, what string) {
	r.t.Helper()
	require.Eventually(r.t, ok, patience, 10*time.Millisecond, what)
}

// containers returns the IDs of the executor's containers, sorted.
func (r *rig) containers() (ids []string) {
	all, err := r.cli.ContainerList(context.Background(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", "com.github.task-runner.name="+r.name)),
	})
	assert.NoError(r.t, err)
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

// filled waits until the pool has n containers ready.
func (r *rig) filled(n int) {
	r.t.Helper()
	r.eventually(func() bool { return r.Stats().Ready == n }, "the pool is full")
}

func (r *rig) job(code string) ports.Job {
	return ports.Job{
		Task: "task", Attempt: 1, Language: r.bash,
		Spec: ports.Spec{Code: code, Limits: ports.Limits{
			CPU: 1, Memory: 256 << 20, PIDs: 64, Disk: 64 << 20, Timeout: 10 * time.Minute, Output: 1 << 20,
		}},
	}
}

// runs fails the test unless a task runs as it should.
func (r *rig) runs() {
	r.t.Helper()
	r.succeeds(r.job("echo hello"))
}

func (r *rig) succeeds(job ports.Job) {
	r.t.Helper()
	p := r.start(r.t.Context(), job)
	o, err := p.ended()
	require.NoError(r.t, err)
	require.Equal(r.t, ports.CauseExit, o.Cause)
	require.Equal(r.t, "hello\n", p.out.String())
}

// run is a task that runs.
type run struct {
	r    *rig
	out  *output
	done chan struct{}
	o    ports.Outcome
	err  error
}

// start begins a task. Its output comes to the run, unless the job has a writer.
func (r *rig) start(ctx context.Context, job ports.Job) *run {
	p := &run{r: r, out: &output{wrote: make(chan struct{})}, done: make(chan struct{})}
	if job.Stdout == nil {
		job.Stdout = p.out
	}
	go func() {
		defer close(p.done)
		p.o, p.err = r.Run(ctx, job)
	}()
	return p
}

// speaks waits for the first output.
func (p *run) speaks() {
	p.r.t.Helper()
	select {
	case <-p.out.wrote:
	case <-p.done:
		require.FailNow(p.r.t, "the task ended before it said anything", "%+v, %v", p.o, p.err)
	case <-time.After(patience):
		require.FailNow(p.r.t, "the task says nothing")
	}
}

func (p *run) ended() (ports.Outcome, error) {
	p.r.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(p.r.t, "the task does not end")
	}
	return p.o, p.err
}

// lost waits for the end of an attempt that another one should follow, with an error
// that says all of these.
func (p *run) lost(says ...string) {
	p.r.t.Helper()
	o, err := p.ended()
	require.Error(p.r.t, err)
	assert.NotErrorIs(p.r.t, err, ports.ErrInvalid)
	assert.Zero(p.r.t, o)
	for _, s := range says {
		assert.ErrorContains(p.r.t, err, s)
	}
}

// cancelled waits for the end of a task whose context was cancelled.
func (p *run) cancelled() {
	p.r.t.Helper()
	o, err := p.ended()
	require.ErrorIs(p.r.t, err, context.Canceled)
	assert.Equal(p.r.t, ports.CauseCancelled, o.Cause)
}

// output keeps what is written.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	wrote chan struct{} // closed with the first byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() == 0 && len(b) > 0 {
		close(o.wrote)
	}
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// longTask says something and then runs until it is ended.
const longTask = "echo hello; exec sleep 600"

// ownEngine returns an engine that a test may do to what it likes, with the image of
// Bash.
func ownEngine(t *testing.T) *testenv.Daemon {
	t.Helper()
	image := bash(t).Image
	d := testenv.Dockerd(t)
	d.Load(t, testenv.Docker(t), image)
	return d
}

func TestAnEngineThatIsRestarted(t *testing.T) {
	t.Parallel()
	d := ownEngine(t)
	cli := d.Client(t)
	for name, end := range map[string]func(testing.TB){"in its own time": d.Stop, "killed": d.Kill} {
		t.Run("while a task runs and others wait for theirs, "+name, func(t *testing.T) {
			r := newRig(t, cli, cli, dockerexec.Config{Pool: 1})
			p := r.start(t.Context(), r.job(longTask))
			p.speaks()
			r.filled(1)
			end(t)
			p.lost()
			r.start(t.Context(), r.job("echo hello")).lost("Cannot connect to the Docker daemon")
			d.Start(t)
			r.runs()
			r.filled(1)
		})
		t.Run("while the pool is filled, "+name, func(t *testing.T) {
			r := newRig(t, cli, cli, dockerexec.Config{Pool: 6, Warm: []ports.Language{bash(t)}})
			r.eventually(func() bool { return r.Stats().Alive > 1 }, "containers are made")
			end(t)
			d.Start(t)
			r.runs()
			r.filled(6)
		})
		t.Run("while nothing is to do, "+name, func(t *testing.T) {
			r := newRig(t, cli, cli, dockerexec.Config{Pool: 2})
			r.runs()
			r.filled(2)
			end(t)
			d.Start(t)
			for range 4 { // more than were ready
				r.runs()
			}
			require.NoError(t, r.Check(t.Context()))
		})
	}
	t.Run("only after the executor was closed", func(t *testing.T) {
		r := newRig(t, cli, cli, dockerexec.Config{Pool: 2})
		r.runs()
		r.filled(2)
		d.Kill(t)
		r.closed = true
		r.within("Close", func() {
			assert.ErrorContains(t, r.Close(context.Background()), "removing container")
		})
		d.Start(t)
		reaped, err := dockerexec.Reap(t.Context(), ahead{cli}, dockerexec.ReapOptions{})
		require.NoError(t, err)
		assert.NotEmpty(t, reaped)
		assert.Empty(t, r.containers())
	})
}

// ahead is an engine whose clock is two hours ahead.
type ahead struct{ client.APIClient }

func (a ahead) Info(ctx context.Context) (system.Info, error) {
	info, err := a.APIClient.Info(ctx)
	if now, parseErr := time.Parse(time.RFC3339Nano, info.SystemTime); parseErr == nil {
		info.SystemTime = now.Add(2 * time.Hour).Format(time.RFC3339Nano)
	}
	return info, err
}

func TestAContainerThatIsRemovedUnderItsTask(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	r := newRig(t, cli, cli, dockerexec.Config{Pool: noPool})
	p := r.start(t.Context(), r.job(longTask))
	p.speaks()
	r.remove(r.containers()...)
	p.lost()
	r.runs()
}

// remove removes containers as any user of the engine may.
func (r *rig) remove(ids ...string) {
	r.t.Helper()
	require.NotEmpty(r.t, ids)
	for _, id := range ids {
		require.NoError(r.t, r.cli.ContainerRemove(r.t.Context(), id, container.RemoveOptions{Force: true}))
	}
}

func TestContainersThatAreRemovedUnderThePool(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	r := newRig(t, cli, cli, dockerexec.Config{Pool: 2})
	r.runs()
	r.filled(2)
	r.eventually(func() bool { return len(r.containers()) == 2 }, "the first one is gone")
	r.remove(r.containers()...)
	for range 3 {
		r.runs()
	}
}

func TestContainersThatSomebodyElseRemovesAtTheSameTime(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	r := newRig(t, cli, cli, dockerexec.Config{Pool: noPool})
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		p := r.start(ctx, r.job(longTask))
		p.speaks()
		ids := r.containers()
		var both sync.WaitGroup
		for _, id := range ids {
			both.Go(func() {
				err := cli.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true})
				if !cerrdefs.IsNotFound(err) && !cerrdefs.IsConflict(err) {
					assert.NoError(t, err)
				}
			})
		}
		cancel()
		both.Wait()
		_, err := p.ended()
		require.Error(t, err)
	}
	assert.Zero(t, r.Stats().Leaked)
}

func TestAContainerThatIsStoppedFromOutside(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	t.Run("when it is killed, the attempt is lost", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, cli, cli, dockerexec.Config{Pool: noPool})
		p := r.start(t.Context(), r.job(longTask))
		p.speaks()
		require.NoError(t, cli.ContainerKill(t.Context(), r.containers()[0], "KILL"))
		p.lost()
		r.runs()
	})
	t.Run("when it is paused, the task's time runs on", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, cli, cli, dockerexec.Config{Pool: noPool})
		job := r.job(longTask)
		job.Spec.Limits.Timeout = 2 * time.Second
		p := r.start(t.Context(), job)
		p.speaks()
		require.NoError(t, cli.ContainerPause(t.Context(), r.containers()[0]))
		o, err := p.ended()
		require.NoError(t, err)
		assert.Equal(t, ports.CauseTimeout, o.Cause)
		r.runs()
	})
	t.Run("when it is paused, it can be cancelled all the same", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, cli, cli, dockerexec.Config{Pool: noPool})
		ctx, cancel := context.WithCancel(t.Context())
		p := r.start(ctx, r.job(longTask))
		p.speaks()
		require.NoError(t, cli.ContainerPause(t.Context(), r.containers()[0]))
		cancel()
		p.cancelled()
		assert.Empty(t, r.running(), "no process is left when Run returns")
		r.runs()
	})
}

// running returns the executor's containers that run or are paused.
func (r *rig) running() []string {
	return slices.DeleteFunc(r.containers(), func(id string) bool {
		c, err := r.cli.ContainerInspect(context.Background(), id)
		return cerrdefs.IsNotFound(err) || err == nil && !c.State.Running
	})
}

// ownImage makes an image that only this test has, and returns its name.
func (r *rig) ownImage(name string) string {
	r.t.Helper()
	c, err := r.cli.ContainerCreate(r.t.Context(), &container.Config{Image: r.bash.Image, Cmd: []string{"none"}},
		&container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	require.NoError(r.t, err)
	defer r.remove(c.ID)
	_, err = r.cli.ContainerCommit(r.t.Context(), c.ID, container.CommitOptions{Reference: name, Changes: []string{"LABEL test=" + rand.Text()}})
	require.NoError(r.t, err)
	r.t.Cleanup(func() {
		_, err := r.cli.ImageRemove(context.Background(), name, image.RemoveOptions{Force: true})
		if !cerrdefs.IsNotFound(err) {
			assert.NoError(r.t, err)
		}
	})
	return name
}

func TestAnImageThatIsRemoved(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	r := newRig(t, cli, cli, dockerexec.Config{Pool: noPool})
	name := r.ownImage("taskrunner-test/" + r.name + ":1")
	job := r.job("echo hello")
	job.Language.Image = name
	r.succeeds(job)

	r.eventually(func() bool { return len(r.containers()) == 0 }, "nobody uses the image")
	_, err := cli.ImageRemove(t.Context(), name, image.RemoveOptions{Force: true, PruneChildren: true})
	require.NoError(t, err)
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() {
		for range 3 {
			_, err := r.Run(t.Context(), r.job("true"))
			assert.NoError(t, err, "the other language's task")
		}
	})
	r.start(t.Context(), job).lost(name) // it finds out
	r.start(t.Context(), job).lost(name, "--docker-pull=never")

	r.ownImage(name)
	r.succeeds(job)
}

func TestALineToTheContainerThatStalls(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	for name, code := range map[string]string{
		"under a task that says nothing more":   longTask,
		"under a task that says more and more":  "echo hello; exec yes",
		"under a task that writes its last":     "echo hello; sleep 1; yes | head -c 900000",
		"under a task that ends meanwhile":      "echo hello; sleep 1",
		"under a task that has closed its line": "echo hello; exec sleep 600 >&- 2>&-",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := testenv.Proxy(t, cli.DaemonHost())
			r := newRig(t, cli, proxy.Client(t), dockerexec.Config{Pool: noPool})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p := r.start(ctx, r.job(code))
			p.speaks()
			proxy.Stall()
			cancel()
			p.cancelled()
			r.runsBeside(cli)
		})
	}
	t.Run("while containers are made for the pool", func(t *testing.T) {
		t.Parallel()
		proxy := testenv.Proxy(t, cli.DaemonHost())
		r := newRig(t, cli, proxy.Client(t), dockerexec.Config{Pool: 2})
		r.runs()
		r.filled(2)
		proxy.Stall()
		ctx, cancel := context.WithCancel(t.Context())
		p := r.start(ctx, r.job("echo hello"))
		r.eventually(func() bool { return r.Stats().Alive > 2 }, "the next one is made")
		cancel()
		p.cancelled()
	})
}

// runsBeside makes sure that another executor on the same engine is not disturbed.
func (r *rig) runsBeside(cli *client.Client) {
	r.t.Helper()
	newRig(r.t, cli, cli, dockerexec.Config{Pool: noPool}).runs()
}

// gate is a writer that takes nothing before it is opened.
type gate struct {
	reached chan struct{}
	open    chan struct{}
	once    sync.Once
}

func newGate() *gate { return &gate{reached: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) Write(b []byte) (int, error) {
	g.once.Do(func() { close(g.reached) })
	<-g.open
	return len(b), nil
}

func TestAWriterThatBlocksHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	r := newRig(t, cli, cli, dockerexec.Config{Pool: 1})
	g := newGate()
	blocked := r.job("yes")
	blocked.Stdout = g
	blocked.Spec.Limits.Output = 1 << 30
	ctx, cancelBlocked := context.WithCancel(t.Context())
	defer cancelBlocked()
	p := r.start(ctx, blocked)
	<-g.reached
	r.runs()
	cancelled, cancel := context.WithCancel(t.Context())
	other := r.start(cancelled, r.job(longTask))
	other.speaks()
	cancel()
	other.cancelled()

	closing, loseHeart := context.WithCancel(t.Context())
	closed := make(chan error)
	go func() { closed <- r.Close(closing) }()
	loseHeart()
	close(g.open)
	_, err := p.ended()
	assert.ErrorIs(t, err, ports.ErrClosed)
	assert.NoError(t, <-closed)
}

func TestALineToTheEngineThatIsCut(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	proxy := testenv.Proxy(t, cli.DaemonHost())
	r := newRig(t, cli, proxy.Client(t), dockerexec.Config{Pool: 1})
	p := r.start(t.Context(), r.job(longTask))
	p.speaks()
	r.filled(1)
	proxy.Cut()
	p.lost()
	r.runs()
	r.filled(1)

	proxy.Refuse()
	proxy.Cut()
	r.start(t.Context(), r.job("echo hello")).lost() // in a container of the pool, or of its own
	r.start(t.Context(), r.job("echo hello")).lost("Cannot connect to the Docker daemon")
	_, err := dockerexec.New(t.Context(), proxy.Client(t), dockerexec.Config{})
	assert.ErrorContains(t, err, "no Docker engine answers")
	assert.ErrorContains(t, r.Check(t.Context()), "no Docker engine answers")
	proxy.Accept(t)
	require.NoError(t, r.Check(t.Context()))
	r.runs()
}

func TestASupervisorsVolumeThatGoesAway(t *testing.T) {
	t.Parallel()
	d := ownEngine(t)
	cli := d.Client(t)
	volumes := func(t *testing.T) []*volume.Volume {
		t.Helper()
		all, err := cli.VolumeList(t.Context(), volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "com.github.task-runner.role=runner"))})
		require.NoError(t, err)
		require.Len(t, all.Volumes, 1)
		return all.Volumes
	}
	for name, spoil := range map[string]func(t *testing.T, r *rig){
		"removed": func(t *testing.T, _ *rig) {
			require.NoError(t, cli.VolumeRemove(t.Context(), volumes(t)[0].Name, true))
		},
		"removed, and made again by the next container": func(t *testing.T, r *rig) {
			v := volumes(t)[0].Name
			require.NoError(t, cli.VolumeRemove(t.Context(), v, true))
			_, err := cli.VolumeCreate(t.Context(), volume.CreateOptions{Name: v, Labels: map[string]string{"com.github.task-runner.role": "runner"}})
			require.NoError(t, err)
		},
		"emptied": func(t *testing.T, r *rig) {
			v := volumes(t)[0]
			c, err := cli.ContainerCreate(t.Context(), &container.Config{
				Image: r.bash.Image, Entrypoint: []string{r.bash.Run[0], "-c", "rm /v/*"},
			}, &container.HostConfig{NetworkMode: "none", Binds: []string{v.Name + ":/v"}}, nil, nil, "")
			require.NoError(t, err)
			defer r.remove(c.ID)
			require.NoError(t, cli.ContainerStart(t.Context(), c.ID, container.StartOptions{}))
			gone, failed := cli.ContainerWait(t.Context(), c.ID, container.WaitConditionNotRunning)
			select {
			case end := <-gone:
				require.Zero(t, end.StatusCode)
			case err := <-failed:
				require.NoError(t, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, cli, cli, dockerexec.Config{Pool: noPool})
			r.runs()
			r.eventually(func() bool { return len(r.containers()) == 0 }, "nothing uses the volume")
			spoil(t, r)
			var all []*run
			for range 3 {
				all = append(all, r.start(t.Context(), r.job("echo hello")))
			}
			for _, p := range all {
				o, err := p.ended()
				require.NoError(t, err)
				assert.Equal(t, ports.CauseExit, o.Cause)
			}
		})
	}
}
