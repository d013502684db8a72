//go:build compose

package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
)

const (
	// patience bounds each wait for what normally takes seconds, buildPatience that for the
	// images, which take minutes the first time.
	patience      = 2 * time.Minute
	buildPatience = 20 * time.Minute

	// Labels that compose, and the Docker executor, have on what they make.
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
	oneOffLabel  = "com.docker.compose.oneoff"
	roleLabel    = "com.github.task-runner.role"
	nameLabel    = "com.github.task-runner.name" // the host name of the worker
)

// stack is compose.yaml, brought up under a name and on ports of the test's own.
type stack struct {
	project string
	command []string // docker compose, or docker-compose, and what it is always told
	env     []string
	engine  *client.Client

	backend, web, minio string // where they are published, as URLs

	workers, killed map[string]bool // the host names of all workers that there have been
}

// newStack prepares the stack, and takes it down at the end of the test.
func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{project: testenv.Unique(t), engine: testenv.Docker(t), workers: map[string]bool{}, killed: map[string]bool{}}
	// No file .env beside the file has a say.
	empty := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	s.command = append(composeCommand(t), "--file", root+"compose.yaml", "--env-file", empty)
	ports := freePorts(t, 4)
	s.backend, s.web, s.minio = "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1], "http://127.0.0.1:"+ports[2]
	s.env = []string{
		"COMPOSE_PROJECT_NAME=" + s.project,
		"BACKEND_PORT=" + ports[0], "WEB_PORT=" + ports[1], "MINIO_PORT=" + ports[2], "MINIO_CONSOLE_PORT=" + ports[3],
		"MINIO_PUBLIC_ENDPOINT=" + s.minio,
		"DOCKER_SOCKET=" + socketOf(t, s.engine),
		"TASKRUNNER_CONCURRENCY=2",
		"COMPOSE_HTTP_TIMEOUT=300", // of docker-compose 1, which gives up busy engines after a minute
	}
	// And nothing else of the caller's environment.
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if slices.Contains([]string{"PATH", "HOME", "GOPROXY", "GOFLAGS"}, name) || strings.HasPrefix(name, "DOCKER_") {
			s.env = append(s.env, kv)
		}
	}
	s.env = append(s.env, s.images(t)...)
	t.Cleanup(func() { s.down(t) })
	return s
}

// composeCommand returns how compose is called here.
func composeCommand(t *testing.T) []string {
	t.Helper()
	if exec.CommandContext(t.Context(), "docker", "compose", "version").Run() == nil {
		return []string{"docker", "compose"}
	}
	_, err := exec.LookPath("docker-compose")
	require.NoError(t, err, "neither docker compose nor docker-compose is there: install one (on Debian: docker-compose)")
	return []string{"docker-compose"}
}

// freePorts returns ports of loopback at which nobody listens.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }() // when all are chosen, so that they differ
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		ports = append(ports, port)
	}
	return ports
}

// socketOf returns the path of the engine's socket.
func socketOf(t *testing.T, engine *client.Client) string {
	t.Helper()
	path, ok := strings.CutPrefix(engine.DaemonHost(), "unix://")
	require.True(t, ok, "the engine at %s has no socket that could be mounted: set DOCKER_HOST=unix:///var/run/docker.sock", engine.DaemonHost())
	return path
}

// images returns the variables that name the languages' images: what the environment says,
// or what .ci/images made, or else those that the worker pulls by itself.
func (s *stack) images(t *testing.T) []string {
	t.Helper()
	var env []string
	for language, made := range map[string]string{"PYTHON": "python", "JAVASCRIPT": "node", "BASH": "bash"} {
		variable, image := "TASKRUNNER_IMAGE_"+language, "taskrunner-test/"+made
		if given := os.Getenv(variable); given != "" {
			env = append(env, variable+"="+given)
		} else if _, err := s.engine.ImageInspect(t.Context(), image); err == nil {
			env = append(env, variable+"="+image)
		}
	}
	return env
}

// run runs compose and returns what it said.
func (s *stack) run(ctx context.Context, args ...string) (string, error) {
	return s.runWith(ctx, "", args...)
}

// runWith is run with a variable more.
func (s *stack) runWith(ctx context.Context, variable string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.command[0], slices.Concat(s.command[1:], args)...)
	cmd.Env = append(slices.Clone(s.env), variable)
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// compose runs compose, which has to succeed.
func (s *stack) compose(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	said, err := s.run(ctx, args...)
	require.NoError(t, err, "compose %s:\n%s", strings.Join(args, " "), said)
	return said
}

// down takes everything down, also what a failed test left.
func (s *stack) down(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if t.Failed() {
		for _, args := range [][]string{{"ps"}, {"logs", "--no-color", "--tail=200"}} {
			said, _ := s.run(ctx, args...)
			t.Logf("compose %s:\n%s", args[0], said)
		}
	}
	said, err := s.run(ctx, "down", "--volumes", "--remove-orphans", "--rmi=local", "--timeout=60")
	assert.NoError(t, err, "compose down:\n%s", said)
	for _, c := range s.sandboxes(t) {
		err := s.engine.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true})
		assert.NoError(t, err, "removing a sandbox")
	}
}

// sandboxes returns the containers for tasks that our workers made, and that are there.
func (s *stack) sandboxes(t *testing.T) []container.Summary {
	t.Helper()
	all, err := s.engine.ContainerList(context.WithoutCancel(t.Context()),
		container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", roleLabel+"=sandbox"))})
	require.NoError(t, err)
	return slices.DeleteFunc(all, func(c container.Summary) bool { return !s.workers[c.Labels[nameLabel]] })
}

// containers returns what the engine knows of the containers of a service, or of all if
// it is empty, running or not.
func (s *stack) containers(t *testing.T, service string) []container.InspectResponse {
	t.Helper()
	args := filters.NewArgs(filters.Arg("label", projectLabel+"="+s.project), filters.Arg("label", oneOffLabel+"=False"))
	if service != "" {
		args.Add("label", serviceLabel+"="+service)
	}
	list, err := s.engine.ContainerList(t.Context(), container.ListOptions{All: true, Filters: args})
	require.NoError(t, err)
	var all []container.InspectResponse
	for _, c := range list {
		full, err := s.engine.ContainerInspect(t.Context(), c.ID)
		require.NoError(t, err)
		all = append(all, full)
		if full.Config.Labels[serviceLabel] == "worker" {
			s.workers[full.Config.Hostname] = true
		}
	}
	return all
}

// healthy waits until a service has so many containers, all of them healthy, and returns
// them.
func (s *stack) healthy(t *testing.T, service string, n int) []container.InspectResponse {
	t.Helper()
	var found []container.InspectResponse
	eventually(t, func() error {
		found = s.containers(t, service)
		if len(found) != n {
			return fmt.Errorf("%s has %d containers, not %d", service, len(found), n)
		}
		for _, c := range found {
			if c.State.Health == nil || c.State.Health.Status != container.Healthy {
				return fmt.Errorf("%s is %s, and not healthy: %s", c.Name, c.State.Status, lastCheck(c))
			}
		}
		return nil
	})
	return found
}

// lastCheck returns what a container's last health check said.
func lastCheck(c container.InspectResponse) string {
	if c.State.Health == nil || len(c.State.Health.Log) == 0 {
		return "it has not been checked"
	}
	return strings.TrimSpace(c.State.Health.Log[len(c.State.Health.Log)-1].Output)
}

// eventually waits until check has no error any more.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			require.NoError(t, err, "after %s", patience)
		case <-poll.C:
		}
	}
}

// call sends a request, with body as JSON unless it is nil, and reads the answer into
// answer unless that is nil. It returns the status.
func call(t *testing.T, method, url string, body, answer any) int {
	t.Helper()
	status, err := tryCall(t.Context(), method, url, body, answer)
	require.NoError(t, err)
	return status
}

func tryCall(ctx context.Context, method, url string, body, answer any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	switch answer := answer.(type) {
	case nil:
	case *string:
		*answer = string(said)
	default:
		if err := json.Unmarshal(said, answer); err != nil {
			return 0, errors.Join(err, fmt.Errorf("the answer to %s %s: %s", method, url, said))
		}
	}
	return response.StatusCode, nil
}
