package main

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/internal/testenv"
)

// dockerArgs are flags for the Docker executor with the images of tests.
func dockerArgs(t *testing.T) []string {
	t.Helper()
	images := testenv.Languages(t, testenv.Docker(t))
	return []string{"--executor=docker", "--docker-pull=never", "--image-python=" + images.Python.Image,
		"--image-javascript=" + images.JavaScript.Image, "--image-bash=" + images.Bash.Image}
}

func TestRunInAContainerBehavesLikeTheProgram(t *testing.T) {
	t.Parallel()
	args := append([]string{"run"}, dockerArgs(t)...)
	for name, tt := range map[string]struct {
		file, code string
		flags      []string
		stdin      string
		want       outcome
	}{
		"a Python program":     {file: "x.py", code: "import sys; print(sys.stdin.read()); sys.exit(3)", stdin: "in", want: outcome{3, "in\n", ""}},
		"a JavaScript program": {file: "x.js", code: `console.log("hello")`, want: outcome{0, "hello\n", ""}},
		"a Bash program":       {file: "x.sh", code: "echo hello; echo oops >&2", want: outcome{0, "hello\n", "oops\n"}},
		"a timeout": {file: "x.sh", code: "echo first; sleep 60", flags: []string{"--timeout=1"},
			want: outcome{124, "first\n", "taskrunner: timed out: the run step ran for longer than 1s\n"}},
		"auto, where the image is": {file: "x.sh", code: "[ -e /.taskrunner ] && echo here", flags: []string{"--executor=auto"},
			want: outcome{0, "here\n", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(append(slices.Clip(args), "--docker-host="), tt.flags...)
			assert.Equal(t, tt.want, call(t.Context(), tt.stdin, nil, append(args, write(t, tt.file, tt.code))...))
		})
	}
}

func TestRunSaysWhyNothingCouldBeRun(t *testing.T) {
	t.Parallel()
	args := append(append([]string{"run"}, dockerArgs(t)...), "--docker-host=", "--image-bash=127.0.0.1:1/no-such-image")
	file := write(t, "x.sh", "true")
	for name, tt := range map[string]struct {
		flag, want, stdout string
	}{
		"an image that is not there":     {"--docker-pull=never", `"127.0.0.1:1/no-such-image:latest", and --docker-pull=never fetches none`, ""},
		"the same, beside the result":    {"--json", `"127.0.0.1:1/no-such-image:latest", and --docker-pull=never fetches none`, `"cause": "infrastructure"`},
		"an image that is not allowed":   {"--docker-allowed-images=lab/*", "not among the allowed images (--docker-allowed-images)", ""},
		"an image that cannot be pulled": {"--docker-pull=missing", "--docker-pull=missing", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := call(t.Context(), "", nil, append(slices.Clip(args), tt.flag, file)...)
			assert.Equal(t, 125, got.code)
			assert.Contains(t, got.stderr, "taskrunner: could not be run: ")
			assert.Contains(t, got.stderr, tt.want)
			assert.Contains(t, got.stdout, tt.stdout)
		})
	}
}

func TestServeRunsTasksInContainers(t *testing.T) {
	t.Parallel()
	s := start(t, nil, append(dockerArgs(t), "--docker-pool=1", "--concurrency=2")...)
	assert.Contains(t, s.banner, "Executor   docker, as asked\n")
	for language, code := range map[string]string{
		"python": "print('out')", "javascript": "console.log('out')", "bash": "echo out",
	} {
		events := s.stream(s.api, s.submit(s.api, language, code), nil)
		assert.Equal(t, "out\n", text(events, "stdout"), language)
		assert.Equal(t, "succeeded", events[len(events)-1].data.Status, language)
	}
	_, metrics := s.do(http.MethodGet, s.api+"/metrics", "")
	assert.Contains(t, metrics, `taskrunner_sandboxes_leaked_total{executor="docker"} 0`)
	s.stop()
	assert.Equal(t, 0, s.wait(), &s.stderr)
}
