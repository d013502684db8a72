package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/serve"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/signals"
	"github.com/task-runner/task-runner/apps/internal/wire"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

const runHelp = `
FILE "-" is the program's source on standard input; it needs --language. Otherwise the
language is told by the file's extension or its #! line, and what standard input
holds, unless that is a terminal, is the program's. ARGS are the program's.

The exit code is the program's. Of a program that did not exit by itself it is:
  124      it ran for longer than its timeout
  137      it needed more memory than its limit
  153      it wrote far more output than its limit
  128 + N  signal N ended it
  125      it could not be run, which is not its fault
  130      this command was interrupted, and with it the program
  141      nobody reads the output any more
`

type runFlags struct {
	set *settings.Set

	language, stdin *string
	env             *[]envVar
	json            *bool
	limits          options.Limits
	network         *bool
	executor        *string
	languages       options.Languages
	docker          options.Docker
	log             settings.Log
}

func newRunFlags() runFlags {
	s := settings.New()
	f := runFlags{set: s}
	policy := taskrunner.DefaultPolicy()

	s.Group("Program")
	f.language = settings.Var(s, "language", "NAME", "", "its language, where the file's name and first line do not tell", settings.Text)
	f.stdin = settings.Var(s, "stdin", "FILE", "", "file that the program reads as its standard input", settings.Text)
	f.env = settings.Repeated(s, "env", "NAME=VALUE", "variable of the program's environment", parseEnv)
	f.json = settings.Bool(s, "json", "print the result as JSON, as the API shows it, and not the program's output")

	s.Group("Limits")
	f.limits = options.NewLimits(s, "", policy.Default)
	f.network = settings.Bool(s, "network", "give the program a network; needs --docker-network")

	s.Group("Sandbox")
	f.executor = options.Executor(s)
	f.languages = options.NewLanguages(s)
	f.docker = options.NewDocker(s)
	f.log = settings.NewLog(s, "error", "text")
	return f
}

type envVar struct{ name, value string }

func parseEnv(s string) (envVar, error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return envVar{}, errors.New("must be NAME=VALUE")
	}
	return envVar{name, value}, nil
}

// runFile runs one file and is, to whoever called this program, that file.
func runFile(ctx context.Context, p process) (code int, err error) {
	f := newRunFlags()
	args, err := f.set.Parse(p.args, p.env)
	if err != nil {
		return 0, err
	}
	if len(args) == 0 {
		return 0, settings.Usagef("run needs a FILE, or - for standard input; see taskrunner run --help")
	}
	if err := f.docker.CheckNetwork("network", *f.network); err != nil {
		return exitUsage, err
	}
	languages, err := f.languages.Load()
	if err != nil {
		return exitUsage, err
	}
	policy := f.policy()
	spec, err := f.spec(args, languages, policy, p.stdin)
	if err != nil {
		return exitUsage, err
	}
	// No other language's image is needed.
	i := slices.IndexFunc(languages, func(l ports.Language) bool { return answersTo(l, spec.Language) })
	if i < 0 {
		return exitUsage, settings.Errorf("language", "must be one of %s, not %q", options.LanguageNames(languages), spec.Language)
	}
	languages = languages[i : i+1]

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	output := &mirror{stdout: p.stdout, stderr: p.stderr, closed: func() { stop(signals.Error{Signal: syscall.SIGPIPE}) }}
	defer catchPipe()()
	cfg := wire.Config{
		Executor: *f.executor, Docker: f.docker.Config(), Languages: languages, Concurrency: 1,
		Policy: policy, Version: serve.Version(), Logger: f.log.Logger(p.stderr),
		Notify: func(news string) { fmt.Fprintln(p.stderr, "taskrunner:", news) },
	}
	cfg.Docker.Pool = -1 // there is one task
	if *f.json {
		output.stdout, output.stderr = io.Discard, io.Discard
	}
	cfg.WrapExecutor = output.wrap
	app, err := wire.New(ctx, cfg)
	if code, ok := interrupted(ctx); ok && err != nil {
		return code, nil
	}
	if err != nil {
		return setupCode(err), err
	}
	defer func() {
		_ = app.Stop(ctx) // after an interrupt this kills the program at once
		err = errors.Join(err, shut(ctx, app))
	}()
	if err := app.Start(ctx); err != nil {
		return exitInfrastructure, fmt.Errorf("starting the worker: %w", err)
	}
	task, err := app.Client.Run(ctx, spec)
	if code, ok := interrupted(ctx); ok {
		return code, nil
	}
	switch {
	case errors.Is(err, ports.ErrInvalid):
		return exitUsage, err
	case err != nil:
		return exitInfrastructure, err
	}
	code, message := exitCode(task)
	if *f.json {
		message = "" // it is part of the result
	}
	if output.lost != nil { // which the result does not tell, since it is for operators
		message = "could not be run: " + output.lost.Error()
	}
	if message != "" {
		fmt.Fprintln(p.stderr, "taskrunner:", message)
	}
	if *f.json {
		return code, printTask(ctx, p.stdout, app.API, task.ID)
	}
	return code, output.err
}

// setupCode is the exit code where the program could not be tried: an executor
// that cannot be had is not the caller's mistake.
func setupCode(err error) int {
	if field, ok := errors.AsType[*ports.FieldError](err); ok && field.Field != "executor" {
		return exitUsage
	}
	return exitInfrastructure
}

// catchPipe makes writing to a closed standard output an error until it is undone.
// It would kill this process otherwise, and leave a sandbox behind.
func catchPipe() (undo func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGPIPE)
	return func() { signal.Stop(signals) }
}

// policy allows what the flags ask for: whoever calls this command is the operator.
func (f runFlags) policy() taskrunner.Policy {
	p := taskrunner.DefaultPolicy()
	asked := f.limits.Limits()
	p.Max.CPU = max(p.Max.CPU, asked.CPU)
	p.Max.Memory = max(p.Max.Memory, asked.Memory)
	p.Max.Timeout = max(p.Max.Timeout, asked.Timeout)
	p.Max.PIDs = max(p.Max.PIDs, asked.PIDs)
	p.Max.Output = max(p.Max.Output, asked.Output)
	p.Max.Disk = max(p.Max.Disk, asked.Disk)
	p.Network = *f.network
	return p
}

// spec is the task that the arguments and flags describe.
func (f runFlags) spec(args []string, languages []ports.Language, policy taskrunner.Policy, stdin io.Reader) (taskrunner.Spec, error) {
	spec := taskrunner.Spec{
		Args: args[1:], Limits: f.limits.Limits(), Network: *f.network,
		MaxAttempts: 1, // whoever waits decides whether to try again
	}
	for _, v := range *f.env {
		if spec.Env == nil {
			spec.Env = map[string]string{}
		}
		spec.Env[v.name] = v.value
	}
	source, err := readSource(args[0], stdin, policy.MaxCode)
	if err != nil {
		return spec, err
	}
	language, err := source.language(*f.language, languages)
	if err != nil {
		return spec, err
	}
	spec.Language = language
	if source.name == "" {
		spec.Code = string(source.content)
	} else {
		// Under its own name, so that messages about it name it.
		spec.Files = []taskrunner.File{{Path: source.name, Content: source.content}}
	}
	spec.Stdin, err = f.readStdin(source, stdin, policy.MaxInput)
	return spec, err
}

// readStdin reads what the program shall read: the file of --stdin, or else this
// process's own standard input, unless the source came from there or a terminal
// is at its other end, whose input would have to end before the program starts.
func (f runFlags) readStdin(source source, stdin io.Reader, limit int64) ([]byte, error) {
	if *f.stdin != "" {
		file, err := os.Open(*f.stdin)
		if err != nil {
			return nil, settings.Errorf("stdin", "%v", err)
		}
		defer file.Close()
		stdin = file
	} else if source.name == "" || isDevice(stdin) {
		return nil, nil
	}
	// One byte more than is allowed makes the core refuse it.
	content, err := io.ReadAll(io.LimitReader(stdin, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	return content, nil
}

// isDevice reports whether r is a terminal or another device that has no end.
func isDevice(r io.Reader) bool {
	file, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err != nil || info.Mode()&os.ModeCharDevice != 0
}
