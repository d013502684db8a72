package options

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/ports"
)

func TestPatternsOfImages(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"*", "bash:5", "registry.example:5000/lab/*", "*/python:3*", "python@sha256:*"} {
		got, err := imagePattern(good)
		require.NoError(t, err, good)
		assert.Equal(t, good, got)
	}
	for _, bad := range []string{"", " ", "lab/A*", "a:b:c", "https://x/*"} {
		_, err := imagePattern(bad)
		assert.Error(t, err, bad)
	}
}

func TestAnErrorOfTheConfigurationIsOneOfASetting(t *testing.T) {
	t.Parallel()
	s := settings.New()
	NewPolicy(s)
	NewServers(s)
	settings.Var(s, "lease", "TIME", "", "", settings.Duration)
	for field, want := range map[string]string{
		"policy.max.memory_limit": "--max-memory (TASKRUNNER_MAX_MEMORY): is wrong",
		"policy.languages[0]":     "--allowed-languages (TASKRUNNER_ALLOWED_LANGUAGES): is wrong",
		"lease_ttl":               "--lease (TASKRUNNER_LEASE): is wrong",
		"minio_endpoint":          "--minio-endpoint (MINIO_ENDPOINT): is wrong",
		"mongo_uri":               "MONGO_URI is wrong", // there is no flag of it
		"other":                   "other is wrong",
	} {
		assert.EqualError(t, Blame(ports.Invalid(field, "is wrong"), s), want)
	}
	assert.NoError(t, Blame(nil, s))
}
