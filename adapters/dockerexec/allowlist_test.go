package dockerexec

import (
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestAPatternAllows(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, pattern, ref string
		want               bool
	}{
		{"an image that is written as it is", "python:3.13-slim", "python:3.13-slim", true},
		{"an image that is written in full", "python:3.13-slim", "docker.io/library/python:3.13-slim", true},
		{"the short form of what it has in full", "docker.io/library/python:3.13-slim", "python:3.13-slim", true},
		{"the registry's old name", "index.docker.io/python:3", "python:3", true},
		{"no other tag", "python:3.13-slim", "python:3.13", false},
		{"no longer tag", "python:3.13", "python:3.13-slim", false},
		{"latest where it has no tag", "python", "python:latest", true},
		{"an image without a tag as latest", "python:latest", "python", true},
		{"no tag but latest where it has none", "python", "python:3", false},
		{"any tag", "python:*", "python:3.13-slim", true},
		{"any tag of that repository only", "python:*", "pythons:3", false},
		{"no digest where it wants a tag", "python:*", "python@" + someDigest, false},
		{"no registry whose host has the name of a repository", "python:*", "python:5000/evil", false},
		{"no registry that begins like a repository", "python*", "python.example.com/evil", false},
		{"tags that end like this", "python:*-slim", "python:3.13-slim", true},
		{"no tags that go on", "python:*-slim", "python:3.13-slim2", false},
		{"a folder of a registry", "registry.example.com/lab/*", "registry.example.com/lab/a/b:7", true},
		{"a folder with digests", "registry.example.com/lab/*", "registry.example.com/lab/a@" + someDigest, true},
		{"no folder beside it", "registry.example.com/lab/*", "registry.example.com/lab2/a:7", false},
		{"no folder of that name elsewhere", "registry.example.com/lab/*", "evil.example.com/registry.example.com/lab/a", false},
		{"no other host where a dot stands", "registry.example.com/lab/*", "registryxexample.com/lab/a", false},
		{"a folder of Docker Hub", "lab/*", "docker.io/lab/a:1", true},
		{"a folder of Docker Hub alone", "lab/*", "example.com/lab/a:1", false},
		{"hosts of a domain", "*.example.com/a:1", "r.example.com/a:1", true},
		{"no hosts of another domain", "*.example.com/a:1", "example.org/a:1", false},
		{"any port", "127.0.0.1:*/a:1", "127.0.0.1:5000/a:1", true},
		{"a repository in any registry", "*/python", "example.com/python:latest", true},
		{"everything", "*", "example.com/a@" + someDigest, true},
		{"one digest", "python@" + someDigest, "python@" + someDigest, true},
		{"one digest, whatever tag is beside it", "python:3@" + someDigest, "python:4@" + someDigest, true},
		{"no tag beside a digest that it does not have", "python:3", "python:3@" + someDigest, false},
		{"any digest", "python@*", "python@" + someDigest, true},
		{"no tag where it wants a digest", "python@*", "python:3", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			list, err := newAllowList([]string{"other.example.com/x", tc.pattern})
			require.NoError(t, err)
			name, err := reference.ParseDockerRef(tc.ref)
			require.NoError(t, err)
			assert.Equal(t, tc.want, list.allows(name))
		})
	}
}

func TestAPatternThatCanMatchNothingIsRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"", " ", "python ", "Python", "python:", "python:-*", "lab/", "lab/*/", "/a", "-*", "a?b", "[a]", `a\*`, "python@", "python@*:x y",
		"python@sha256:abc", "http://example.com/a", "127.0.0.1:x*/a", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	} {
		err := checkAllowList([]string{"python:3", p})
		if assert.Error(t, err, "%q", p) {
			assert.ErrorIs(t, err, ports.ErrInvalid)
			assert.Contains(t, err.Error(), "docker_allowed_images has the pattern")
		}
	}
	assert.NoError(t, checkAllowList(nil))
	assert.NoError(t, checkAllowList([]string{"*", "**", "*:*", "*/*", "*@*", "a_*", "*_b", "*:5000/x", "python@sha256:0*"}))
}

// A pattern without a star is a reference; one with stars keeps all of them.
func FuzzAnAllowedReferenceAllowsItself(f *testing.F) {
	for _, s := range []string{"python", "docker.io/python*", "index.docker.io/a/b*:1", "python:*@" + someDigest, "*/1:*", "1*1/1:11*", "a@" + someDigest} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		full, err := fullPattern(p)
		if err != nil {
			return
		}
		list, err := newAllowList([]string{p})
		require.NoError(t, err)
		if !strings.Contains(p, "*") {
			name, err := reference.ParseDockerRef(p)
			require.NoError(t, err)
			assert.Equal(t, name.String(), full)
			assert.True(t, list.allows(name))
			return
		}
		name, digest, digested := strings.Cut(p, "@")
		if !digested {
			assert.Equal(t, strings.Count(name, "*"), strings.Count(full, "*"))
		}
		if strings.Contains(digest, "*") {
			return
		}
		// What one star may stand for, it stands for.
		one, err := reference.ParseDockerRef(strings.ReplaceAll(p, "*", "1"))
		if err == nil {
			assert.True(t, list.allows(one), "%s allows %s", full, one)
		}
	})
}
