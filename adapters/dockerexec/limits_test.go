package dockerexec_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// supervisorMemory and supervisorThreads are the most that a container may have for
// its supervisor, above the program's limits.
const (
	supervisorMemory  = 8 << 20
	supervisorThreads = 16
)

// used starts the job and returns what the engine says of its container: the one that
// waits in the pool, or else the only one.
func (r *rig) used(job ports.Job) container.InspectResponse {
	r.t.Helper()
	job.Spec.Code = longTask
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	ids, warm := r.containers(), r.Stats().Warm
	p := r.start(ctx, job)
	p.speaks()
	if r.Stats().Warm == warm {
		ids = r.containers()
	}
	require.Len(r.t, ids, 1)
	c, err := r.cli.ContainerInspect(r.t.Context(), ids[0])
	require.NoError(r.t, err)
	cancel()
	p.cancelled()
	r.eventually(func() bool { return !slices.Contains(r.containers(), ids[0]) }, "the container is removed")
	return c
}

func TestTheEngineHasTheLimitsOfTheJob(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	usual := ports.Limits{CPU: 1, Memory: 128 << 20, PIDs: 32, Disk: 64 << 20}
	for name, c := range map[string]struct {
		change  func(*ports.Job)
		updated bool // in a container of the pool
		other   bool // it needs a container of another kind than those of the pool
	}{
		"the usual ones":     {change: func(*ports.Job) {}},
		"less memory":        {change: func(j *ports.Job) { j.Spec.Limits.Memory = 64 << 20 }, updated: true},
		"more memory":        {change: func(j *ports.Job) { j.Spec.Limits.Memory = 512 << 20 }, updated: true},
		"half a processor":   {change: func(j *ports.Job) { j.Spec.Limits.CPU = 0.5 }, updated: true},
		"fewer processes":    {change: func(j *ports.Job) { j.Spec.Limits.PIDs = 8 }, updated: true},
		"all others at once": {change: func(j *ports.Job) { j.Spec.Limits.CPU, j.Spec.Limits.Memory, j.Spec.Limits.PIDs = 0.25, 256<<20, 100 }, updated: true},
		"input to be held":   {change: func(j *ports.Job) { j.Spec.Stdin = make([]byte, 4<<20) }, updated: true},
		"another disk":       {change: func(j *ports.Job) { j.Spec.Limits.Disk = 16 << 20 }, other: true},
		"a compiler":         {change: func(j *ports.Job) { j.Language.Compile = []string{j.Language.Run[0], "-n", ports.EntrypointArg} }, other: true},
	} {
		for _, pool := range []int{noPool, 1} {
			if pool > 0 && c.other {
				continue
			}
			t.Run(fmt.Sprintf("%s, pool of %d", name, max(0, pool)), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, cli, cli, dockerexec.Config{Pool: pool, Limits: usual, Warm: []ports.Language{bash(t)}})
				if pool > 0 {
					r.filled(1)
					r.runs() // from now on it is known what supervisors take
					r.filled(1)
					r.eventually(func() bool { return len(r.containers()) == 1 }, "the first one is gone")
				}
				job := r.job("")
				l := &job.Spec.Limits
				l.CPU, l.Memory, l.PIDs, l.Disk = usual.CPU, usual.Memory, usual.PIDs, usual.Disk
				c.change(&job)
				var got container.InspectResponse
				// What supervisors take differs a little, so that one container may need a
				// change that others do not.
				for range 5 {
					before := r.Stats()
					got = r.used(job)
					after := r.Stats()
					if pool < 0 {
						break
					}
					require.Equal(t, before.Warm+1, after.Warm)
					if c.updated {
						require.Equal(t, before.Updated+1, after.Updated)
						break
					}
					if before.Updated == after.Updated {
						break
					}
					r.filled(1)
					got = container.InspectResponse{}
				}
				require.NotNil(t, got.ContainerJSONBase, "none of many containers did without a change")
				h, held := got.HostConfig, int64(len(job.Spec.Stdin))
				assert.Greater(t, h.Memory, l.Memory+held)
				assert.LessOrEqual(t, h.Memory, l.Memory+held+supervisorMemory)
				assert.Equal(t, h.Memory, h.MemorySwap, "no swap")
				assert.Equal(t, int64(l.CPU*1e9), h.NanoCPUs)
				require.NotNil(t, h.PidsLimit)
				assert.Greater(t, *h.PidsLimit, int64(l.PIDs))
				assert.LessOrEqual(t, *h.PidsLimit, int64(l.PIDs)+supervisorThreads)
				var disk int64
				for folder, options := range h.Tmpfs {
					list := strings.Split(options, ",")
					if slices.Contains(list, "ro") {
						continue
					}
					assert.Contains(t, []string{"/tmp", "/dev/shm"}, folder)
					assert.Subset(t, list, []string{"nosuid", "nodev"})
					assert.Equal(t, job.Language.Compile == nil, slices.Contains(list, "noexec"), options)
					assert.Contains(t, options, ",nr_inodes=")
					_, size, _ := strings.Cut(options, ",size=")
					size, _, _ = strings.Cut(size, ",")
					n, err := strconv.ParseInt(size, 10, 64)
					require.NoError(t, err, options)
					disk += n
				}
				assert.Equal(t, l.Disk, disk)
				locked(t, got)
			})
		}
	}
}

// locked asserts what holds for every container.
func locked(t *testing.T, c container.InspectResponse) {
	t.Helper()
	h := c.HostConfig
	user, group, ok := strings.Cut(c.Config.User, ":")
	assert.True(t, ok && len(user) >= 5 && group == "65534", "the user is nobody's: %s", c.Config.User)
	assert.True(t, h.ReadonlyRootfs)
	assert.False(t, h.Privileged)
	assert.Empty(t, h.CapAdd)
	assert.Equal(t, []string{"ALL"}, []string(h.CapDrop))
	assert.Contains(t, h.SecurityOpt, "no-new-privileges")
	assert.True(t, slices.ContainsFunc(h.SecurityOpt, func(o string) bool { return strings.HasPrefix(o, "seccomp={") }))
	assert.EqualValues(t, "none", h.NetworkMode)
	for name, n := range c.NetworkSettings.Networks {
		assert.Empty(t, n.IPAddress, name)
	}
	assert.EqualValues(t, "none", h.IpcMode)
	assert.EqualValues(t, "private", h.CgroupnsMode)
	assert.Empty(t, h.PidMode)
	assert.Empty(t, h.Binds)
	assert.Empty(t, h.Devices)
	for _, m := range c.Mounts {
		assert.False(t, m.RW, m.Destination)
	}
	assert.Equal(t, "none", h.LogConfig.Type)
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/cmdline", "/sys/firmware", "/sys/kernel"} {
		assert.Contains(t, h.MaskedPaths, path)
	}
	assert.Contains(t, h.ReadonlyPaths, "/proc/sys")
}

func TestANetworkIsForThoseWhoAskForOne(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	name := "taskrunner-test-" + strings.ToLower(t.Name())
	_, err := cli.NetworkCreate(t.Context(), name, network.CreateOptions{
		Driver: "bridge", Internal: true, Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cli.NetworkRemove(context.Background(), name)) })

	interfaces := func(t *testing.T, r *rig, asks bool) []string {
		t.Helper()
		job := r.job("while IFS=: read -r name rest; do test -n \"$rest\" && echo $name; done </proc/net/dev")
		job.Spec.Network = asks
		p := r.start(t.Context(), job)
		o, err := p.ended()
		require.NoError(t, err)
		require.Equal(t, ports.CauseExit, o.Cause)
		names := strings.Fields(p.out.String())
		require.Contains(t, names, "lo")
		return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "eth") })
	}
	r := newRig(t, cli, cli, dockerexec.Config{Pool: 1, Network: name})
	for range 2 { // the second time from the pool
		assert.NotEmpty(t, interfaces(t, r, true))
		assert.Empty(t, interfaces(t, r, false))
		r.filled(2)
	}
	assert.EqualValues(t, 2, r.Stats().Warm)

	without := newRig(t, cli, cli, dockerexec.Config{Pool: noPool})
	job := without.job("echo hello")
	job.Spec.Network = true
	_, err = without.start(t.Context(), job).ended()
	require.ErrorIs(t, err, ports.ErrInvalid)
	assert.Empty(t, without.containers())
}
