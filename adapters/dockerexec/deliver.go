package dockerexec

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/ports"
)

const (
	// helperTTL is when the reaper may take the image and the containers of a
	// delivery for those of a dead worker.
	helperTTL = time.Hour
	// helperPatience is for how long a delivery waits for the helpers of another
	// one before it takes that one for dead. It costs little to be wrong: see lock.
	helperPatience = time.Minute
	// discardTries is how often the removal of a volume is tried that others look at.
	discardTries = 100
	// cleanTimeout bounds the removal of the helpers.
	cleanTimeout = 5 * time.Second
)

// deliver makes sure that the engine has a volume with exactly the supervisor and
// the filter of system calls for arch, a GOARCH, and returns its name. Nothing else
// that it makes stays in the engine, whether it fails or not, and nothing of the
// local file system is used, so that the engine may be anywhere.
//
// Many workers may deliver at once. One that dies on the way leaves helpers, which
// the reaper removes, and perhaps a volume that is not whole, which the next
// delivery replaces.
//
// It matches ports.ErrConflict if the volume holds something else and is not to be
// replaced, because a container uses it or because it is somebody else's.
func deliver(ctx context.Context, cli client.APIClient, arch string) (string, error) {
	p, err := runnerPayload(arch)
	if err == nil {
		err = p.deliver(ctx, cli)
	}
	if err != nil {
		return "", fmt.Errorf("putting the supervisor into the engine: %w", err)
	}
	return p.volume, nil
}

func (p *payload) deliver(ctx context.Context, cli client.APIClient) error {
	clock, err := engineClock(ctx, cli)
	if err != nil {
		return err
	}
	id := strings.ToLower(rand.Text()[:12])
	d := &delivery{
		payload: p, cli: cli, clock: clock, id: id,
		image:  p.image(id),
		labels: helperLabels(id, clock().Add(helperTTL).UTC().Format(expiryFormat)),
	}
	defer d.clean(ctx)
	return d.run(ctx)
}

// image returns the name of the image of a delivery: with a tag of its own, since a
// second image would take a common one away.
func (p *payload) image(id string) string {
	return strings.TrimSuffix(runnerPrefix, "-") + ":" + strings.TrimPrefix(p.volume, runnerPrefix) + "-" + id
}

// helperLabels are those of all that a delivery makes but the volume. There is no
// executor yet; the delivery's ID is as good.
func helperLabels(id, expires string) map[string]string {
	return map[string]string{labelRole: roleRunner, labelExecutor: id, labelExpires: expires}
}

// engineClock returns a clock that shows the engine's time, which need not be ours. It
// says what to mend if the engine does not answer.
func engineClock(ctx context.Context, cli client.APIClient) (func() time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	asked := time.Now()
	info, err := cli.Info(ctx)
	if err != nil {
		return nil, &refusal{unreachable(cli.DaemonHost(), err)}
	}
	now, err := time.Parse(time.RFC3339Nano, info.SystemTime)
	if err != nil {
		return nil, fmt.Errorf("asking the engine for its time: %w", err)
	}
	return func() time.Time { return now.Add(time.Since(asked)) }, nil
}

// volumeLabels are those of the volume itself. Whoever mounts it names them too: an
// engine makes a volume that has gone anew, and empty, for the next container.
func volumeLabels() map[string]string { return map[string]string{labelRole: roleRunner} }

// delivery is one attempt. It works through containers that are never started: an
// engine copies files into and out of their volumes all the same.
type delivery struct {
	*payload
	cli    client.APIClient
	clock  func() time.Time
	id     string
	image  string
	labels map[string]string
}

func (d *delivery) run(ctx context.Context) error {
	if err := d.importImage(ctx); err != nil {
		return err
	}
	if found, err := d.look(ctx); err != nil || found == stateIntact {
		return err
	}
	// Only who has the lock fills the volume or removes it, and the engine removes
	// none that a container mounts: not even an impatient one that breaks the lock
	// takes it away from under somebody.
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	found, err := d.look(ctx) // somebody else may have filled it meanwhile
	if err != nil || found == stateIntact {
		return err
	}
	if found == stateOther {
		if err := d.discard(ctx); err != nil {
			return err
		}
	}
	return d.fill(ctx)
}

// importImage makes the image that containers need: an empty folder.
func (d *delivery) importImage(ctx context.Context) error {
	content, err := emptyImage()
	if err != nil {
		return err
	}
	body, err := d.cli.ImageImport(ctx, image.ImportSource{Source: bytes.NewReader(content), SourceName: "-"}, d.image,
		image.ImportOptions{Changes: labelChanges(d.labels)})
	if err != nil {
		return fmt.Errorf("importing an image: %w", err)
	}
	defer body.Close()
	messages := json.NewDecoder(io.LimitReader(body, 64<<10))
	for {
		var m struct {
			Err *struct{ Message string } `json:"errorDetail"`
		}
		err := messages.Decode(&m)
		if err == nil && m.Err != nil {
			err = errors.New(m.Err.Message)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("importing an image: %w", err)
		}
	}
}

// emptyImage is the tar of an image with nothing but the folder that the volume is
// mounted on.
func emptyImage() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: runnerFolder[1:] + "/", Mode: folderMode})
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("packing an image: %w", err)
	}
	return b.Bytes(), nil
}

// labelChanges are the instructions that give an image these labels.
func labelChanges(labels map[string]string) (changes []string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		changes = append(changes, fmt.Sprintf("LABEL %q=%q", k, labels[k]))
	}
	return changes
}

// look returns the state of the volume.
func (d *delivery) look(ctx context.Context) (state, error) {
	_, err := d.cli.VolumeInspect(ctx, d.volume)
	if cerrdefs.IsNotFound(err) {
		return stateAbsent, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking at the volume %s: %w", d.volume, err)
	}
	id, err := d.mount(ctx)
	if err != nil {
		return 0, err
	}
	found, err := d.read(ctx, id)
	if removeErr := d.remove(ctx, id); err == nil && found != stateIntact {
		err = removeErr // as long as it is there, the volume cannot be replaced
	}
	return found, err
}

// mount makes a container with the volume.
func (d *delivery) mount(ctx context.Context) (id string, err error) {
	id, err = d.create(ctx, d.volume+"-"+d.id, d.helperMount())
	if err != nil {
		return "", fmt.Errorf("mounting the volume %s: %w", d.volume, err)
	}
	return id, nil
}

func (d *delivery) create(ctx context.Context, name string, mounts ...mount.Mount) (id string, err error) {
	config, host := helperConfigs(d.image, d.labels, mounts)
	c, err := d.cli.ContainerCreate(ctx, config, host, nil, nil, name)
	return c.ID, err
}

// helperMount is the volume, for reading and filling it.
func (p *payload) helperMount() mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Source: p.volume, Target: runnerFolder,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: volumeLabels()},
	}
}

// helperConfigs are what the containers of a delivery are made from. They are never
// started.
func helperConfigs(image string, labels map[string]string, mounts []mount.Mount) (*container.Config, *container.HostConfig) {
	return &container.Config{Image: image, Cmd: []string{"/none"}, Labels: labels},
		&container.HostConfig{NetworkMode: "none", Mounts: mounts}
}

// remove removes one of the containers of a delivery, also if it is gone.
func (d *delivery) remove(ctx context.Context, id string) error {
	err := d.cli.ContainerRemove(ctx, id, container.RemoveOptions{Force: true})
	if err == nil || cerrdefs.IsNotFound(err) || cerrdefs.IsConflict(err) { // a conflict: somebody is about to
		return nil
	}
	return fmt.Errorf("removing a container: %w", err)
}

// read compares what a container's volume holds.
func (d *delivery) read(ctx context.Context, id string) (state, error) {
	archive, _, err := d.cli.CopyFromContainer(ctx, id, runnerFolder)
	var found state
	if err == nil {
		defer archive.Close()
		found, err = d.compare(archive)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the volume %s: %w", d.volume, err)
	}
	return found, nil
}

// lock waits until no other delivery changes the volume, and keeps others from it:
// with a container whose name is the volume's, as an engine gives a name but once.
func (d *delivery) lock(ctx context.Context) (unlock func(), err error) {
	for {
		id, err := d.create(ctx, d.volume)
		if err == nil {
			return func() { _ = d.remove(ctx, id) }, nil // or else clean does
		}
		if !cerrdefs.IsConflict(err) {
			return nil, fmt.Errorf("creating the container %s: %w", d.volume, err)
		}
		if err := d.outwait(ctx, d.volume); err != nil {
			return nil, err
		}
	}
}

// outwait waits until a container of another delivery is gone, and removes it if
// that takes too long.
func (d *delivery) outwait(ctx context.Context, name string) error {
	c, err := d.cli.ContainerInspect(ctx, name)
	if cerrdefs.IsNotFound(err) { // it has gone, or is only about to be made
		return pause(ctx)
	}
	if err != nil {
		return fmt.Errorf("looking at the container %s: %w", name, err)
	}
	if c.Config == nil || c.Config.Labels[labelRole] != roleRunner {
		return fmt.Errorf("%w: the container %s is in the way; remove it (docker rm %[2]s)", ports.ErrConflict, strings.TrimPrefix(c.Name, "/"))
	}
	created, err := time.Parse(time.RFC3339Nano, c.Created)
	if err != nil {
		return fmt.Errorf("looking at the container %s: %w", name, err)
	}
	patience := helperPatience - d.clock().Sub(created)
	waitCtx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	gone, failed := d.cli.ContainerWait(waitCtx, c.ID, container.WaitConditionRemoved)
	select { // the end of waitCtx is a failure, too
	case <-gone:
		return nil
	case err = <-failed:
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("waiting for the container %s: %w", name, ctx.Err())
	case waitCtx.Err() != nil:
		return d.remove(ctx, c.ID)
	case cerrdefs.IsNotFound(err):
		return nil
	}
	return fmt.Errorf("waiting for the container %s: %w", name, err)
}

// discard removes a volume that holds something else.
func (d *delivery) discard(ctx context.Context) error {
	v, err := d.cli.VolumeInspect(ctx, d.volume)
	if err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("looking at the volume %s: %w", d.volume, err)
	}
	if err == nil && v.Labels[labelRole] != roleRunner {
		return fmt.Errorf("%w: the volume %s has other content and not our labels; if nobody needs it, remove it (docker volume rm %[2]s)", ports.ErrConflict, d.volume)
	}
	for tries := 1; ; tries++ {
		err := d.cli.VolumeRemove(ctx, d.volume, false)
		if err == nil || cerrdefs.IsNotFound(err) {
			return nil
		}
		if !cerrdefs.IsConflict(err) || tries == discardTries {
			return fmt.Errorf("removing the volume %s: %w", d.volume, err)
		}
		if err := d.outwaitUsers(ctx); err != nil {
			return err
		}
	}
}

// outwaitUsers waits until no other delivery uses the volume. Anything else that
// does is an error, but for containers that could not start because of the volume:
// their worker is about to remove them.
func (d *delivery) outwaitUsers(ctx context.Context) error {
	users, err := d.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("volume", d.volume))})
	if err != nil {
		return fmt.Errorf("looking who uses the volume %s: %w", d.volume, err)
	}
	for _, c := range users {
		switch role := c.Labels[labelRole]; {
		case role == roleRunner:
			if err := d.outwait(ctx, c.ID); err != nil {
				return err
			}
		case role != roleSandbox || !idle(c.State):
			return fmt.Errorf("%w: the volume %s does not hold what it should and is in use by the container %.12s; remove both (docker rm -f %.12[3]s; docker volume rm %[2]s)", ports.ErrConflict, d.volume, c.ID)
		}
	}
	return pause(ctx) // a container that is being made or removed is not listed
}

// pause lets the engine finish what it is about to do.
func pause(ctx context.Context) error {
	select {
	case <-time.After(50 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fill makes the volume, unless it is there and empty, and puts the payload into it.
// If that fails, no volume stays that is not whole.
func (d *delivery) fill(ctx context.Context) (err error) {
	if _, err := d.cli.VolumeCreate(ctx, d.volumeOptions()); err != nil {
		return fmt.Errorf("creating the volume %s: %w", d.volume, err)
	}
	id, err := d.mount(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := cleaning(ctx)
			defer cancel()
			_ = d.remove(ctx, id)
			_ = d.cli.VolumeRemove(ctx, d.volume, false) // or the next delivery does
		}
	}()
	if err := d.cli.CopyToContainer(ctx, id, runnerFolder, bytes.NewReader(d.archive), container.CopyToContainerOptions{}); err != nil {
		return fmt.Errorf("filling the volume %s: %w", d.volume, err)
	}
	found, err := d.read(ctx, id)
	if err == nil && found != stateIntact {
		err = fmt.Errorf("filling the volume %s: the engine took the files and does not give the same ones back", d.volume)
	}
	return err
}

// volumeOptions are what the volume is made from.
func (p *payload) volumeOptions() volume.CreateOptions {
	return volume.CreateOptions{Name: p.volume, Driver: volumeDriver, Labels: volumeLabels()}
}

// volumeDriver keeps volumes as folders of the engine's host.
const volumeDriver = "local"

// cleaning returns a context for taking things away, also after ctx has ended.
func cleaning(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
}

// clean removes every helper, also one of which the engine's answer was lost. What
// it cannot remove the reaper does.
func (d *delivery) clean(ctx context.Context) {
	ctx, cancel := cleaning(ctx)
	defer cancel()
	mine := filters.NewArgs(filters.Arg("label", labelExecutor+"="+d.id))
	containers, _ := d.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: mine})
	for _, c := range containers {
		_ = d.remove(ctx, c.ID)
	}
	images, _ := d.cli.ImageList(ctx, image.ListOptions{Filters: mine})
	for _, i := range images {
		_, _ = d.cli.ImageRemove(ctx, i.ID, image.RemoveOptions{PruneChildren: true})
	}
}
