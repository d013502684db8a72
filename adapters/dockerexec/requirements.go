package dockerexec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"github.com/docker/go-units"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

// minAPI is that of Docker Engine 20.10, the first one that knows cgroup v2.
const minAPI = "1.41"

// otherHost is how to get another engine.
const otherHost = "name another one with --docker-host or DOCKER_HOST"

// checkContact makes sure that an engine answers, settles the version of its API
// and learns what the other checks look at.
func checkContact(ctx context.Context, x *examination) Finding {
	host := x.cli.DaemonHost()
	if strings.HasPrefix(host, "ssh://") {
		return Finding{
			Verdict: Failure, Err: ports.ErrInvalid,
			Detail: fmt.Sprintf("the engine's address %s is one of SSH, which this program does not speak", host),
			Mend:   "forward the engine's socket (ssh -L ./docker.sock:/var/run/docker.sock HOST) and set --docker-host or DOCKER_HOST to unix://, or use tcp:// with TLS",
		}
	}
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	ping, err := x.cli.Ping(ctx)
	if err != nil {
		return unreachable(host, err)
	}
	x.cli.NegotiateAPIVersionPing(ping)
	if versions.LessThan(ping.APIVersion, minAPI) {
		return Finding{
			Verdict: Failure, Err: errors.ErrUnsupported,
			Detail: fmt.Sprintf("the engine at %s is too old: it speaks version %s of the API, and %s is needed", host, cmp.Or(ping.APIVersion, "0"), minAPI),
			Mend:   "update it to Docker Engine 20.10 or later, or " + otherHost,
		}
	}
	if v := x.cli.ClientVersion(); versions.LessThan(v, minAPI) || versions.LessThan(ping.APIVersion, v) {
		return Finding{
			Verdict: Failure, Err: ports.ErrInvalid,
			Detail: fmt.Sprintf("version %s of the API is asked for, and it must be from %s to %s, the engine's", v, minAPI, ping.APIVersion),
			Mend:   "unset DOCKER_API_VERSION, and the best version is used",
		}
	}
	if x.info, err = x.cli.Info(ctx); err == nil {
		if now, err := time.Parse(time.RFC3339Nano, x.info.SystemTime); err == nil {
			x.ahead = time.Until(now)
		}
		x.version, err = x.cli.ServerVersion(ctx)
	}
	if err != nil {
		return unreachable(host, err)
	}
	return Finding{Detail: fmt.Sprintf("Docker Engine %s, API %s, at %s", x.version.Version, x.cli.ClientVersion(), host)}
}

// unreachable says why no engine answers at host.
func unreachable(host string, err error) Finding {
	f := Finding{
		Verdict: Failure, Err: err,
		Detail: fmt.Sprintf("no Docker engine answers at %s", host),
		Mend:   "start it (systemctl start docker), or " + otherHost,
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Detail = fmt.Sprintf("this user may not use the Docker engine at %s", host)
		f.Mend = "join the group of its socket (usermod -aG docker USER, and log in again), which is as good as being root, or run a rootless engine and " + otherHost
	case errors.Is(err, context.DeadlineExceeded):
		f.Detail = fmt.Sprintf("the Docker engine at %s does not answer in time", host)
		f.Mend = "restart it (systemctl restart docker), or " + otherHost
	case !client.IsErrConnectionFailed(err):
		f.Detail = fmt.Sprintf("%s does not answer as a Docker engine does: %v", host, err)
		f.Mend = "set --docker-host or DOCKER_HOST to the address of an engine"
	case !strings.HasPrefix(err.Error(), "Cannot connect to the Docker daemon"): // which is what we have said
		f.Detail += ": " + err.Error()
	}
	return f
}

// checkPlatform makes sure that the supervisor runs in the engine's containers.
func checkPlatform(info system.Info) Finding {
	if info.OSType != "linux" {
		return Finding{
			Verdict: Failure, Err: errors.ErrUnsupported,
			Detail: fmt.Sprintf("the engine's containers are those of %s, and tasks need Linux", cmp.Or(info.OSType, "an unknown system")),
			Mend:   "switch it to Linux containers, or " + otherHost,
		}
	}
	arch := goArch(info.Architecture)
	if _, err := runner.Binary(arch); err != nil {
		return Finding{Verdict: Failure, Err: errors.ErrUnsupported, Detail: err.Error(), Mend: otherHost}
	}
	return Finding{Detail: fmt.Sprintf("linux/%s, %d processors, %s of memory, kernel %s",
		arch, info.NCPU, units.BytesSize(float64(info.MemTotal)), info.KernelVersion)}
}

// goArch returns Go's name for an architecture that an engine names as its kernel
// does.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// checkLimits makes sure that the engine drops none of a task's limits, as it
// does, with no more than a warning, where the kernel cannot count something.
func checkLimits(info system.Info) Finding {
	if info.CgroupDriver == "none" {
		return Finding{
			Verdict: Failure, Err: errors.ErrUnsupported,
			Detail: "the engine has no control groups (its cgroup driver is none), and so enforces no limit",
			Mend:   "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), start the rootless engine as a service of systemd, and delegate the controllers to it: " + delegate,
		}
	}
	var missing, mend []string
	lacks := func(what, howOnV1 string) {
		missing = append(missing, what)
		if !slices.Contains(mend, howOnV1) {
			mend = append(mend, howOnV1)
		}
	}
	if !info.MemoryLimit {
		lacks("memory", "boot its kernel with cgroup_enable=memory")
	}
	// Without a limit on swap, a task of 256 MiB takes as much of it as it likes.
	if !info.SwapLimit {
		lacks("swap", "boot its kernel with swapaccount=1")
	}
	if !info.CPUCfsQuota || !info.CPUCfsPeriod {
		lacks("CPU", "use a kernel with CONFIG_CFS_BANDWIDTH")
	}
	if !info.PidsLimit {
		lacks("processes", "use a kernel with CONFIG_CGROUP_PIDS")
	}
	if missing == nil {
		return Finding{Detail: fmt.Sprintf("memory, swap, CPU and processes, by cgroup v%s with the driver %s", cgroupVersion(info), info.CgroupDriver)}
	}
	f := Finding{
		Verdict: Failure, Err: errors.ErrUnsupported,
		Detail: "the engine cannot limit " + strings.Join(missing, ", ") + " (cgroup v" + cgroupVersion(info) + ")",
		Mend:   strings.Join(mend, ", and ") + ", or use cgroup v2",
	}
	switch {
	case hasSecurity(info, "rootless"):
		f.Mend = "delegate the controllers to the rootless engine: " + delegate
	case cgroupVersion(info) == "2" && !slices.Equal(missing, []string{"swap"}):
		f.Mend = "let the engine's control group have the controllers cpu, memory and pids (cgroup.subtree_control of the groups above it)"
	case cgroupVersion(info) == "2":
		f.Mend = mend[0]
	}
	return f
}

const delegate = "put \"[Service]\" and \"Delegate=cpu cpuset io memory pids\" into /etc/systemd/system/user@.service.d/delegate.conf, then systemctl daemon-reload, and log in again"

// cgroupVersion is "1" or "2".
func cgroupVersion(info system.Info) string { return cmp.Or(info.CgroupVersion, "1") }

func checkSeccomp(info system.Info) Finding {
	if !hasSecurity(info, "seccomp") {
		return Finding{
			Verdict: Failure, Err: errors.ErrUnsupported,
			Detail: "the engine cannot filter system calls (it has no seccomp)",
			Mend:   "use a kernel with CONFIG_SECCOMP_FILTER and an engine that is built with seccomp, or " + otherHost,
		}
	}
	return Finding{Detail: "the engine filters system calls"}
}

// hasSecurity reports whether the engine names a security option, which it writes
// as "name=seccomp,profile=builtin".
func hasSecurity(info system.Info, name string) bool {
	return slices.ContainsFunc(info.SecurityOptions, func(option string) bool {
		option, _, _ = strings.Cut(option, ",")
		return strings.TrimPrefix(option, "name=") == name
	})
}

// checkRuntime makes sure that the engine has the runtime that is asked for.
func checkRuntime(info system.Info, name string) Finding {
	if name == "" {
		return Finding{Detail: info.DefaultRuntime + ", the engine's own choice"}
	}
	if _, ok := info.Runtimes[name]; ok {
		return Finding{Detail: name + ", as asked with --docker-runtime"}
	}
	if strings.Contains(name, ".") && !strings.Contains(name, "/") {
		return Finding{Detail: name + ", as asked with --docker-runtime: a shim of containerd, which the engine does not list"}
	}
	return Finding{
		Verdict: Failure, Err: ports.ErrInvalid,
		Detail: fmt.Sprintf("--docker-runtime names %q, which the engine does not have", name),
		Mend: "use one that it has (" + strings.Join(slices.Sorted(maps.Keys(info.Runtimes)), ", ") +
			"), or add it to \"runtimes\" in the engine's daemon.json",
	}
}

// checkNetwork makes sure that the network of tasks that ask for one exists, and is
// not the host's.
func checkNetwork(ctx context.Context, x *examination) Finding {
	name := x.cfg.Network
	if name == "" {
		return Finding{Detail: "none: tasks that ask for a network are refused"}
	}
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	found, err := x.cli.NetworkInspect(ctx, name, network.InspectOptions{})
	const create = "docker network create -o com.docker.network.bridge.enable_icc=false NAME"
	switch {
	case cerrdefs.IsNotFound(err):
		return Finding{
			Verdict: Failure, Err: ports.ErrInvalid,
			Detail: fmt.Sprintf("--docker-network names %q, which the engine does not have", name),
			Mend:   "make it: " + create,
		}
	case err != nil:
		return Finding{
			Verdict: Failure, Err: err,
			Detail: fmt.Sprintf("looking at the network %q of --docker-network: %v", name, err),
			Mend:   "see the engine's log",
		}
	case found.Driver == "host", found.Driver == "none", found.Driver == "null":
		return Finding{
			Verdict: Failure, Err: ports.ErrInvalid,
			Detail: fmt.Sprintf("--docker-network names %q, which has the driver %s: tasks would have all of the engine's network, or none", name, found.Driver),
			Mend:   "make a network for tasks: " + create,
		}
	case found.Driver == "bridge" && found.Options["com.docker.network.bridge.enable_icc"] != "false":
		return Finding{
			Verdict: Warning,
			Detail:  fmt.Sprintf("tasks in %q reach each other, besides all that the network reaches", name),
			Mend:    "make a network in which they do not, and name it with --docker-network: " + create,
		}
	}
	return Finding{Detail: fmt.Sprintf("%s (%s): tasks that ask for it reach all that it reaches", name, found.Driver)}
}
