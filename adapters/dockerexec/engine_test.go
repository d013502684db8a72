package dockerexec

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// The engines in testdata.
const (
	engine20 = "20.10-cgroup1"
	engine26 = "26-cgroup2"
	engine28 = "28-cgroup2"
	engine29 = "29-rootless"
)

// standIn answers as the engine of a folder in testdata, changed by a test.
type standIn struct {
	info    system.Info
	version types.Version
	// networks and images are by name; an image's value is whether it is here, as
	// opposed to in its registry alone.
	networks map[string]network.Inspect
	images   map[string]bool
	// asked counts the questions to registries.
	asked int
}

func newStandIn(t *testing.T, name string) *standIn {
	t.Helper()
	s := &standIn{networks: map[string]network.Inspect{}, images: map[string]bool{}}
	for file, into := range map[string]any{"info.json": &s.info, "version.json": &s.version} {
		text, err := os.ReadFile(filepath.Join("testdata", "engines", name, file))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, into))
	}
	return s
}

// client returns a client of a server that answers so, for the length of the test.
func (s *standIn) client(t *testing.T, opts ...client.Opt) *client.Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return clientOf(t, append([]client.Opt{client.WithHost("tcp://" + server.Listener.Addr().String())}, opts...)...)
}

func clientOf(t *testing.T, opts ...client.Opt) *client.Client {
	t.Helper()
	cli, err := client.NewClientWithOpts(append(opts, client.WithAPIVersionNegotiation())...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cli.Close()) })
	return cli
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", s.version.APIVersion)
	w.Header().Set("Ostype", s.info.OSType)
	w.Header().Set("Content-Type", "application/json")
	path := r.URL.Path
	if strings.HasPrefix(path, "/v1.") {
		path = path[strings.Index(path[1:], "/")+1:]
	}
	answer := func(found bool, v any) {
		if !found {
			w.WriteHeader(http.StatusNotFound)
			v = map[string]string{"message": path + ": no such thing"}
		}
		_ = json.NewEncoder(w).Encode(v)
	}
	switch kind, name, _ := strings.Cut(path[1:], "/"); kind {
	case "_ping":
	case "info":
		answer(true, s.info)
	case "version":
		answer(true, s.version)
	case "networks":
		found, ok := s.networks[name]
		answer(ok, found)
	case "images":
		answer(s.images[strings.TrimSuffix(name, "/json")], map[string]any{"Id": "sha256:1"})
	case "distribution":
		s.asked++
		_, ok := s.images[strings.TrimSuffix(name, "/json")]
		answer(ok, map[string]any{})
	default:
		answer(false, nil)
	}
}

func TestEnginesThatCanRunTasks(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]engine{
		engine20: {Arch: "amd64", CPUs: 2, Memory: 25276502016, CgroupVersion: "1"},
		engine26: {Arch: "amd64", CPUs: 2, Memory: 5163610112, CgroupVersion: "2"},
		engine28: {Arch: "amd64", CPUs: 8, Memory: 33613119488, CgroupVersion: "2"},
		engine29: {Arch: "arm64", CPUs: 4, Memory: 8225546240, CgroupVersion: "2", UserNS: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := checkEngine(t.Context(), newStandIn(t, name).client(t), Config{})
			require.NoError(t, err)
			got.ahead = 0
			assert.Equal(t, want, got)
		})
	}
}

func TestTheEnginesClockIsRead(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, engine20)
	s.info.SystemTime = time.Now().Add(24 * time.Hour).Format(time.RFC3339Nano)
	e, err := checkEngine(t.Context(), s.client(t), Config{})
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(24*time.Hour), e.now(), time.Hour)
}

func TestEnginesThatCannotRunTasksAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		engine string
		change func(*standIn)
		cfg    Config
		err    error
		want   []string
	}{
		"one that is too old": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.version.APIVersion = "1.40" },
			want:   []string{"it speaks version 1.40 of the API, and 1.41 is needed; update it to Docker Engine 20.10"},
		},
		"one that does not say how old it is": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.version.APIVersion = "" },
			want:   []string{"is too old: it speaks version 0"},
		},
		"one for Windows containers": {
			engine: engine28, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.OSType = "windows" },
			want:   []string{"the engine's containers are those of windows", "switch it to Linux containers"},
		},
		"one on another architecture": {
			engine: engine28, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.Architecture = "riscv64" },
			want:   []string{`no supervisor for the architecture "riscv64"`, "--docker-host"},
		},
		"one without seccomp": {
			engine: engine28, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.SecurityOptions = []string{"name=apparmor"} },
			want:   []string{"cannot filter system calls", "CONFIG_SECCOMP_FILTER"},
		},
		"one that would drop the limit on memory": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.MemoryLimit = false },
			want:   []string{"cannot limit memory (cgroup v1); boot its kernel with cgroup_enable=memory, or use cgroup v2"},
		},
		"one that would let a task swap": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.SwapLimit = false },
			want:   []string{"cannot limit swap (cgroup v1); boot its kernel with swapaccount=1, or use cgroup v2"},
		},
		"one that would let a task swap, with cgroup v2": {
			engine: engine28, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.SwapLimit = false },
			want:   []string{"cannot limit swap (cgroup v2); boot its kernel with swapaccount=1"},
		},
		"one that would drop the limit on processes": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.PidsLimit = false },
			want:   []string{"cannot limit processes", "CONFIG_CGROUP_PIDS"},
		},
		"one that would drop the limit on CPU, for want of quotas": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.CPUCfsQuota = false },
			want:   []string{"cannot limit CPU", "CONFIG_CFS_BANDWIDTH"},
		},
		"one that would drop the limit on CPU, for want of periods": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.CPUCfsPeriod = false },
			want:   []string{"cannot limit CPU"},
		},
		"one that lacks several": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.MemoryLimit, s.info.SwapLimit = false, false },
			want:   []string{"cannot limit memory, swap", "cgroup_enable=memory, and boot its kernel with swapaccount=1"},
		},
		"a rootless one to which CPU was not delegated": {
			engine: engine29, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.CPUCfsQuota, s.info.CPUCfsPeriod = false, false },
			want:   []string{"cannot limit CPU (cgroup v2); delegate the controllers to the rootless engine", "Delegate=cpu cpuset io memory pids"},
		},
		"one with root to which controllers were not given": {
			engine: engine28, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.CPUCfsQuota, s.info.SwapLimit = false, false },
			want:   []string{"cannot limit swap, CPU (cgroup v2)", "cgroup.subtree_control"},
		},
		"a rootless one without control groups": {
			engine: engine29, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.info.CgroupDriver = "none" },
			want:   []string{"has no control groups", "delegate the controllers"},
		},
		"one without the runtime that is asked for": {
			engine: engine28, err: ports.ErrInvalid, cfg: Config{Runtime: "crun"},
			want: []string{`--docker-runtime names "crun"`, "use one that it has (io.containerd.runc.v2, kata, runc, runsc)"},
		},
		"one whose runtime would be a path": {
			engine: engine28, err: ports.ErrInvalid, cfg: Config{Runtime: "/usr/bin/crun.static"},
			want: []string{`--docker-runtime names "/usr/bin/crun.static"`},
		},
		"one whose runc is hopeless": {
			engine: engine20, err: errors.ErrUnsupported,
			change: func(s *standIn) { s.version.Components, s.info.RuncCommit.ID = nil, "1.0.0~rc6+dfsg1-3" },
			want:   []string{"runc 1.0.0~rc6+dfsg1-3 is far too old: it has CVE-2019-5736"},
		},
		"one without the network that is asked for": {
			engine: engine28, err: ports.ErrInvalid, cfg: Config{Network: "lab"},
			want: []string{`--docker-network names "lab", which the engine does not have`, "docker network create"},
		},
		"the host's network": {
			engine: engine28, err: ports.ErrInvalid, cfg: Config{Network: "host"},
			change: func(s *standIn) { s.networks["host"] = network.Inspect{Name: "host", Driver: "host"} },
			want:   []string{`--docker-network names "host", which has the driver host`},
		},
		"the network that is none": {
			engine: engine28, err: ports.ErrInvalid, cfg: Config{Network: "none"},
			change: func(s *standIn) { s.networks["none"] = network.Inspect{Name: "none", Driver: "null"} },
			want:   []string{`--docker-network names "none", which has the driver null`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, tt.engine)
			if tt.change != nil {
				tt.change(s)
			}
			_, err := checkEngine(t.Context(), s.client(t), tt.cfg)
			require.ErrorIs(t, err, tt.err)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestRuntimesThatAreAccepted(t *testing.T) {
	t.Parallel()
	for name, runtime := range map[string]string{
		"the engine's own":               "",
		"one that the engine lists":      "runsc",
		"a shim that it does not list":   "io.containerd.runsc.v1",
		"a shim that it lists by a name": "kata",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := checkEngine(t.Context(), newStandIn(t, engine28).client(t), Config{Runtime: runtime})
			assert.NoError(t, err)
		})
	}
}

func TestNetworksThatAreAccepted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		network network.Inspect
		verdict Verdict
		want    string
	}{
		"a bridge whose containers do not reach each other": {
			network: network.Inspect{Driver: "bridge", Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"}},
			verdict: OK, want: "lab (bridge)",
		},
		"a bridge whose containers reach each other": {
			network: network.Inspect{Driver: "bridge"},
			verdict: Warning, want: "reach each other",
		},
		"another kind": {network: network.Inspect{Driver: "macvlan"}, verdict: OK, want: "lab (macvlan)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, engine28)
			s.networks["lab"] = tt.network
			f := checkNetwork(t.Context(), &examination{cli: s.client(t), cfg: Config{Network: "lab"}})
			assert.Equal(t, tt.verdict, f.Verdict)
			assert.Contains(t, f.Detail, tt.want)
		})
	}
}

func TestNoEngineToAsk(t *testing.T) {
	t.Parallel()
	socket := "unix://" + filepath.Join(t.TempDir(), "engine.sock")
	dial := func(err error) client.Opt {
		return client.WithDialContext(func(_ context.Context, network, _ string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		})
	}
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for name, tt := range map[string]struct {
		opts []client.Opt
		err  error
		want []string
	}{
		"a socket that is not there": {
			opts: []client.Opt{client.WithHost(socket)},
			want: []string{"no Docker engine answers at " + socket + "; start it (systemctl start docker), or name another one with --docker-host or DOCKER_HOST"},
		},
		"a socket that this user may not use": {
			opts: []client.Opt{client.WithHost(socket), dial(os.NewSyscallError("connect", syscall.EACCES))}, err: os.ErrPermission,
			want: []string{"this user may not use the Docker engine at " + socket, "usermod -aG docker", "rootless"},
		},
		"a port where nobody listens": {
			opts: []client.Opt{client.WithHost("tcp://127.0.0.1:1"), dial(os.NewSyscallError("connect", syscall.ECONNREFUSED))},
			want: []string{"no Docker engine answers at tcp://127.0.0.1:1; start it"},
		},
		"a host without a route": {
			opts: []client.Opt{client.WithHost("tcp://127.0.0.1:1"), dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH))},
			want: []string{"no Docker engine answers at tcp://127.0.0.1:1: error during connect", "no route to host"},
		},
		"an address of SSH": {
			opts: []client.Opt{client.WithHost("ssh://user@host")}, err: ports.ErrInvalid,
			want: []string{"ssh://user@host is one of SSH", "forward the engine's socket", "tcp:// with TLS"},
		},
		"a server that is no engine": {
			opts: []client.Opt{client.WithHost("tcp://" + other.Listener.Addr().String())},
			want: []string{"does not answer as a Docker engine does", "404", "set --docker-host"},
		},
		"a version of the API that is too old": {
			opts: []client.Opt{client.WithVersion("1.40")}, err: ports.ErrInvalid,
			want: []string{"version 1.40 of the API is asked for, and it must be from 1.41 to 1.51", "unset DOCKER_API_VERSION"},
		},
		"a version of the API that is too new": {
			opts: []client.Opt{client.WithVersion("1.99")}, err: ports.ErrInvalid,
			want: []string{"version 1.99 of the API is asked for"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cli := newStandIn(t, engine28).client(t, tt.opts...)
			_, err := checkEngine(t.Context(), cli, Config{})
			require.Error(t, err)
			if tt.err != nil {
				assert.ErrorIs(t, err, tt.err)
			}
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			found := Examine(t.Context(), cli, Config{})
			require.Len(t, found, 1, "nothing more can be known")
			assert.Equal(t, Failure, found[0].Verdict)
		})
	}
}

func TestAnEngineThatHangsIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cli := clientOf(t, client.WithHost("tcp://127.0.0.1:1"), client.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		begin := time.Now()
		_, err := checkEngine(t.Context(), cli, Config{})
		assert.ErrorContains(t, err, "does not answer in time; restart it")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, engineTimeout, time.Since(begin))
	})
}

func TestTheRealEngineIsAccepted(t *testing.T) {
	t.Parallel()
	e, err := checkEngine(t.Context(), testenv.Docker(t), Config{})
	require.NoError(t, err)
	assert.NotEmpty(t, e.Arch)
	assert.Positive(t, e.CPUs)
	assert.Positive(t, e.Memory)
}
