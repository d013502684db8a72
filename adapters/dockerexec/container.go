package dockerexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/task-runner/task-runner/internal/runner"
)

const (
	// makeTimeout bounds the making of a container, on a machine that is very busy.
	makeTimeout = time.Minute
	// takeDownTimeout bounds one try to remove one, and takeDownTries how often it is
	// tried before that is left to Reap.
	takeDownTimeout = 30 * time.Second
	takeDownTries   = 3
	takeDownPause   = time.Second
	// dismissTimeout is how long a supervisor may take to end by itself.
	dismissTimeout = time.Second
	// restTTL is how long a container waits for a task at most.
	restTTL = 12 * time.Hour
)

// sandbox is a container whose supervisor waits for the one task that it is for.
type sandbox struct {
	x *Executor
	// id is its ID, and its name until that is known: it is removed also where the
	// engine's answer to its making does not arrive.
	id      string
	path    string // PATH of the image's environment
	made    time.Time
	limits  limits
	ready   runner.Ready
	session *runner.Session
	// attached is the connection that carries stdin, stdout and stderr.
	attached types.HijackedResponse
	// words is the end of what the supervisor wrote on stderr: why it gave up.
	words tail
	// hungUp is closed when nothing more comes from the container.
	hungUp chan struct{}
	killed bool // by kill; discard comes after it
}

// errNotStarted says that the engine could not make a container, or start it, of
// what it was told.
var errNotStarted = errors.New("the container did not start")

// newSandbox makes a container and waits until its supervisor is ready.
func (x *Executor) newSandbox(ctx context.Context, k kind) (*sandbox, error) {
	s, err := x.tryNewSandbox(ctx, k)
	if errors.Is(err, errNotStarted) && ctx.Err() == nil {
		// Somebody may have removed the volume that the supervisor is in: the engine
		// then makes an empty one without a word.
		x.depot.forget()
		s, err = x.tryNewSandbox(ctx, k)
	}
	return s, err
}

func (x *Executor) tryNewSandbox(ctx context.Context, k kind) (_ *sandbox, err error) {
	b, err := x.blueprint(ctx, k)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	s := &sandbox{x: x, id: b.name, path: b.path, made: time.Now(), limits: b.limits, hungUp: make(chan struct{})}
	x.alive.Add(1)
	defer func() {
		if err != nil {
			s.discard()
		}
	}()
	if err := s.create(ctx, b); err != nil {
		return nil, err
	}
	if err := s.attach(ctx); err != nil {
		return nil, err
	}
	if err := x.cli.ContainerStart(ctx, s.id, container.StartOptions{}); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotStarted, err)
	}
	if s.ready, err = s.session.Ready(ctx); err != nil {
		s.kill()
		return nil, s.explain(err)
	}
	x.learn(s.ready)
	return s, nil
}

// create makes the container.
func (s *sandbox) create(ctx context.Context, b *blueprint) error {
	config, host := b.configs()
	ctx, cancel := linger(ctx)
	defer cancel()
	made, err := s.x.cli.ContainerCreate(ctx, config, host, nil, nil, b.name)
	switch {
	case cerrdefs.IsInvalidArgument(err):
		// As when the supervisor's volume, of which one file is mounted by its path,
		// has gone.
		return fmt.Errorf("%w: %w", errNotStarted, err)
	case cerrdefs.IsNotFound(err):
		s.x.images.forget(b.image)
		return fmt.Errorf("making a container of the image %q: %w", b.image, err)
	case err != nil:
		return fmt.Errorf("making a container: %w", err)
	}
	if dropped := ofLimits(made.Warnings); dropped != nil {
		return fmt.Errorf("making a container: the engine cannot make it as it must be: %s", strings.Join(dropped, "; "))
	}
	s.id = made.ID
	return nil
}

// ofLimits returns an engine's warnings of a container's limits, which are all that it
// has but one: engines say so when they drop a limit. Of a host that forwards no packets
// they warn whenever limits are changed, also where there is no network at all.
func ofLimits(warnings []string) (dropped []string) {
	for _, w := range warnings {
		if !strings.HasPrefix(w, "IPv4 forwarding is disabled") {
			dropped = append(dropped, w)
		}
	}
	return dropped
}

// lingering is how long an engine may take to make a container that nobody wants any
// more.
const lingering = 5 * time.Second

// linger returns a context that ends some time after ctx: an engine goes on making
// what it was asked for, and what it has not made cannot be removed.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lingering, cancel) })
	return later, func() { stop(); cancel() }
}

// attach connects to the container before it starts, so that nothing is missed.
func (s *sandbox) attach(ctx context.Context) error {
	attached, err := attachTo(ctx, s.x.cli, s.id)
	if err != nil {
		return fmt.Errorf("attaching to the container: %w", err)
	}
	s.attached = attached
	frames, fromContainer := io.Pipe()
	s.session = runner.NewSession(toContainer{attached}, fromSupervisor{frames, attached})
	s.x.readers.Go(func() {
		defer close(s.hungUp)
		_, err := stdcopy.StdCopy(fromContainer, &s.words, attached.Reader)
		fromContainer.CloseWithError(err) // nil is the end of file
	})
	return nil
}

// attachTo attaches to a container. Once the client is connected it heeds no context:
// an engine that does not answer is left to itself, and what it answers too late is
// closed.
func attachTo(ctx context.Context, cli client.APIClient, id string) (types.HijackedResponse, error) {
	type answer struct {
		attached types.HijackedResponse
		err      error
	}
	answered := make(chan answer)
	go func() {
		attached, err := cli.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
		select {
		case answered <- answer{attached, err}:
		case <-ctx.Done():
			if err == nil {
				attached.Close()
			}
		}
	}()
	select {
	case a := <-answered:
		return a.attached, a.err
	case <-ctx.Done():
		return types.HijackedResponse{}, ctx.Err()
	}
}

// toContainer is the way to the supervisor's stdin.
type toContainer struct{ types.HijackedResponse }

func (c toContainer) Write(p []byte) (int, error) { return c.Conn.Write(p) }
func (c toContainer) Close() error                { return c.CloseWrite() }

// fromSupervisor is its stdout. Nothing may stay connected that does not read: the
// engine would wait for it with whatever it does to the container, killing it
// included.
type fromSupervisor struct {
	*io.PipeReader
	attached types.HijackedResponse
}

func (f fromSupervisor) Close() error {
	f.attached.Close()
	return f.PipeReader.Close()
}

// kill ends every process of the container and returns when none is left, or when
// the engine did not say so for a while.
func (s *sandbox) kill() {
	s.killed = true
	s.hangUp()
	_ = s.remove() // discard tries again, and counts
}

// discard removes the container behind the caller's back. Close waits for it.
func (s *sandbox) discard() {
	s.x.takeDowns.Go(func() {
		s.dismiss()
		if err := s.remove(); err != nil {
			s.x.leaked(s.id)
		}
		s.x.alive.Add(-1)
	})
}

// dismiss lets the supervisor end by itself, as it does when its stdin is closed: that
// costs an engine less than killing it. One that does not is left to remove.
func (s *sandbox) dismiss() {
	defer s.hangUp()
	if s.session == nil || s.killed {
		return
	}
	_ = s.attached.CloseWrite()
	late := time.NewTimer(dismissTimeout)
	defer late.Stop()
	select {
	case <-s.hungUp:
	case <-late.C:
		return
	}
	// The engine closes the line a moment before it knows that the container ended.
	ctx, cancel := context.WithTimeout(context.Background(), dismissTimeout)
	defer cancel()
	_ = s.x.await(ctx, s.id, container.WaitConditionNotRunning) // remove says what is wrong
}

// hangUp closes the line to the supervisor, which then ends.
func (s *sandbox) hangUp() {
	if s.session != nil {
		_ = s.session.Close()
	}
}

// remove removes the container, also if it runs. One that is not there has been.
func (s *sandbox) remove() (err error) {
	for try := range takeDownTries {
		if try > 0 {
			<-time.After(takeDownPause) // the engine may be about to start again
		}
		ctx, cancel := context.WithTimeout(context.Background(), takeDownTimeout)
		err = s.x.tryRemove(ctx, s.id)
		cancel()
		if err == nil {
			break
		}
	}
	return err
}

// tryRemove removes a container, also if it runs, and also if it is gone.
func (x *Executor) tryRemove(ctx context.Context, id string) error {
	err := x.cli.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if cerrdefs.IsConflict(err) {
		// An earlier try took longer than it was waited for, and is still under way.
		err = x.await(ctx, id, container.WaitConditionRemoved)
	}
	if err == nil || cerrdefs.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("removing container %s: %w", id, err)
}

// await waits until a container is as the condition says.
func (x *Executor) await(ctx context.Context, id string, condition container.WaitCondition) error {
	reached, failed := x.cli.ContainerWait(ctx, id, condition)
	select {
	case end := <-reached:
		if end.Error != nil {
			return errors.New(end.Error.Message)
		}
		return nil
	case err := <-failed:
		return err
	}
}

// healthy reports whether the supervisor still waits, and has not done so for too
// long.
func (s *sandbox) healthy() bool {
	select {
	case <-s.hungUp:
		return false
	default:
		return time.Since(s.made) < restTTL
	}
}

// explain adds the supervisor's last words to an error.
func (s *sandbox) explain(err error) error {
	if words := s.words.String(); words != "" {
		return fmt.Errorf("%w (the supervisor's last words: %q)", err, words)
	}
	return err
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	last []byte
}

const tailSize = 2048

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p[max(0, len(p)-tailSize):]...)
	t.last = t.last[max(0, len(t.last)-tailSize):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.last)
}
