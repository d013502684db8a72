package compose

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/joho/godotenv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the folder of the module.
const root = "../../"

// service is what the tests look at of a service in compose.yaml.
type service struct {
	Image           string            `yaml:"image"`
	Build           any               `yaml:"build"`
	User            string            `yaml:"user"`
	Restart         string            `yaml:"restart"`
	ReadOnly        bool              `yaml:"read_only"`
	CapDrop         []string          `yaml:"cap_drop"`
	SecurityOpt     []string          `yaml:"security_opt"`
	Logging         any               `yaml:"logging"`
	Environment     map[string]string `yaml:"environment"`
	Ports           []string          `yaml:"ports"`
	Volumes         []string          `yaml:"volumes"`
	HealthCheck     any               `yaml:"healthcheck"`
	MemLimit        string            `yaml:"mem_limit"`
	PidsLimit       int               `yaml:"pids_limit"`
	ContainerName   string            `yaml:"container_name"`
	StopGracePeriod string            `yaml:"stop_grace_period"`
}

func services(t *testing.T) map[string]service {
	t.Helper()
	content, err := os.ReadFile(root + "compose.yaml")
	require.NoError(t, err)
	var file struct {
		Services map[string]service `yaml:"services"`
	}
	require.NoError(t, yaml.Unmarshal(content, &file))
	require.NotEmpty(t, file.Services)
	return file.Services
}

func TestEveryServiceOfTheFileHasTheSameWalls(t *testing.T) {
	t.Parallel()
	for name, s := range services(t) {
		assert.Equal(t, "unless-stopped", s.Restart, "%s: restart", name)
		assert.True(t, s.ReadOnly, "%s: read_only", name)
		assert.Equal(t, []string{"ALL"}, s.CapDrop, "%s: cap_drop", name)
		assert.Equal(t, []string{"no-new-privileges:true"}, s.SecurityOpt, "%s: security_opt", name)
		assert.NotNil(t, s.Logging, "%s: logging", name)
		assert.NotEmpty(t, s.MemLimit, "%s: mem_limit", name)
		assert.NotZero(t, s.PidsLimit, "%s: pids_limit", name)
		assert.NotEmpty(t, s.StopGracePeriod, "%s: stop_grace_period", name)
		assert.Empty(t, s.ContainerName, "%s could not be scaled", name)
	}
}

func TestTheFilePublishesWhereItsUserSays(t *testing.T) {
	t.Parallel()
	published := regexp.MustCompile(`^(\$\{TASKRUNNER_PUBLISH:-127\.0\.0\.1}|127\.0\.0\.1):\$\{[A-Z_]+:-\d+}:\d+$`)
	var which []string
	for name, s := range services(t) {
		for _, port := range s.Ports {
			assert.Regexp(t, published, port, name)
			if strings.HasPrefix(port, "${TASKRUNNER_PUBLISH:") {
				which = append(which, name)
				assert.Equal(t, "${TASKRUNNER_PUBLISH:-127.0.0.1}", s.Environment["TASKRUNNER_PUBLISHED_ON"],
					"%s has to know where, to refuse a default secret", name)
			}
		}
	}
	slices.Sort(which)
	assert.Equal(t, []string{"backend", "minio", "web"}, slices.Compact(which))
}

func TestTheEngineIsBehindItsGate(t *testing.T) {
	t.Parallel()
	for name, s := range services(t) {
		mounts := strings.Join(s.Volumes, " ")
		assert.Equal(t, name == "enginegate", strings.Contains(mounts, "docker.sock"), "%s has %s", name, mounts)
	}
}

func TestEveryVariableOfAServiceCanBeSetWithTheFile(t *testing.T) {
	t.Parallel()
	// What the file itself decides: where the parts meet, and files that containers have not.
	decided := []string{
		"MONGO_URI", "REDIS_URL", "MINIO_ENDPOINT", "BACKEND_URL", "DOCKER_HOST", "TASKRUNNER_PUBLISHED_ON",
		"TASKRUNNER_API_ADDR", "TASKRUNNER_WORKER_ADDR", "TASKRUNNER_WEB_ADDR", "TASKRUNNER_EXECUTOR",
	}
	files := []string{"TASKRUNNER_ENV_FILE", "TASKRUNNER_LANGUAGES"}
	all := services(t)
	for _, name := range []string{"backend", "worker", "web"} {
		known := variables(t, root+"apps/"+name+"/.env.example")
		for variable := range known {
			value, there := all[name].Environment[variable]
			switch {
			case slices.Contains(files, variable), strings.HasSuffix(variable, "_FILE"):
				assert.False(t, there, "%s: %s names a file, which the container has not", name, variable)
			case slices.Contains(decided, variable):
				assert.True(t, there, "%s: %s is not there", name, variable)
			default:
				assert.Contains(t, value, "${"+variable+":-", "%s: %s", name, variable)
			}
		}
		for variable := range all[name].Environment {
			assert.Contains(t, known, variable, "%s knows no such variable", name)
		}
	}
}

// variables returns those of an example, also those that are commented out.
func variables(t *testing.T, file string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	set := regexp.MustCompile(`(?m)^# ?([A-Z_]+=)`).ReplaceAllString(string(content), "$1")
	known, err := godotenv.Unmarshal(set)
	require.NoError(t, err)
	require.NotEmpty(t, known)
	return known
}
