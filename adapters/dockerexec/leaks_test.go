package dockerexec_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// inventory is what an engine has, by name.
type inventory struct{ containers, images, volumes, cgroups []string }

func take(t *testing.T, d *testenv.Daemon, cli *client.Client) (all inventory) {
	t.Helper()
	containers, err := cli.ContainerList(t.Context(), container.ListOptions{All: true})
	require.NoError(t, err)
	for _, c := range containers {
		all.containers = append(all.containers, c.ID)
	}
	images, err := cli.ImageList(t.Context(), image.ListOptions{All: true})
	require.NoError(t, err)
	for _, i := range images {
		all.images = append(all.images, i.ID)
	}
	volumes, err := cli.VolumeList(t.Context(), volume.ListOptions{})
	require.NoError(t, err)
	for _, v := range volumes.Volumes {
		all.volumes = append(all.volumes, v.Name)
	}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		groups, err := filepath.Glob(filepath.Join(root, d.Cgroup(), "*", "cgroup.procs"))
		require.NoError(t, err)
		all.cgroups = append(all.cgroups, groups...)
	}
	return all
}

// descriptors counts those that this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}

// It is not parallel, so that the descriptors and goroutines are its own.
func TestManyTasksLeaveNothing(t *testing.T) {
	d := ownEngine(t)
	python := testenv.Languages(t, testenv.Docker(t)).Python
	d.Load(t, testenv.Docker(t), python.Image)
	cli := d.Client(t)
	newRig(t, cli, cli, dockerexec.Config{Pool: noPool}).runs() // puts the supervisor there

	through := d.Client(t)
	r := newRig(t, cli, through, dockerexec.Config{Pool: 2})
	r.runs()
	require.NoError(t, cli.Close()) // idle connections
	require.NoError(t, through.Close())
	const tasks, workers = 200, 4
	before := take(t, d, cli)
	require.Len(t, before.volumes, 1)
	files, goroutines := descriptors(t), runtime.NumGoroutine()

	numbers := make(chan int)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range numbers {
				r.oneOfMany(i, python)
			}
		})
	}
	for i := range tasks {
		numbers <- i
	}
	close(numbers)
	r.within("200 tasks", all.Wait)
	assert.Zero(t, r.Stats().Leaked)
	r.within("Close", func() { require.NoError(t, r.Close(context.Background())) })
	assert.Zero(t, r.Stats().Alive)

	after := take(t, d, cli)
	assert.Empty(t, after.containers)
	assert.Empty(t, after.cgroups, "control groups")
	assert.ElementsMatch(t, before.images, after.images)
	assert.Equal(t, before.volumes, after.volumes)
	_ = cli.Close()
	_ = through.Close()
	r.eventually(func() bool { return descriptors(t) <= files }, "descriptors are closed")
	r.eventually(func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines have ended")
}

// oneOfMany runs a task, every one of a few kinds in turn, and asserts how it ends.
func (r *rig) oneOfMany(i int, python ports.Language) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	job := r.job("echo hello")
	job.Spec.Limits.Output = 64 << 10
	l := &job.Spec.Limits
	want := ports.CauseExit
	switch i % 10 {
	case 0:
		job.Language, job.Spec.Code = python, "print('hello')"
	case 1:
		job.Spec.Code = "exit 3"
	case 2:
		job.Spec.Code, l.Timeout, want = "sleep 600", 200*time.Millisecond, ports.CauseTimeout
	case 3:
		job.Spec.Code, want = longTask, ports.CauseCancelled
		job.Started = cancel
	case 4:
		job.Spec.Code, want = "yes", ports.CauseOutputLimit
	case 5:
		job.Spec.Code = "for i in {1..20}; do sleep 600 & done; echo hello"
	case 6:
		job.Spec.Code, l.Memory, l.CPU = "echo hello", 64<<20, 0.5
	case 7:
		job.Spec.Code, want = "kill -9 $$", ports.CauseSignal
	case 8:
		job.Language, job.Spec.Code, l.PIDs = python, "import os\nwhile True: os.fork()", 16
	case 9:
		l.Disk = 16 << 20
		job.Spec.Code = "cat /dev/zero >/tmp/full; echo hello"
	}
	o, err := r.Run(ctx, job)
	if want == ports.CauseCancelled {
		assert.ErrorIs(r.t, err, context.Canceled)
	} else {
		assert.NoError(r.t, err, "task %d", i)
	}
	assert.Equal(r.t, want, o.Cause, "task %d", i)
}

func TestCloseInTheMiddleOfEverything(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	for i := range 5 {
		t.Run(fmt.Sprintf("time %d", i+1), func(t *testing.T) {
			r := newRig(t, cli, cli, dockerexec.Config{Pool: 4, Warm: []ports.Language{bash(t)}})
			var all []*run
			for range 3 {
				all = append(all, r.start(t.Context(), r.job(longTask)))
			}
			for range i % 3 {
				all[0].speaks()
				all = append(all, r.start(t.Context(), r.job(longTask)))
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			r.within("Close", func() { assert.NoError(t, r.Close(ctx)) })
			for _, p := range all {
				_, err := p.ended()
				assert.ErrorIs(t, err, ports.ErrClosed)
			}
			assert.Empty(t, r.containers())
			assert.Zero(t, r.Stats().Alive)
			assert.Zero(t, r.Stats().Leaked)
		})
	}
}
