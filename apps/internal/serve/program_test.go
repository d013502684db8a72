package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/settings"
)

func TestMain(m *testing.M) {
	if os.Getenv(actAsProgram) != "" {
		newTester().Main(stubborn)
	}
	goleak.VerifyTestMain(m)
}

// newTester returns a program with a setting of its own, and a secret.
func newTester() *Program {
	p := NewProgram("tester", "Test what serves", "test-addr", "127.0.0.1:0")
	p.Settings.Group("Test")
	settings.Var(p.Settings, "count", "N", "1", "a number", settings.Count(1))
	settings.Secret(p.Settings, "secret-key", "KEY", options.InsecureSecret, "a secret", settings.Text)
	return p
}

// outcome is what a run of the program left.
type outcome struct {
	code           int
	stdout, stderr string
	ran            bool
}

// call runs the program, which is content as soon as it serves.
func call(ctx context.Context, env []string, args ...string) outcome {
	var o outcome
	var stdout, stderr bytes.Buffer
	o.code = newTester().Run(ctx, args, env, &stdout, &stderr, func(context.Context, *Process) error {
		o.ran = true
		return nil
	})
	o.stdout, o.stderr = stdout.String(), stderr.String()
	return o
}

func TestCommandsBesideServing(t *testing.T) {
	t.Parallel()
	bad := []string{"TASKRUNNER_COUNT=none"}
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}, {"health", "--help"}} {
		o := call(t.Context(), bad, args...)
		assert.Equal(t, exitOK, o.code, args)
		assert.Contains(t, o.stdout, "Usage: tester [FLAGS]")
		assert.Contains(t, o.stdout, "--count N\n      a number (env TASKRUNNER_COUNT; default 1)")
		assert.Empty(t, o.stderr)
	}
	o := call(t.Context(), bad, "version")
	assert.Equal(t, outcome{stdout: Version() + "\n"}, o)

	o = call(t.Context(), bad, "env")
	require.Equal(t, exitOK, o.code)
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte(o.stdout), 0o600))
	o = call(t.Context(), nil, "--env-file="+file)
	assert.Equal(t, exitOK, o.code, o.stderr)
	assert.True(t, o.ran, "its own file of variables is one that it serves with")
}

func TestWhatIsWrongIsNamedInOneLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	for name, tt := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"a command that is none":      {nil, []string{"serve"}, `there is no command "serve"; see tester --help`},
		"a flag that is none":         {nil, []string{"--colour=red"}, "--colour"},
		"an argument behind flags":    {nil, []string{"--count=2", "now"}, `unexpected argument "now"`},
		"an argument of a command":    {nil, []string{"env", "file"}, `unexpected argument "file"`},
		"a flag":                      {nil, []string{"--count=0"}, `--count="0" (TASKRUNNER_COUNT) must be a whole number`},
		"a variable":                  {[]string{"TASKRUNNER_COUNT=many"}, nil, `TASKRUNNER_COUNT="many" (--count) must be a whole number`},
		"an address":                  {[]string{"TASKRUNNER_TEST_ADDR=8000"}, nil, `TASKRUNNER_TEST_ADDR="8000" (--test-addr) must be HOST:PORT`},
		"an address that is taken":    {nil, []string{"--test-addr", taken.Addr().String()}, "--test-addr (TASKRUNNER_TEST_ADDR): cannot listen on " + taken.Addr().String() + ": address already in use; choose another"},
		"a machine's address":         {[]string{"TASKRUNNER_PUBLISHED_ON=localhost"}, nil, `TASKRUNNER_PUBLISHED_ON="localhost" (--published-on) must be an IP address`},
		"a level":                     {[]string{"TASKRUNNER_LOG_LEVEL=loud"}, nil, "TASKRUNNER_LOG_LEVEL"},
		"a format":                    {[]string{"TASKRUNNER_LOG_FORMAT=xml"}, nil, "TASKRUNNER_LOG_FORMAT"},
		"a time to drain":             {[]string{"TASKRUNNER_DRAIN_TIMEOUT=-1s"}, nil, "TASKRUNNER_DRAIN_TIMEOUT"},
		"an endpoint of traces":       {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317"}, nil, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"a file of variables":         {[]string{"TASKRUNNER_ENV_FILE=/nowhere"}, nil, "--env-file (TASKRUNNER_ENV_FILE): cannot be read: open /nowhere"},
		"a file with a secret":        {[]string{"SECRET_KEY_FILE=/nowhere"}, nil, "SECRET_KEY_FILE cannot be read: open /nowhere"},
		"a secret that is told twice": {[]string{"SECRET_KEY=mine", "SECRET_KEY_FILE=/nowhere"}, nil, "SECRET_KEY and SECRET_KEY_FILE are both set"},
		"what a health check is told": {[]string{"TASKRUNNER_COUNT=many"}, []string{"health"}, "TASKRUNNER_COUNT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := call(t.Context(), tt.env, tt.args...)
			assert.Equal(t, exitUsage, o.code)
			assert.Contains(t, o.stderr, tt.want)
			assert.True(t, strings.HasPrefix(o.stderr, "tester: "), o.stderr)
			assert.Equal(t, 1, strings.Count(o.stderr, "\n"), o.stderr)
			assert.Empty(t, o.stdout)
			assert.False(t, o.ran)
		})
	}
}

func TestASecretThatEverybodyKnowsIsForLoopbackAlone(t *testing.T) {
	t.Parallel()
	const listen, published, secret = "TASKRUNNER_TEST_ADDR=", "TASKRUNNER_PUBLISHED_ON=", "SECRET_KEY="
	for name, tt := range map[string]struct {
		env     []string
		refused bool
		warned  bool
	}{
		"on loopback":                                     {[]string{listen + "127.0.0.1:0"}, false, true},
		"on another address of loopback":                  {[]string{listen + "127.1.2.3:0"}, false, true},
		"on every address":                                {[]string{listen + "0.0.0.0:0"}, true, false},
		"on every address, without its name":              {[]string{listen + ":0"}, true, false},
		"on every IPv6 address":                           {[]string{listen + "[::]:0"}, true, false},
		"in a container, published on loopback":           {[]string{listen + "0.0.0.0:0", published + "127.0.0.1"}, false, true},
		"in a container, published on IPv6's loopback":    {[]string{listen + "[::]:0", published + "[::1]"}, false, true},
		"in a container, published everywhere":            {[]string{listen + "0.0.0.0:0", published + "0.0.0.0"}, true, false},
		"in a container, published on every IPv6 address": {[]string{listen + "0.0.0.0:0", published + "::"}, true, false},
		"published elsewhere although on loopback":        {[]string{listen + "127.0.0.1:0", published + "192.0.2.1"}, true, false},
		"with a secret of one's own, everywhere":          {[]string{listen + "0.0.0.0:0", secret + "mine"}, false, false},
		"hidden in a longer one, everywhere":              {[]string{listen + "0.0.0.0:0", secret + "redis://:" + options.InsecureSecret + "@h"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := call(t.Context(), tt.env)
			assert.Equal(t, tt.refused, !o.ran)
			if tt.refused {
				assert.Equal(t, exitUsage, o.code)
				assert.Contains(t, o.stderr, "tester: SECRET_KEY is or holds the default")
			} else {
				assert.Equal(t, exitOK, o.code, o.stderr)
			}
			assert.Equal(t, tt.warned, strings.Contains(o.stderr, `"msg":"A DEFAULT SECRET IS IN USE`), o.stderr)
			assert.NotContains(t, o.stderr, options.InsecureSecret)
		})
	}
}

func TestAProgramServesLogsAndEnds(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	code := newTester().Run(ctx, []string{"--drain-timeout=3s"}, nil, &stdout, &stderr, func(ctx context.Context, p *Process) error {
		assert.Equal(t, "test-addr", p.Flag)
		assert.Equal(t, "3s", p.Drain.String())
		assert.Equal(t, Version(), p.Version)
		servers, ctx := NewServers(ctx, p.Log)
		servers.Add(p.Flag, p.Listener, http.NotFoundHandler(), 100)
		cancel()
		<-ctx.Done()
		servers.Close(servers.Shutdown(), p.Drain)
		return servers.Err()
	})
	assert.Equal(t, exitOK, code, stderr.String())
	assert.Empty(t, stdout.String())
	var said []string
	for dec := json.NewDecoder(&stderr); ; {
		var line struct{ Msg, Service string }
		err := dec.Decode(&line)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		assert.Equal(t, "tester", line.Service)
		said = append(said, line.Msg)
	}
	require.Len(t, said, 3)
	assert.Equal(t, []string{"starting", "stopped"}, said[1:])
}

func TestAProgramThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	code := newTester().Run(t.Context(), nil, nil, io.Discard, &stderr, func(context.Context, *Process) error { return io.ErrUnexpectedEOF })
	assert.Equal(t, exitError, code)
	assert.Contains(t, stderr.String(), "\ntester: unexpected EOF\n")
	assert.NotContains(t, stderr.String(), "stopped")
}

func TestAProgramIsAskedHowItIs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "localhost", r.Host, "a name that it answers to, whatever it listens on")
		if r.URL.Path == "/readyz" {
			http.Error(w, `{"status":"unavailable"}`, http.StatusServiceUnavailable)
		}
	})}
	defer srv.Close()
	go func() { _ = srv.Serve(l) }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{"", "0.0.0.0", "[::]", "127.0.0.1", "localhost", "127.1.2.3"} {
		addr := host + ":" + port
		o := call(t.Context(), nil, "health", "--test-addr="+addr)
		assert.Equal(t, outcome{}, o, addr)
		o = call(t.Context(), nil, "ready", "--test-addr="+addr)
		assert.Equal(t, exitError, o.code, addr)
		assert.Equal(t, fmt.Sprintf("tester: the process at %s says 503 Service Unavailable: {\"status\":\"unavailable\"}\n", addr), o.stderr)
	}
	require.NoError(t, srv.Close())
	for _, addr := range []string{"127.0.0.1:" + port, "[::1%lo]:" + port} {
		o := call(t.Context(), nil, "health", "--test-addr="+addr)
		assert.Equal(t, exitError, o.code)
		assert.Contains(t, o.stderr, "asking the process at "+addr)
		assert.NotContains(t, o.stderr, "invalid")
	}
}
