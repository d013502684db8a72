package taskrunner_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

var quiet = slog.New(slog.DiscardHandler)

// exampleService returns the client of a service in this process.
func exampleService(program ...fakes.Step) (client *taskrunner.Client, stop func()) {
	cfg := taskrunner.Config{
		Backend:  fakes.NewBackend().Ports(),
		Executor: fakes.NewExecutor(program...),
		Logger:   quiet,
	}
	client, err := taskrunner.NewClient(cfg)
	if err != nil {
		panic(err)
	}
	worker, err := taskrunner.NewWorker(cfg)
	if err != nil {
		panic(err)
	}
	if err := worker.Start(context.Background()); err != nil {
		panic(err)
	}
	return client, func() { _ = worker.Stop(context.Background()) }
}

// Cancel a task that runs. It is over only once no process of it is left.
func ExampleClient_Cancel() {
	client, stop := exampleService(fakes.Stdout("begun\n"), fakes.Sleep(time.Hour))
	defer stop()
	ctx := context.Background()

	task, err := client.Submit(ctx, taskrunner.Spec{Language: "bash", Code: "echo begun; sleep 3600"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Cancel(ctx, task.ID); err != nil {
		fmt.Println(err)
		return
	}
	task, err = client.Wait(ctx, task.ID)
	fmt.Println(task.Status, err)
	// Output: cancelled <nil>
}

// Read a whole log, however long it is, or a part of it.
func ExampleClient_Logs() {
	client, stop := exampleService(fakes.Stdout("one two three\n"))
	defer stop()
	ctx := context.Background()

	task, err := client.Run(ctx, taskrunner.Spec{Language: "bash", Code: "echo one two three"})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, info, err := client.Logs(ctx, task.ID, "stdout", 4, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = log.Close() }()
	part, err := io.ReadAll(log)
	fmt.Printf("%s (of %d bytes) %v\n", part, info.Size, err)
	// Output: two (of 14 bytes) <nil>
}
