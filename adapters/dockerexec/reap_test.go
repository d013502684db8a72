package dockerexec

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// scoped is a client that lists only what a test has made, as others use the engine,
// too, and a test's clock is not theirs.
type scoped struct {
	client.APIClient
	name, tags string
}

// only returns a client that lists nothing but what deliveries of p make.
func only(cli client.APIClient, p *payload) client.APIClient {
	return scoped{cli, p.volume, "taskrunner-runner:" + strings.TrimPrefix(p.volume, runnerPrefix) + "-*"}
}

func with(args filters.Args, key, value string) filters.Args {
	args = args.Clone()
	args.Add(key, value)
	return args
}

func (s scoped) ContainerList(ctx context.Context, opts container.ListOptions) ([]container.Summary, error) {
	opts.Filters = with(opts.Filters, "name", s.name)
	return s.APIClient.ContainerList(ctx, opts)
}

func (s scoped) ImageList(ctx context.Context, opts image.ListOptions) ([]image.Summary, error) {
	opts.Filters = with(opts.Filters, "reference", s.tags)
	return s.APIClient.ImageList(ctx, opts)
}

func (s scoped) VolumeList(ctx context.Context, opts volume.ListOptions) (volume.ListResponse, error) {
	opts.Filters = with(opts.Filters, "name", s.name)
	return s.APIClient.VolumeList(ctx, opts)
}

// leftovers makes things in an engine whose names begin alike.
type leftovers struct {
	t      *testing.T
	cli    *client.Client
	prefix string
	image  string
	// expires is the value of a label for things that are needed for an hour more.
	expires string
}

func newLeftovers(t *testing.T) *leftovers {
	cli := testenv.Docker(t)
	l := &leftovers{t: t, cli: cli, prefix: runnerPrefix + "t" + strings.ToLower(rand.Text()[:10]) + "-"}
	l.image = testenv.Languages(t, cli).Bash.Image
	clock, err := engineClock(t.Context(), cli)
	require.NoError(t, err)
	l.expires = clock().Add(time.Hour).UTC().Format(expiryFormat)
	return l
}

// client returns a client for the reaper, of an engine whose clock is ahead.
func (l *leftovers) client(ahead time.Duration) *faulty {
	return &faulty{APIClient: scoped{l.cli, l.prefix, strings.TrimSuffix(l.prefix, "-") + ":*"}, ahead: ahead}
}

func (l *leftovers) container(name string, labels map[string]string, mounts ...mount.Mount) (id string) {
	l.t.Helper()
	c, err := l.cli.ContainerCreate(l.t.Context(),
		&container.Config{Image: l.image, Entrypoint: []string{}, Cmd: []string{"sleep", "600"}, Labels: labels},
		&container.HostConfig{NetworkMode: "none", Mounts: mounts}, nil, nil, l.prefix+name)
	require.NoError(l.t, err)
	l.t.Cleanup(func() {
		err := l.cli.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if !cerrdefs.IsNotFound(err) {
			assert.NoError(l.t, err)
		}
	})
	return c.ID
}

func (l *leftovers) running(name string, labels map[string]string, mounts ...mount.Mount) (id string) {
	l.t.Helper()
	id = l.container(name, labels, mounts...)
	require.NoError(l.t, l.cli.ContainerStart(l.t.Context(), id, container.StartOptions{}))
	return id
}

func (l *leftovers) exited(name string, labels map[string]string) {
	l.t.Helper()
	id := l.running(name, labels)
	gone, failed := l.cli.ContainerWait(l.t.Context(), id, container.WaitConditionNotRunning)
	require.NoError(l.t, l.cli.ContainerKill(l.t.Context(), id, "KILL"))
	select {
	case <-gone:
	case err := <-failed:
		require.NoError(l.t, err)
	}
}

func (l *leftovers) taggedImage(name string, labels map[string]string) {
	l.t.Helper()
	var changes []string
	for k, v := range labels {
		changes = append(changes, "LABEL "+k+"="+v)
	}
	tag := strings.TrimSuffix(l.prefix, "-") + ":" + name
	// The engine would give two images of the same content one ID.
	content := bytes.NewReader(pack(l.t, entry{name, 0o644, tag}))
	body, err := l.cli.ImageImport(l.t.Context(), image.ImportSource{Source: content, SourceName: "-"}, tag, image.ImportOptions{Changes: changes})
	require.NoError(l.t, err)
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	require.NoError(l.t, err)
	l.t.Cleanup(func() {
		_, err := l.cli.ImageRemove(context.Background(), tag, image.RemoveOptions{})
		if !cerrdefs.IsNotFound(err) {
			assert.NoError(l.t, err)
		}
	})
}

func (l *leftovers) volume(name string, labels map[string]string) string {
	l.t.Helper()
	_, err := l.cli.VolumeCreate(l.t.Context(), volume.CreateOptions{Name: name, Labels: labels})
	require.NoError(l.t, err)
	l.t.Cleanup(func() {
		err := l.cli.VolumeRemove(context.Background(), name, false)
		if !cerrdefs.IsNotFound(err) {
			assert.NoError(l.t, err)
		}
	})
	return name
}

var age = regexp.MustCompile(`[0-9hms]*[0-9]s`)

// names returns the ends of the names of what was reaped.
func (l *leftovers) names(reaped []Reaped) []string {
	var names []string
	for _, r := range reaped {
		assert.NotEmpty(l.t, r.ID)
		name := strings.TrimPrefix(r.Name, strings.TrimSuffix(l.prefix, "-"))
		names = append(names, r.Kind+" "+name[1:]+" "+age.ReplaceAllString(r.Why, "LONG"))
	}
	slices.Sort(names)
	return names
}

func (l *leftovers) reap(ahead time.Duration, opts ReapOptions) []string {
	l.t.Helper()
	reaped, err := Reap(l.t.Context(), l.client(ahead), opts)
	require.NoError(l.t, err)
	return l.names(reaped)
}

func sandboxUntil(expires string) map[string]string {
	return map[string]string{labelRole: roleSandbox, labelExpires: expires}
}

func TestTheReaperRemovesWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	l := newLeftovers(t)
	anonymous := mount.Mount{Type: mount.TypeVolume, Target: "/anonymous"}
	l.container("created", sandboxUntil(l.expires))
	l.exited("exited", sandboxUntil(l.expires))
	runningID := l.running("running", sandboxUntil(l.expires), anonymous)
	require.NoError(t, l.cli.ContainerPause(t.Context(), l.running("paused", sandboxUntil(l.expires))))
	l.running("running-odd", sandboxUntil("tomorrow"))
	l.running("running-without-end", map[string]string{labelRole: roleSandbox})
	l.container("helper", map[string]string{labelRole: roleRunner, labelExpires: l.expires})
	l.container("helper-odd", map[string]string{labelRole: roleRunner, labelExpires: "0"})
	l.container("unlabelled", nil)
	l.container("other-label", map[string]string{"role": roleSandbox})
	l.container("other-role", map[string]string{labelRole: "supper", labelExpires: l.expires})
	l.taggedImage("helper", map[string]string{labelRole: roleRunner, labelExpires: l.expires})
	l.taggedImage("helper-odd", map[string]string{labelRole: roleRunner, labelExpires: "0"})
	l.taggedImage("other-role", map[string]string{labelRole: roleSandbox, labelExpires: l.expires})
	l.taggedImage("unlabelled", nil)
	l.volume(l.prefix+"unused", volumeLabels())
	l.volume(l.prefix+"used", volumeLabels())
	l.container("user", nil, mount.Mount{Type: mount.TypeVolume, Source: l.prefix + "used", Target: "/v"})
	l.volume(l.prefix+"unlabelled", nil)
	l.volume(l.prefix+"other-role", map[string]string{labelRole: roleSandbox})
	l.volume("not-"+l.prefix+"x", volumeLabels())

	running, err := l.cli.ContainerInspect(t.Context(), runningID)
	require.NoError(t, err)
	require.Len(t, running.Mounts, 1)

	stopped := []string{"container created has not run for LONG", "container exited has not run for LONG"}
	expired := append(slices.Clone(stopped), "container helper expired LONG ago", "container paused expired LONG ago", "container running expired LONG ago", "image helper expired LONG ago")
	all := append(slices.Clone(expired), "volume unused is of another version, unused and LONG old")
	dry := ReapOptions{DryRun: true}
	for _, c := range []struct {
		name  string
		ahead time.Duration
		opts  ReapOptions
		want  []string
	}{
		{"at once", 0, dry, nil},
		{"after less than the grace", 3 * time.Minute, dry, nil},
		{"after the grace", 10 * time.Minute, dry, stopped},
		{"after less than a longer grace", 10 * time.Minute, ReapOptions{DryRun: true, Grace: 20 * time.Minute}, nil},
		{"when they have just expired", time.Hour + 3*time.Minute, dry, stopped},
		{"when they have expired", 2 * time.Hour, dry, expired},
		{"a day later", 25 * time.Hour, dry, all},
		{"in earnest", 25 * time.Hour, ReapOptions{}, all},
		{"again", 25 * time.Hour, ReapOptions{}, nil},
		{"in a hundred years", 100 * 365 * 24 * time.Hour, ReapOptions{}, nil},
	} {
		assert.Equal(t, c.want, l.reap(c.ahead, c.opts), c.name)
	}

	for _, name := range []string{"running-odd", "running-without-end", "helper-odd", "unlabelled", "other-label", "other-role", "user"} {
		_, err := l.cli.ContainerInspect(t.Context(), l.prefix+name)
		assert.NoError(t, err)
	}
	for _, name := range []string{"created", "exited", "running", "paused", "helper"} {
		_, err := l.cli.ContainerInspect(t.Context(), l.prefix+name)
		assert.True(t, cerrdefs.IsNotFound(err), name)
	}
	_, err = l.cli.VolumeInspect(t.Context(), running.Mounts[0].Name)
	assert.True(t, cerrdefs.IsNotFound(err), "its anonymous volume goes with a container")
}

func TestTheReaperKeepsThisVersionsVolumes(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	for _, arch := range []string{"amd64", "arm64"} {
		name, err := deliver(t.Context(), cli, arch)
		require.NoError(t, err)
		f := &faulty{APIClient: scoped{cli, name, "none:none"}, ahead: 1000 * time.Hour}
		reaped, err := Reap(t.Context(), f, ReapOptions{})
		assert.NoError(t, err)
		assert.Empty(t, reaped)
	}
}

func TestAContainerThatEndedJustNowStays(t *testing.T) {
	t.Parallel()
	l := newLeftovers(t)
	l.exited("exited", sandboxUntil(l.expires))
	for finished, want := range map[string][]string{
		"2 minutes ago":  nil,
		"10 minutes ago": {"container exited has not run for LONG"},
		"who knows when": nil,
	} {
		f := l.client(20 * time.Minute)
		since, _ := time.ParseDuration(strings.TrimSuffix(strings.ReplaceAll(finished, " minutes", "m"), " ago"))
		reaped, err := Reap(t.Context(), finisher{f, func(s *container.State) {
			if since == 0 {
				s.FinishedAt = finished
				return
			}
			really, err := time.Parse(time.RFC3339Nano, s.FinishedAt)
			require.NoError(t, err)
			s.FinishedAt = really.Add(20*time.Minute - since).Format(time.RFC3339Nano)
		}}, ReapOptions{DryRun: true})
		require.NoError(t, err)
		assert.Equal(t, want, l.names(reaped), finished)
	}
}

// finisher is a client that changes how a container ended.
type finisher struct {
	client.APIClient
	change func(*container.State)
}

func (f finisher) ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error) {
	c, err := f.APIClient.ContainerInspect(ctx, id)
	if err == nil {
		f.change(c.State)
	}
	return c, err
}

func TestAContainerThatBeginsToRunMeanwhileStays(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"ContainerInspect", "ContainerRemove"} {
		t.Run("before "+moment, func(t *testing.T) {
			t.Parallel()
			l := newLeftovers(t)
			id := l.container("created", sandboxUntil(l.expires))
			f := l.client(10 * time.Minute)
			f.before = func(call string) error {
				if call == moment {
					return l.cli.ContainerStart(context.Background(), id, container.StartOptions{})
				}
				return nil
			}
			reaped, err := Reap(t.Context(), f, ReapOptions{})
			assert.NoError(t, err)
			assert.Empty(t, reaped)
			c, err := l.cli.ContainerInspect(t.Context(), id)
			require.NoError(t, err)
			assert.True(t, c.State.Running)
		})
	}
}

func TestOneThatCannotBeRemovedDoesNotStopTheRest(t *testing.T) {
	t.Parallel()
	l := newLeftovers(t)
	l.container("one", sandboxUntil(l.expires))
	l.container("two", sandboxUntil(l.expires))
	l.taggedImage("image", map[string]string{labelRole: roleRunner, labelExpires: l.expires})
	for _, c := range []struct {
		name  string
		err   error
		noted bool
	}{
		{"an error of the engine", errors.New("device or resource busy"), true},
		{"somebody else was faster", cerrdefs.ErrNotFound, false},
		{"somebody else is about to", cerrdefs.ErrConflict, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, failed := l.client(2*time.Hour), false
			f.before = func(call string) error {
				switch {
				case call == "ContainerRemove" && !failed:
					failed = true
					return c.err
				case call == "ContainerRemove", call == "ImageRemove":
					return errStop // keep it for the next case
				}
				return nil
			}
			reaped, err := Reap(t.Context(), f, ReapOptions{})
			assert.Empty(t, reaped)
			assert.Equal(t, c.noted, errors.Is(err, c.err))
			assert.ErrorContains(t, err, "removing the container ")
			assert.ErrorContains(t, err, "removing the image ")
		})
	}
	assert.Len(t, l.reap(2*time.Hour, ReapOptions{}), 3)
}

var errStop = errors.New("stop")

func TestReapersDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	l := newLeftovers(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		l.container(name, sandboxUntil(l.expires))
	}
	l.volume(l.prefix+"v", volumeLabels())
	l.taggedImage("i", map[string]string{labelRole: roleRunner, labelExpires: l.expires})
	var all sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		all.Go(func() { _, errs[i] = Reap(t.Context(), l.client(30*time.Hour), ReapOptions{}) })
	}
	all.Wait()
	assert.NoError(t, errors.Join(errs...))
	assert.Empty(t, l.reap(30*time.Hour, ReapOptions{}))
}

func TestReapRefusesAShortGrace(t *testing.T) {
	t.Parallel()
	for _, grace := range []time.Duration{-time.Hour, 1, time.Minute - 1} {
		_, err := Reap(t.Context(), nil, ReapOptions{Grace: grace})
		assert.ErrorIs(t, err, ports.ErrInvalid)
		assert.ErrorContains(t, err, "grace must be at least 1m")
	}
}

func TestReapDoesNothingWithoutTheEnginesTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cli  client.APIClient
		want string
	}{
		{&faulty{APIClient: timeless{}, before: func(string) error { return errStop }}, "reaping: unix:///engine.sock does not answer as a Docker engine does: "},
		{timeless{}, "reaping: asking the engine for its time: "},
	} {
		_, err := Reap(t.Context(), c.cli, ReapOptions{})
		assert.ErrorContains(t, err, c.want)
	}
}

// timeless is an engine that does not say what time it is, and does nothing else.
type timeless struct{ client.APIClient }

func (timeless) DaemonHost() string { return "unix:///engine.sock" }

func (timeless) Info(context.Context) (system.Info, error) { return system.Info{}, nil }

func TestReapEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l := newLeftovers(t)
	l.container("one", sandboxUntil(l.expires))
	l.container("two", sandboxUntil(l.expires))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f, calls := l.client(time.Hour), 0
	f.before = func(call string) error {
		if call == "ContainerRemove" {
			calls++
			cancel()
		}
		return nil
	}
	reaped, err := Reap(ctx, f, ReapOptions{})
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, reaped)
	assert.Equal(t, 1, calls)
}
