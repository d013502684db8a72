package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/signals"
	"github.com/task-runner/task-runner/apps/internal/telemetry"
)

// The exit codes of a Program.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Program is a service: it listens on one address and serves until it is told to stop.
// Beside that it knows the commands "health", for container engines, and "env", which
// prints its file of variables.
type Program struct {
	// Settings are those that every service has. The service adds its own.
	Settings *settings.Set

	name, summary  string
	flag           string // the setting of addr
	addr           *string
	publishedOn    *string
	drain          *time.Duration
	tracesEndpoint *string
	log            settings.Log
}

// Process is what a running Program works with.
type Process struct {
	// Listener is where to serve; Flag names its setting.
	Listener net.Listener
	Flag     string
	// Drain is how long what is under way may take to end, once the process is told
	// to stop.
	Drain   time.Duration
	Log     *slog.Logger
	Tracing *telemetry.Tracing
	Version string
}

// NewProgram returns a program with the settings that every service has. The flag and its
// default say where it listens.
func NewProgram(name, summary, flag, addr string) *Program {
	s := settings.New()
	p := &Program{Settings: s, name: name, summary: summary, flag: flag}
	s.Group("Process")
	settings.EnvFile(s)
	p.addr = settings.Var(s, flag, "HOST:PORT", addr, "where it listens", settings.Addr)
	p.publishedOn = settings.Var(s, "published-on", "ADDRESS", "",
		"the machine's address on which a container engine publishes that port, so that a default secret is refused where strangers reach it", parseIP)
	s.ShowDefault("published-on", "not in a container, or not published")
	p.drain = settings.Var(s, "drain-timeout", "TIME", "30s", "how long what is under way may take to end when the process is told to stop", settings.Period)
	p.log = settings.NewLog(s, "info", "json")
	p.tracesEndpoint = settings.Var(s, "otel-exporter-otlp-endpoint", "URL", "", "where traces go, as OTLP over HTTP; the other OTEL_ variables count too", telemetry.ParseEndpoint)
	s.ShowDefault("otel-exporter-otlp-endpoint", "none are made")
	return p
}

// parseIP accepts an address, also with the brackets that an IPv6 one has before a port.
func parseIP(s string) (string, error) {
	ip := net.ParseIP(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if ip == nil {
		return "", errors.New("must be an IP address, such as 127.0.0.1")
	}
	return ip.String(), nil
}

// Main is the program with the world around it: run serves until its context is done,
// then drains, and Main ends the process.
func (p *Program) Main(run func(context.Context, *Process) error) {
	ctx, stop := signals.Context(context.Background())
	code := p.Run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr, run)
	stop()
	os.Exit(code)
}

// Run is Main without the process, and returns its exit code.
func (p *Program) Run(ctx context.Context, args, env []string, stdout, stderr io.Writer, run func(context.Context, *Process) error) int {
	err := p.command(ctx, args, env, stdout, stderr, run)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, settings.ErrHelp):
		p.printHelp(stdout)
		return exitOK
	}
	err = options.Blame(err, p.Settings)
	fmt.Fprintf(stderr, "%s: %v\n", p.name, err)
	if _, ok := errors.AsType[*settings.Error](err); ok {
		return exitUsage
	}
	return exitError
}

func (p *Program) command(ctx context.Context, args, env []string, stdout, stderr io.Writer, run func(context.Context, *Process) error) error {
	command := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	switch command {
	case "help":
		return settings.ErrHelp
	case "env", "version": // which are good without good settings
		env = nil
	case "", "health", "ready":
	default:
		return settings.Usagef("there is no command %q; see %s --help", command, p.name)
	}
	rest, err := p.Settings.Parse(args, env)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return settings.Usagef("unexpected argument %q", rest[0])
	}
	switch command {
	case "env":
		p.Settings.PrintEnv(stdout)
		return nil
	case "version":
		_, err := fmt.Fprintln(stdout, Version())
		return err
	case "health":
		return ask(ctx, *p.addr, "/healthz")
	case "ready":
		return ask(ctx, *p.addr, "/readyz")
	}
	return p.serve(ctx, stderr, run)
}

// serve prepares what run needs, and takes it down.
func (p *Program) serve(ctx context.Context, stderr io.Writer, run func(context.Context, *Process) error) error {
	log := slog.New(telemetry.LogHandler(p.log.Logger(stderr).Handler())).With("service", p.name)
	listener, err := Listen(ctx, p.flag, *p.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := p.checkSecrets(listener.Addr(), log); err != nil {
		return err
	}
	tracing, err := telemetry.Start(ctx, telemetry.Config{
		Endpoint: *p.tracesEndpoint, Service: "taskrunner-" + p.name, Version: Version(), Logger: log,
	})
	if err != nil {
		return err
	}
	log.Info("starting", "version", Version(), "address", listener.Addr().String())
	err = run(ctx, &Process{Listener: listener, Flag: p.flag, Drain: *p.drain, Log: log, Tracing: tracing, Version: Version()})
	if shutdownErr := tracing.Shutdown(context.WithoutCancel(ctx)); shutdownErr != nil {
		log.Warn("some traces are lost", "error", shutdownErr)
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// checkSecrets warns of secrets that everybody knows, and refuses them where others than
// this machine reach the process.
func (p *Program) checkSecrets(listening net.Addr, log *slog.Logger) error {
	names := p.Settings.Secrets(options.InsecureSecret)
	if len(names) == 0 {
		return nil
	}
	exposed := !IsLoopback(listening)
	if *p.publishedOn != "" {
		exposed = !net.ParseIP(*p.publishedOn).IsLoopback()
	}
	if exposed {
		return p.Settings.Errorf(names[0], "is or holds the default, which everybody knows, and this process can be reached from other machines: "+
			"set a secret of your own (openssl rand -hex 32), or listen on 127.0.0.1; in a container that is published on loopback alone, %s says so", settings.EnvName("published-on"))
	}
	for _, name := range names {
		log.Warn("A DEFAULT SECRET IS IN USE, which everybody knows: fine to try things out on one machine, and for nothing else",
			"variable", settings.EnvName(name))
	}
	return nil
}

func (p *Program) printHelp(w io.Writer) {
	fmt.Fprintf(w, `Usage: %[1]s [FLAGS]
       %[1]s health [FLAGS]   say whether the one that runs with these settings is alive
       %[1]s ready [FLAGS]    say whether it is ready
       %[1]s env              print a file of all variables for --env-file
       %[1]s version          print the version

%[2]s. Every flag has an environment variable.
`, p.name, p.summary)
	p.Settings.PrintHelp(w)
}

// linked is what the linker was told, in images, which are built without the repository.
var linked string

// Version is the module's version, or the commit that the program was built from.
func Version() string {
	if linked != "" {
		return linked
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "dev"
}
