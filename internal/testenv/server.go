package testenv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	mobycontainer "github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// Server is a server of a test's own in a container, which the test may kill and start
// again. Its address and its data stay the same. It is not safe for concurrent use.
type Server struct {
	place *place
	cli   *client.Client
	id    string // of the container
	ping  func(context.Context) error
}

// placeLabel names the place of a container's server. Whoever made the container is
// gone when the place is free.
const placeLabel = "taskrunner-test.place"

// dataDir is where a server keeps its data, a volume of its own.
const dataDir = "/data"

// spec says what runs in a container.
type spec struct {
	kind    string // the name of the image and of the variable that names another one
	place   *place
	command []string
	env     map[string]string
	cert    *certificate // nil without TLS
	ping    func(context.Context) error
}

// run starts a server that is removed at the end of the test. It has the network of the
// machine, because engines of tests may have none to offer, and listens on loopback
// alone.
func run(t testing.TB, s spec) *Server {
	t.Helper()
	cli := Docker(t)
	prepare(t, cli)
	request := testcontainers.ContainerRequest{
		Image:  serverImage(t, cli, s.kind),
		Cmd:    s.command,
		Env:    s.env,
		Labels: map[string]string{placeLabel: s.place.addr},
		Files:  s.cert.files(),
		ConfigModifier: func(c *mobycontainer.Config) {
			c.User = "0:0" // its folders are root's
			c.Volumes = map[string]struct{}{dataDir: {}}
		},
		HostConfigModifier: func(c *mobycontainer.HostConfig) { c.NetworkMode = "host" },
	}
	// Its default network is one that every engine has.
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithDefaultBridgeNetwork("host"))
	if err != nil {
		t.Fatalf("making a container of %s: %v", request.Image, err)
	}
	made, err := provider.CreateContainer(t.Context(), request)
	if made != nil && made.GetContainerID() != "" {
		t.Cleanup(func() { remove(t, cli, made.GetContainerID()) })
	}
	_ = provider.Close()
	if err != nil {
		t.Fatalf("making a container of %s: %v", request.Image, err)
	}
	server := &Server{place: s.place, cli: cli, id: made.GetContainerID(), ping: s.ping}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of the %s server at %s:\n%s", s.kind, server.Addr(), server.log(context.Background()))
		}
	})
	server.Start(t)
	return server
}

// prepared says whether a test of this process has prepared everything.
var prepared struct {
	sync.Mutex
	done bool
}

// prepare makes testcontainers quiet and content with an engine that has nothing but
// our images, and removes what tests left behind that died. It does so once; where a test
// fails at it, the next one tries again.
func prepare(t testing.TB, cli *client.Client) {
	t.Helper()
	prepared.Lock()
	defer prepared.Unlock()
	if prepared.done {
		return
	}
	log.SetDefault(log.NewNoopLogger())
	// Its janitor is an image to be pulled.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil { //nolint:usetesting // it is for the whole process
		t.Fatalf("switching off the janitor of testcontainers: %v", err)
	}
	removeOrphans(t, cli)
	prepared.done = true
}

// removeOrphans removes the containers of tests that died.
func removeOrphans(t testing.TB, cli *client.Client) {
	t.Helper()
	all, err := cli.ContainerList(t.Context(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", placeLabel))})
	if err != nil {
		t.Fatalf("looking for containers of tests that died: %v", err)
	}
	for _, c := range all {
		if p, err := take(t.Context(), c.Labels[placeLabel]); err == nil {
			remove(t, cli, c.ID)
			_ = p.leave()
		}
	}
}

// serverImage returns the image that TASKRUNNER_IMAGE_ and the kind name, or else the one
// that .ci/images makes. Nothing is pulled.
func serverImage(t testing.TB, cli *client.Client, kind string) string {
	t.Helper()
	variable := "TASKRUNNER_IMAGE_" + strings.ToUpper(kind)
	ref := cmp.Or(os.Getenv(variable), "taskrunner-test/"+kind)
	inspect(t, cli, ref, variable)
	return ref
}

// remove removes a container, which may run, be frozen, or be gone.
func remove(t testing.TB, cli *client.Client, id string) {
	t.Helper()
	// The test's own context may be done by now.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := cli.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !cerrdefs.IsNotFound(err) && !cerrdefs.IsConflict(err) { // or is being removed
		t.Errorf("removing a server's container: %v", err)
	}
}

// Addr returns where it listens, as host and port.
func (s *Server) Addr() string { return s.place.addr }

// Start starts the server, again if it was killed, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.cli.ContainerStart(ctx, s.id, container.StartOptions{}); err != nil {
		t.Fatalf("starting the server at %s: %v", s.Addr(), err)
	}
	if err := s.answers(ctx); err != nil {
		t.Fatalf("waiting for the server at %s to answer: %v\n%s", s.Addr(), err, s.log(ctx))
	}
}

// answers waits until the server does.
func (s *Server) answers(ctx context.Context) error {
	ended, failed := s.cli.ContainerWait(ctx, s.id, container.WaitConditionNotRunning)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		err := s.connects(ctx)
		if err == nil {
			err = s.ping(ctx)
		}
		if err == nil {
			return nil
		}
		select {
		case exit := <-ended:
			return fmt.Errorf("it ended with code %d", exit.StatusCode)
		case err := <-failed:
			return err
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-poll.C:
		}
	}
}

// connects asks whether anybody listens, because clients try again by themselves at
// longer intervals.
func (s *Server) connects(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// Kill ends the server at once (SIGKILL).
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended, failed := s.cli.ContainerWait(ctx, s.id, container.WaitConditionNextExit)
	if err := s.cli.ContainerKill(ctx, s.id, "SIGKILL"); err != nil {
		t.Fatalf("killing the server at %s: %v", s.Addr(), err)
	}
	select {
	case <-ended:
	case err := <-failed:
		t.Fatalf("waiting for the end of the server at %s: %v", s.Addr(), err)
	}
}

// Pause freezes the server: its connections stay, new ones are made, and nothing is
// answered.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		err := s.cli.ContainerPause(ctx, s.id)
		if err == nil {
			return
		}
		// With cgroup v1 an engine gives up ("unable to freeze") and thaws the server where
		// a process does not freeze in a fraction of a second, as one that waits for the disk.
		if !cerrdefs.IsInternal(err) {
			t.Fatalf("freezing the server at %s: %v", s.Addr(), err)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("freezing the server at %s: %v", s.Addr(), err)
		case <-poll.C:
		}
	}
}

// Resume ends a pause.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if err := s.cli.ContainerUnpause(t.Context(), s.id); err != nil {
		t.Fatalf("having the server at %s go on: %v", s.Addr(), err)
	}
}

// log returns the end of what the server said.
func (s *Server) log(ctx context.Context) string {
	logs, err := s.cli.ContainerLogs(ctx, s.id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "50"})
	if err != nil {
		return err.Error()
	}
	defer func() { _ = logs.Close() }()
	var said bytes.Buffer
	if _, err := stdcopy.StdCopy(&said, &said, logs); err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return said.String()
}
