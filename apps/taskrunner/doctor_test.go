package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/apps/internal/wire"
)

func TestDoctorFindsThatTasksCanRunInContainers(t *testing.T) {
	t.Parallel()
	got := call(t.Context(), "", nil, append([]string{"doctor", "--docker-host="}, dockerArgs(t)...)...)
	assert.Equal(t, 0, got.code, got.stdout)
	assert.Empty(t, got.stderr)
	assert.Regexp(t, `(?m)^docker\n  ok    engine: Docker Engine `, got.stdout)
	assert.Regexp(t, `(?m)^  ok    image of python: .* is here$`, got.stdout)
	assert.Regexp(t, `(?m)^  ok    trial: a task in bash ran in \d`, got.stdout)
	assert.Contains(t, got.stdout, "\n\nTasks can run with the executor docker.\n")
	assert.NotContains(t, got.stdout, "sandbox")
}

func TestDoctorFindsThatNoTaskCanRun(t *testing.T) {
	t.Parallel()
	socket := "unix://" + filepath.Join(t.TempDir(), "engine.sock")
	got := call(t.Context(), "", []string{"DOCKER_HOST=" + socket}, "doctor", "--executor=docker")
	assert.Equal(t, outcome{1, "docker\n" +
		"  FAIL  engine: no Docker engine answers at " + socket + "\n" +
		"        mend: start it (systemctl start docker), or name another one with --docker-host or DOCKER_HOST\n" +
		"\nNo task can run here as it should.\n", ""}, got)
}

func TestDoctorFindsThatALanguageCannotRun(t *testing.T) {
	t.Parallel()
	args := append([]string{"doctor", "--docker-host="}, dockerArgs(t)...)
	got := call(t.Context(), "", nil, append(args, "--image-python=127.0.0.1:1/no-such-image")...)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stdout, "  FAIL  image of python: 127.0.0.1:1/no-such-image is not here, and --docker-pull=never fetches none\n"+
		"        mend: docker pull 127.0.0.1:1/no-such-image, or use --docker-pull=missing\n")
	assert.Contains(t, got.stdout, "  ok    trial: a task in bash ran", "the others are tried all the same")
}

func TestDoctorFindsThatOneExecutorIsEnough(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	socket := "unix://" + filepath.Join(t.TempDir(), "engine.sock")
	got := call(t.Context(), "", nil, "doctor", "--docker-host="+socket)
	assert.Equal(t, 0, got.code, got.stdout)
	assert.Contains(t, got.stdout, "  FAIL  engine: ")
	assert.Contains(t, got.stdout, "\nsandbox\n  ok    sandbox: ")
	assert.Contains(t, got.stdout, "\n\nTasks can run with the executor sandbox.\n")
}

func TestDoctorRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"an argument":                     {[]string{"x"}, `unexpected argument "x"`},
		"a bad address of an engine":      {[]string{"--docker-host=ssh://host"}, "--docker-host (DOCKER_HOST): cannot be used: ssh://"},
		"a file of languages that is not": {[]string{"--languages=/nonexistent"}, "--languages (TASKRUNNER_LANGUAGES): cannot be used"},
		"an unknown executor":             {[]string{"--executor=vm"}, `--executor="vm" (TASKRUNNER_EXECUTOR) must be one of`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := call(t.Context(), "", nil, append([]string{"doctor"}, tt.args...)...)
			assert.Equal(t, 2, got.code)
			assert.Empty(t, got.stdout)
			assert.Contains(t, got.stderr, tt.want)
		})
	}
}

func TestAFindingWithAListIsIndented(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	printFinding(&b, wire.Finding{Name: "escapes", Verdict: wire.Warning, Detail: "these:\none\ntwo", Mend: "update"})
	assert.Equal(t, "  warn  escapes: these:\n          one\n          two\n        mend: update\n", b.String())
}
