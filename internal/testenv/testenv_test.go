package testenv

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMissing(t *testing.T) {
	for name, c := range map[string]struct{ required, want string }{
		"what a machine lacks skips the test":            {"", "skipped: no engine"},
		"it fails the test where nothing may be skipped": {"1", "failed: no engine"},
		"nothing but 1 says so":                          {"0", "skipped: no engine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TASKRUNNER_REQUIRE_SERVICES", c.required)
			assert.Equal(t, c.want, verdictOf(t, func(t testing.TB) { missing(t, "no %s", "engine") }))
		})
	}
}

func TestDockerThatIsNotThere(t *testing.T) {
	t.Setenv("TASKRUNNER_REQUIRE_SERVICES", "1")
	t.Setenv("DOCKER_HOST", "unix://"+t.TempDir()+"/none.sock")
	assert.Contains(t, verdictOf(t, func(t testing.TB) { Docker(t) }),
		"failed: no Docker engine answers: install and start one")
}

// verdictOf returns how a test ended that is f.
func verdictOf(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	v := &verdict{TB: t, said: "passed"}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(v)
	}()
	<-ended
	return v.said
}

type verdict struct {
	testing.TB
	said string
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.said = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Skipf(format string, args ...any) {
	v.said = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}
