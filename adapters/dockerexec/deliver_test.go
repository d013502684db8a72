package dockerexec

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// faulty is a client of a real engine between which and its user things go wrong.
type faulty struct {
	client.APIClient
	// ahead is by how much the engine's clock seems to be ahead.
	ahead time.Duration
	// before is called before each call that a delivery or the reaper makes, and
	// after once it took effect; an error of either is the call's. Both may be nil.
	before, after func(call string) error
	// volume changes what a volume is created with.
	volume func(*volume.CreateOptions)
	// read changes what a volume holds.
	read func(io.ReadCloser) io.ReadCloser
}

// through makes a call with its faults.
func through[T any](f *faulty, name string, call func() (T, error)) (T, error) {
	var none T
	if f.before != nil {
		if err := f.before(name); err != nil {
			return none, err
		}
	}
	v, err := call()
	if f.after != nil {
		if afterErr := f.after(name); afterErr != nil {
			return none, afterErr
		}
	}
	return v, err
}

func (f *faulty) Info(ctx context.Context) (system.Info, error) {
	info, err := through(f, "Info", func() (system.Info, error) { return f.APIClient.Info(ctx) })
	if now, parseErr := time.Parse(time.RFC3339Nano, info.SystemTime); parseErr == nil {
		info.SystemTime = now.Add(f.ahead).Format(time.RFC3339Nano)
	}
	return info, err
}

func (f *faulty) ImageImport(ctx context.Context, source image.ImportSource, ref string, opts image.ImportOptions) (io.ReadCloser, error) {
	return through(f, "ImageImport", func() (io.ReadCloser, error) {
		body, err := f.APIClient.ImageImport(ctx, source, ref, opts)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		all, err := io.ReadAll(body) // so that it took effect
		return io.NopCloser(bytes.NewReader(all)), err
	})
}

func (f *faulty) VolumeInspect(ctx context.Context, id string) (volume.Volume, error) {
	return through(f, "VolumeInspect", func() (volume.Volume, error) { return f.APIClient.VolumeInspect(ctx, id) })
}

func (f *faulty) VolumeCreate(ctx context.Context, opts volume.CreateOptions) (volume.Volume, error) {
	if f.volume != nil {
		f.volume(&opts)
	}
	return through(f, "VolumeCreate", func() (volume.Volume, error) { return f.APIClient.VolumeCreate(ctx, opts) })
}

func (f *faulty) VolumeRemove(ctx context.Context, id string, force bool) error {
	_, err := through(f, "VolumeRemove", func() (any, error) { return nil, f.APIClient.VolumeRemove(ctx, id, force) })
	return err
}

func (f *faulty) ContainerCreate(ctx context.Context, c *container.Config, h *container.HostConfig, n *network.NetworkingConfig, p *ocispec.Platform, name string) (container.CreateResponse, error) {
	return through(f, "ContainerCreate", func() (container.CreateResponse, error) {
		return f.APIClient.ContainerCreate(ctx, c, h, n, p, name)
	})
}

func (f *faulty) ContainerRemove(ctx context.Context, id string, opts container.RemoveOptions) error {
	_, err := through(f, "ContainerRemove", func() (any, error) { return nil, f.APIClient.ContainerRemove(ctx, id, opts) })
	return err
}

func (f *faulty) ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error) {
	return through(f, "ContainerInspect", func() (container.InspectResponse, error) { return f.APIClient.ContainerInspect(ctx, id) })
}

func (f *faulty) ContainerList(ctx context.Context, opts container.ListOptions) ([]container.Summary, error) {
	return through(f, "ContainerList", func() ([]container.Summary, error) { return f.APIClient.ContainerList(ctx, opts) })
}

func (f *faulty) ContainerWait(ctx context.Context, id string, c container.WaitCondition) (<-chan container.WaitResponse, <-chan error) {
	var failed <-chan error
	gone, err := through(f, "ContainerWait", func() (gone <-chan container.WaitResponse, _ error) {
		gone, failed = f.APIClient.ContainerWait(ctx, id, c)
		return gone, nil
	})
	if err != nil {
		crash := make(chan error, 1)
		crash <- err
		return nil, crash
	}
	return gone, failed
}

func (f *faulty) CopyToContainer(ctx context.Context, id, path string, content io.Reader, opts container.CopyToContainerOptions) error {
	_, err := through(f, "CopyToContainer", func() (any, error) { return nil, f.APIClient.CopyToContainer(ctx, id, path, content, opts) })
	return err
}

func (f *faulty) CopyFromContainer(ctx context.Context, id, path string) (io.ReadCloser, container.PathStat, error) {
	var stat container.PathStat
	body, err := through(f, "CopyFromContainer", func() (body io.ReadCloser, err error) {
		body, stat, err = f.APIClient.CopyFromContainer(ctx, id, path)
		return body, err
	})
	if err == nil && f.read != nil {
		body = f.read(body)
	}
	return body, stat, err
}

func (f *faulty) ImageList(ctx context.Context, opts image.ListOptions) ([]image.Summary, error) {
	return through(f, "ImageList", func() ([]image.Summary, error) { return f.APIClient.ImageList(ctx, opts) })
}

func (f *faulty) ImageRemove(ctx context.Context, id string, opts image.RemoveOptions) ([]image.DeleteResponse, error) {
	return through(f, "ImageRemove", func() ([]image.DeleteResponse, error) { return f.APIClient.ImageRemove(ctx, id, opts) })
}

// uniquePayload returns a payload that no other test delivers. Its volume is
// removed at the end, as is everything that a delivery of it left.
func uniquePayload(t *testing.T, cli client.APIClient) *payload {
	t.Helper()
	p, err := newPayload(
		payloadFile{filterFile, 0o644, []byte(rand.Text())},
		payloadFile{supervisorFile, 0o755, bytes.Repeat([]byte("not a program "), 10_000)},
	)
	require.NoError(t, err)
	t.Cleanup(func() {
		containers, images := helpers(t, cli, p)
		for _, c := range containers {
			assert.NoError(t, cli.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true}))
		}
		for _, i := range images {
			_, err := cli.ImageRemove(context.Background(), i.ID, image.RemoveOptions{})
			assert.NoError(t, err)
		}
		if err := cli.VolumeRemove(context.Background(), p.volume, false); !cerrdefs.IsNotFound(err) {
			assert.NoError(t, err)
		}
	})
	return p
}

// helpers returns what deliveries of p have made and not yet removed.
func helpers(t *testing.T, cli client.APIClient, p *payload) ([]container.Summary, []image.Summary) {
	t.Helper()
	containers, err := cli.ContainerList(context.Background(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", p.volume))})
	require.NoError(t, err)
	tags := "taskrunner-runner:" + strings.TrimPrefix(p.volume, runnerPrefix) + "-*"
	images, err := cli.ImageList(context.Background(), image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", tags))})
	require.NoError(t, err)
	return containers, images
}

func assertNoHelpers(t *testing.T, cli client.APIClient, p *payload) {
	t.Helper()
	containers, images := helpers(t, cli, p)
	assert.Empty(t, containers)
	assert.Empty(t, images)
}

// bystander makes a container with p's volume that is not a delivery's. It does not
// run.
func bystander(t *testing.T, cli client.APIClient, p *payload, labels map[string]string) string {
	t.Helper()
	c, err := cli.ContainerCreate(t.Context(),
		&container.Config{Image: testenv.Languages(t, testenv.Docker(t)).Bash.Image, Cmd: []string{"/none"}, Labels: labels},
		&container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{{
			Type: mount.TypeVolume, Source: p.volume, Target: runnerFolder, VolumeOptions: &mount.VolumeOptions{NoCopy: true},
		}}}, nil, nil, "")
	require.NoError(t, err)
	t.Cleanup(func() {
		err := cli.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true})
		if !cerrdefs.IsNotFound(err) {
			assert.NoError(t, err)
		}
	})
	return c.ID
}

// spoil makes p's volume with something else in it.
func spoil(t *testing.T, cli client.APIClient, p *payload, labels map[string]string, entries ...entry) {
	t.Helper()
	_, err := cli.VolumeCreate(t.Context(), volume.CreateOptions{Name: p.volume, Labels: labels})
	require.NoError(t, err)
	id := bystander(t, cli, p, nil)
	require.NoError(t, cli.CopyToContainer(t.Context(), id, runnerFolder, bytes.NewReader(pack(t, entries...)), container.CopyToContainerOptions{}))
	require.NoError(t, cli.ContainerRemove(t.Context(), id, container.RemoveOptions{}))
}

// stateOf looks at p's volume without a delivery.
func stateOf(t *testing.T, cli client.APIClient, p *payload) state {
	t.Helper()
	id := bystander(t, cli, p, nil)
	body, _, err := cli.CopyFromContainer(t.Context(), id, runnerFolder)
	require.NoError(t, err)
	defer body.Close()
	found, err := p.compare(body)
	require.NoError(t, err)
	require.NoError(t, cli.ContainerRemove(t.Context(), id, container.RemoveOptions{}))
	return found
}

func TestTheSupervisorIsDelivered(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	name, err := deliver(t.Context(), cli, "arm64") // an engine keeps those of any
	require.NoError(t, err)
	v, err := cli.VolumeInspect(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{labelRole: roleRunner}, v.Labels)

	p, err := runnerPayload("arm64")
	require.NoError(t, err)
	assert.Equal(t, p.volume, name)
	assert.Equal(t, stateIntact, stateOf(t, cli, p))
	code, err := runner.Binary("arm64")
	require.NoError(t, err)
	id := bystander(t, cli, p, nil)
	stat, err := cli.ContainerStatPath(t.Context(), id, "/.taskrunner/supervisor")
	require.NoError(t, err)
	assert.EqualValues(t, len(code), stat.Size)
	assert.Equal(t, "-rwxr-xr-x", stat.Mode.String())
}

func TestASecondDeliveryChangesNothing(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	p := uniquePayload(t, cli)
	require.NoError(t, p.deliver(t.Context(), cli))
	assertNoHelpers(t, cli, p)

	f := &faulty{APIClient: cli, before: func(call string) error {
		assert.NotContains(t, []string{"VolumeCreate", "VolumeRemove", "CopyToContainer"}, call)
		return nil
	}}
	require.NoError(t, p.deliver(t.Context(), f))
	assertNoHelpers(t, cli, p)
}

func TestWorkersThatDeliverAtOnceFillTheVolumeOnce(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	p := uniquePayload(t, cli)
	var fills, removals atomic.Int32
	count := func(call string) error {
		switch call {
		case "CopyToContainer":
			fills.Add(1)
		case "VolumeRemove":
			removals.Add(1)
		}
		return nil
	}
	clients := []*faulty{{APIClient: cli, before: count}, {APIClient: testenv.Docker(t), before: count}}
	errs := make([]error, 6)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = p.deliver(t.Context(), clients[i%2]) })
	}
	all.Wait()
	assert.NoError(t, errors.Join(errs...))
	assert.EqualValues(t, 1, fills.Load())
	assert.Zero(t, removals.Load())
	assert.Equal(t, stateIntact, stateOf(t, cli, p))
	assertNoHelpers(t, cli, p)
}

func TestAVolumeThatIsNotWholeIsReplaced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		labels map[string]string
		spoil  func(p *payload) []entry
	}{
		{"empty", volumeLabels(), func(*payload) []entry { return nil }},
		{"empty, and made by the engine for a container", nil, func(*payload) []entry { return nil }},
		{"one file alone", volumeLabels(), func(p *payload) []entry {
			return []entry{{filterFile, 0o644, string(p.files[0].content)}}
		}},
		{"half a file", volumeLabels(), func(p *payload) []entry {
			return []entry{{filterFile, 0o644, string(p.files[0].content)}, {supervisorFile, 0o755, string(p.files[1].content[:1000])}}
		}},
		{"another program", volumeLabels(), func(p *payload) []entry {
			return []entry{{filterFile, 0o644, string(p.files[0].content)}, {supervisorFile, 0o755, strings.ToUpper(string(p.files[1].content))}}
		}},
		{"one file more", volumeLabels(), func(p *payload) []entry {
			return []entry{{filterFile, 0o644, string(p.files[0].content)}, {supervisorFile, 0o755, string(p.files[1].content)}, {"more", 0o644, "x"}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cli := testenv.Docker(t)
			p := uniquePayload(t, cli)
			spoil(t, cli, p, c.labels, c.spoil(p)...)
			require.NotEqual(t, stateIntact, stateOf(t, cli, p))
			require.NoError(t, p.deliver(t.Context(), cli))
			assert.Equal(t, stateIntact, stateOf(t, cli, p))
			assertNoHelpers(t, cli, p)
		})
	}
}

func TestAVolumeThatIsNotOursToReplaceStaysAsItIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		labels       map[string]string
		inUse        bool
		says, advice string
	}{
		{"somebody else's", nil, false, "has other content and not our labels", "docker volume rm "},
		{"in use by a container", volumeLabels(), true, "is in use by the container", "docker rm -f "},
	} {
		t.Run(c.name, func(t *testing.T) {
			cli := testenv.Docker(t)
			p := uniquePayload(t, cli)
			spoil(t, cli, p, c.labels, entry{"precious", 0o644, "x"})
			advice := c.advice
			if c.inUse {
				advice += bystander(t, cli, p, nil)[:12] + "; docker volume rm "
			}
			err := p.deliver(t.Context(), cli)
			require.ErrorIs(t, err, ports.ErrConflict)
			assert.ErrorContains(t, err, "the volume "+p.volume)
			assert.ErrorContains(t, err, c.says)
			assert.ErrorContains(t, err, advice+p.volume)
			assert.Equal(t, stateOther, stateOf(t, cli, p))
			assertNoHelpers(t, cli, p)
		})
	}
}

func TestAContainerThatIsInTheWayIsNamed(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	p := uniquePayload(t, cli)
	other := smallPayload(t)
	other.volume = p.volume
	id := bystander(t, cli, other, nil)
	require.NoError(t, cli.ContainerRename(t.Context(), id, p.volume))
	err := p.deliver(t.Context(), cli)
	assert.ErrorIs(t, err, ports.ErrConflict)
	assert.ErrorContains(t, err, "docker rm "+p.volume)
}

// A container that could not start, because of the volume, is removed by its worker.
func TestAFailedSandboxIsWaitedFor(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	p := uniquePayload(t, cli)
	spoil(t, cli, p, volumeLabels(), entry{"other", 0o644, "x"})
	id := bystander(t, cli, p, map[string]string{labelRole: roleSandbox})
	refusals := 0
	f := &faulty{APIClient: cli, after: func(call string) error {
		if call == "VolumeRemove" {
			if refusals++; refusals == 3 {
				return cli.ContainerRemove(context.Background(), id, container.RemoveOptions{})
			}
		}
		return nil
	}}
	require.NoError(t, p.deliver(t.Context(), f))
	assert.Equal(t, stateIntact, stateOf(t, cli, p))
}

func TestADeliveryWaitsForOneThatHoldsTheLock(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	p := uniquePayload(t, cli)
	holding, goOn := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	first := &faulty{APIClient: cli, before: func(call string) error {
		if call == "CopyToContainer" {
			close(holding)
			<-goOn
		}
		return nil
	}}
	firstErr := make(chan error, 1)
	go func() { firstErr <- p.deliver(t.Context(), first) }()
	<-holding

	waits := 0
	second := &faulty{APIClient: cli, after: func(call string) error {
		if call == "ContainerWait" {
			waits++
			release()
		}
		assert.NotEqual(t, "CopyToContainer", call)
		return nil
	}}
	require.NoError(t, p.deliver(t.Context(), second))
	release()
	require.NoError(t, <-firstErr)
	assert.Positive(t, waits)
	assert.Equal(t, stateIntact, stateOf(t, cli, p))
	assertNoHelpers(t, cli, p)
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	p := uniquePayload(t, cli)
	holding := errors.New("the holder is gone")
	require.ErrorIs(t, p.deliver(t.Context(), &faulty{APIClient: cli, before: crashFrom("CopyToContainer", holding)}), holding)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := p.deliver(ctx, &faulty{APIClient: cli, after: func(call string) error {
		if call == "ContainerWait" {
			cancel()
		}
		return nil
	}})
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, "waiting for the container "+p.volume)
}

// crashFrom fails the first call of that name, and every one after it.
func crashFrom(name string, err error) func(string) error {
	crashed := false
	return func(call string) error {
		if crashed = crashed || call == name; crashed {
			return err
		}
		return nil
	}
}

// A worker that dies after any call leaves what the next one can live with, and
// what the reaper finds.
func TestADeliveryMayStopAfterAnyStep(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	crash := errors.New("crash")
	for steps := 1; ; steps++ {
		p := uniquePayload(t, cli)
		// A volume that must be replaced takes the most steps.
		spoil(t, cli, p, volumeLabels(), entry{"other", 0o644, "x"})
		calls, last := 0, ""
		err := p.deliver(t.Context(), &faulty{APIClient: cli, after: func(call string) error {
			if calls++; calls > steps {
				return crash
			}
			last = call
			return nil
		}})
		if calls <= steps {
			require.NoError(t, err)
			require.Greater(t, steps, 15, "all steps were tried")
			return
		}

		// Soon after that, another worker.
		late := &faulty{APIClient: cli, ahead: 2 * helperPatience}
		require.NoError(t, p.deliver(t.Context(), late), "after step %d, %s", steps, last)
		assert.Equal(t, stateIntact, stateOf(t, cli, p), "after step %d, %s", steps, last)

		// Much later, the reaper.
		late.ahead = helperTTL + 2*defaultReapGrace
		_, err = Reap(t.Context(), only(late, p), ReapOptions{})
		require.NoError(t, err)
		assertNoHelpers(t, cli, p)
	}
}

func TestAFailedDeliveryLeavesNoHelpers(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, call := range []string{"ImageImport", "VolumeInspect", "ContainerCreate", "CopyFromContainer", "VolumeRemove", "VolumeCreate", "CopyToContainer"} {
		t.Run("whose answer is lost at "+call, func(t *testing.T) {
			t.Parallel()
			cli := testenv.Docker(t)
			p := uniquePayload(t, cli)
			spoil(t, cli, p, volumeLabels(), entry{"other", 0o644, "x"})
			done := false
			err := p.deliver(t.Context(), &faulty{APIClient: cli, after: func(c string) error {
				if c == call && !done {
					done = true
					return broken
				}
				return nil
			}})
			require.ErrorIs(t, err, broken)
			assertNoHelpers(t, cli, p)
		})
		t.Run("that is cancelled before "+call, func(t *testing.T) {
			t.Parallel()
			cli := testenv.Docker(t)
			p := uniquePayload(t, cli)
			spoil(t, cli, p, volumeLabels(), entry{"other", 0o644, "x"})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := p.deliver(ctx, &faulty{APIClient: cli, before: func(c string) error {
				if c == call {
					cancel()
				}
				return nil
			}})
			require.ErrorIs(t, err, context.Canceled)
			assertNoHelpers(t, cli, p)
		})
	}
}

func TestAnEngineThatCannotTakeTheFilesSaysWhy(t *testing.T) {
	t.Parallel()
	tmpfs := func(size string) func(*volume.CreateOptions) {
		return func(o *volume.CreateOptions) {
			o.DriverOpts = map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=" + size}
		}
	}
	for _, c := range []struct {
		name   string
		volume func(*volume.CreateOptions)
		says   string
	}{
		{"a full disk", tmpfs("64k"), "no space left on device"},
		{"a driver that refuses", func(o *volume.CreateOptions) { o.DriverOpts = map[string]string{"no-such": "x"} }, "no-such"},
		{"a volume that forgets", tmpfs("10m"), "does not give the same ones back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cli := testenv.Docker(t)
			p := uniquePayload(t, cli)
			err := p.deliver(t.Context(), &faulty{APIClient: cli, volume: c.volume})
			require.ErrorContains(t, err, c.says)
			assert.ErrorContains(t, err, "the volume "+p.volume)
			assertNoHelpers(t, cli, p)

			// It is mended, and the next delivery is as if nothing had been.
			require.NoError(t, p.deliver(t.Context(), cli))
			assert.Equal(t, stateIntact, stateOf(t, cli, p))
		})
	}
}

func TestAVolumeIsNotReplacedBecauseALineBroke(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	p := uniquePayload(t, cli)
	require.NoError(t, p.deliver(t.Context(), cli))
	f := &faulty{
		APIClient: cli,
		read: func(body io.ReadCloser) io.ReadCloser {
			return struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(body, 5000), brokenReader{}), body}
		},
		before: func(call string) error {
			assert.NotEqual(t, "VolumeRemove", call)
			return nil
		},
	}
	err := p.deliver(t.Context(), f)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.ErrorContains(t, err, "reading the volume "+p.volume)
	assertNoHelpers(t, cli, p)
}

func TestAnImportThatFailsHalfWayIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, stream, says string }{
		{"with a message", `{"status":"x"}` + "\n" + `{"errorDetail":{"message":"disk quota exceeded"},"error":"disk quota exceeded"}`, "disk quota exceeded"},
		{"within a message", `{"status":"x`, "unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cli := &importer{faulty{APIClient: testenv.Docker(t)}, c.stream}
			err := uniquePayload(t, cli).deliver(t.Context(), cli)
			assert.ErrorContains(t, err, "importing an image: "+c.says)
		})
	}
}

// importer is a client whose engine answers an import with a fixed stream.
type importer struct {
	faulty
	stream string
}

func (i *importer) ImageImport(context.Context, image.ImportSource, string, image.ImportOptions) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(i.stream)), nil
}
