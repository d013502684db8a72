package dockerexec

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/ports"
)

// imageInfo is what containers need to know of an image.
type imageInfo struct {
	// ID is "sha256:...". Containers are created by it, so that a tag that moves
	// changes nothing half way.
	ID string
	// Path is PATH in the image's environment; "" if it sets none.
	Path string
	// Volumes are the folders that the image declares as volumes, sorted.
	Volumes []string
}

// images finds the images that languages name, and fetches them as the policy says.
// What was found is kept until it is forgotten: a tag that moves in the meantime
// takes effect with the next executor.
//
// The engine fetches with no credentials. Private images are pulled beforehand, by
// an operator who has some.
//
// It is safe for concurrent use.
type images struct {
	cli     client.APIClient
	cfg     Config
	arch    string
	allowed allowList
	now     func() time.Time

	ctx    context.Context // ends when it is closed
	cancel context.CancelFunc
	work   sync.WaitGroup // lookups in progress

	mu     sync.Mutex
	closed bool
	// lookups are those in progress and those that found their image, by the full
	// name of it.
	lookups map[string]*lookup
}

// lookup is the search for one image, shared by all who want it.
type lookup struct {
	cancel context.CancelFunc
	// The following are guarded by the lock of images.
	waiters  int
	finished bool
	// The following may be read when done is closed.
	done chan struct{}
	info imageInfo
	err  error
}

// newImages returns images of an engine whose processors are of the architecture
// arch, as Go names it. It panics on patterns that checkAllowList refuses. The
// caller closes it.
func newImages(cli client.APIClient, cfg Config, arch string) *images {
	allowed, err := newAllowList(cfg.AllowedImages)
	if err != nil {
		panic("dockerexec: " + err.Error())
	}
	cfg.Pull = cmp.Or(cfg.Pull, PullMissing)
	i := &images{cli: cli, cfg: cfg, arch: arch, allowed: allowed, now: time.Now, lookups: map[string]*lookup{}}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	return i
}

// get returns the image, after it was pulled if the policy says so. Those who ask
// for one image at the same time share one pull, which goes on until the last of
// them has gone. ErrInvalid: ref is not a reference or not allowed. ErrClosed: it
// was closed before or during the call.
func (i *images) get(ctx context.Context, ref string) (imageInfo, error) {
	name, err := i.parse(ref)
	if err != nil {
		return imageInfo{}, err
	}
	l, err := i.join(name)
	if err != nil {
		return imageInfo{}, err
	}
	defer i.leave(name, l)
	select {
	case <-l.done:
		return l.info, l.err
	case <-ctx.Done():
		return imageInfo{}, fmt.Errorf("waiting for the image %q: %w", reference.FamiliarString(name), ctx.Err())
	}
}

// present returns the image if the engine has it now. It pulls nothing, and fails
// as get does.
func (i *images) present(ctx context.Context, ref string) (imageInfo, bool, error) {
	name, err := i.parse(ref)
	if err != nil {
		return imageInfo{}, false, err
	}
	return i.inspect(ctx, name)
}

// forget says that the image has gone: the next get looks for it again, also while
// others still wait for what an earlier one finds.
func (i *images) forget(ref string) {
	name, err := reference.ParseDockerRef(ref)
	if err != nil {
		return // was never found
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.lookups, name.String())
}

// close ends pulls in progress and waits for them. It may be called again.
func (i *images) close() {
	i.mu.Lock()
	i.closed = true
	i.cancel()
	i.mu.Unlock()
	i.work.Wait()
}

// parse returns the full name of an image that is allowed. The engine is always
// asked by it, since shorter ones may also be read as IDs, of images that are not.
func (i *images) parse(ref string) (reference.Named, error) {
	if ref == "" {
		return nil, ports.Invalid("language", "names no image to make its containers of")
	}
	name, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, ports.Invalid("language", "names the image %q, which is not a reference of an image: %v", ref, err)
	}
	if !i.allowed.allows(name) {
		return nil, ports.Invalid("language", "names the image %q, which is not among the allowed images (--docker-allowed-images)", ref)
	}
	return name, nil
}

// join adds a waiter to the lookup of the image, and begins one if there is none.
func (i *images) join(name reference.Named) (*lookup, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, errImagesClosed(name)
	}
	l, ok := i.lookups[name.String()]
	if !ok {
		ctx, cancel := context.WithCancel(i.ctx)
		l = &lookup{cancel: cancel, done: make(chan struct{})}
		i.lookups[name.String()] = l
		i.work.Go(func() {
			defer cancel()
			info, err := i.find(ctx, name)
			i.finish(name, l, info, err)
		})
	}
	l.waiters++
	return l, nil
}

// leave takes a waiter away. A lookup for which nobody waits is ended, and nobody
// joins it any more.
func (i *images) leave(name reference.Named, l *lookup) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l.waiters--
	if l.waiters == 0 && !l.finished {
		l.cancel()
		i.drop(name, l)
	}
}

// finish tells the waiters. Failures are not kept: the next one tries again.
func (i *images) finish(name reference.Named, l *lookup, info imageInfo, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		i.drop(name, l)
		if i.closed {
			err = errImagesClosed(name)
		}
	}
	l.info, l.err, l.finished = info, err, true
	close(l.done)
}

// drop takes the lookup out, unless another one has its place already.
func (i *images) drop(name reference.Named, l *lookup) {
	if i.lookups[name.String()] == l {
		delete(i.lookups, name.String())
	}
}

func errImagesClosed(name reference.Named) error {
	return fmt.Errorf("looking for the image %q: %w", reference.FamiliarString(name), ports.ErrClosed)
}

// find does what the policy says.
func (i *images) find(ctx context.Context, name reference.Named) (imageInfo, error) {
	if i.cfg.Pull == PullAlways {
		return i.pull(ctx, name)
	}
	info, ok, err := i.inspect(ctx, name)
	if ok || err != nil {
		return info, err
	}
	if i.cfg.Pull == PullNever {
		short := reference.FamiliarString(name)
		return imageInfo{}, fmt.Errorf("the engine does not have the image %q, and --docker-pull=never fetches none: "+
			"run docker pull %s, or use --docker-pull=missing", short, short)
	}
	return i.pull(ctx, name)
}

// pull fetches the image, also over one that is there: an engine that cannot reach
// the registry then fails, which is what PullAlways is for.
func (i *images) pull(ctx context.Context, name reference.Named) (info imageInfo, err error) {
	short := reference.FamiliarString(name)
	m := &meter{image: short, report: i.cfg.Progress, now: i.now, layers: map[string]layer{}}
	defer func() { m.done(err) }()
	m.add(pullMessage{}) // the engine may take long to say anything
	body, err := i.cli.ImagePull(ctx, name.String(), image.PullOptions{})
	if err == nil {
		err = readPull(body, m.add)
		_ = body.Close() // it was read
	}
	if err != nil {
		mend := "run docker pull " + short + " beforehand"
		if i.cfg.Pull == PullAlways {
			mend += " and use --docker-pull=missing"
		}
		return imageInfo{}, fmt.Errorf("pulling the image %q (--docker-pull=%s): %w; where the engine cannot fetch it by itself, %s",
			short, i.cfg.Pull, err, mend)
	}
	// An account that ends early looks like one that is complete.
	info, ok, err := i.inspect(ctx, name)
	if err == nil && !ok {
		err = fmt.Errorf("pulling the image %q (--docker-pull=%s): the engine ended without an error, and does not have it", short, i.cfg.Pull)
	}
	return info, err
}

// inspectTimeout bounds a look at an image.
const inspectTimeout = 30 * time.Second

// inspect asks the engine for an image, and whether it has it. An image of another
// architecture is an error, also where the kernel would run its programs: neither
// the supervisor nor the filter of system calls is made for them.
func (i *images) inspect(ctx context.Context, name reference.Named) (imageInfo, bool, error) {
	short := reference.FamiliarString(name)
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	found, err := i.cli.ImageInspect(ctx, name.String())
	if cerrdefs.IsNotFound(err) {
		return imageInfo{}, false, nil
	}
	if err != nil {
		return imageInfo{}, false, fmt.Errorf("looking at the image %q: %w", short, err)
	}
	// Images that do not say are the engine's own kind, to the engine as well.
	os, arch := cmp.Or(found.Os, "linux"), cmp.Or(found.Architecture, i.arch)
	if os != "linux" || arch != i.arch {
		return imageInfo{}, false, fmt.Errorf("the image %q is for %s/%s and cannot run here: "+
			"name one for linux/%s, or run docker pull --platform=linux/%s %s", short, os, arch, i.arch, i.arch, short)
	}
	info := imageInfo{ID: found.ID}
	if found.Config != nil {
		info.Volumes = slices.Sorted(maps.Keys(found.Config.Volumes))
		for _, v := range found.Config.Env {
			if path, ok := strings.CutPrefix(v, "PATH="); ok {
				info.Path = path
			}
		}
	}
	return info, true, nil
}
