package taskrunner_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// A spec that can never be accepted is refused with the field that is wrong.
func ExampleClient_Submit() {
	client, stop := exampleService()
	defer stop()

	_, err := client.Submit(context.Background(), taskrunner.Spec{
		Language: "python",
		Files: []taskrunner.File{
			{Path: "main.py", Content: []byte("import helper")},
			{Path: "../helper.py"},
		},
	})
	if field, ok := errors.AsType[*taskrunner.FieldError](err); ok {
		fmt.Println("field:", field.Field)
		fmt.Println("problem:", field.Problem)
	}

	_, err = client.Submit(context.Background(), taskrunner.Spec{
		Language: "python", Code: "print(1)",
		Limits: taskrunner.Limits{Timeout: 24 * time.Hour},
	})
	fmt.Println(err)
	// Output:
	// field: files[1].path
	// problem: must be clean: no empty, "." or ".." element
	// timeout must be from 1ms to 10m0s
}

// Submitting again with the same key is safe: it is the same task.
func ExampleClient_Submit_idempotent() {
	client, stop := exampleService()
	defer stop()
	ctx := context.Background()

	spec := taskrunner.Spec{Language: "python", Code: "print(1)", IdempotencyKey: "order-17"}
	first, err := client.Submit(ctx, spec)
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := client.Submit(ctx, spec)
	fmt.Println(again.ID == first.ID, err)

	spec.Code = "print(2)"
	_, err = client.Submit(ctx, spec)
	fmt.Println(errors.Is(err, taskrunner.ErrConflict))
	// Output:
	// true <nil>
	// true
}

// An operator adds a language, or changes a built-in one.
func ExampleMergeLanguages() {
	languages, err := taskrunner.MergeLanguages(taskrunner.BuiltinLanguages(), []taskrunner.Language{
		{Name: "awk", Image: "debian:stable-slim", Source: "main.awk", Run: []string{"awk", "-f", "{entrypoint}"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range languages {
		fmt.Println(l.Name, l.Aliases)
	}

	client, err := taskrunner.NewClient(taskrunner.Config{
		Backend:   fakes.NewBackend().Ports(),
		Languages: languages,
		Policy:    taskrunner.Policy{Languages: []string{"awk", "python"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("allowed:", client.Policy().Languages)
	// Output:
	// awk []
	// bash []
	// javascript [js node nodejs]
	// python [py python3]
	// allowed: [awk python]
}
