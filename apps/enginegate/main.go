// Command enginegate stands between workers and a Docker engine, whose socket is root on
// its machine. It lets through what the Docker executor asks of an engine, exactly as the
// executor asks it, and nothing else: so workers need not have the socket, and one that
// was taken over can do little more than run tasks. See docs/security.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/signals"
	"github.com/task-runner/task-runner/ports"
)

// The exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signals.Context(context.Background())
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// config are the settings.
type config struct {
	set              *settings.Set
	listen, engine   *string
	network          *string
	runtimes, images *[]string
	drain            *time.Duration
	log              settings.Log
}

func newConfig() config {
	s := settings.New()
	c := config{set: s}
	s.Group("Addresses")
	c.listen = settings.Var(s, "listen", "PATH", "/run/engine/docker.sock",
		"the socket that workers use as DOCKER_HOST; whoever can enter its folder can use it", socketPath)
	c.engine = settings.Var(s, "engine", "ADDRESS", "unix:///var/run/docker.sock", "the engine's address, as DOCKER_HOST has it", engineAddress)
	s.Group("What workers may use")
	c.images = settings.Repeated(s, "docker-allowed-images", "IMAGE",
		"image that may be used and pulled, where * stands for any characters; may be repeated", settings.Text)
	s.ShowDefault("docker-allowed-images", "any")
	c.network = settings.Var(s, "docker-network", "NAME", "", "Docker network that tasks may have", networkName)
	s.ShowDefault("docker-network", "none")
	c.runtimes = settings.Repeated(s, "docker-runtime", "NAME", "runtime that tasks may have besides the engine's own; may be repeated", settings.Text)
	s.ShowDefault("docker-runtime", "none")
	s.Group("Process")
	settings.EnvFile(s)
	c.drain = settings.Var(s, "drain-timeout", "TIME", "30s", "how long what is under way may take to end when the process is told to stop", settings.Period)
	c.log = settings.NewLog(s, "info", "json")
	return c
}

// socketPath accepts a path, also one that is written as in DOCKER_HOST.
func socketPath(s string) (string, error) {
	path := strings.TrimPrefix(s, "unix://")
	if !strings.HasPrefix(path, "/") {
		return "", errors.New("must be the path of a socket, such as /run/engine/docker.sock")
	}
	return path, nil
}

// networkName accepts the name of a network, and none of the words that mean another
// kind: the host's network, or a container's.
func networkName(s string) (string, error) {
	if !network.MatchString(s) || s == "host" || s == "none" || s == "default" {
		return "", errors.New("must be the name of a network that was made for tasks")
	}
	return s, nil
}

var network = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// engineAddress accepts the addresses that a client reaches.
func engineAddress(s string) (string, error) {
	u, err := client.ParseHostURL(s)
	if err != nil || u.Scheme != "unix" && u.Scheme != "tcp" {
		return "", errors.New("must be an address such as unix:///var/run/docker.sock or tcp://host:2376")
	}
	return s, nil
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	c := newConfig()
	command := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	rest, err := c.set.Parse(args, env)
	switch {
	case errors.Is(err, settings.ErrHelp), err == nil && command == "help":
		printHelp(stdout, c.set)
		return exitOK
	case err != nil:
	case len(rest) > 0:
		err = settings.Usagef("unexpected argument %q", rest[0])
	case command == "":
		err = serve(ctx, c, stderr)
	case command == "health":
		err = health(ctx, *c.listen)
	default:
		err = settings.Usagef("there is no command %q; see enginegate --help", command)
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "enginegate:", err)
	if _, ok := errors.AsType[*settings.Error](err); ok {
		return exitUsage
	}
	return exitError
}

func printHelp(w io.Writer, s *settings.Set) {
	fmt.Fprint(w, `Usage: enginegate [FLAGS]
       enginegate health [FLAGS]   say whether it answers, and the engine behind it

Stands between workers and a Docker engine, and lets through what tasks need.
Every flag has an environment variable.
`)
	s.PrintHelp(w)
}

// serve lets workers through to the engine until ctx is done, then drains.
func serve(ctx context.Context, c config, stderr io.Writer) error {
	log := c.log.Logger(stderr)
	cli, err := client.NewClientWithOpts(client.WithTLSClientConfigFromEnv(), client.WithHost(*c.engine), client.WithAPIVersionNegotiation())
	if err != nil {
		return settings.Errorf("engine", "cannot be used: %v", err)
	}
	defer cli.Close()
	g, err := newGate(cli, dockerexec.RequestsConfig{AllowedImages: *c.images, Network: *c.network, Runtimes: *c.runtimes}, log)
	if field, ok := errors.AsType[*ports.FieldError](err); ok {
		return settings.Errorf("docker-allowed-images", "%s", field.Problem)
	}
	if err != nil {
		return err
	}
	defer g.close()
	l, err := listen(ctx, *c.listen)
	if err != nil {
		return settings.Errorf("listen", "cannot listen: %v", err)
	}
	server := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		// No WriteTimeout: waiting for a container takes what it takes.
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	images := strings.Join(*c.images, ", ")
	if images == "" {
		images = "any"
	}
	log.Info("serving", "socket", *c.listen, "engine", *c.engine, "images", images, "network", *c.network)
	select {
	case err := <-failed:
		return fmt.Errorf("serving at %s: %w", *c.listen, err)
	case <-ctx.Done():
	}
	log.Info("draining; a second signal stops at once", "at_most_seconds", c.drain.Seconds())
	drain(context.WithoutCancel(ctx), g, server, *c.drain)
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving at %s: %w", *c.listen, err)
	}
	log.Info("stopped")
	return nil
}

// drain waits for calls and lines that are under way, and cuts them off when their time
// is over.
func drain(ctx context.Context, g *gate, server *http.Server, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close() // says the same
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.lines.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		g.cut()
		<-ended
	}
}

// healthTimeout is how long the gate and the engine may take to answer, which is less
// than what engines wait for their containers' checks.
const healthTimeout = 4 * time.Second

// health asks the engine through the gate whether it is there.
func health(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: dialSocket(socket)}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+engineHost+"/_ping", http.NoBody)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("asking the gate at %s: %w", socket, err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // the status says enough
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the gate at %s says %s: %s", socket, answer.Status, strings.TrimSpace(string(said)))
	}
	return nil
}

func dialSocket(path string) func(ctx context.Context, _, _ string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}
