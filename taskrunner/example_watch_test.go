package taskrunner_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// Follow a task live, from its beginning to its end.
func ExampleClient_Watch() {
	client, stop := exampleService(fakes.Stdout("one\n"), fakes.Stderr("two\n"), fakes.Exit(1))
	defer stop()
	ctx := context.Background()

	task, err := client.Submit(ctx, taskrunner.Spec{Language: "bash", Code: "echo one; echo two >&2; false"})
	if err != nil {
		fmt.Println(err)
		return
	}
	watch, err := client.Watch(ctx, task.ID, taskrunner.Position{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = watch.Close() }()
	for {
		event, err := watch.Next(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		switch event.Type {
		case ports.EventStatus:
			fmt.Println("now", event.Status)
		case ports.EventStdout, ports.EventStderr:
			fmt.Printf("%s: %s", event.Type, event.Data)
		case ports.EventEnd:
			fmt.Println(event.Status, "with exit code", event.ExitCode)
		}
	}
	// Output:
	// now queued
	// now running
	// stdout: one
	// stderr: two
	// failed with exit code 1
}
