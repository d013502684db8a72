package wire

import (
	"context"
	"time"

	"github.com/task-runner/task-runner/adapters/dockerexec"
)

// Leftover is a thing that a worker which died has left in a Docker engine.
type Leftover = dockerexec.Reaped

// Reap removes leftovers from the engine at host, which is as in DockerConfig, or
// only finds them. It returns them also with an error; see dockerexec.Reap for grace
// and for what counts as one.
func Reap(ctx context.Context, host string, grace time.Duration, dryRun bool) ([]Leftover, error) {
	cli, err := dockerClient(host)
	if err != nil {
		return nil, err
	}
	defer cli.Close()
	return dockerexec.Reap(ctx, cli, dockerexec.ReapOptions{Grace: grace, DryRun: dryRun})
}
