// Command taskrunner runs code that nobody trusts, each time in a fresh sandbox.
// Without arguments it is a whole service in one process: the API, the web page
// and a worker. "taskrunner run FILE" runs one file and behaves like it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/signals"
)

// The exit codes of the program itself. "run" adds those of what it runs.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signals.Context(context.Background())
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// process is what a command gets from the world and gives back to it.
type process struct {
	args, env      []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// command is one of the words that may come first.
type command struct {
	name, synopsis, summary string
	run                     func(context.Context, process) (int, error)
	// settings declares what the help shows.
	settings func() *settings.Set
}

func commands() []command {
	return []command{
		{"serve", "taskrunner [serve] [FLAGS]", "serve the API and the web page, and run tasks, until interrupted", serveAll,
			func() *settings.Set { return newServeFlags().set }},
		{"run", "taskrunner run [FLAGS] FILE [ARGS...]", "run one file in a sandbox and behave like it", runFile,
			func() *settings.Set { return newRunFlags().set }},
		{"languages", "taskrunner languages [FLAGS]", "list the languages that tasks may be written in", listLanguages,
			func() *settings.Set { return newLanguagesFlags().set }},
		{"doctor", "taskrunner doctor [FLAGS]", "say whether tasks can run here, and what to mend", examine,
			func() *settings.Set { return newDoctorFlags().set }},
		{"reap", "taskrunner reap [FLAGS]", "remove what workers that died have left in a Docker engine", reap,
			func() *settings.Set { return newReapFlags().set }},
		{"version", "taskrunner version", "print the version", printVersion, settings.New},
	}
}

// run is the program: it runs the command that args name and returns the exit code.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	all := commands()
	chosen := all[0]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name := args[0]
		args = args[1:]
		if name == "help" {
			return help(all, args, stdout, stderr)
		}
		var ok bool
		if chosen, ok = find(all, name); !ok {
			fmt.Fprintf(stderr, "taskrunner: there is no command %q; see taskrunner --help\n", name)
			return exitUsage
		}
	} else if len(args) > 0 {
		switch args[0] {
		case "-h", "-help", "--help":
			return help(all, nil, stdout, stderr)
		case "--version":
			chosen, _ = find(all, "version")
			args = args[1:]
		}
	}
	code, err := chosen.run(ctx, process{args, env, stdin, stdout, stderr})
	switch {
	case err == nil:
		return code
	case errors.Is(err, settings.ErrHelp):
		printHelp(chosen, stdout)
		return exitOK
	}
	err = options.Blame(err, chosen.settings())
	fmt.Fprintln(stderr, "taskrunner:", err)
	if _, ok := errors.AsType[*settings.Error](err); ok && code == exitOK {
		return exitUsage
	}
	return max(code, exitError)
}

func find(all []command, name string) (command, bool) {
	for _, c := range all {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

func help(all []command, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		c, ok := find(all, args[0])
		if !ok {
			fmt.Fprintf(stderr, "taskrunner: there is no command %q; see taskrunner --help\n", args[0])
			return exitUsage
		}
		printHelp(c, stdout)
		return exitOK
	}
	fmt.Fprint(stdout, "Task Runner runs code that nobody trusts, each time in a fresh sandbox.\n\nCommands:\n")
	for _, c := range all {
		fmt.Fprintf(stdout, "  %-11s %s\n", c.name, c.summary)
	}
	fmt.Fprint(stdout, `
Without a command it serves: http://127.0.0.1:5000 is the web page and
http://127.0.0.1:8000 the API. "taskrunner help COMMAND" lists a command's flags.
Every flag has an environment variable: that of --api-addr is TASKRUNNER_API_ADDR.
A flag beats its variable.
`)
	return exitOK
}

func printHelp(c command, w io.Writer) {
	fmt.Fprintf(w, "Usage: %s\n\n%s%s.\n", c.synopsis, strings.ToUpper(c.summary[:1]), c.summary[1:])
	if c.name == "run" {
		fmt.Fprint(w, runHelp)
	}
	c.settings().PrintHelp(w)
}
