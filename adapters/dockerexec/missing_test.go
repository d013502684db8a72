package dockerexec

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestWhichImagesAreMissing(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, engine28)
	s.images["docker.io/library/bash:1"] = true
	s.images["docker.io/library/python:1"] = false
	python := language("python")
	for name, tt := range map[string]struct {
		languages []ports.Language
		allowed   string
		want      []string
		err       string
	}{
		"none":                      {languages: []ports.Language{language("bash")}},
		"one, of two languages":     {languages: []ports.Language{python, language("bash"), {Name: "p", Image: python.Image}}, want: []string{python.Image}},
		"two":                       {languages: []ports.Language{python, language("perl")}, want: []string{python.Image, language("perl").Image}},
		"none of a language":        {languages: []ports.Language{{Name: "perl"}}, err: "the language perl names no image"},
		"one that is none":          {languages: []ports.Language{{Name: "perl", Image: "A B"}}, err: `the language perl names the image "A B", which is not a reference of an image`},
		"one that must not be used": {languages: []ports.Language{language("bash")}, allowed: "lab/*", err: "the language bash names the image"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Warm: tt.languages}
			if tt.allowed != "" {
				cfg.AllowedImages = []string{tt.allowed}
			}
			got, err := Missing(t.Context(), s.client(t), cfg)
			assert.Equal(t, tt.want, got)
			if tt.err == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, tt.err)
			assert.NotErrorIs(t, err, ports.ErrInvalid, "other languages may have containers")
		})
	}
	assert.Zero(t, s.asked, "registries are not asked")
}

func TestWithoutAnEngineNothingIsKnownOfImages(t *testing.T) {
	t.Parallel()
	socket := "unix://" + filepath.Join(t.TempDir(), "engine.sock")
	cli := clientOf(t, client.WithHost(socket))
	_, err := Missing(t.Context(), cli, Config{})
	assert.EqualError(t, err, "no Docker engine answers at "+socket)
	_, err = Missing(t.Context(), cli, Config{AllowedImages: []string{"A B"}})
	assert.ErrorIs(t, err, ports.ErrInvalid)
	assert.True(t, strings.HasPrefix(err.Error(), `docker_allowed_images has the pattern "A B": `), err)
}
