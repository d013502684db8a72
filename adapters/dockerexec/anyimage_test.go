package dockerexec_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// runOnce runs the code in a container of its own executor and returns how it ended
// and what it printed.
func runOnce(t *testing.T, cli *client.Client, lang ports.Language, code string) (ports.Outcome, string) {
	t.Helper()
	x := newExecutor(t, cli, dockerexec.Config{Pull: dockerexec.PullNever, Pool: -1})
	defer func() { assert.NoError(t, x.Close(context.WithoutCancel(t.Context()))) }()
	var out, errs bytes.Buffer
	o, err := x.Run(t.Context(), ports.Job{
		Task: "0192aa00-0000-7000-8000-000000000000", Attempt: 1, Language: lang, Stdout: &out, Stderr: &errs,
		Spec: ports.Spec{Language: lang.Name, Code: code, Limits: ports.Limits{
			CPU: 1, Memory: 256 << 20, Timeout: 30 * time.Second, PIDs: 64, Output: 1 << 20, Disk: 16 << 20,
		}},
	})
	require.NoError(t, err)
	if errs.Len() > 0 {
		t.Logf("stderr: %s", &errs)
	}
	return o, out.String()
}

func removeImage(t *testing.T, cli *client.Client, ref string) {
	t.Cleanup(func() {
		_, err := cli.ImageRemove(context.WithoutCancel(t.Context()), ref, image.RemoveOptions{Force: true})
		assert.NoError(t, err)
	})
}

// bigImage returns a language whose image asks for all that an image can ask for.
func bigImage(t *testing.T, cli *client.Client) ports.Language {
	t.Helper()
	bash := testenv.Languages(t, cli).Bash
	made, err := cli.ContainerCreate(t.Context(), &container.Config{Image: bash.Image}, nil, nil, nil, "")
	require.NoError(t, err)
	defer func() { assert.NoError(t, cli.ContainerRemove(t.Context(), made.ID, container.RemoveOptions{})) }()
	bash.Image = "taskrunner-test/asks-for-all"
	_, err = cli.ContainerCommit(t.Context(), made.ID, container.CommitOptions{Reference: bash.Image, Changes: []string{
		`VOLUME ["/data","/var/lib/more data","/with a slash/","/tmp/"]`, `ENTRYPOINT ["/bin/false"]`, `CMD ["--help"]`, "USER root", "WORKDIR /elsewhere",
		"ENV PATH=/opt/ours/bin:/usr/bin:/bin", "ENV SECRET=of-the-image", "EXPOSE 80",
	}})
	require.NoError(t, err)
	removeImage(t, cli, bash.Image)
	return bash
}

func TestWhatAnImageAsksForIsNotDone(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	o, out := runOnce(t, cli, bigImage(t, cli), `
		pwd
		echo "path $PATH"
		test "$(id -u)" != 0 && echo "no root"
		test -z "$SECRET" && echo "no secret"
		for folder in /data "/var/lib/more data"; do
			grep -q " ${folder/ /\\\\040} ro,.* - tmpfs " /proc/self/mountinfo && echo "$folder is covered"
			touch "$folder/file" || echo "$folder is read-only"
		done
		echo "$(grep -c " /with.040a.040slash " /proc/self/mountinfo) mount"
		test -w /tmp && echo "/tmp is writable"`)
	assert.Equal(t, ports.CauseExit, o.Cause)
	assert.Equal(t, strings.Join([]string{
		"/tmp/work", "path /opt/ours/bin:/usr/bin:/bin", "no root", "no secret",
		"/data is covered", "/data is read-only", "/var/lib/more data is covered", "/var/lib/more data is read-only",
		"1 mount", "/tmp is writable", "",
	}, "\n"), out)
}

// alone is a program that is all there is in its image.
const alone = `package main

import (
	"fmt"
	"os"
	"os/user"
)

func main() {
	me, err := user.Current()
	fmt.Println(me.Username, err)
	code, err := os.ReadFile(os.Args[1])
	fmt.Println(string(code), err)
	fmt.Println(os.WriteFile("/tmp/file", nil, 0o600))
	entries, err := os.ReadDir("/")
	for _, e := range entries {
		fmt.Print(e.Name(), " ")
	}
	fmt.Println(err)
}
`

func TestAnImageNeedsNothingButItsProgram(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	dir := t.TempDir()
	source, program := filepath.Join(dir, "alone.go"), filepath.Join(dir, "alone")
	require.NoError(t, os.WriteFile(source, []byte(alone), 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	binary, err := os.ReadFile(program)
	require.NoError(t, err)

	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "alone", Mode: 0o755, Size: int64(len(binary))}))
	_, err = w.Write(binary)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	const ref = "taskrunner-test/alone"
	imported, err := cli.ImageImport(t.Context(), image.ImportSource{Source: &archive, SourceName: "-"}, ref, image.ImportOptions{})
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, imported)
	require.NoError(t, err)
	require.NoError(t, imported.Close())
	removeImage(t, cli, ref)

	lang := ports.Language{Name: "alone", Image: ref, Source: "main.txt", Run: []string{"/alone", ports.EntrypointArg}}
	o, out := runOnce(t, cli, lang, "the code")
	assert.Equal(t, ports.CauseExit, o.Cause)
	assert.Zero(t, o.ExitCode)
	assert.Equal(t, "sandbox <nil>\nthe code <nil>\n<nil>\n.dockerenv .taskrunner alone dev etc proc sys tmp <nil>\n", out)
}
