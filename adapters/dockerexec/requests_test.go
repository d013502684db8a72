package dockerexec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/seccomp"
	"github.com/task-runner/task-runner/ports"
)

// store is an engine as far as the checks look at it.
type store struct {
	client.APIClient
	images  map[string]image.InspectResponse
	volumes map[string]volume.Volume
}

func (s store) ImageInspect(_ context.Context, id string, _ ...client.ImageInspectOption) (image.InspectResponse, error) {
	if found, ok := s.images[id]; ok {
		return found, nil
	}
	return image.InspectResponse{}, cerrdefs.ErrNotFound
}

func (s store) VolumeInspect(_ context.Context, name string) (volume.Volume, error) {
	if found, ok := s.volumes[name]; ok {
		return found, nil
	}
	return volume.Volume{}, cerrdefs.ErrNotFound
}

const (
	someImage  = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	otherImage = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	helpImage  = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
	someFolder = "/var/lib/docker/volumes/some/_data"
	someID     = "abcdefghij23"
	someTime   = "2026-11-26T17:00:00Z"
)

// requests returns the checks, with an engine that has an image that is allowed, one
// that is not and one of a delivery, and the supervisor's volume.
func requests(t testing.TB) (*Requests, *payload) {
	t.Helper()
	p, err := runnerPayload("amd64")
	require.NoError(t, err)
	named := func(ref string, config dockerspec.DockerOCIImageConfig) image.InspectResponse {
		return image.InspectResponse{RepoTags: []string{ref}, Config: &config}
	}
	declared := dockerspec.DockerOCIImageConfig{}
	declared.Volumes = map[string]struct{}{"/data": {}}
	helper := dockerspec.DockerOCIImageConfig{}
	helper.Labels = helperLabels(someID, someTime)
	r, err := NewRequests(store{
		images: map[string]image.InspectResponse{
			someImage:  named("python:3", declared),
			otherImage: named("secrets:latest", dockerspec.DockerOCIImageConfig{}),
			helpImage:  named(p.image(someID), helper),
		},
		volumes: map[string]volume.Volume{p.volume: {Name: p.volume, Driver: "local", Mountpoint: someFolder}},
	}, RequestsConfig{AllowedImages: []string{"python:*"}, Network: "tasks", Runtimes: []string{"runsc"}})
	require.NoError(t, err)
	return r, p
}

const someName = "taskrunner-" + someID + "-7"

// genuine is what an executor asks.
func genuine(t testing.TB, p *payload, change func(*blueprint)) container.CreateRequest {
	t.Helper()
	profile, err := seccomp.Profile("amd64")
	require.NoError(t, err)
	b := &blueprint{
		name: someName, id: someImage, covers: []string{"/data"}, user: firstUser + 3, filter: filterFile,
		volume: runnerVolume{p.volume, someFolder}, profile: string(profile), network: "tasks",
		kind: kind{disk: 64<<20 + 1000}, limits: limits{memory: 256 << 20, nanoCPUs: 1e9, pids: 70},
		labels: map[string]string{labelRole: roleSandbox, labelExecutor: someID, labelName: "host <&>", labelExpires: someTime},
	}
	if change != nil {
		change(b)
	}
	config, host := b.configs()
	return container.CreateRequest{Config: config, HostConfig: host}
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	body, err := json.Marshal(v)
	require.NoError(t, err)
	return body
}

func TestWhatExecutorsAskIsLetThrough(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	for name, change := range map[string]func(*blueprint){
		"as it is":                       nil,
		"with programs that are written": func(b *blueprint) { b.executable = true },
		"with the network":               func(b *blueprint) { b.networked = true },
		"with the runtime":               func(b *blueprint) { b.runtime = "runsc" },
		"with the filter of cgroup v1":   func(b *blueprint) { b.filter = filterUnixFile },
		"in a user namespace":            func(b *blueprint) { b.user = firstMappedUser + users - 1 },
		"with the least disk":            func(b *blueprint) { b.disk = 2 * pageSize },
		"with the most disk":             func(b *blueprint) { b.disk = 1 << 50 },
		"with the least of the rest":     func(b *blueprint) { b.limits = limits{engineMinMemory, 1e7, 1} },
		"without a name":                 func(b *blueprint) { b.labels[labelName] = "" },
	} {
		t.Run("a container "+name, func(t *testing.T) {
			t.Parallel()
			body := asJSON(t, genuine(t, p, change))
			sent, err := r.Container(t.Context(), someName, body)
			require.NoError(t, err)
			assert.JSONEq(t, string(body), string(sent))
		})
	}
	t.Run("changed limits", func(t *testing.T) {
		t.Parallel()
		body := asJSON(t, limits{64 << 20, 5e8, 12}.update())
		sent, err := r.Update(body)
		require.NoError(t, err)
		assert.JSONEq(t, string(body), string(sent))
	})
	t.Run("a delivery", func(t *testing.T) {
		t.Parallel()
		labels := helperLabels(someID, someTime)
		for helper, mounts := range map[string][]mount.Mount{p.volume: nil, p.volume + "-" + someID: {p.helperMount()}} {
			config, host := helperConfigs(p.image(someID), labels, mounts)
			body := asJSON(t, container.CreateRequest{Config: config, HostConfig: host})
			sent, err := r.Container(t.Context(), helper, body)
			require.NoError(t, err)
			assert.JSONEq(t, string(body), string(sent))
		}
		body := asJSON(t, p.volumeOptions())
		sent, err := r.Volume(body)
		require.NoError(t, err)
		assert.JSONEq(t, string(body), string(sent))
		changes, err := r.Import(p.image(someID), labelChanges(labels), r.empty)
		require.NoError(t, err)
		assert.Equal(t, labelChanges(labels), changes)
		slices.Reverse(changes)
		_, err = r.Import(p.image(someID), changes, r.empty)
		assert.NoError(t, err, "in any order")
		assert.NoError(t, r.Archive(p.archive))
		assert.LessOrEqual(t, int64(len(p.archive)), r.MaxArchive())
	})
}

func TestAContainerIsRefused(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	type request = container.CreateRequest
	for name, tt := range map[string]struct {
		change func(*request)
		want   string
	}{
		"that is privileged":                      {func(q *request) { q.HostConfig.Privileged = true }, "HostConfig.Privileged must be false, and is true"},
		"that binds the host's files":             {func(q *request) { q.HostConfig.Binds = []string{"/:/host"} }, `HostConfig.Binds must be null, and is ["/:/host"]`},
		"that mounts the host's files":            {func(q *request) { q.HostConfig.Mounts[1].Source = "/etc/shadow" }, "HostConfig.Mounts must be"},
		"that mounts them beside the rest":        {func(q *request) { q.HostConfig.Mounts = append(q.HostConfig.Mounts, mount.Mount{Type: "bind"}) }, "HostConfig.Mounts must be"},
		"that mounts another volume":              {func(q *request) { q.HostConfig.Mounts[0].Source = "mongo" }, "HostConfig.Mounts must have the supervisor's volume"},
		"that mounts another version's volume":    {func(q *request) { q.HostConfig.Mounts[0].Source = runnerPrefix + "000000000000" }, "update both"},
		"that mounts nothing":                     {func(q *request) { q.HostConfig.Mounts = nil }, "HostConfig.Mounts must have"},
		"that may write to the volume":            {func(q *request) { q.HostConfig.Mounts[0].ReadOnly = false }, "HostConfig.Mounts must be"},
		"that may write to the bind":              {func(q *request) { q.HostConfig.Mounts[1].ReadOnly = false }, "HostConfig.Mounts must be"},
		"whose bind spreads":                      {func(q *request) { q.HostConfig.Mounts[1].BindOptions = &mount.BindOptions{Propagation: "shared"} }, "HostConfig.Mounts must be"},
		"whose volume has a driver":               {func(q *request) { q.HostConfig.Mounts[0].VolumeOptions.DriverConfig = &mount.Driver{Name: "local"} }, "HostConfig.Mounts must be"},
		"with a capability":                       {func(q *request) { q.HostConfig.CapAdd = []string{"CAP_SYS_ADMIN"} }, "HostConfig.CapAdd must be null"},
		"that keeps its capabilities":             {func(q *request) { q.HostConfig.CapDrop = nil }, `HostConfig.CapDrop must be ["ALL"], and is null`},
		"with a device":                           {func(q *request) { q.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/sda"}} }, "HostConfig.Devices must be null"},
		"with rules for devices":                  {func(q *request) { q.HostConfig.DeviceCgroupRules = []string{"a *:* rwm"} }, "HostConfig.DeviceCgroupRules"},
		"with the host's processes":               {func(q *request) { q.HostConfig.PidMode = "host" }, `HostConfig.PidMode must be "", and is "host"`},
		"with another container's processes":      {func(q *request) { q.HostConfig.PidMode = "container:mongo" }, "HostConfig.PidMode"},
		"with the host's shared memory":           {func(q *request) { q.HostConfig.IpcMode = "host" }, "HostConfig.IpcMode"},
		"with the host's name":                    {func(q *request) { q.HostConfig.UTSMode = "host" }, "HostConfig.UTSMode"},
		"with the host's users":                   {func(q *request) { q.HostConfig.UsernsMode = "host" }, "HostConfig.UsernsMode"},
		"with the host's control groups":          {func(q *request) { q.HostConfig.CgroupnsMode = "host" }, "HostConfig.CgroupnsMode"},
		"in another control group":                {func(q *request) { q.HostConfig.CgroupParent = "/" }, "HostConfig.CgroupParent"},
		"with the host's network":                 {func(q *request) { q.HostConfig.NetworkMode = "host" }, `HostConfig.NetworkMode must be none or tasks (--docker-network), and is "host"`},
		"with another container's network":        {func(q *request) { q.HostConfig.NetworkMode = "container:mongo" }, "HostConfig.NetworkMode"},
		"with the engine's usual network":         {func(q *request) { q.HostConfig.NetworkMode = "" }, "HostConfig.NetworkMode"},
		"with a second network":                   {func(q *request) { q.NetworkingConfig = &network.NetworkingConfig{} }, "NetworkingConfig must be null"},
		"with a published port":                   {func(q *request) { q.HostConfig.PublishAllPorts = true }, "HostConfig.PublishAllPorts"},
		"without a filter of system calls":        {func(q *request) { q.HostConfig.SecurityOpt = []string{"no-new-privileges", "seccomp=unconfined"} }, "HostConfig.SecurityOpt"},
		"with a filter of its own":                {func(q *request) { q.HostConfig.SecurityOpt[1] = `seccomp={"defaultAction":"SCMP_ACT_ALLOW"}` }, "HostConfig.SecurityOpt"},
		"with the engine's filter":                {func(q *request) { q.HostConfig.SecurityOpt = q.HostConfig.SecurityOpt[:1] }, "HostConfig.SecurityOpt"},
		"that may become more than it is":         {func(q *request) { q.HostConfig.SecurityOpt = q.HostConfig.SecurityOpt[1:] }, "HostConfig.SecurityOpt"},
		"without AppArmor":                        {func(q *request) { q.HostConfig.SecurityOpt = append(q.HostConfig.SecurityOpt, "apparmor=unconfined") }, "HostConfig.SecurityOpt"},
		"that may write to its image":             {func(q *request) { q.HostConfig.ReadonlyRootfs = false }, "HostConfig.ReadonlyRootfs must be true, and is false"},
		"that sees what is hidden":                {func(q *request) { q.HostConfig.MaskedPaths = []string{} }, "HostConfig.MaskedPaths"},
		"that may write to the kernel's settings": {func(q *request) { q.HostConfig.ReadonlyPaths = []string{} }, "HostConfig.ReadonlyPaths"},
		"that is root":                            {func(q *request) { q.User = "0:65534" }, `User must be one of those of containers`},
		"that is nobody in particular":            {func(q *request) { q.User = "" }, "User must be one of those of containers"},
		"of a user beside those":                  {func(q *request) { q.User = fmt.Sprintf("%d:65534", firstUser+users) }, "User must be one of"},
		"of the group of root":                    {func(q *request) { q.User = fmt.Sprintf("%d:0", firstUser) }, `User must be "1900000256:65534", and is "1900000256:0"`},
		"in another group besides":                {func(q *request) { q.HostConfig.GroupAdd = []string{"docker"} }, "HostConfig.GroupAdd"},
		"of an image that is not allowed":         {func(q *request) { q.Image = otherImage }, "has no name that is allowed"},
		"of an image that is not there":           {func(q *request) { q.Image = "sha256:" + strings.Repeat("4", 64) }, "not found"},
		"of an image by its name":                 {func(q *request) { q.Image = "python:3" }, `Image must be an image's ID, and is "python:3"`},
		"with a program of its own":               {func(q *request) { q.Entrypoint = []string{"/bin/sh"} }, "Entrypoint must be the supervisor"},
		"with another supervisor":                 {func(q *request) { q.Entrypoint[0] = "/bin/sh" }, "Entrypoint must be"},
		"with a filter from elsewhere":            {func(q *request) { q.Entrypoint[1] = "/tmp/filter" }, "Entrypoint must be"},
		"with arguments":                          {func(q *request) { q.Cmd = []string{"x"} }, "Cmd must be null"},
		"with variables":                          {func(q *request) { q.Env = []string{"LD_PRELOAD=/tmp/x"} }, "Env must be null"},
		"with a health check":                     {func(q *request) { q.Healthcheck = &container.HealthConfig{Test: []string{"CMD", "x"}} }, "Healthcheck.Test must be"},
		"with a volume without a name":            {func(q *request) { q.Volumes = map[string]struct{}{"/x": {}} }, "Volumes must be null"},
		"that uncovers the image's volumes":       {func(q *request) { delete(q.HostConfig.Tmpfs, "/data") }, `HostConfig.Tmpfs./data must be "ro`},
		"with files without a limit":              {func(q *request) { q.HostConfig.Tmpfs["/tmp"] = "rw,exec,size=0" }, "HostConfig.Tmpfs./dev/shm must be"},
		"with files that have no size":            {func(q *request) { q.HostConfig.Tmpfs["/tmp"] = "rw" }, "HostConfig.Tmpfs must have /tmp and /dev/shm with a size"},
		"with devices in its files":               {func(q *request) { q.HostConfig.Tmpfs["/tmp"] += ",dev" }, "HostConfig.Tmpfs./tmp must be"},
		"with more files":                         {func(q *request) { q.HostConfig.Tmpfs["/etc"] = "rw" }, "HostConfig.Tmpfs./etc must be null"},
		"without a limit of memory":               {func(q *request) { q.HostConfig.Memory = 0 }, "Memory must be at least"},
		"with swap":                               {func(q *request) { q.HostConfig.MemorySwap = -1 }, "HostConfig.MemorySwap must be 268435456, and is -1"},
		"without a limit of CPU":                  {func(q *request) { q.HostConfig.NanoCPUs = 0 }, "NanoCpus must be at least"},
		"without a limit of processes":            {func(q *request) { *q.HostConfig.PidsLimit = -1 }, "PidsLimit must be at least 1, and is -1"},
		"whose limit of processes is left out":    {func(q *request) { q.HostConfig.PidsLimit = nil }, "PidsLimit must be at least 1, and is 0"},
		"that is never killed for memory":         {func(q *request) { q.HostConfig.OomKillDisable = new(true) }, "HostConfig.OomKillDisable"},
		"with settings of the kernel":             {func(q *request) { q.HostConfig.Sysctls = map[string]string{"kernel.shm_rmid_forced": "1"} }, "HostConfig.Sysctls"},
		"with another runtime":                    {func(q *request) { q.HostConfig.Runtime = "evil" }, `HostConfig.Runtime is "evil", which is not among those allowed (--docker-runtime)`},
		"that starts again":                       {func(q *request) { q.HostConfig.RestartPolicy.Name = "always" }, "HostConfig.RestartPolicy.Name"},
		"that logs":                               {func(q *request) { q.HostConfig.LogConfig.Type = "syslog" }, "HostConfig.LogConfig.Type"},
		"that removes itself":                     {func(q *request) { q.HostConfig.AutoRemove = true }, "HostConfig.AutoRemove"},
		"with annotations for the runtime":        {func(q *request) { q.HostConfig.Annotations = map[string]string{"run.oci.x": "1"} }, "HostConfig.Annotations"},
		"without labels":                          {func(q *request) { q.Labels = nil }, "Labels.com.github.task-runner.role must be sandbox or runner"},
		"with labels of others":                   {func(q *request) { q.Labels["com.docker.compose.project"] = "x" }, `Labels has "com.docker.compose.project"`},
		"with a label that is very long":          {func(q *request) { q.Labels[labelName] = strings.Repeat("x", 257) }, "at most 256 bytes"},
		"of an executor without an ID":            {func(q *request) { q.Labels[labelExecutor] = "" }, "Labels.com.github.task-runner.executor must be"},
		"of another executor than its name":       {func(q *request) { q.Labels[labelExecutor] = "222222222222" }, "name must be taskrunner-222222222222-NUMBER"},
		"that expires at no time":                 {func(q *request) { q.Labels[labelExpires] = "never" }, "Labels.com.github.task-runner.expires"},
		"that says it is a delivery":              {func(q *request) { q.Labels[labelRole] = roleRunner }, `Labels has "com.github.task-runner.name"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := genuine(t, p, nil)
			tt.change(&q)
			sent, err := r.Container(t.Context(), someName, asJSON(t, q))
			require.Error(t, err)
			assert.Contains(t, err.Error(), tt.want)
			assert.Nil(t, sent)
		})
	}
}

func TestADeliverysContainerIsRefused(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	for name, tt := range map[string]struct {
		name   string
		change func(*container.CreateRequest)
		want   string
	}{
		"that is privileged":        {change: func(q *container.CreateRequest) { q.HostConfig.Privileged = true }, want: "HostConfig.Privileged must be false"},
		"that mounts something":     {change: func(q *container.CreateRequest) { q.HostConfig.Mounts[0].Source = "mongo" }, want: "HostConfig.Mounts must be"},
		"of another image":          {change: func(q *container.CreateRequest) { q.Image = "python:3" }, want: "Image must be"},
		"with a program":            {change: func(q *container.CreateRequest) { q.Cmd = []string{"sh"} }, want: "Cmd must be"},
		"with a name that is taken": {name: "mongo", want: `name must be that of the supervisor's volume`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, host := helperConfigs(p.image(someID), helperLabels(someID, someTime), []mount.Mount{p.helperMount()})
			q := container.CreateRequest{Config: config, HostConfig: host}
			if tt.change != nil {
				tt.change(&q)
			}
			as := p.volume + "-" + someID
			if tt.name != "" {
				as = tt.name
			}
			_, err := r.Container(t.Context(), as, asJSON(t, q))
			require.ErrorIs(t, err, ports.ErrInvalid)
			assert.Contains(t, err.Error(), tt.want)
		})
	}
}

// free are fields that executors choose, within bounds that other tests look at.
var free = []string{"Image", "User", "Labels", "Entrypoint",
	"HostConfig.Memory", "HostConfig.NanoCPUs", "HostConfig.PidsLimit", "HostConfig.NetworkMode", "HostConfig.Runtime", "HostConfig.Tmpfs", "HostConfig.Mounts"}

func TestEveryFieldThatExecutorsDoNotChooseIsRefusedWithAnotherValue(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	looked := 0
	var each func(at string, pick func(*container.CreateRequest) reflect.Value)
	each = func(at string, pick func(*container.CreateRequest) reflect.Value) {
		q := genuine(t, p, nil)
		whole := pick(&q)
		for i := range whole.NumField() {
			field := whole.Type().Field(i)
			name := at + field.Name
			switch {
			case slices.Contains(free, name):
				continue
			case field.Anonymous: // resources
				each(at, func(q *container.CreateRequest) reflect.Value { return pick(q).Field(i) })
				continue
			}
			q := genuine(t, p, nil)
			other(t, pick(&q).Field(i))
			body := asJSON(t, q)
			require.NotEqual(t, string(asJSON(t, genuine(t, p, nil))), string(body), name)
			_, err := r.Container(t.Context(), someName, body)
			assert.ErrorIs(t, err, ports.ErrInvalid, name)
			looked++
		}
	}
	each("", func(q *container.CreateRequest) reflect.Value { return reflect.ValueOf(q.Config).Elem() })
	each("HostConfig.", func(q *container.CreateRequest) reflect.Value { return reflect.ValueOf(q.HostConfig).Elem() })
	assert.Greater(t, looked, 60)
}

// other gives a field another value.
func other(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint, reflect.Uint16, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		} else {
			v.SetZero()
		}
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Array:
		other(t, v.Index(0))
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf("x").Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.Struct:
		other(t, v.Field(0))
	default:
		t.Fatalf("no other value of a %s", v.Type())
	}
}

func TestWhatIsWrittenInOtherWaysDoesNotGetPast(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	body := string(asJSON(t, genuine(t, p, nil)))
	require.Contains(t, body, `"Privileged":false`)
	for name, tt := range map[string]struct{ from, to string }{
		"the second of two fields counts":         {`"Privileged":false`, `"Privileged":false,"Privileged":true`},
		"the first of two fields counts":          {`"Privileged":false`, `"Privileged":true,"Privileged":false`},
		"a name in lower case":                    {`"Privileged":false`, `"Privileged":false,"privileged":true`},
		"a name with a long s":                    {`"Binds":null`, "\"Binds\":null,\"Bind\u017f\":[\"/:/host\"]"},
		"a name with an escape":                   {`"Privileged":false`, `"\u0050rivileged":true`},
		"a second object":                         {`"HostConfig":{`, `"HostConfig":{"Privileged":true},"HostConfig":{"Binds":["/:/h"]},"hostconfig":{`},
		"a field that nobody knows":               {`"Privileged":false`, `"Privileged":false,"Mystery":true`},
		"a field of the engine's former versions": {`"Privileged":false`, `"Privileged":false,"KernelMemory":5`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent, err := r.Container(t.Context(), someName, []byte(strings.Replace(body, tt.from, tt.to, 1)))
			if err == nil { // it was read as an engine might not read it, so that only the same may be sent
				assert.JSONEq(t, body, string(sent))
				return
			}
			assert.ErrorIs(t, err, ports.ErrInvalid)
		})
	}
	for name, bad := range map[string]string{
		"nothing":           "",
		"no object":         "[]",
		"null":              "null",
		"an empty object":   "{}",
		"something behind":  body + `{"HostConfig":{"Privileged":true}}`,
		"half of it":        body[:len(body)/2],
		"without one half":  `{"Image":"x"}`,
		"without the other": `{"HostConfig":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := r.Container(t.Context(), someName, []byte(bad))
			assert.ErrorIs(t, err, ports.ErrInvalid)
		})
	}
}

func TestOtherRequestsAreRefused(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	ctx := t.Context()
	labels := helperLabels(someID, someTime)
	changes, repo := labelChanges(labels), p.image(someID)
	for name, tt := range map[string]struct {
		ask  func() error
		want string
	}{
		"limits without memory":   {func() error { _, err := r.Update([]byte(`{"NanoCpus":1000000000,"PidsLimit":5}`)); return err }, "Memory must be at least"},
		"limits without the rest": {func() error { _, err := r.Update([]byte(`{"Memory":100000000}`)); return err }, "NanoCpus must be at least"},
		"limits with swap": {func() error {
			_, err := r.Update([]byte(`{"Memory":100000000,"MemorySwap":-1,"NanoCpus":1000000000,"PidsLimit":5}`))
			return err
		}, "MemorySwap must be"},
		"limits with a device": {func() error {
			_, err := r.Update([]byte(`{"Memory":100000000,"MemorySwap":100000000,"NanoCpus":1000000000,"PidsLimit":5,"DeviceCgroupRules":["a *:* rwm"]}`))
			return err
		}, "DeviceCgroupRules must be null"},
		"limits with a restart policy": {func() error {
			_, err := r.Update([]byte(`{"Memory":100000000,"MemorySwap":100000000,"NanoCpus":1000000000,"PidsLimit":5,"RestartPolicy":{"Name":"always"}}`))
			return err
		}, "RestartPolicy.Name must be"},
		"a volume of another name": {func() error { _, err := r.Volume([]byte(`{"Name":"mongo","Driver":"local"}`)); return err }, "Name must be that of the supervisor's volume"},
		"a volume that is a folder of the host": {func() error {
			o := p.volumeOptions()
			o.DriverOpts = map[string]string{"type": "none", "o": "bind", "device": "/"}
			_, err := r.Volume(asJSON(t, o))
			return err
		}, "DriverOpts must be null"},
		"a volume of another driver": {func() error {
			o := p.volumeOptions()
			o.Driver = "nfs"
			_, err := r.Volume(asJSON(t, o))
			return err
		}, `Driver must be "local", and is "nfs"`},
		"an archive with something else":      {func() error { return r.Archive(append(slices.Clone(p.archive), 0)) }, "the archive must be the supervisor"},
		"no archive":                          {func() error { return r.Archive(nil) }, "the archive must be the supervisor"},
		"an image with something in it":       {func() error { _, err := r.Import(repo, changes, p.archive); return err }, "must be empty"},
		"an image of another name":            {func() error { _, err := r.Import("python:3", changes, r.empty); return err }, "repo must be"},
		"an image of another delivery's name": {func() error { _, err := r.Import(p.image("222222222222"), changes, r.empty); return err }, "repo must be"},
		"an image without labels":             {func() error { _, err := r.Import(repo, nil, r.empty); return err }, "Labels.com.github.task-runner.executor must be"},
		"an image with a program":             {func() error { _, err := r.Import(repo, append(slices.Clone(changes), "CMD sh"), r.empty); return err }, "changes must be labels"},
		"an image with a program behind a label": {func() error {
			_, err := r.Import(repo, append(changes[:2:2], changes[2]+"\nCMD sh"), r.empty)
			return err
		}, "changes must be written"},
		"an image with a label twice":             {func() error { _, err := r.Import(repo, append(slices.Clone(changes), changes[0]), r.empty); return err }, "changes must be written"},
		"a pull that is not allowed":              {func() error { _, err := r.Image("evil.example.com/x:1"); return err }, "is not among those allowed (--docker-allowed-images)"},
		"a pull of nothing":                       {func() error { _, err := r.Image(""); return err }, "has no name that is one"},
		"looking at an image that is not allowed": {func() error { return r.LooksAt(ctx, "docker.io/library/secrets:latest") }, "is not among those allowed"},
		"looking at an image by a short name":     {func() error { return r.LooksAt(ctx, "python:3") }, "must be named in full: docker.io/library/python:3"},
		"looking at another by its ID":            {func() error { return r.LooksAt(ctx, otherImage) }, "has no name that is allowed"},
		"removing an image of a language":         {func() error { return r.Removes(ctx, someImage) }, "is not one of this project's"},
		"removing an image by its name":           {func() error { return r.Removes(ctx, "python:3") }, "must be named by its ID"},
		"another volume":                          {func() error { return r.OwnVolume("mongo") }, "is not one of this project's"},
		"a volume whose name only begins so":      {func() error { return r.OwnVolume(runnerPrefix + "../mongo") }, "is not one of this project's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.ask()
			require.Error(t, err)
			assert.Contains(t, err.Error(), tt.want)
		})
	}
}

func TestWhatIsLookedAtAndRemoved(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	assert.NoError(t, r.LooksAt(t.Context(), "docker.io/library/python:3"))
	assert.NoError(t, r.LooksAt(t.Context(), someImage), "one that is allowed, by its ID")
	assert.NoError(t, r.LooksAt(t.Context(), helpImage), "one of a delivery")
	assert.NoError(t, r.Removes(t.Context(), helpImage))
	assert.NoError(t, r.OwnVolume(p.volume))
	assert.NoError(t, r.OwnVolume(runnerPrefix+"0123456789ab"), "one of another version")
}

func TestAnImageWhoseTagMovedIsStillAllowed(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	body := asJSON(t, genuine(t, p, nil))
	_, err := r.Container(t.Context(), someName, body)
	require.NoError(t, err)
	r.cli.(store).images[someImage] = image.InspectResponse{}
	_, err = r.Container(t.Context(), someName, body)
	assert.NoError(t, err, "the executor knows it by its ID")
}

func TestWhatIsMissingIsSaidAsAnEngineSaysIt(t *testing.T) {
	t.Parallel()
	r, p := requests(t)
	q := genuine(t, p, nil)
	q.Image = otherImage
	_, err := r.Container(t.Context(), someName, asJSON(t, q))
	assert.True(t, cerrdefs.IsNotFound(err), "so that the executor looks for the image's name again: %v", err)

	delete(r.cli.(store).volumes, p.volume)
	_, err = r.Container(t.Context(), someName, asJSON(t, genuine(t, p, nil)))
	assert.True(t, cerrdefs.IsInvalidArgument(err), "so that the executor makes the volume again: %v", err)

	r.cli.(store).volumes[p.volume] = volume.Volume{Name: p.volume, Driver: "local", Mountpoint: someFolder, Options: map[string]string{"device": "/"}}
	_, err = r.Container(t.Context(), someName, asJSON(t, genuine(t, p, nil)))
	require.ErrorIs(t, err, ports.ErrInvalid)
	assert.Contains(t, err.Error(), "no plain folder")
}

func TestABadPatternIsRefused(t *testing.T) {
	t.Parallel()
	_, err := NewRequests(store{}, RequestsConfig{AllowedImages: []string{"A B"}})
	var field *ports.FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "docker_allowed_images", field.Field)
}

// FuzzContainer writes something more into what executors ask, and holds that whatever
// is let through then is a container as executors make them.
func FuzzContainer(f *testing.F) {
	r, p := requests(f)
	task := string(asJSON(f, genuine(f, p, nil)))
	config, host := helperConfigs(p.image(someID), helperLabels(someID, someTime), []mount.Mount{p.helperMount()})
	delivery := string(asJSON(f, container.CreateRequest{Config: config, HostConfig: host}))
	bodies := map[string]string{someName: task, p.volume + "-" + someID: delivery}
	for _, more := range []string{
		`"Privileged":true`, `"privileged":true`, `"Binds":["/:/host"]`, `"NetworkMode":"host"`, `"PidMode":"host"`, `"Runtime":"runsc"`, `"Memory":7000000,"MemorySwap":7000000`,
		`"SecurityOpt":["seccomp=unconfined"]`, `"Mounts":[{"Type":"bind","Source":"/","Target":"/host"}]`, `"CapAdd":["ALL"]`, `"Tmpfs":{"/tmp":"exec"}`, `"User":"0"`, `"HostConfig":{"Privileged":true}`,
		`"Mounts":[{},{"Source":"/etc"}]`, `"Labels":{"com.github.task-runner.role":"runner"}`, `"x":1`, `"Entrypoint":"/bin/sh"`,
	} {
		f.Add(more, false)
		f.Add(more, true)
	}
	f.Fuzz(func(t *testing.T, more string, inHost bool) {
		for name, body := range bodies {
			at := "{"
			if inHost {
				at = `"HostConfig":{`
			}
			behind := body[:len(body)-1] + "," + more + "}"
			if inHost {
				behind = body[:len(body)-2] + "," + more + "}}"
			}
			for _, q := range []string{strings.Replace(body, at, at+more+",", 1), behind} {
				sent, err := r.Container(t.Context(), name, []byte(q))
				if err != nil {
					require.True(t, errors.Is(err, ports.ErrInvalid) || cerrdefs.IsNotFound(err) || cerrdefs.IsInvalidArgument(err), "%v", err)
					continue
				}
				assertAsExecutorsMakeIt(t, sent, p, name == someName)
				again, err := r.Container(t.Context(), name, sent)
				require.NoError(t, err)
				require.Equal(t, string(sent), string(again))
			}
		}
	})
}

// assertAsExecutorsMakeIt compares a container with one that an executor makes, but for
// what executors choose.
func assertAsExecutorsMakeIt(t *testing.T, sent []byte, p *payload, task bool) {
	t.Helper()
	var q container.CreateRequest
	require.NoError(t, json.Unmarshal(sent, &q))
	h := q.HostConfig
	if !task {
		require.Equal(t, []mount.Mount{p.helperMount()}, h.Mounts)
		h.Mounts = nil
		require.Equal(t, asJSON(t, container.HostConfig{NetworkMode: "none"}), asJSON(t, h))
		return
	}
	require.Contains(t, []container.NetworkMode{"none", "tasks"}, h.NetworkMode)
	require.Contains(t, []string{"", "runsc"}, h.Runtime)
	require.Contains(t, q.User, ":65534")
	require.Equal(t, someImage, q.Image)
	want := genuine(t, p, nil)
	require.Equal(t, want.HostConfig.Mounts, h.Mounts)
	require.Equal(t, h.Memory, h.MemorySwap)
	require.Positive(t, h.Memory)
	require.Positive(t, h.NanoCPUs)
	require.Positive(t, *h.PidsLimit)
	w := want.HostConfig
	w.NetworkMode, w.Runtime, w.Tmpfs, w.Memory, w.MemorySwap, w.NanoCPUs, w.PidsLimit = h.NetworkMode, h.Runtime, h.Tmpfs, h.Memory, h.MemorySwap, h.NanoCPUs, h.PidsLimit
	require.Equal(t, string(asJSON(t, w)), string(asJSON(t, h)))
}
