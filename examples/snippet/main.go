// Command snippet runs a piece of untrusted Python, with no service at all: a
// client, a worker and everything between them live in this process.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/taskrunner"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	sandbox, err := sandboxexec.New(sandboxexec.Config{})
	if err != nil {
		return err
	}
	defer sandbox.Close(ctx)

	cfg := taskrunner.Config{Backend: memory.New(), Executor: sandbox}
	client, err := taskrunner.NewClient(cfg)
	if err != nil {
		return err
	}
	worker, err := taskrunner.NewWorker(cfg)
	if err != nil {
		return err
	}
	if err := worker.Start(ctx); err != nil {
		return err
	}
	defer worker.Stop(ctx)

	task, err := client.Run(ctx, taskrunner.Spec{
		Language: "python",
		Code:     `print("The sum is", sum(range(101)))`,
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s with exit code %d\n", task.Status, task.Result.ExitCode)
	fmt.Printf("stdout: %s", task.Result.Stdout.Head)
	return nil
}
