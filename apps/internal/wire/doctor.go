package wire

import (
	"context"
	"errors"
	"slices"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/ports"
)

// Finding is one answer of an examination, for people to read.
type Finding = dockerexec.Finding

// The verdicts of a Finding.
const (
	OK      = dockerexec.OK
	Warning = dockerexec.Warning
	Failure = dockerexec.Failure
)

// Diagnosis is what was found of one executor.
type Diagnosis struct {
	// Executor is one of Executors, and never ExecutorAuto.
	Executor string
	Findings []Finding
}

// Usable reports whether tasks can run with it: nothing of it is a Failure.
func (d Diagnosis) Usable() bool {
	return !slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Verdict == Failure })
}

// Diagnose examines the executors that cfg may lead to: the one that it names or, with
// ExecutorAuto, each. It says of each whether it can run tasks in cfg.Languages, and
// what to mend. The error is about cfg itself.
func Diagnose(ctx context.Context, cfg Config) ([]Diagnosis, error) {
	var all []Diagnosis
	if cfg.Executor != ExecutorSandbox {
		findings, err := diagnoseDocker(ctx, cfg)
		if err != nil {
			return nil, err
		}
		all = append(all, Diagnosis{ExecutorDocker, findings})
	}
	if cfg.Executor != ExecutorDocker {
		all = append(all, Diagnosis{ExecutorSandbox, diagnoseSandbox(ctx)})
	}
	return all, ctx.Err()
}

func diagnoseDocker(ctx context.Context, cfg Config) ([]Finding, error) {
	cli, err := dockerClient(cfg.Docker.Host)
	if _, ok := errors.AsType[*ports.FieldError](err); ok {
		return nil, err
	}
	if err != nil {
		return []Finding{{Name: "engine", Verdict: Failure, Err: err, Detail: err.Error(), Mend: "set DOCKER_HOST or --docker-host to the address of an engine"}}, nil
	}
	defer cli.Close()
	return dockerexec.Examine(ctx, cli, dockerConfig(cfg)), nil
}

func diagnoseSandbox(ctx context.Context) []Finding {
	executor, err := openChecked(ctx, openTimeout, func(context.Context) (ports.Executor, error) {
		return sandboxexec.New(sandboxexec.Config{Pool: -1})
	})
	if err == nil {
		err = executor.Close(context.WithoutCancel(ctx))
	}
	if err != nil {
		return []Finding{{Name: "sandbox", Verdict: Failure, Err: err, Detail: err.Error()}}
	}
	return []Finding{{Name: "sandbox", Detail: "one was made in which every limit holds, and taken down again; languages are those of this machine"}}
}
