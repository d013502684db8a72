package taskrunner_test

import (
	"context"
	"fmt"

	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// Everything in one process: a backend in memory, and a worker beside the client.
// With a real executor in place of the scripted one this runs real programs.
func Example() {
	cfg := taskrunner.Config{
		Backend:  fakes.NewBackend().Ports(),
		Executor: fakes.NewExecutor(fakes.Stdout("hello\n"), fakes.Exit(0)),
		Logger:   quiet,
	}
	client, err := taskrunner.NewClient(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	worker, err := taskrunner.NewWorker(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := worker.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = worker.Stop(ctx) }()

	task, err := client.Run(ctx, taskrunner.Spec{Language: "python", Code: "print('hello')"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s with exit code %d: %s", task.Status, task.Result.ExitCode, task.Result.Stdout.Head)
	// Output: succeeded with exit code 0: hello
}
