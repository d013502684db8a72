package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/apps/internal/options"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needSandbox skips the test where there is no sandbox, unless nothing may be
// skipped.
func needSandbox(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		return
	}
	const why = "the sandbox needs Linux and root"
	if os.Getenv("TASKRUNNER_REQUIRE_SERVICES") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// outcome is what a run of the program left.
type outcome struct {
	code           int
	stdout, stderr string
}

// noEngine is a variable that keeps the tests that are about other things away from
// the Docker engines of the machine.
const noEngine = "DOCKER_HOST=unix:///nonexistent/docker.sock"

// call runs the program to its end.
func call(ctx context.Context, stdin string, env []string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, append([]string{noEngine}, env...), strings.NewReader(stdin), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestBadArgumentsAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args, env []string
		stdin     string
		code      int
		want      string
	}{
		"an unknown command":                     {args: []string{"nonsense"}, code: 2, want: `there is no command "nonsense"`},
		"help of an unknown command":             {args: []string{"help", "nonsense"}, code: 2, want: `there is no command "nonsense"`},
		"an unknown flag":                        {args: []string{"--nonsense"}, code: 2, want: "not defined: --nonsense"},
		"an argument to serve":                   {args: []string{"serve", "x"}, code: 2, want: `unexpected argument "x"`},
		"an argument to version":                 {args: []string{"version", "x"}, code: 2, want: `unexpected argument "x"`},
		"a bad address":                          {args: []string{"--api-addr", "nowhere"}, code: 2, want: `--api-addr="nowhere" (TASKRUNNER_API_ADDR) must be HOST:PORT`},
		"a bad address in a variable":            {env: []string{"TASKRUNNER_WEB_ADDR=nowhere"}, code: 2, want: `TASKRUNNER_WEB_ADDR="nowhere" (--web-addr) must be HOST:PORT`},
		"an unknown executor":                    {env: []string{"TASKRUNNER_EXECUTOR=vm"}, code: 2, want: `TASKRUNNER_EXECUTOR="vm" (--executor) must be one of auto, docker, sandbox`},
		"a secret that can be guessed":           {env: []string{"SECRET_KEY=tooshort"}, code: 2, want: "SECRET_KEY must be at least 32 bytes long"},
		"a secret that everybody knows":          {env: []string{"SECRET_KEY=" + options.InsecureSecret}, code: 2, want: "SECRET_KEY must be at least 32 bytes long"},
		"a secret that others would see":         {args: []string{"--secret-key=tooshort"}, code: 2, want: "not defined: --secret-key"},
		"no concurrency":                         {args: []string{"--concurrency=0"}, code: 2, want: "must be a whole number from 1"},
		"a negative retention":                   {args: []string{"--retention=-1h"}, code: 2, want: "must be a time"},
		"an unknown log level":                   {args: []string{"--log-level=loud"}, code: 2, want: "must be one of debug, info, warn, error"},
		"an executor that cannot be had":         {args: []string{"--executor=docker", "--api-addr=127.0.0.1:0", "--web-addr=127.0.0.1:0"}, code: 2, want: "--executor (TASKRUNNER_EXECUTOR): cannot be docker: "},
		"an engine that cannot be reached":       {args: []string{"--docker-host=ssh://host", "--api-addr=127.0.0.1:0", "--web-addr=127.0.0.1:0"}, code: 2, want: "--docker-host (DOCKER_HOST): cannot be used: ssh:// is for Docker's own command"},
		"a bad address of an engine":             {args: []string{"run", "--docker-host=host", "-"}, stdin: "#!/bin/bash", code: 2, want: "--docker-host (DOCKER_HOST): cannot be used: unable to parse docker host `host`"},
		"a policy of pulling that is none":       {env: []string{"TASKRUNNER_DOCKER_PULL=sometimes"}, code: 2, want: `TASKRUNNER_DOCKER_PULL="sometimes" (--docker-pull) must be one of missing, never, always`},
		"a pool that is no number":               {args: []string{"--docker-pool=many"}, code: 2, want: `--docker-pool="many" (TASKRUNNER_DOCKER_POOL) must be a whole number from -1`},
		"an image that is none":                  {env: []string{"TASKRUNNER_IMAGE_PYTHON=A B"}, code: 2, want: `TASKRUNNER_IMAGE_PYTHON="A B" (--image-python) must be an image, such as python:3.13-slim: invalid reference format`},
		"a pattern of images that is empty":      {args: []string{"--docker-allowed-images="}, code: 2, want: `--docker-allowed-images="" (TASKRUNNER_DOCKER_ALLOWED_IMAGES) must be an image, such as python:3.13-slim`},
		"a pattern of images with a bad digest":  {args: []string{"--docker-allowed-images=x@y", "--api-addr=127.0.0.1:0", "--web-addr=127.0.0.1:0"}, code: 2, want: `--docker-allowed-images (TASKRUNNER_DOCKER_ALLOWED_IMAGES): has the pattern "x@y": "y" is not a digest`},
		"a network that there is none of":        {args: []string{"--allow-network"}, code: 2, want: "--allow-network (TASKRUNNER_ALLOW_NETWORK): needs --docker-network (TASKRUNNER_DOCKER_NETWORK)"},
		"run with a network without one":         {args: []string{"run", "--network", "-"}, code: 2, want: "--network (TASKRUNNER_NETWORK): needs --docker-network (TASKRUNNER_DOCKER_NETWORK)"},
		"run with a network in a sandbox":        {args: []string{"run", "--network", "--docker-network=x", "--executor=sandbox", "-"}, stdin: "#!/bin/bash", code: 125, want: "--executor (TASKRUNNER_EXECUTOR): cannot be sandbox: a sandbox has no network"},
		"a file of languages that is absent":     {args: []string{"languages", "--languages=/nonexistent"}, code: 2, want: "--languages (TASKRUNNER_LANGUAGES): cannot be used"},
		"run without a file":                     {args: []string{"run"}, code: 2, want: "run needs a FILE"},
		"run with a file that is absent":         {args: []string{"run", "/nonexistent.py"}, code: 2, want: "no such file"},
		"run of a folder":                        {args: []string{"run", "/"}, code: 2, want: "is a directory"},
		"run of nothing":                         {args: []string{"run", "--language=bash", "-"}, code: 2, want: "- is empty"},
		"run of an unknown language":             {args: []string{"run", "-"}, stdin: "x", code: 2, want: "cannot tell the language of standard input; name it with --language (TASKRUNNER_LANGUAGE) before the file: one of bash, javascript, python"},
		"run with an executor that is not there": {args: []string{"run", "--language=bash", "--executor=docker", "-"}, stdin: "x", code: 125, want: "--executor (TASKRUNNER_EXECUTOR): cannot be docker"},
		"run with a bad variable":                {args: []string{"run", "--env", "=x", "-"}, code: 2, want: "must be NAME=VALUE"},
		"run with an input that is absent":       {args: []string{"run", "--language=bash", "--stdin=/nonexistent", "-"}, stdin: "x", code: 2, want: "--stdin (TASKRUNNER_STDIN): open /nonexistent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := call(t.Context(), tt.stdin, tt.env, tt.args...)
			assert.Equal(t, tt.code, got.code)
			assert.Contains(t, got.stderr, "taskrunner: ")
			assert.Contains(t, got.stderr, tt.want)
			assert.Equal(t, 1, strings.Count(got.stderr, "\n"), "one line: %s", got.stderr)
			assert.Empty(t, got.stdout)
			assert.NotContains(t, got.stderr, "tooshort")
			assert.NotContains(t, got.stderr, options.InsecureSecret)
		})
	}
}

func TestAnAddressThatIsTakenNamesItsFlag(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	got := call(t.Context(), "", []string{"TASKRUNNER_WEB_ADDR=" + taken.Addr().String()}, "--api-addr", "127.0.0.1:0")
	assert.Equal(t, 2, got.code)
	assert.Equal(t, "taskrunner: --web-addr (TASKRUNNER_WEB_ADDR): cannot listen on "+taken.Addr().String()+
		": address already in use; choose another address\n", got.stderr)
}

func TestAPolicyThatContradictsItselfNamesItsFlag(t *testing.T) {
	t.Parallel()
	got := call(t.Context(), "", nil, "--api-addr=127.0.0.1:0", "--web-addr=127.0.0.1:0", "--default-memory=64m", "--max-memory=32m")
	assert.Equal(t, 2, got.code)
	assert.Contains(t, got.stderr, "--default-memory (TASKRUNNER_DEFAULT_MEMORY): must be from 6 MiB to 32 MiB")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}} {
		got := call(t.Context(), "", nil, args...)
		assert.Equal(t, 0, got.code)
		for _, c := range commands() {
			assert.Contains(t, got.stdout, "\n  "+c.name)
		}
	}
	for _, c := range commands() {
		byFlag, byCommand := call(t.Context(), "", nil, c.name, "--help"), call(t.Context(), "", nil, "help", c.name)
		assert.Equal(t, 0, byFlag.code)
		assert.Equal(t, byFlag, byCommand)
		assert.Contains(t, byFlag.stdout, "Usage: taskrunner")
		assert.Empty(t, byFlag.stderr)
		for line := range strings.Lines(byFlag.stdout) {
			assert.LessOrEqual(t, len(line), 90, line)
			assert.Equal(t, strings.TrimRight(line, " \n"), strings.TrimRight(line, "\n"), "no blanks at the end")
		}
	}
	assert.Contains(t, call(t.Context(), "", nil, "help", "serve").stdout,
		"  --api-addr HOST:PORT\n      where the API listens (env TASKRUNNER_API_ADDR; default 127.0.0.1:8000)\n")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := call(t.Context(), "", nil, "version")
	assert.Equal(t, 0, got.code)
	assert.Equal(t, got, call(t.Context(), "", nil, "--version"))
	assert.Regexp(t, `^taskrunner \S+ go1\S+ \w+/\w+\n$`, got.stdout)
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	file := write(t, "l.yaml", `
languages:
  perl: {source: main.pl, image: "perl:5", run: [perl, "{entrypoint}"]}
  python: {source: main.py, image: "pypy:3", run: [pypy, "{entrypoint}"]}
`)
	images := func(args ...string) map[string]string {
		got := call(t.Context(), "", []string{"TASKRUNNER_IMAGE_BASH=lab/bash"}, append([]string{"languages"}, args...)...)
		assert.Equal(t, 0, got.code, got.stderr)
		lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
		at, end := strings.Index(lines[0], "IMAGE"), strings.Index(lines[0], "COMMAND")
		byName := map[string]string{}
		for _, line := range lines[1:] {
			name, _, _ := strings.Cut(line, " ")
			byName[name] = strings.TrimSpace(line[at:end])
		}
		return byName
	}
	assert.Equal(t, map[string]string{"bash": "lab/bash", "javascript": "node:22-slim", "python": "python:3.13-slim"}, images())
	assert.Equal(t, map[string]string{"bash": "lab/bash", "javascript": "node:22-slim", "perl": "perl:5", "python": "pypy:3"},
		images("--languages", file), "what the file says of a language holds")
	assert.Equal(t, map[string]string{"bash": "lab/bash", "javascript": "node:22-slim", "perl": "perl:5", "python": "lab/pypy"},
		images("--languages", file, "--image-python=lab/pypy"), "unless a flag says otherwise")
}
