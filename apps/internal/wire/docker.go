package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/ports"
)

// DockerConfig says which engine the Docker executor uses, and how. The zero value
// is good.
type DockerConfig struct {
	// Host is the engine's address: "unix:///var/run/docker.sock", "tcp://host:2376".
	// Default: that of DOCKER_HOST, or else the local engine's.
	Host string
	// AllowedImages are patterns of the images that languages may name. Default:
	// exactly those that the languages name.
	AllowedImages []string
	// Pull is one of PullPolicies. Default: missing images are pulled.
	Pull string
	// Runtime is the OCI runtime, Network the Docker network of tasks that ask for
	// one. Default: the engine's own runtime, and no network.
	Runtime, Network string
	// Pool is how many containers are kept ready for each image. Default: twice the
	// number of the engine's processors; negative: none.
	Pool int
}

// PullPolicies lists what DockerConfig.Pull can be, the default first.
func PullPolicies() []string {
	return []string{string(dockerexec.PullMissing), string(dockerexec.PullNever), string(dockerexec.PullAlways)}
}

// dockerConfig is what cfg says to the Docker executor. Its languages and its
// policy's default limits are complete.
func dockerConfig(cfg Config) dockerexec.Config {
	d := cfg.Docker
	if len(d.AllowedImages) == 0 {
		d.AllowedImages = imagesOf(cfg.Languages)
	}
	warm := cfg.Languages
	if d.Pool < 0 && cfg.Executor == ExecutorDocker {
		// Without a pool they only say what a check tries, and there the first task is
		// as good as a trial.
		warm = nil
	}
	c := dockerexec.Config{
		AllowedImages: d.AllowedImages,
		Pull:          dockerexec.PullPolicy(d.Pull),
		Runtime:       d.Runtime,
		Network:       d.Network,
		Pool:          d.Pool,
		Limits:        cfg.Policy.Default,
		Warm:          warm,
	}
	if cfg.Notify != nil {
		c.Progress = (&pulls{tell: cfg.Notify}).progress
	}
	return c
}

// imagesOf returns the images that languages name, each once.
func imagesOf(languages []ports.Language) []string {
	var images []string
	for _, l := range languages {
		if l.Image != "" && !slices.Contains(images, l.Image) {
			images = append(images, l.Image)
		}
	}
	return images
}

// dockerClient returns a client of the engine at host or, if that is "", of the one
// that DOCKER_HOST and the other variables of Docker's own tools describe. It does
// not connect yet. A host that cannot be used is a *ports.FieldError for
// "docker_host". Whoever calls this closes the client.
func dockerClient(host string) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	switch {
	case strings.HasPrefix(host, "unix://"), strings.HasPrefix(host, "npipe://"):
		// What the environment says of TLS is about another engine.
		opts = []client.Opt{client.WithHost(host), client.WithVersionFromEnv(), client.WithAPIVersionNegotiation()}
	case host != "":
		opts = append(opts, client.WithHost(host))
	}
	cli, err := client.NewClientWithOpts(opts...)
	if err == nil {
		err = checkScheme(cli.DaemonHost())
	}
	switch {
	case err == nil:
		return cli, nil
	case host != "":
		return nil, ports.Invalid("docker_host", "cannot be used: %v", err)
	}
	return nil, fmt.Errorf("using the Docker engine that DOCKER_HOST and its like describe: %w", err)
}

// checkScheme refuses addresses that the client would take and then not reach.
func checkScheme(host string) error {
	switch scheme, _, _ := strings.Cut(host, "://"); scheme {
	case "unix", "npipe", "tcp":
		return nil
	case "ssh":
		return errors.New("ssh:// is for Docker's own command; forward the engine's socket (ssh -L /run/engine.sock:/var/run/docker.sock HOST) and name it: unix:///run/engine.sock")
	default:
		return fmt.Errorf("%q is no address such as unix:///var/run/docker.sock or tcp://host:2376", host)
	}
}

// dockerExecutor is the adapter's, with the client that was opened for it.
type dockerExecutor struct {
	*dockerexec.Executor
	cli   *client.Client
	check *lately
}

// validateDocker refuses what newDocker would, without asking an engine: whatever comes
// before that does not look at the context.
func validateDocker(cfg Config) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := newDocker(ended, cfg); errors.Is(err, ports.ErrInvalid) {
		return err
	}
	return nil
}

func newDocker(ctx context.Context, cfg Config) (ports.Executor, error) {
	cli, err := dockerClient(cfg.Docker.Host)
	if err != nil {
		return nil, err
	}
	executor, err := dockerexec.New(ctx, cli, dockerConfig(cfg))
	if err != nil {
		return nil, errors.Join(err, cli.Close())
	}
	return &dockerExecutor{executor, cli, &lately{check: executor.Check}}, nil
}

// Check implements ports.Executor.
func (e *dockerExecutor) Check(ctx context.Context) error { return e.check.run(ctx) }

// Close implements ports.Executor.
func (e *dockerExecutor) Close(ctx context.Context) error {
	return errors.Join(e.Executor.Close(ctx), e.cli.Close())
}

// checkedFor is for how long a check that was passed counts.
const checkedFor = 10 * time.Second

// lately is a check that costs a container each time, so that one which was just
// passed counts for those who ask next: the worker at its start, and whoever wants
// to know over HTTP. It is safe for concurrent use.
type lately struct {
	check func(context.Context) error

	mu     sync.Mutex
	passed time.Time
}

func (l *lately) run(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.passed) < checkedFor {
		return nil
	}
	err := l.check(ctx)
	if err == nil {
		l.passed = time.Now()
	}
	return err
}

// probeDocker says why an engine cannot run every language of cfg at once: nil if
// it can, as far as its images tell.
func probeDocker(ctx context.Context, cfg Config) error {
	cli, err := dockerClient(cfg.Docker.Host)
	if err != nil {
		return err
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	missing, err := dockerexec.Missing(ctx, cli, dockerConfig(cfg))
	if err == nil && missing != nil {
		err = fmt.Errorf("the engine at %s lacks %s", cli.DaemonHost(), strings.Join(missing, ", "))
	}
	return err
}
