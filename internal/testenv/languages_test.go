package testenv

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestLanguages(t *testing.T) {
	cli := Docker(t)
	langs := Languages(t, cli)
	for _, c := range []struct {
		lang   ports.Language
		option string
		code   string
	}{
		{langs.Python, "-c", "import ctypes, sys; print(ctypes.sizeof(ctypes.c_int), sys.version_info >= (3, 8))"},
		{langs.JavaScript, "-e", "console.log(2 + 2, true)"},
		{langs.Bash, "-c", "echo $((2 + 2)) $(cat <<<true); cp --help >/dev/null && chmod --help >/dev/null"},
	} {
		t.Run("the interpreter of "+c.lang.Name+" is where the language says", func(t *testing.T) {
			assert.Equal(t, ports.EntrypointArg, c.lang.Run[1])
			assert.Equal(t, "4 true\n", strings.ToLower(output(t, cli, c.lang.Image, c.lang.Run[0], c.option, c.code)))
		})
	}
	t.Run("asking again gives the same", func(t *testing.T) {
		assert.Equal(t, langs, Languages(t, cli))
	})
}

func TestLanguagesThatAreNotThere(t *testing.T) {
	cli := Docker(t)
	t.Setenv("TASKRUNNER_REQUIRE_SERVICES", "1")
	t.Setenv("TASKRUNNER_IMAGE_PYTHON", "taskrunner-test/no-such-image")
	assert.Equal(t, "failed: the engine has no image taskrunner-test/no-such-image: "+
		"run .ci/images, or pull another one and name it in TASKRUNNER_IMAGE_PYTHON",
		verdictOf(t, func(t testing.TB) { Languages(t, cli) }))
}

// output returns what a command in a throw-away container prints.
func output(t *testing.T, cli *client.Client, image string, command ...string) string {
	t.Helper()
	id := create(t, cli, image, command...)
	ctx := t.Context()
	exit, errs := cli.ContainerWait(ctx, id, container.WaitConditionNextExit)
	require.NoError(t, cli.ContainerStart(ctx, id, container.StartOptions{}))
	select {
	case <-exit:
	case err := <-errs:
		require.NoError(t, err)
	}
	logs, err := cli.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	require.NoError(t, err)
	defer func() { _ = logs.Close() }()
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &out, logs)
	require.NoError(t, err)
	return out.String()
}

// create makes a container that is removed at the end of the test.
func create(t *testing.T, cli *client.Client, image string, command ...string) string {
	t.Helper()
	made, err := cli.ContainerCreate(t.Context(), &container.Config{Image: image, Entrypoint: command, OpenStdin: true, StdinOnce: true},
		&container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = cli.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true})
	})
	return made.ID
}
