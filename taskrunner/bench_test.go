package taskrunner_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// BenchmarkRun is what the core itself costs, from Submit to the finished task,
// with an executor that does nothing and a backend in memory.
func BenchmarkRun(b *testing.B) {
	cfg := taskrunner.Config{Backend: memory.New(), Executor: fakes.NewExecutor(fakes.Stdout("hi\n")), Logger: quiet}
	client, err := taskrunner.NewClient(cfg)
	require.NoError(b, err)
	worker, err := taskrunner.NewWorker(cfg)
	require.NoError(b, err)
	require.NoError(b, worker.Start(b.Context()))
	defer func() { require.NoError(b, worker.Stop(b.Context())) }()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Run(b.Context(), spec()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWatch is what following a finished task of a megabyte costs.
func BenchmarkWatch(b *testing.B) {
	text := make([]byte, 1<<20)
	cfg := taskrunner.Config{Backend: memory.New(), Executor: fakes.NewExecutor(fakes.Stdout(string(text))), Logger: quiet}
	client, err := taskrunner.NewClient(cfg)
	require.NoError(b, err)
	worker, err := taskrunner.NewWorker(cfg)
	require.NoError(b, err)
	require.NoError(b, worker.Start(b.Context()))
	task, err := client.Run(b.Context(), spec())
	require.NoError(b, err)
	require.NoError(b, worker.Stop(b.Context()))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		watch, err := client.Watch(b.Context(), task.ID, taskrunner.Position{})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = watch.Next(b.Context())
		}
		_ = watch.Close()
	}
}
