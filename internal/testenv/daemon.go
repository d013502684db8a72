package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"
)

// Daemon is an engine of a test's own, which the test may stop, kill and start again.
// It shares nothing with the machine's engine: it and all that it starts live in
// namespaces of their own, without a network, so that the kernel ends and unmounts
// everything together, whatever became of the engine. It is not safe for concurrent
// use.
type Daemon struct {
	ns     *namespace
	dir    string
	cgroup string // the name of the group of all its containers

	process *exec.Cmd
	exited  chan struct{} // closed when process has been waited for
}

// Dockerd starts an engine without any image. It needs Linux, root and dockerd.
func Dockerd(t testing.TB) *Daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "an engine of its own needs root")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		missing(t, "an engine of its own needs dockerd (on Debian: docker.io): %v", err)
	}
	dir := socketDir(t)
	d := &Daemon{dir: dir, cgroup: "taskrunner-test-" + filepath.Base(dir)}
	t.Cleanup(func() { d.remove(t) })
	var err error
	if d.ns, err = newNamespace(); err != nil {
		t.Fatalf("making namespaces for the engine: %v", err)
	}
	// Whatever the machine's own engine is told in its file is not for this one.
	if err := os.WriteFile(d.path("daemon.json"), []byte("{}"), 0o600); err != nil {
		t.Fatalf("writing the engine's configuration: %v", err)
	}
	d.Start(t)
	return d
}

// Host returns where the engine listens, as DOCKER_HOST says it.
func (d *Daemon) Host() string { return "unix://" + d.path("docker.sock") }

// Cgroup returns the name of the control group of all its containers, which is the
// same in every hierarchy.
func (d *Daemon) Cgroup() string { return d.cgroup }

// Client returns a client of the engine, which is closed at the end of the test.
func (d *Daemon) Client(t testing.TB) *client.Client {
	t.Helper()
	return newClient(t, client.WithHost(d.Host()))
}

// Load copies an image with its name from another engine.
func (d *Daemon) Load(t testing.TB, from *client.Client, image string) {
	t.Helper()
	saved, err := from.ImageSave(t.Context(), []string{image})
	if err != nil {
		t.Fatalf("saving image %s: %v", image, err)
	}
	defer func() { _ = saved.Close() }()
	loaded, err := d.Client(t).ImageLoad(t.Context(), saved, client.ImageLoadWithQuiet(true))
	if err != nil {
		t.Fatalf("loading image %s: %v", image, err)
	}
	defer func() { _ = loaded.Body.Close() }()
	if _, err := io.Copy(io.Discard, loaded.Body); err != nil {
		t.Fatalf("loading image %s: %v", image, err)
	}
}

// Start starts the engine, again if it was stopped or killed, with what it had, and
// waits until it answers. After Kill it first stops the containers that still run; see
// Stop.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(d.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("opening the engine's log: %v", err)
	}
	defer func() { _ = log.Close() }()
	// Its /run is empty and its own: there it keeps its state, and finds no containerd
	// but the one that it starts.
	d.process = exec.CommandContext(context.Background(), "dockerd",
		"--config-file="+d.path("daemon.json"), "--host="+d.Host(), "--data-root="+d.path("data"),
		"--exec-root=/run/docker", "--pidfile=/run/docker.pid",
		"--cgroup-parent=/"+d.cgroup, "--exec-opt=native.cgroupdriver=cgroupfs",
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
		"--log-level=warn")
	d.process.Stdout, d.process.Stderr = log, log
	if err := d.ns.start(d.process); err != nil {
		t.Fatalf("starting dockerd: %v", err)
	}
	d.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		_ = process.Wait()
	}(d.process, d.exited)
	if err := d.answers(t); err != nil {
		t.Fatalf("waiting for dockerd to answer: %v", err)
	}
}

// answers waits until the engine does.
func (d *Daemon) answers(t testing.TB) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cli := d.Client(t)
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		_, err := cli.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.exited:
			return errors.New("it ended")
		case <-ctx.Done():
			return err
		case <-poll.C:
		}
	}
}

// Stop has the engine end in its own time (SIGTERM). It stops its containers, and
// kills those that have not ended by their stop timeout, by default 10 seconds.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	d.end(t, syscall.SIGTERM)
}

// Kill ends the engine at once (SIGKILL). Its containers go on.
func (d *Daemon) Kill(t testing.TB) {
	t.Helper()
	d.end(t, syscall.SIGKILL)
}

func (d *Daemon) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := d.process.Process.Signal(sig); err != nil {
		t.Fatalf("sending %s to dockerd: %v", sig, err)
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-d.exited:
	case <-late.C:
		t.Fatalf("dockerd did not end after %s", sig)
	}
}

// remove ends everything and leaves nothing but the folder.
func (d *Daemon) remove(t testing.TB) {
	t.Helper()
	if d.ns != nil {
		if err := d.ns.end(); err != nil {
			t.Errorf("ending the engine's processes: %v", err)
		}
	}
	if d.exited != nil {
		<-d.exited
	}
	if t.Failed() {
		log, _ := os.ReadFile(d.path("log"))
		t.Logf("the log of dockerd:\n%s", log)
	}
	if err := removeCgroups(d.cgroup); err != nil {
		t.Errorf("removing the engine's control groups: %v", err)
	}
}

func (d *Daemon) path(name string) string { return filepath.Join(d.dir, name) }

// removeCgroups removes the groups of this name and those below, of every hierarchy.
func removeCgroups(name string) error {
	const root = "/sys/fs/cgroup"
	hierarchies, err := filepath.Glob(filepath.Join(root, "*", name))
	if err != nil {
		return err
	}
	var all error
	for _, top := range append(hierarchies, filepath.Join(root, name)) {
		var groups []string
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err == nil && entry.IsDir():
				groups = append(groups, path)
			}
			return err
		})
		all = errors.Join(all, err)
		for _, group := range slices.Backward(groups) {
			if err := os.Remove(group); err != nil {
				all = errors.Join(all, fmt.Errorf("removing a group: %w", err))
			}
		}
	}
	return all
}
