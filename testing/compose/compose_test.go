//go:build compose

package compose

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// One stack serves all steps, one after the other, since bringing it up is the slow part.
// Each leaves it as it found it: whole, with one worker.
func TestCompose(t *testing.T) {
	s := newStack(t)
	step := func(name string, f func(*testing.T, *stack)) {
		if !t.Run(name, func(t *testing.T) { f(t, s) }) {
			t.FailNow() // those that follow would fail for the same reason
		}
	}
	step("the file comes up as it is", comesUp)
	step("no container has more rights than it needs", hasWalls)
	step("nothing is published but on loopback", isOnLoopback)
	step("a task of every language runs, by way of the API and of the web page", runsEveryLanguage)
	step("a stream is followed to its end, and resumed where it broke off", streams)
	step("the whole log is fetched from where its signed URL says", signsLogs)
	step("a task whose worker is killed runs again elsewhere", survivesAKill)
	step("workers are added and taken away", scales)
	step("a worker is upgraded under load, and every task ends once", upgrades)
	step("a backend is replaced under its readers, who miss nothing", replacesTheBackend)
	step("a server that is away is named, and comes back by itself", recovers)
	step("a wrong variable stops a service, which names it", refusesBadVariables)
	step("default secrets are refused where strangers would reach them", refusesDefaultSecrets)
	step("it goes down, and leaves no sandbox behind", goesDown)
}

func comesUp(t *testing.T, s *stack) {
	ctx, cancel := context.WithTimeout(t.Context(), buildPatience)
	defer cancel()
	said, err := s.run(ctx, "up", "--build", "--detach")
	require.NoError(t, err, "compose up:\n%s", said)
	for _, name := range []string{"mongo", "redis", "minio", "enginegate", "backend", "worker", "web"} {
		s.healthy(t, name, 1)
	}
	s.ready(t)
}

// ready waits until the backend says that it is.
func (s *stack) ready(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		var said string
		status, err := tryCall(t.Context(), http.MethodGet, s.backend+"/readyz", nil, &said)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("/readyz says %d: %s", status, said)
		}
		return err
	})
}

func hasWalls(t *testing.T, s *stack) {
	for _, c := range s.containers(t, "") {
		root := c.Config.User == "" || strings.HasPrefix(c.Config.User, "0") || strings.HasPrefix(c.Config.User, "root")
		gate := c.Config.Labels[serviceLabel] == "enginegate"
		assert.Equal(t, gate, root, "%s runs as %q", c.Name, c.Config.User)
		assert.True(t, c.HostConfig.ReadonlyRootfs, c.Name)
		assert.False(t, c.HostConfig.Privileged, c.Name)
		assert.Equal(t, []string{"ALL"}, []string(c.HostConfig.CapDrop), c.Name)
		assert.Empty(t, c.HostConfig.CapAdd, c.Name)
		assert.Contains(t, c.HostConfig.SecurityOpt, "no-new-privileges:true", c.Name)
		assert.Equal(t, container.RestartPolicyUnlessStopped, c.HostConfig.RestartPolicy.Name, c.Name)
		assert.NotZero(t, c.HostConfig.Memory, c.Name)
		assert.Equal(t, "10m", c.HostConfig.LogConfig.Config["max-size"], c.Name)
		if assert.NotNil(t, c.HostConfig.PidsLimit, c.Name) {
			assert.Positive(t, *c.HostConfig.PidsLimit, c.Name)
		}
		for _, m := range c.Mounts {
			assert.Equal(t, gate && m.Destination == "/var/run/docker.sock", m.Type != "volume", "%s has %s of the machine as %s", c.Name, m.Source, m.Destination)
		}
	}
}

func isOnLoopback(t *testing.T, s *stack) {
	published := map[string]int{}
	for _, c := range s.containers(t, "") {
		name := c.Config.Labels[serviceLabel]
		for port, bindings := range c.NetworkSettings.Ports {
			for _, binding := range bindings {
				assert.Equal(t, "127.0.0.1", binding.HostIP, "%s of %s", port, name)
				published[name]++
			}
		}
		networks := []string{}
		for network := range c.NetworkSettings.Networks {
			networks = append(networks, strings.TrimPrefix(network, s.project+"_"))
		}
		slices.Sort(networks)
		switch name {
		case "mongo", "redis", "worker":
			assert.Equal(t, []string{"data"}, networks, name)
		case "backend", "minio":
			assert.Equal(t, []string{"data", "front"}, networks, name)
		case "web":
			assert.Equal(t, []string{"front"}, networks, name)
		case "enginegate":
			assert.Equal(t, []string{"none"}, networks, name)
		}
	}
	assert.Equal(t, map[string]int{"backend": 1, "web": 1, "minio": 2}, published)
	data, err := s.engine.NetworkInspect(t.Context(), s.project+"_data", network.InspectOptions{})
	require.NoError(t, err)
	assert.True(t, data.Internal, "the network of the servers has no way out")

	// A page whose name was made to point here must not get through by way of a browser.
	for _, base := range []string{s.backend, s.web} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/languages", http.NoBody)
		require.NoError(t, err)
		request.Host = "evil.example"
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusMisdirectedRequest, response.StatusCode, base)
	}
}

func runsEveryLanguage(t *testing.T, s *stack) {
	for _, base := range []string{s.backend, s.web} {
		for language, code := range map[string]string{
			"python":     "import sys; print('hello'); print('oops', file=sys.stderr); sys.exit(3)",
			"javascript": "console.log('hello'); console.error('oops'); process.exit(3)",
			"bash":       "echo hello; echo oops >&2; exit 3",
		} {
			var ended task
			status := call(t, http.MethodPost, base+"/api/v1/tasks?wait=30s", spec{Language: language, Code: code}, &ended)
			require.Equal(t, http.StatusOK, status, "%s at %s", language, base)
			assert.Equal(t, "failed", ended.Status, language)
			assert.Equal(t, "exit", ended.Cause, language)
			if assert.NotNil(t, ended.ExitCode, language) {
				assert.Equal(t, 3, *ended.ExitCode, language)
			}
			assert.Equal(t, "hello\n", ended.Stdout, language)
			assert.Equal(t, "oops\n", ended.Stderr, language)
		}
	}
	var page string
	require.Equal(t, http.StatusOK, call(t, http.MethodGet, s.web+"/", nil, &page))
	assert.Contains(t, page, "Task Runner")
}

func streams(t *testing.T, s *stack) {
	for _, base := range []string{s.backend, s.web} {
		// It says its lines as long as it is asked to, so that there is something to resume.
		taken := submit(t, base, spec{Language: "bash", Code: "for i in {1..8}; do echo line $i; sleep 0.25; done"})
		first := follow(t, base, taken.ID, "")
		seen := first.until(t, func(e event) bool { return e.kind == "stdout" })
		first.stop()
		last := seen[len(seen)-1].id
		seen = append(seen, follow(t, base, taken.ID, last).rest(t)...)

		var ids []string
		var out strings.Builder
		for _, e := range seen {
			ids = append(ids, e.id)
			if e.kind == "stdout" {
				out.WriteString(e.data.Text)
			}
		}
		assert.Len(t, slices.Compact(slices.Sorted(slices.Values(ids))), len(ids), "no event comes twice")
		assert.Equal(t, "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\n", out.String(), "and none is left out")
		end := seen[len(seen)-1]
		assert.True(t, isEnd(end))
		assert.Equal(t, "succeeded", end.data.Status)

		after, err := openStream(t.Context(), base, taken.ID, end.id)
		require.NoError(t, err)
		require.NoError(t, after.Body.Close())
		assert.Equal(t, http.StatusNoContent, after.StatusCode, "behind its end a stream has nothing more")
	}
}

func signsLogs(t *testing.T, s *stack) {
	const lines = 40_000 // more than a task's record has room for
	taken := submit(t, s.backend, spec{Language: "python", Code: fmt.Sprintf("for i in range(%d): print(i)", lines)})
	ended, _ := finish(t, s.backend, taken.ID)
	require.Equal(t, "succeeded", ended.Status)
	var logs struct{ Stdout struct{ URL string } }
	require.Equal(t, http.StatusOK, call(t, http.MethodGet, s.backend+"/api/v1/tasks/"+taken.ID+"/logs", nil, &logs))
	require.Truef(t, strings.HasPrefix(logs.Stdout.URL, s.minio+"/"), "%s is where browsers reach MinIO", logs.Stdout.URL)
	var log string
	require.Equal(t, http.StatusOK, call(t, http.MethodGet, logs.Stdout.URL, nil, &log))
	var want strings.Builder
	for i := range lines {
		want.WriteString(strconv.Itoa(i) + "\n")
	}
	assert.True(t, want.String() == log, "%d bytes, not %d", len(log), want.Len())

	forged := call(t, http.MethodGet, strings.Replace(logs.Stdout.URL, "stdout", "stderr", 1), nil, nil)
	assert.Equal(t, http.StatusForbidden, forged, "of another log")
}

func survivesAKill(t *testing.T, s *stack) {
	// The second worker stands still until the first one has the task, and so cannot take it.
	victim := s.healthy(t, "worker", 1)[0]
	s.compose(t, "up", "--detach", "--no-recreate", "--scale", "worker=2", "worker")
	workers := s.healthy(t, "worker", 2)
	other := workers[slices.IndexFunc(workers, func(c container.InspectResponse) bool { return c.ID != victim.ID })]
	require.NoError(t, s.engine.ContainerPause(t.Context(), other.ID))

	taken := submit(t, s.backend, spec{Language: "bash", Code: "echo begun; sleep 3; echo done"})
	events := follow(t, s.backend, taken.ID, "")
	events.until(t, runs(1))
	events.until(t, func(e event) bool { return e.kind == "stdout" })
	require.NoError(t, s.engine.ContainerKill(t.Context(), victim.ID, "SIGKILL"))
	s.killed[victim.Config.Hostname] = true
	require.NoError(t, s.engine.ContainerUnpause(t.Context(), other.ID))
	end := events.rest(t)
	assert.True(t, isEnd(end[len(end)-1]), "%+v", end)

	ended, all := finish(t, s.backend, taken.ID)
	assert.Equal(t, "succeeded", ended.Status)
	assert.Equal(t, 2, ended.Attempt)
	assert.Equal(t, "begun\ndone\n", ended.Stdout, "of the second attempt alone")
	assert.True(t, endsOnce(all))

	s.oneWorker(t)
}

// oneWorker makes it one worker again, and a new one.
func (s *stack) oneWorker(t *testing.T) {
	t.Helper()
	s.compose(t, "up", "--detach", "--no-recreate", "--scale", "worker=1", "worker")
	s.healthy(t, "worker", 1)
}

func endsOnce(events []event) bool {
	return slices.IndexFunc(events, isEnd) == len(events)-1
}

func scales(t *testing.T, s *stack) {
	s.compose(t, "up", "--detach", "--no-recreate", "--scale", "worker=3", "worker")
	s.healthy(t, "worker", 3)
	// Each works on two tasks at a time. So five at once are the work of three.
	var ids []string
	for range 6 {
		ids = append(ids, submit(t, s.backend, spec{Language: "bash", Code: "sleep 10"}).ID)
	}
	eventually(t, func() error {
		var running struct{ Tasks []task }
		if _, err := tryCall(t.Context(), http.MethodGet, s.backend+"/api/v1/tasks?status=running", nil, &running); err != nil {
			return err
		}
		if len(running.Tasks) < 5 {
			return fmt.Errorf("%d tasks run at once", len(running.Tasks))
		}
		return nil
	})
	s.oneWorker(t)
	for _, id := range ids {
		ended, events := finish(t, s.backend, id)
		assert.Equal(t, "succeeded", ended.Status, "%+v", ended)
		assert.Equal(t, 1, ended.Attempt, "a worker that is taken away ends what it runs")
		assert.True(t, endsOnce(events))
	}
}

func upgrades(t *testing.T, s *stack) {
	const tasks, callers = 60, 4
	ids := make(chan string, tasks)
	var submitting sync.WaitGroup
	for range callers {
		submitting.Go(func() {
			for range tasks / callers {
				var taken task
				status, err := tryCall(t.Context(), http.MethodPost, s.backend+"/api/v1/tasks",
					spec{Language: "bash", Code: "echo one; sleep 0.3; echo two"}, &taken)
				if assert.NoError(t, err) && assert.Equal(t, http.StatusAccepted, status) {
					ids <- taken.ID
				}
			}
		})
	}
	old := s.healthy(t, "worker", 1)[0]
	s.compose(t, "up", "--detach", "--no-deps", "--force-recreate", "worker")
	submitting.Wait()
	close(ids)
	_, err := s.engine.ContainerInspect(t.Context(), old.ID)
	require.Error(t, err, "the old worker is gone")
	s.healthy(t, "worker", 1)

	ended := 0
	for id := range ids {
		task, events := finish(t, s.backend, id)
		assert.Equal(t, "succeeded", task.Status, "%+v", task)
		assert.Equal(t, 1, task.Attempt, "a worker that is told to stop ends what it runs")
		assert.Equal(t, "one\ntwo\n", task.Stdout)
		assert.True(t, endsOnce(events), "%+v", events)
		ended++
	}
	assert.Equal(t, tasks, ended)
}

func replacesTheBackend(t *testing.T, s *stack) {
	taken := submit(t, s.backend, spec{Language: "bash", Code: "for i in {1..60}; do echo $i; sleep 0.25; done", Timeout: 60})
	begun, all := make(chan struct{}), make(chan []event, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		events, err := readOn(t.Context(), s.web, taken.ID, sync.OnceFunc(func() { close(begun) }))
		assert.NoError(t, err)
		all <- events
	})
	defer reading.Wait()
	<-begun
	s.compose(t, "stop", "backend")
	var page string
	status := call(t, http.MethodGet, s.web+"/", nil, &page)
	assert.Contains(t, []int{http.StatusOK, http.StatusBadGateway, http.StatusServiceUnavailable}, status)
	assert.Contains(t, page, "Task Runner", "the page is there without its backend")
	s.compose(t, "up", "--detach", "--no-deps", "--force-recreate", "backend")
	s.healthy(t, "backend", 1)
	s.ready(t)

	var out, want strings.Builder
	ids := map[string]bool{}
	events := <-all
	for _, e := range events {
		assert.False(t, ids[e.id], "event %s comes twice", e.id)
		ids[e.id] = true
		if e.kind == "stdout" {
			out.WriteString(e.data.Text)
		}
	}
	for i := range 60 {
		want.WriteString(strconv.Itoa(i+1) + "\n")
	}
	assert.Equal(t, want.String(), out.String())
	assert.True(t, endsOnce(events))
}

func recovers(t *testing.T, s *stack) {
	for service, name := range map[string]string{"redis": "redis", "mongo": "mongodb", "minio": "minio"} {
		s.compose(t, "stop", service)
		eventually(t, func() error {
			var health struct {
				Status string
				Checks map[string]string
			}
			status, err := tryCall(t.Context(), http.MethodGet, s.backend+"/readyz", nil, &health)
			switch {
			case err != nil:
				return err
			case status != http.StatusServiceUnavailable:
				return fmt.Errorf("without %s /readyz says %d", service, status)
			case health.Checks[name] == "" || health.Checks[name] == "ok":
				return fmt.Errorf("without %s /readyz says %v", service, health.Checks)
			}
			for other, state := range health.Checks {
				if other != name && state != "ok" {
					return fmt.Errorf("without %s /readyz says of %s: %s", service, other, state)
				}
			}
			return nil
		})
		assert.Equal(t, http.StatusOK, call(t, http.MethodGet, s.backend+"/healthz", nil, nil), "it is alive without %s", service)
		s.compose(t, "start", service)
		s.ready(t)
		taken := submit(t, s.backend, spec{Language: "bash", Code: "echo again"})
		ended, _ := finish(t, s.backend, taken.ID)
		assert.Equal(t, "again\n", ended.Stdout, "after %s was away", service)
	}
}

func refusesBadVariables(t *testing.T, s *stack) {
	s.refuse(t, map[string]refusal{
		"backend":    {"MINIO_BUCKET=Not_a_bucket", "MINIO_BUCKET"},
		"worker":     {"TASKRUNNER_CONCURRENCY=many", "TASKRUNNER_CONCURRENCY"},
		"web":        {"TASKRUNNER_DOCS_URL=docs", "TASKRUNNER_DOCS_URL"},
		"enginegate": {"TASKRUNNER_DRAIN_TIMEOUT=soon", "TASKRUNNER_DRAIN_TIMEOUT"},
	})
}

func refusesDefaultSecrets(t *testing.T, s *stack) {
	const publish = "TASKRUNNER_PUBLISH=0.0.0.0"
	s.refuse(t, map[string]refusal{
		"backend": {publish, "MONGO_URI"},
		"worker":  {publish, "MONGO_URI"},
		"web":     {publish, "SECRET_KEY"},
		"minio":   {publish, "MINIO_SECRET_KEY"},
	})
}

// refusal is a variable in compose's environment that a service has to refuse, and the one
// that it has to name.
type refusal struct{ given, named string }

// refuse runs services with a variable, without publishing any port. Each has to stop by
// itself and say why.
func (s *stack) refuse(t *testing.T, refusals map[string]refusal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all sync.WaitGroup
	for service, r := range refusals {
		all.Go(func() {
			said, err := s.runWith(ctx, r.given, "run", "--rm", "--no-deps", "-T", service)
			assert.NoError(t, ctx.Err(), "%s with %s runs on:\n%s", service, r.given, said)
			assert.Error(t, err, "%s with %s:\n%s", service, r.given, said)
			assert.Contains(t, said, r.named, service)
			assert.NotContains(t, said, "insecure-default-secret", service)
		})
	}
	all.Wait()
}

func goesDown(t *testing.T, s *stack) {
	s.healthy(t, "worker", 1)
	s.compose(t, "stop")
	for _, c := range s.containers(t, "") {
		assert.Zero(t, c.State.ExitCode, "how %s ended", c.Name)
	}
	for _, c := range s.sandboxes(t) {
		assert.True(t, s.killed[c.Labels[nameLabel]], "a worker takes its sandboxes with it, but for the one that was killed")
	}
}
