package dockerexec

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

func TestAnEngineThatDoesNotAnswerAnAttachHoldsUpNobody(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	asked, heard := make(chan struct{}), make(chan error)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			heard <- err
			return
		}
		defer func() { _ = conn.Close() }()
		r := bufio.NewReader(conn)
		if _, err = http.ReadRequest(r); err != nil {
			heard <- err
			return
		}
		close(asked)
		if err := <-heard; err != nil {
			return
		}
		_, err = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		if err == nil {
			_, err = r.ReadByte()
		}
		heard <- err
	}()
	cli, err := client.NewClientWithOpts(client.WithHost("tcp://"+listener.Addr().String()), client.WithVersion(minAPI))
	require.NoError(t, err)
	defer func() { _ = cli.Close() }()

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err = attachTo(ctx, cli, "container")
	require.ErrorIs(t, err, context.Canceled)
	heard <- nil // now it answers
	assert.ErrorIs(t, <-heard, io.EOF, "what is answered too late is hung up on")
}

// stuck is an engine that takes for ever to change a container's limits, or to show an
// image.
type stuck struct{ client.APIClient }

func (stuck) ContainerUpdate(ctx context.Context, _ string, _ container.UpdateConfig) (container.UpdateResponse, error) {
	<-ctx.Done()
	return container.UpdateResponse{}, ctx.Err()
}

func TestAnEngineThatDoesNotChangeLimitsIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sandbox{x: &Executor{cli: stuck{}, engine: engine{CPUs: 1}}, ready: runner.Ready{Threads: 6}}
		start := time.Now()
		err := s.fit(t.Context(), ports.Job{Spec: ports.Spec{Limits: ports.Limits{CPU: 1, Memory: 1 << 20, PIDs: 1}}}, &runner.Request{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, updateTimeout, time.Since(start))
	})
}

func (stuck) ImageInspect(ctx context.Context, _ string, _ ...client.ImageInspectOption) (image.InspectResponse, error) {
	<-ctx.Done()
	return image.InspectResponse{}, ctx.Err()
}

func TestAnEngineThatDoesNotShowAnImageIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		images := newImages(stuck{}, Config{}, "amd64")
		defer images.close()
		start := time.Now()
		_, err := images.get(t.Context(), "python:3")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, inspectTimeout, time.Since(start))
	})
}

func TestACallMayLingerBeyondItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		later, done := linger(ctx)
		defer done()
		assert.Equal(t, "value", later.Value(key{}))
		start := time.Now()
		cancel()
		synctest.Wait()
		assert.NoError(t, later.Err())
		<-later.Done()
		assert.Equal(t, lingering, time.Since(start))
	})
	t.Run("and ends when it is done", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			later, done := linger(ctx)
			done()
			require.ErrorIs(t, later.Err(), context.Canceled)
			require.NoError(t, ctx.Err())
			cancel()
			synctest.Wait()
		})
	})
}

// rigid is an engine that removes nothing, until it does.
type rigid struct {
	client.APIClient
	err   error
	tries int
}

func (r *rigid) ContainerRemove(context.Context, string, container.RemoveOptions) error {
	r.tries++
	return r.err
}

func TestAContainerThatCannotBeRemovedIsTriedAgainByClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &rigid{err: errors.New("busy")}
		x := &Executor{cli: e}
		x.alive.Add(1)
		s := &sandbox{x: x, id: "one"}
		s.discard()
		x.takeDowns.Wait()
		assert.Equal(t, takeDownTries, e.tries)
		assert.EqualValues(t, 1, x.leaks.Load())
		assert.Zero(t, x.alive.Load())
		err := x.removeLeft()
		assert.ErrorContains(t, err, "removing container one: busy")
		e.err = nil
		assert.NoError(t, x.removeLeft())
	})
}

// slow is an engine that takes a minute to remove a container, and meanwhile refuses
// to remove it again.
type slow struct {
	client.APIClient
	begun time.Time
	end   *container.WaitExitError // of the removal
}

const slowly = time.Minute

func (s *slow) ContainerRemove(ctx context.Context, _ string, _ container.RemoveOptions) error {
	if !s.begun.IsZero() {
		return cerrdefs.ErrConflict.WithMessage("removal is already in progress")
	}
	s.begun = time.Now()
	<-ctx.Done()
	return ctx.Err()
}

func (s *slow) ContainerWait(ctx context.Context, _ string, until container.WaitCondition) (<-chan container.WaitResponse, <-chan error) {
	gone, failed := make(chan container.WaitResponse, 1), make(chan error, 1)
	if until != container.WaitConditionRemoved {
		failed <- errors.New("this says nothing of its removal")
		return gone, failed
	}
	go func() {
		select {
		case <-time.After(time.Until(s.begun.Add(slowly))):
			gone <- container.WaitResponse{Error: s.end}
		case <-ctx.Done():
			failed <- ctx.Err()
		}
	}()
	return gone, failed
}

func TestARemovalThatTakesLongIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  *container.WaitExitError
		want string
	}{
		"until the container is gone":         {},
		"and is none where the removal fails": {end: &container.WaitExitError{Message: "busy"}, want: "removing container one: busy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &sandbox{x: &Executor{cli: &slow{end: c.end}}, id: "one"}
				begun := time.Now()
				err := s.remove()
				assert.GreaterOrEqual(t, time.Since(begun), slowly)
				if c.want == "" {
					assert.NoError(t, err)
					return
				}
				assert.ErrorContains(t, err, c.want)
			})
		})
	}
}

func TestOnlyTheEndOfTheLastWordsIsKept(t *testing.T) {
	t.Parallel()
	var words tail
	for range 100 {
		n, err := words.Write([]byte(strings.Repeat("x", 3*tailSize/2)))
		require.NoError(t, err)
		assert.Equal(t, 3*tailSize/2, n)
		_, _ = words.Write([]byte("end"))
	}
	assert.Len(t, words.String(), tailSize)
	assert.True(t, strings.HasSuffix(words.String(), "xend"))
	assert.LessOrEqual(t, cap(words.last), 8*tailSize)
}
