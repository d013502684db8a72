package testenv

import (
	"cmp"
	"context"
	"os"
	"path"
	"strings"
	"sync"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/ports"
)

// Images are the languages of tests, each with an image that the engine has and the
// absolute path of the interpreter in it.
type Images struct{ Python, JavaScript, Bash ports.Language }

// Languages returns the languages with the images that TASKRUNNER_IMAGE_PYTHON,
// TASKRUNNER_IMAGE_JAVASCRIPT and TASKRUNNER_IMAGE_BASH name, or else those that
// .ci/images makes. Nothing is pulled.
func Languages(t testing.TB, cli *client.Client) Images {
	t.Helper()
	return Images{
		Python:     language(t, cli, "python", "main.py", "python3", "taskrunner-test/python"),
		JavaScript: language(t, cli, "javascript", "main.js", "node", "taskrunner-test/node"),
		Bash:       language(t, cli, "bash", "main.sh", "bash", "taskrunner-test/bash"),
	}
}

func language(t testing.TB, cli *client.Client, name, source, interpreter, ref string) ports.Language {
	t.Helper()
	variable := "TASKRUNNER_IMAGE_" + strings.ToUpper(name)
	ref = cmp.Or(os.Getenv(variable), ref)
	found := inspect(t, cli, ref, variable)
	return ports.Language{
		Name:   name,
		Image:  ref,
		Source: source,
		Run:    []string{interpreterOf(t, cli, found, interpreter), ports.EntrypointArg},
	}
}

// inspect returns an image that the engine has, and tells else with which variable to
// name another one.
func inspect(t testing.TB, cli *client.Client, ref, variable string) image.InspectResponse {
	t.Helper()
	found, err := cli.ImageInspect(t.Context(), ref)
	if cerrdefs.IsNotFound(err) {
		missing(t, "the engine has no image %s: run .ci/images, or pull another one and name it in %s", ref, variable)
	}
	if err != nil {
		t.Fatalf("looking at image %s: %v", ref, err)
	}
	return found
}

// interpreters remembers the paths by image and name, since looking needs a container.
var interpreters sync.Map

// interpreterOf returns the path of an image's program, the first one in its PATH.
func interpreterOf(t testing.TB, cli *client.Client, img image.InspectResponse, program string) string {
	t.Helper()
	type key struct{ image, program string }
	if known, ok := interpreters.Load(key{img.ID, program}); ok {
		return known.(string)
	}
	// A container that never starts is enough to look into the image.
	made, err := cli.ContainerCreate(t.Context(), &container.Config{Image: img.ID, Cmd: []string{program}},
		&container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	if err != nil {
		t.Fatalf("making a container to look for %s: %v", program, err)
	}
	defer func() {
		// The test's own context may be done by now.
		if err := cli.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			t.Errorf("removing the container that %s was looked for in: %v", program, err)
		}
	}()
	for _, dir := range searchPath(img) {
		file := path.Join(dir, program)
		_, err := cli.ContainerStatPath(t.Context(), made.ID, file)
		if cerrdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			t.Fatalf("looking for %s in image %s: %v", file, img.ID, err)
		}
		interpreters.Store(key{img.ID, program}, file)
		return file
	}
	t.Fatalf("image %s %v has no %s in its PATH", img.ID, img.RepoTags, program)
	return ""
}

// searchPath returns the folders of the image's PATH, or else of a usual one.
func searchPath(img image.InspectResponse) []string {
	list := "/usr/local/bin:/usr/bin:/bin"
	if img.Config != nil {
		for _, variable := range img.Config.Env {
			if value, ok := strings.CutPrefix(variable, "PATH="); ok {
				list = value
			}
		}
	}
	return strings.Split(list, ":")
}
