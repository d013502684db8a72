package dockerexec_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/ports"
)

// The client is the caller's to make and to close: here for the engine that DOCKER_HOST
// names. The executor is usually given to a worker of package taskrunner; this calls
// it directly.
func Example() {
	hello := func(ctx context.Context) error {
		engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
		if err != nil {
			return err
		}
		defer engine.Close()
		executor, err := dockerexec.New(ctx, engine, dockerexec.Config{AllowedImages: []string{"python:*"}})
		if err != nil {
			return err
		}
		defer executor.Close(ctx)

		outcome, err := executor.Run(ctx, ports.Job{
			Task: "0192aa00-0000-7000-8000-000000000000", Attempt: 1,
			Language: ports.Language{Name: "python", Image: "python:3.13-slim", Source: "main.py", Run: []string{"python3", ports.EntrypointArg}},
			Spec: ports.Spec{Code: "print('hi')", Limits: ports.Limits{
				CPU: 1, Memory: 256 << 20, Timeout: 30 * time.Second, PIDs: 64, Output: 1 << 20, Disk: 64 << 20,
			}},
		})
		if err != nil {
			return err
		}
		fmt.Println(outcome.Cause, outcome.ExitCode)
		return nil
	}
	if err := hello(context.Background()); err != nil {
		log.Fatal(err)
	}
}
