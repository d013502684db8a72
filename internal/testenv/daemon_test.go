package testenv

import (
	"os"
	"path/filepath"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDockerd(t *testing.T) {
	machine := Docker(t)
	bash := Languages(t, machine).Bash

	var d *Daemon
	t.Run("an engine", func(t *testing.T) {
		d = Dockerd(t)
		d.Load(t, machine, bash.Image)
		cli, ctx := d.Client(t), t.Context()
		made, err := cli.ContainerCreate(ctx,
			&container.Config{Image: bash.Image, Cmd: []string{"sleep", "infinity"}, StopSignal: "KILL"},
			&container.HostConfig{NetworkMode: "none"}, nil, nil, "")
		require.NoError(t, err)
		_, err = machine.ContainerInspect(ctx, made.ID)
		require.True(t, cerrdefs.IsNotFound(err), "its containers are not the machine's: %v", err)
		for _, c := range []struct {
			name string
			end  func(testing.TB)
		}{
			{"that was stopped has its containers when it is started again", d.Stop},
			{"and so has one that was killed", d.Kill},
		} {
			t.Run(c.name, func(t *testing.T) {
				require.NoError(t, cli.ContainerStart(ctx, made.ID, container.StartOptions{}))
				c.end(t)
				_, err = cli.Ping(ctx)
				require.True(t, client.IsErrConnectionFailed(err), "nothing answers: %v", err)
				d.Start(t)
				again, err := cli.ContainerInspect(ctx, made.ID)
				require.NoError(t, err)
				assert.False(t, again.State.Running)
			})
		}
		// What runs at the end is ended all the same.
		require.NoError(t, cli.ContainerStart(ctx, made.ID, container.StartOptions{}))
		d.Kill(t)
	})

	t.Run("leaves nothing", func(t *testing.T) {
		assert.NoDirExists(t, d.dir)
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		require.NoError(t, err)
		assert.NotContains(t, string(mounts), d.dir)
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
			groups, err := filepath.Glob(pattern + d.cgroup)
			require.NoError(t, err)
			assert.Empty(t, groups)
		}
	})
}
