//go:build amd64 || arm64

package sandboxexec

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

// baseEnv is the environment that every program starts with; the language's and
// the task's own come over it.
var baseEnv = map[string]string{
	"PATH":   "/usr/local/bin:/usr/bin:/bin",
	"HOME":   workDir,
	"TMPDIR": "/tmp",
	"LANG":   "C.UTF-8",
}

// defaultCompileTimeout is what ports.Language promises.
const defaultCompileTimeout = 30 * time.Second

// maxOpenFiles bounds the descriptors of a process.
const maxOpenFiles = 1024

// validate refuses a job that this executor can never run as it should.
func validate(job ports.Job) error {
	l := job.Spec.Limits
	switch {
	case len(job.Language.Run) == 0:
		return ports.Invalid("language", "has no command to run")
	case job.Spec.Network:
		return ports.Invalid("network", "cannot be had in this sandbox; use an executor that has one")
	case !(l.CPU > 0) || math.IsInf(l.CPU, 0):
		return ports.Invalid("cpu_limit", "must be positive")
	case l.Memory <= 0:
		return ports.Invalid("memory_limit", "must be positive")
	case l.Timeout <= 0:
		return ports.Invalid("timeout", "must be positive")
	case l.PIDs <= 0:
		return ports.Invalid("pids_limit", "must be positive")
	case l.Output <= 0 || l.Output > math.MaxInt64/ports.OutputKillFactor:
		return ports.Invalid("output_limit", "must be positive and not absurd")
	case l.Disk <= 0:
		return ports.Invalid("disk_limit", "must be positive")
	}
	for _, env := range []map[string]string{job.Language.Env, job.Spec.Env} {
		for name := range env {
			if name == "" || strings.Contains(name, "=") {
				return ports.Invalid("env", "has the name %q, which must not be empty or contain \"=\"", name)
			}
		}
	}
	size := int64(len(job.Spec.Code))
	for _, f := range job.Spec.Files {
		size += int64(len(f.Content))
	}
	if size > l.Disk {
		return ports.Invalid("disk_limit", "must be at least the %d bytes that the program's own files have", size)
	}
	return nil
}

// request returns what the supervisor is to do for the job.
func request(job ports.Job) *runner.Request {
	spec, lang := job.Spec, job.Language
	files, entrypoint := spec.Files, spec.Entrypoint
	if len(files) == 0 {
		files, entrypoint = []ports.File{{Path: lang.Source, Content: []byte(spec.Code)}}, lang.Source
	}
	req := &runner.Request{
		WorkDir:        workDir,
		Stdin:          spec.Stdin,
		OutputLimit:    spec.Limits.Output,
		OutputKill:     spec.Limits.Output * ports.OutputKillFactor,
		SampleInterval: ports.SampleInterval,
		Rlimits: []runner.Rlimit{
			// With 0 the kernel would still start the host's core dump helper, if
			// there is one, as root; with 1 it writes nothing (core(5)).
			{Resource: runner.RlimitCore, Soft: 1, Hard: 1},
			{Resource: runner.RlimitNoFile, Soft: maxOpenFiles, Hard: maxOpenFiles},
			{Resource: runner.RlimitFSize, Soft: uint64(spec.Limits.Disk), Hard: uint64(spec.Limits.Disk)},
			{Resource: runner.RlimitMemlock},
			{Resource: runner.RlimitMsgqueue},
		},
	}
	for _, f := range files {
		req.Files = append(req.Files, runner.File{Path: f.Path, Mode: 0o644, Content: f.Content})
	}
	env := environment(baseEnv, lang.Env, spec.Env)
	if len(lang.Compile) > 0 {
		timeout := lang.CompileTimeout
		if timeout == 0 {
			timeout = defaultCompileTimeout
		}
		req.Steps = append(req.Steps, runner.Step{
			Name: "compile", Argv: command(lang.Compile, entrypoint, nil), Env: env, Timeout: timeout,
		})
	}
	req.Steps = append(req.Steps, runner.Step{
		Name: "run", Argv: command(lang.Run, entrypoint, spec.Args), Env: env, Timeout: spec.Limits.Timeout,
	})
	return req
}

// command returns argv with the entrypoint and args put in.
func command(argv []string, entrypoint string, args []string) []string {
	argv = slices.Concat(argv, args)
	for i := range len(argv) - len(args) {
		if argv[i] == ports.EntrypointArg {
			argv[i] = entrypoint
		}
	}
	return argv
}

// environment merges the layers, later ones over earlier ones, into NAME=value.
func environment(layers ...map[string]string) []string {
	all := map[string]string{}
	for _, layer := range layers {
		maps.Copy(all, layer)
	}
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}
