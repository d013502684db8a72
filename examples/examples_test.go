package examples_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
)

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

// build returns the path of the example's program.
func build(t *testing.T, example string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), example)
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./"+example).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

func expected(t *testing.T, example string) string {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(example, "expected.txt"))
	require.NoError(t, err)
	return string(want)
}

func TestExamplesPrintWhatTheySay(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	for _, example := range []string{"snippet", "language"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), build(t, example))
			cmd.Dir = example
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s", &stderr)
			assert.Equal(t, expected(t, example), string(out))
		})
	}
}

func TestTheProductionProgramRunsOnRealServers(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	mongo, redis, minio := testenv.OwnMongo(t, testenv.MongoOptions{}), testenv.OwnRedis(t, testenv.RedisOptions{}), testenv.OwnMinIO(t, testenv.MinIOOptions{})
	cmd := exec.CommandContext(t.Context(), build(t, "production"))
	cmd.Env = append(os.Environ(), "MONGO_URI="+mongo.URI, "REDIS_URL=redis://"+redis.Addr(),
		"MINIO_ENDPOINT="+minio.Endpoint, "MINIO_ACCESS_KEY="+minio.AccessKey, "MINIO_SECRET_KEY="+minio.SecretKey)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	assert.Equal(t, expected(t, "production"), string(out))
}

func TestTheWebServerServesItsPageAndTheAPI(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	cmd := exec.CommandContext(t.Context(), build(t, "webserver"), "-addr", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	require.True(t, ok, line)

	// Each request in expected.txt is made, and the answers are put behind them.
	var got strings.Builder
	for exchange := range strings.SplitSeq(strings.TrimSpace(expected(t, "webserver")), "\n\n") {
		request, _, _ := strings.Cut(exchange, "\n")
		fmt.Fprintf(&got, "%s\n%s\n\n", request, ask(t, url, request))
	}
	assert.Equal(t, strings.TrimSpace(expected(t, "webserver")), strings.TrimSpace(got.String()))

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	assert.Equal(t, "stopped\n", string(rest))
	assert.NoError(t, cmd.Wait())
}

// ask makes a request written as "METHOD PATH BODY" and describes the task.
func ask(t *testing.T, url, request string) string {
	t.Helper()
	method, rest, _ := strings.Cut(request, " ")
	path, body, _ := strings.Cut(rest, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)

	switch isJSON := strings.Contains(res.Header.Get("Content-Type"), "json"); {
	case !isJSON: // of the server itself
		return strings.TrimSpace(fmt.Sprintf("%d %s", res.StatusCode, strings.TrimPrefix(string(text), "404 ")))
	case res.StatusCode >= http.StatusBadRequest:
		var problem struct{ Detail string }
		require.NoError(t, json.Unmarshal(text, &problem))
		return fmt.Sprintf("%d %s", res.StatusCode, problem.Detail)
	}
	var task struct {
		Status, Stdout string
		ExitCode       *int `json:"exit_code"`
	}
	require.NoError(t, json.Unmarshal(text, &task))
	require.NotNil(t, task.ExitCode, "%s", text)
	return fmt.Sprintf("%d %s, exit code %d: %s", res.StatusCode, task.Status, *task.ExitCode, strings.TrimSpace(task.Stdout))
}
