package dockerexec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/internal/seccomp"
	"github.com/task-runner/task-runner/ports"
)

// Requests tells what executors of this version ask of an engine from all else, for
// whoever stands between the two. It does not look for what is dangerous: it reads
// from a request the few things that executors choose, makes the request of them that
// an executor would, and refuses the one that it got unless both are the same. What it
// returns is the one that it made.
//
// An error that matches ports.ErrInvalid refuses, and names the field; others are the
// engine's, or as an engine would answer. It is safe for concurrent use.
type Requests struct {
	cli      client.APIClient
	cfg      RequestsConfig
	allowed  allowList
	payloads []*payload
	profiles map[string]string // of system calls, by the volume with their filter
	empty    []byte

	mu sync.Mutex
	// images are those that were allowed, by ID. They stay so: a tag that moves while
	// an executor runs does not change what it uses.
	images map[string]imageInfo
}

// RequestsConfig says what executors may choose.
type RequestsConfig struct {
	// AllowedImages are as in Config. None: any.
	AllowedImages []string
	// Network is the one that containers may have. Default: none.
	Network string
	// Runtimes are those that containers may have besides the engine's own.
	Runtimes []string
}

// NewRequests returns the requests of executors at the engine of cli, which it asks
// for what the requests name. A pattern that is none is a *ports.FieldError.
func NewRequests(cli client.APIClient, cfg RequestsConfig) (*Requests, error) {
	allowed, err := newAllowList(cfg.AllowedImages)
	if err != nil {
		return nil, err
	}
	r := &Requests{cli: cli, cfg: cfg, allowed: allowed, profiles: map[string]string{}, images: map[string]imageInfo{}}
	for _, arch := range arches {
		p, err := runnerPayload(arch)
		if err != nil {
			return nil, err
		}
		profile, err := seccomp.Profile(arch)
		if err != nil {
			return nil, err
		}
		r.payloads = append(r.payloads, p)
		r.profiles[p.volume] = string(profile)
	}
	r.empty, err = emptyImage()
	return r, err
}

// Bounds of what may be free in a request.
const (
	// maxLabel is how long Config.Name may be.
	maxLabel = 256
	// maxRemembered bounds how many images are remembered.
	maxRemembered = 1024
)

var (
	imageID    = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	executorID = regexp.MustCompile(`^[a-z2-7]{12}$`)
	volumeName = regexp.MustCompile(`^` + regexp.QuoteMeta(runnerPrefix) + `[0-9a-f]{12}$`)
	number     = regexp.MustCompile(`^[0-9]{1,19}$`)
)

// Container checks the request to make a container: one for a task, or one of those
// that deliver the supervisor.
func (r *Requests) Container(ctx context.Context, name string, body []byte) ([]byte, error) {
	asked, err := decodeOnly[container.CreateRequest](body)
	if err != nil {
		return nil, err
	}
	if asked.Config == nil || asked.HostConfig == nil {
		return nil, ports.Invalid("HostConfig", "is missing, or the container's own settings are")
	}
	var config *container.Config
	var host *container.HostConfig
	switch role := asked.Labels[labelRole]; role {
	case roleSandbox:
		config, host, err = r.sandbox(ctx, name, asked.Config, asked.HostConfig)
	case roleRunner:
		config, host, err = r.helper(name, asked.Config)
	default:
		err = ports.Invalid("Labels."+labelRole, "must be %s or %s, and is %.40q", roleSandbox, roleRunner, role)
	}
	if err != nil {
		return nil, err
	}
	return same(asked, container.CreateRequest{Config: config, HostConfig: host})
}

// sandbox makes the settings of a container for a task.
func (r *Requests) sandbox(ctx context.Context, name string, c *container.Config, h *container.HostConfig) (*container.Config, *container.HostConfig, error) {
	labels, err := labelsOf(c.Labels, labelRole, labelExecutor, labelName, labelExpires)
	if err != nil {
		return nil, nil, err
	}
	prefix := "taskrunner-" + labels[labelExecutor] + "-"
	if rest, ok := strings.CutPrefix(name, prefix); !ok || !number.MatchString(rest) {
		return nil, nil, ports.Invalid("name", "must be %sNUMBER, and is %.100q", prefix, name)
	}
	b := &blueprint{
		name: name, id: c.Image, labels: labels,
		limits:  limits{memory: h.Memory, nanoCPUs: h.NanoCPUs},
		runtime: h.Runtime, network: r.cfg.Network,
		kind: kind{disk: diskOf(h.Tmpfs), executable: strings.Contains(h.Tmpfs[tmpDir], ",exec,"), networked: h.NetworkMode != "none"},
	}
	if h.PidsLimit != nil {
		b.limits.pids = *h.PidsLimit
	}
	if err := b.limits.check(); err != nil {
		return nil, nil, err
	}
	if filesRoom(b.disk) == 0 {
		return nil, nil, ports.Invalid("HostConfig.Tmpfs", "must have %s and %s with a size", tmpDir, shmDir)
	}
	switch {
	case b.networked && b.network == "":
		return nil, nil, ports.Invalid("HostConfig.NetworkMode", "must be none, and is %.100q; no network is allowed (--docker-network)", h.NetworkMode)
	case b.networked && string(h.NetworkMode) != b.network:
		return nil, nil, ports.Invalid("HostConfig.NetworkMode", "must be none or %s (--docker-network), and is %.100q", b.network, h.NetworkMode)
	case b.runtime != "" && !slices.Contains(r.cfg.Runtimes, b.runtime):
		return nil, nil, ports.Invalid("HostConfig.Runtime", "is %.100q, which is not among those allowed (--docker-runtime)", b.runtime)
	}
	if b.user, err = userOf(c.User); err != nil {
		return nil, nil, err
	}
	if b.filter, err = filterOf(c.Entrypoint); err != nil {
		return nil, nil, err
	}
	img, err := r.image(ctx, b.id)
	if err != nil {
		return nil, nil, err
	}
	b.covers = img.Volumes
	if b.volume, err = r.volume(ctx, h.Mounts); err != nil {
		return nil, nil, err
	}
	b.profile = r.profiles[b.volume.name]
	config, host := b.configs()
	return config, host, nil
}

// labelsOf returns the labels, which must be these and have values that they can have.
func labelsOf(asked map[string]string, names ...string) (map[string]string, error) {
	for name := range asked {
		if !slices.Contains(names, name) {
			return nil, ports.Invalid("Labels", "has %.100q, which executors do not set", name)
		}
	}
	if id := asked[labelExecutor]; !executorID.MatchString(id) {
		return nil, ports.Invalid("Labels."+labelExecutor, "must be an ID of 12 letters and digits, and is %.100q", id)
	}
	if len(asked[labelName]) > maxLabel {
		return nil, ports.Invalid("Labels."+labelName, "must be at most %d bytes long", maxLabel)
	}
	if at, err := time.Parse(expiryFormat, asked[labelExpires]); err != nil || at.UTC().Format(expiryFormat) != asked[labelExpires] {
		return nil, ports.Invalid("Labels."+labelExpires, "must be a time of UTC, and is %.100q", asked[labelExpires])
	}
	return maps.Clone(asked), nil
}

// check refuses limits that are none.
func (l limits) check() error {
	switch {
	case l.memory < engineMinMemory:
		return ports.Invalid("Memory", "must be at least %d, and is %d", engineMinMemory, l.memory)
	case l.nanoCPUs < 1e9*engineMinCPU:
		return ports.Invalid("NanoCpus", "must be at least %.0f, and is %d", 1e9*engineMinCPU, l.nanoCPUs)
	case l.pids < 1:
		return ports.Invalid("PidsLimit", "must be at least 1, and is %d", l.pids)
	}
	return nil
}

// diskOf returns the disk limit of which these file systems were made, in whole pages;
// 0 if they are none.
func diskOf(tmpfs map[string]string) (sum int64) {
	for _, folder := range []string{tmpDir, shmDir} {
		_, size, _ := strings.Cut(tmpfs[folder], ",size=")
		size, _, _ = strings.Cut(size, ",")
		n, err := strconv.ParseInt(size, 10, 62)
		if err != nil {
			return 0
		}
		sum += n
	}
	return sum
}

// userOf returns the ID of one of the users of containers.
func userOf(asked string) (int, error) {
	id, _, _ := strings.Cut(asked, ":")
	n, err := strconv.Atoi(id)
	for _, first := range []int{firstUser, firstMappedUser} {
		if err == nil && n >= first && n < first+users {
			return n, nil
		}
	}
	return 0, ports.Invalid("User", "must be one of those of containers (%d to %d, or %d to %d), and is %.100q",
		firstUser, firstUser+users-1, firstMappedUser, firstMappedUser+users-1, asked)
}

// filterOf returns the name of the file with the filter of system calls.
func filterOf(entrypoint []string) (string, error) {
	if len(entrypoint) == 2 {
		if file := path.Base(entrypoint[1]); file == filterFile || file == filterUnixFile {
			return file, nil
		}
	}
	return "", ports.Invalid("Entrypoint", "must be the supervisor with its filter of system calls")
}

// image returns an image that containers may be made of. One that may not be used is
// not found, as at an engine that has it no more, so that the executor looks for what
// its tag means now.
func (r *Requests) image(ctx context.Context, id string) (imageInfo, error) {
	if !imageID.MatchString(id) {
		return imageInfo{}, ports.Invalid("Image", "must be an image's ID, and is %.100q", id)
	}
	r.mu.Lock()
	known, ok := r.images[id]
	r.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := r.cli.ImageInspect(ctx, id)
	if err != nil {
		return imageInfo{}, fmt.Errorf("looking at the image %s: %w", id, err)
	}
	if !r.allows(found) {
		return imageInfo{}, fmt.Errorf("the image %s has no name that is allowed (--docker-allowed-images): %w", id, cerrdefs.ErrNotFound)
	}
	info := imageInfo{ID: found.ID}
	if found.Config != nil {
		info.Volumes = slices.Sorted(maps.Keys(found.Config.Volumes))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.images) >= maxRemembered {
		clear(r.images)
	}
	r.images[id] = info
	return info, nil
}

// allows reports whether one of the image's names is allowed.
func (r *Requests) allows(found image.InspectResponse) bool {
	if len(r.allowed) == 0 {
		return true
	}
	return slices.ContainsFunc(slices.Concat(found.RepoTags, found.RepoDigests), func(ref string) bool {
		name, err := reference.ParseDockerRef(ref)
		return err == nil && r.allowed.allows(name)
	})
}

// volume returns the supervisor's volume, which must be the one of this version.
func (r *Requests) volume(ctx context.Context, mounts []mount.Mount) (runnerVolume, error) {
	if len(mounts) == 0 || r.profiles[mounts[0].Source] == "" {
		return runnerVolume{}, ports.Invalid("HostConfig.Mounts", "must have the supervisor's volume of this version (%s) first; "+
			"if the worker is of another version than this program, update both", strings.Join(slices.Sorted(maps.Keys(r.profiles)), " or "))
	}
	name := mounts[0].Source
	found, err := r.cli.VolumeInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		// So says an engine of the file in it that is mounted.
		return runnerVolume{}, fmt.Errorf("the volume %s is not there: %w", name, cerrdefs.ErrInvalidArgument)
	}
	if err != nil {
		return runnerVolume{}, fmt.Errorf("looking at the volume %s: %w", name, err)
	}
	if found.Driver != volumeDriver || len(found.Options) > 0 {
		return runnerVolume{}, ports.Invalid("HostConfig.Mounts", "names the volume %s, which is no plain folder of the engine's host", name)
	}
	return runnerVolume{name, found.Mountpoint}, nil
}

// helper makes the settings of a container of a delivery.
func (r *Requests) helper(name string, c *container.Config) (*container.Config, *container.HostConfig, error) {
	labels, err := labelsOf(c.Labels, labelRole, labelExecutor, labelExpires)
	if err != nil {
		return nil, nil, err
	}
	id := labels[labelExecutor]
	for _, p := range r.payloads {
		var mounts []mount.Mount
		switch name {
		case p.volume + "-" + id:
			mounts = []mount.Mount{p.helperMount()}
		case p.volume:
		default:
			continue
		}
		config, host := helperConfigs(p.image(id), labels, mounts)
		return config, host, nil
	}
	return nil, nil, ports.Invalid("name", "must be that of the supervisor's volume of this version, and is %.100q; "+
		"if the worker is of another version than this program, update both", name)
}

// Update checks the request to change a container's limits.
func (r *Requests) Update(body []byte) ([]byte, error) {
	asked, err := decodeOnly[container.UpdateConfig](body)
	if err != nil {
		return nil, err
	}
	l := limits{memory: asked.Memory, nanoCPUs: asked.NanoCPUs}
	if asked.PidsLimit != nil {
		l.pids = *asked.PidsLimit
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return same(asked, l.update())
}

// Volume checks the request to make the supervisor's volume.
func (r *Requests) Volume(body []byte) ([]byte, error) {
	asked, err := decodeOnly[volume.CreateOptions](body)
	if err != nil {
		return nil, err
	}
	for _, p := range r.payloads {
		if p.volume == asked.Name {
			return same(asked, p.volumeOptions())
		}
	}
	return nil, ports.Invalid("Name", "must be that of the supervisor's volume of this version (%s), and is %.100q; "+
		"if the worker is of another version than this program, update both",
		strings.Join(slices.Sorted(maps.Keys(r.profiles)), " or "), asked.Name)
}

// Archive checks what is to be put into the volume: nothing but the supervisor with
// its files. A link among them would show the host's files to containers.
func (r *Requests) Archive(content []byte) error {
	for _, p := range r.payloads {
		if bytes.Equal(p.archive, content) {
			return nil
		}
	}
	return ports.Invalid("the archive", "must be the supervisor of this version; if the worker is of another version than this program, update both")
}

// MaxArchive is how many bytes an archive has at most.
func (r *Requests) MaxArchive() (n int64) {
	for _, p := range r.payloads {
		n = max(n, int64(len(p.archive)))
	}
	return n
}

// Import checks the request to make the empty image of a delivery, and returns its
// changes.
func (r *Requests) Import(repo string, changes []string, content []byte) ([]string, error) {
	asked := map[string]string{}
	for _, change := range changes {
		var name, value string
		if _, err := fmt.Sscanf(change, "LABEL %q=%q", &name, &value); err != nil {
			return nil, ports.Invalid("changes", "must be labels, and one is %.100q", change)
		}
		asked[name] = value
	}
	labels, err := labelsOf(asked, labelRole, labelExecutor, labelExpires)
	if err != nil {
		return nil, err
	}
	want := labelChanges(labels)
	switch {
	case labels[labelRole] != roleRunner:
		return nil, ports.Invalid("changes", "must have the label %s=%s", labelRole, roleRunner)
	case !slices.Equal(want, slices.Sorted(slices.Values(changes))):
		return nil, ports.Invalid("changes", "must be written as executors do")
	case !slices.ContainsFunc(r.payloads, func(p *payload) bool { return p.image(labels[labelExecutor]) == repo }):
		return nil, ports.Invalid("repo", "must be that of the supervisor's image of this version, and is %.100q", repo)
	case !bytes.Equal(content, r.empty):
		return nil, ports.Invalid("the image", "must be empty but for one folder")
	}
	return want, nil
}

// Image returns an image's name in full, with its tag or digest, if it is allowed.
func (r *Requests) Image(ref string) (reference.Named, error) {
	name, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, ports.Invalid("the image", "%.100q has no name that is one: %v", ref, err)
	}
	if !r.allowed.allows(name) {
		return nil, ports.Invalid("the image", "%.100q is not among those allowed (--docker-allowed-images)", name.String())
	}
	return name, nil
}

// LooksAt reports, with an error, that an image is none that executors may look at: by
// a name in full that is allowed, or by the ID of one that is allowed or a delivery's.
func (r *Requests) LooksAt(ctx context.Context, ref string) error {
	if !imageID.MatchString(ref) {
		name, err := r.Image(ref)
		if err == nil && name.String() != ref {
			// The engine may take a shorter one for an ID.
			err = ports.Invalid("the image", "%.100q must be named in full: %s", ref, name)
		}
		return err
	}
	if _, err := r.image(ctx, ref); err != nil && r.Removes(ctx, ref) != nil {
		return err
	}
	return nil
}

// Removes refuses, with an error, to remove any image but a delivery's.
func (r *Requests) Removes(ctx context.Context, id string) error {
	if !imageID.MatchString(id) {
		return ports.Invalid("the image", "%.100q must be named by its ID", id)
	}
	found, err := r.cli.ImageInspect(ctx, id)
	if err != nil {
		return fmt.Errorf("looking at the image %s: %w", id, err)
	}
	if found.Config == nil || found.Config.Labels[labelRole] != roleRunner {
		return ports.Invalid("the image", "%s is not one of this project's", id)
	}
	return nil
}

// OwnVolume refuses, with an error, any volume but the supervisor's, of whatever
// version.
func (r *Requests) OwnVolume(name string) error {
	if !volumeName.MatchString(name) {
		return ports.Invalid("the volume", "%.100q is not one of this project's (%sDIGEST)", name, runnerPrefix)
	}
	return nil
}

// OwnContainer returns the ID of a container of this project, and whether it is one
// for a task; others are deliveries' and are never started. Neither ever changes.
func (r *Requests) OwnContainer(ctx context.Context, name string) (id string, task bool, err error) {
	found, err := r.cli.ContainerInspect(ctx, name)
	if err != nil {
		return "", false, fmt.Errorf("looking at the container %s: %w", name, err)
	}
	role := ""
	if found.Config != nil && found.ContainerJSONBase != nil {
		role = found.Config.Labels[labelRole]
	}
	if role != roleSandbox && role != roleRunner {
		return "", false, ports.Invalid("the container", "%.100q is not one of this project's", name)
	}
	return found.ID, role == roleSandbox, nil
}

// MinAPI is the oldest version of the API that executors speak. Older ones leave out some
// of what a container is asked to have.
const MinAPI = minAPI

// OwnLabel is the one that everything of this project has in an engine.
const OwnLabel = labelRole

// OwnRunner is OwnLabel with the value of all that the supervisor is delivered with.
const OwnRunner = labelRole + "=" + roleRunner

// decodeOnly reads one JSON value and refuses fields that T does not have.
func decodeOnly[T any](body []byte) (v T, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, ports.Invalid("the body", "cannot be read: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, ports.Invalid("the body", "must be one JSON value")
	}
	return v, nil
}

// same returns want in JSON, if what was asked is the same there.
func same(asked, want any) ([]byte, error) {
	got, err := json.Marshal(asked)
	if err != nil {
		return nil, ports.Invalid("the body", "cannot be written again: %v", err)
	}
	must, err := json.Marshal(want)
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	if !bytes.Equal(got, must) {
		return nil, difference(got, must)
	}
	return must, nil
}

// difference names the first field in which two objects of JSON differ, in the order of
// their names.
func difference(got, must []byte) error {
	var g, m any
	if err := errors.Join(json.Unmarshal(got, &g), json.Unmarshal(must, &m)); err != nil {
		return err
	}
	field, g, m := differs("", g, m)
	return ports.Invalid(strings.TrimPrefix(field, "."), "must be %s, and is %s", short(m), short(g))
}

func differs(at string, got, must any) (field string, g, m any) {
	gm, ok := got.(map[string]any)
	mm, both := must.(map[string]any)
	if !ok || !both {
		return at, got, must
	}
	keys := maps.Clone(gm)
	maps.Copy(keys, mm)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if inJSON(gm[k]) != inJSON(mm[k]) {
			return differs(at+"."+k, gm[k], mm[k])
		}
	}
	return at, got, must
}

func inJSON(v any) string {
	b, _ := json.Marshal(v) // it was read from JSON
	return string(b)
}

// short is a value for people to read.
func short(v any) string { return fmt.Sprintf("%.200s", inJSON(v)) }
