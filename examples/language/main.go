// Command language runs a program in a language that is not built in: the sample of
// Perl, as languages.yaml describes both. Run it from its own folder.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/task-runner/task-runner/adapters/languagefile"
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
	added, err := languagefile.Load("languages.yaml")
	if err != nil {
		return err
	}
	languages, err := taskrunner.MergeLanguages(taskrunner.BuiltinLanguages(), added)
	if err != nil {
		return err
	}
	sandbox, err := sandboxexec.New(sandboxexec.Config{})
	if err != nil {
		return err
	}
	defer sandbox.Close(ctx)

	cfg := taskrunner.Config{Backend: memory.New(), Executor: sandbox, Languages: languages}
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

	for _, l := range client.Languages() {
		fmt.Println("language:", l.Name)
	}
	task, err := client.Run(ctx, taskrunner.Spec{
		Language: "pl", // an alias
		Code:     added[0].Sample,
		Args:     []string{"1", "2", "3"},
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s ran: %s", task.Spec.Language, task.Result.Stdout.Head)
	return nil
}
