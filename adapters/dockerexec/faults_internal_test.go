package dockerexec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/runner/frame"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// tampered is a real engine between which and its executor a test comes.
type tampered struct {
	client.APIClient
	// create changes what a task's container is made of.
	create func(*container.Config)
	// at is told of each call of an executor, before it is made and after it took
	// effect. An error is the call's.
	at func(call string, after bool) error
	// warning is what the engine says of the limits that a container is made with,
	// or gets.
	createWarning, updateWarning string
}

func (e *tampered) around(call string, do func() error) error {
	if e.at == nil {
		return do()
	}
	return errors.Join(e.at(call, false), do(), e.at(call, true))
}

func (e *tampered) ImageInspect(ctx context.Context, name string, opts ...client.ImageInspectOption) (found image.InspectResponse, err error) {
	err = e.around("ImageInspect", func() error {
		found, err = e.APIClient.ImageInspect(ctx, name, opts...)
		return err
	})
	return found, err
}

func (e *tampered) ContainerCreate(ctx context.Context, c *container.Config, h *container.HostConfig, n *network.NetworkingConfig, p *ocispec.Platform, name string) (made container.CreateResponse, err error) {
	if c.Labels[labelRole] != roleSandbox { // a delivery's
		return e.APIClient.ContainerCreate(ctx, c, h, n, p, name)
	}
	if e.create != nil {
		e.create(c)
	}
	err = e.around("ContainerCreate", func() error {
		made, err = e.APIClient.ContainerCreate(ctx, c, h, n, p, name)
		return err
	})
	if e.createWarning != "" {
		made.Warnings = append(made.Warnings, e.createWarning)
	}
	return made, err
}

func (e *tampered) ContainerAttach(ctx context.Context, id string, opts container.AttachOptions) (attached types.HijackedResponse, err error) {
	err = e.around("ContainerAttach", func() error {
		attached, err = e.APIClient.ContainerAttach(ctx, id, opts)
		return err
	})
	return attached, err
}

func (e *tampered) ContainerStart(ctx context.Context, id string, opts container.StartOptions) error {
	return e.around("ContainerStart", func() error { return e.APIClient.ContainerStart(ctx, id, opts) })
}

func (e *tampered) ContainerUpdate(ctx context.Context, id string, config container.UpdateConfig) (updated container.UpdateResponse, err error) {
	err = e.around("ContainerUpdate", func() error {
		updated, err = e.APIClient.ContainerUpdate(ctx, id, config)
		return err
	})
	if e.updateWarning != "" {
		updated.Warnings = append(updated.Warnings, e.updateWarning)
	}
	return updated, err
}

// executorOn returns an executor without a pool. At the test's end it must close
// without an error, and no container of it must be left.
func executorOn(t *testing.T, e *tampered) *Executor {
	t.Helper()
	x, err := newExecutor(within(t), e, Config{Pool: -1, Pull: PullNever, Limits: bashJob(t, "").Spec.Limits})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, x.Close(context.Background()))
		assert.Empty(t, containersOf(t, x), "containers that are left")
	})
	return x
}

func containersOf(t *testing.T, x *Executor) []container.Summary {
	t.Helper()
	all, err := x.cli.ContainerList(context.Background(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", labelExecutor+"="+x.id)),
	})
	assert.NoError(t, err)
	return all
}

func bashJob(t *testing.T, code string) ports.Job {
	t.Helper()
	return ports.Job{
		Task: "task", Attempt: 1, Language: testenv.Languages(t, testenv.Docker(t)).Bash,
		Spec: ports.Spec{Code: code, Limits: ports.Limits{
			CPU: 1, Memory: 64 << 20, PIDs: 32, Disk: 16 << 20, Timeout: 30 * time.Second, Output: 1 << 20,
		}},
	}
}

// printed returns a command of Bash that prints the bytes.
func printed(b []byte) string {
	var s strings.Builder
	s.WriteString("printf '")
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	s.WriteString("'; ")
	return s.String()
}

func TestWhatNoSupervisorSays(t *testing.T) {
	t.Parallel()
	ready := printed(frame.AppendReady(nil, runner.Ready{Threads: runner.UsualThreads}))
	started := printed(frame.AppendStarted(nil, 0))
	result := printed(frame.AppendResult(nil, &frame.Result{End: runner.EndExit}))
	header := make([]byte, frame.HeaderSize)
	frame.PutHeader(header, frame.TypeReady, frame.MaxRequest)
	const (
		wait = "exec sleep 600"
		hear = "read -r -n 1; " // until the request comes
	)
	for name, c := range map[string]struct {
		script string
		want   error // nil if the task counts as one whose time was over
	}{
		"nothing, and it ends":                     {"exit 3", runner.ErrLost},
		"half a frame, and it ends":                {printed(frame.AppendReady(nil, runner.Ready{})[:7]), runner.ErrLost},
		"a frame that is too long":                 {printed(header) + wait, runner.ErrProtocol},
		"a result before it is ready":              {result + wait, runner.ErrProtocol},
		"garbage":                                  {"printf garbage; " + wait, runner.ErrProtocol},
		"garbage without end":                      {"exec yes", runner.ErrProtocol},
		"that it is ready without a thread":        {printed(frame.AppendReady(nil, runner.Ready{})) + wait, runner.ErrProtocol},
		"that it is ready, and it ends":            {ready, runner.ErrLost},
		"that it is ready, and it ends on request": {ready + hear, runner.ErrLost},
		"that it is ready, twice":                  {ready + ready + wait, runner.ErrProtocol},
		"a result of a program that never started": {ready + hear + result + wait, runner.ErrProtocol},
		"more behind the result":                   {ready + hear + started + printed(append(frame.AppendResult(nil, &frame.Result{End: runner.EndExit}), 0)) + wait, runner.ErrProtocol},
		"that it started, and then garbage":        {ready + hear + started + "exec yes", runner.ErrProtocol},
		"that it is ready, and then nothing":       {ready + wait, nil},
		"that it is ready, and errors without end": {ready + "exec yes >&2", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := bashJob(t, "echo hello")
			job.Spec.Limits.Timeout = 500 * time.Millisecond
			var honest atomic.Bool
			x := executorOn(t, &tampered{APIClient: testenv.Docker(t), create: func(config *container.Config) {
				if !honest.Load() {
					config.Entrypoint = []string{job.Language.Run[0], "-c", c.script}
				}
			}})
			o, err := x.Run(within(t), job)
			if c.want == nil {
				require.NoError(t, err)
				assert.Equal(t, ports.CauseTimeout, o.Cause)
			} else {
				require.ErrorIs(t, err, c.want)
				assert.NotErrorIs(t, err, ports.ErrInvalid)
				assert.Zero(t, o)
				assert.Less(t, len(err.Error()), 4*tailSize+1000, "the last words are bounded")
			}
			honest.Store(true)
			job.Spec.Limits.Timeout = 30 * time.Second
			o, err = x.Run(within(t), job)
			require.NoError(t, err, "the next task")
			assert.Equal(t, ports.CauseExit, o.Cause)
		})
	}
}

func TestASupervisorsLastWordsAreInTheError(t *testing.T) {
	t.Parallel()
	job := bashJob(t, "")
	x := executorOn(t, &tampered{APIClient: testenv.Docker(t), create: func(c *container.Config) {
		c.Entrypoint = []string{job.Language.Run[0], "-c", "echo 'cannot go on' >&2"}
	}})
	_, err := x.Run(within(t), job)
	assert.ErrorContains(t, err, "cannot go on")
}

// silence is an engine whose containers say nothing and never end.
type silence struct {
	*fakeEngine
	removed chan string
}

func (s *silence) ContainerCreate(context.Context, *container.Config, *container.HostConfig, *network.NetworkingConfig, *ocispec.Platform, string) (container.CreateResponse, error) {
	return container.CreateResponse{ID: "silent"}, nil
}

func (s *silence) ContainerAttach(context.Context, string, container.AttachOptions) (types.HijackedResponse, error) {
	conn, _ := net.Pipe()
	return types.HijackedResponse{Conn: conn, Reader: bufio.NewReader(conn)}, nil
}

func (s *silence) ContainerStart(context.Context, string, container.StartOptions) error { return nil }

func (s *silence) ContainerRemove(_ context.Context, id string, _ container.RemoveOptions) error {
	s.removed <- id
	return nil
}

func TestASupervisorThatNeverGetsReadyIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &silence{newFake(), make(chan string, 10)}
		e.put(fullName, image.InspectResponse{ID: "sha256:x"})
		images := newImages(e, Config{}, "amd64")
		defer images.close()
		x := &Executor{cli: e, images: images, depot: depot{volume: runnerVolume{"volume", "/volume"}}}
		start := time.Now()
		_, err := x.newSandbox(t.Context(), kind{image: "python:3", disk: 1 << 20})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, makeTimeout, time.Since(start))
		x.takeDowns.Wait()
		x.readers.Wait()
		assert.Equal(t, "silent", <-e.removed)
	})
}

func TestAJobMayBeCancelledAtAnyMoment(t *testing.T) {
	t.Parallel()
	type moment struct {
		call  string
		after bool
	}
	moments := []moment{{"Started", false}, {"Stdout", false}, {"Sample", false}}
	for _, call := range []string{"ImageInspect", "ContainerCreate", "ContainerAttach", "ContainerStart", "ContainerUpdate"} {
		moments = append(moments, moment{call, false}, moment{call, true})
	}
	for _, m := range moments {
		name := "at " + m.call
		if m.after {
			name = "after " + m.call
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			var reached sync.Once
			at := func(call string, after bool) error {
				if call == m.call && after == m.after {
					reached.Do(cancel)
				}
				return nil
			}
			x := executorOn(t, &tampered{APIClient: testenv.Docker(t), at: at})
			job := bashJob(t, "echo hello; exec sleep 20")
			job.Spec.Limits.CPU = 0.5 // not what containers are made with
			job.Started = func() { _ = at("Started", false) }
			job.Stdout = writer(func() { _ = at("Stdout", false) })
			job.Sample = func(ports.Sample) { _ = at("Sample", false) }
			o, err := x.Run(ctx, job)
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, ports.CauseCancelled, o.Cause)
		})
	}
	t.Run("before it begins", func(t *testing.T) {
		t.Parallel()
		x := executorOn(t, &tampered{APIClient: testenv.Docker(t)})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o, err := x.Run(ctx, bashJob(t, "echo hello"))
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, ports.CauseCancelled, o.Cause)
	})
	t.Run("while the program ends", func(t *testing.T) {
		t.Parallel()
		x := executorOn(t, &tampered{APIClient: testenv.Docker(t)})
		for range 5 {
			ctx, cancel := context.WithCancel(within(t))
			job := bashJob(t, "echo hello")
			job.Stdout = writer(cancel)
			o, err := x.Run(ctx, job)
			if err != nil {
				assert.ErrorIs(t, err, context.Canceled)
				assert.Equal(t, ports.CauseCancelled, o.Cause)
			} else {
				assert.Equal(t, ports.CauseExit, o.Cause)
			}
		}
	})
}

// writer calls a function for each piece of output.
type writer func()

func (w writer) Write(b []byte) (int, error) {
	w()
	return len(b), nil
}

// An engine goes on making what it was asked for, whoever still listens.
func TestAContainerThatIsMadeAfterItsJobWasCancelledIsRemoved(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	ctx, cancel := context.WithCancel(within(t))
	x := executorOn(t, &tampered{APIClient: &heedless{cli, cancel}})
	o, err := x.Run(ctx, bashJob(t, "echo hello"))
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, ports.CauseCancelled, o.Cause)
}

// heedless is an engine that makes containers after whoever asked for them has
// stopped to.
type heedless struct {
	client.APIClient
	stop context.CancelFunc
}

func (h *heedless) ContainerCreate(ctx context.Context, c *container.Config, host *container.HostConfig, n *network.NetworkingConfig, p *ocispec.Platform, name string) (container.CreateResponse, error) {
	if c.Labels[labelRole] != roleSandbox {
		return h.APIClient.ContainerCreate(ctx, c, host, n, p, name)
	}
	h.stop()
	made, err := h.APIClient.ContainerCreate(context.WithoutCancel(ctx), c, host, n, p, name)
	if ctx.Err() != nil {
		return container.CreateResponse{}, ctx.Err()
	}
	return made, err
}

func TestAnEngineWhoseHostForwardsNothing(t *testing.T) {
	t.Parallel()
	const warning = "IPv4 forwarding is disabled. Networking will not work."
	x := executorOn(t, &tampered{APIClient: testenv.Docker(t), createWarning: warning, updateWarning: warning})
	job := bashJob(t, "echo hello")
	job.Spec.Limits.PIDs++
	o, err := x.Run(within(t), job)
	require.NoError(t, err, "its limits hold all the same")
	assert.Equal(t, ports.CauseExit, o.Cause)
}

func TestAnEngineThatDropsALimit(t *testing.T) {
	t.Parallel()
	t.Run("when it makes a container", func(t *testing.T) {
		t.Parallel()
		x := executorOn(t, &tampered{APIClient: testenv.Docker(t), createWarning: "Memory limited without swap."})
		o, err := x.Run(within(t), bashJob(t, "echo hello"))
		assert.ErrorContains(t, err, "Memory limited without swap.")
		assert.NotErrorIs(t, err, ports.ErrInvalid)
		assert.Zero(t, o)
	})
	t.Run("when it changes one", func(t *testing.T) {
		t.Parallel()
		x := executorOn(t, &tampered{APIClient: testenv.Docker(t), updateWarning: "Memory limited without swap."})
		var started atomic.Bool
		job := bashJob(t, "echo hello")
		job.Spec.Limits.PIDs++
		job.Started = func() { started.Store(true) }
		o, err := x.Run(within(t), job)
		assert.ErrorContains(t, err, "Memory limited without swap.")
		assert.Zero(t, o)
		assert.False(t, started.Load())
	})
}
