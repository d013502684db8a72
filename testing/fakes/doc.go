// Package fakes helps to test programs that are built on Task Runner: a backend
// in memory whose every call can be made to fail, to hang or to be the last one
// of its process, and an executor that runs scripts in place of programs.
//
//	backend := fakes.NewBackend()
//	backend.Use(fakes.FailNth("store.Update", 1, fakes.After, errors.New("connection reset")))
//	executor := fakes.NewExecutor(fakes.Stdout("hello\n"), fakes.Exit(0))
//	cfg := taskrunner.Config{Backend: backend.Ports(), Executor: executor}
//
// A Backend is one process's view of what several processes share: Process
// returns another one's, with faults of its own. So a test can crash one worker
// between any two steps and see how another one goes on.
//
// All of it keeps time by package time alone, and works in a bubble of
// testing/synctest.
package fakes
