package wire

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/adapters/dockerexec"
)

func TestPullsAreToldOfNowAndThenAndAtTheirGoodEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []string
		p := &pulls{tell: func(s string) { told = append(told, s) }}
		for received := range int64(50) { // five a second
			p.progress(dockerexec.PullProgress{Image: "python:3.13-slim", Received: received * 1e6, Total: 45.6e6})
			if received == 1 {
				p.progress(dockerexec.PullProgress{Image: "bash:5"})
				p.progress(dockerexec.PullProgress{Image: "bash:5", Done: true, Err: errors.New("no route")})
			}
			time.Sleep(200 * time.Millisecond) // of made up time
		}
		p.progress(dockerexec.PullProgress{Image: "python:3.13-slim", Received: 45.6e6, Total: 45.6e6, Done: true})
		p.progress(dockerexec.PullProgress{Image: "python:3.13-slim"})
		assert.Equal(t, []string{
			"pulling python:3.13-slim: 0.0 of 45.6 MB",
			"pulling bash:5",
			"pulling python:3.13-slim: 10.0 of 45.6 MB",
			"pulling python:3.13-slim: 20.0 of 45.6 MB",
			"pulling python:3.13-slim: 30.0 of 45.6 MB",
			"pulling python:3.13-slim: 40.0 of 45.6 MB",
			"pulled python:3.13-slim",
			"pulling python:3.13-slim",
		}, told)
	})
}
