package dockerexec

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mute is an engine that says what time it is, and after that nothing.
type mute struct{ client.APIClient }

func (mute) Info(context.Context) (system.Info, error) {
	return system.Info{SystemTime: time.Now().Format(time.RFC3339Nano)}, nil
}

func (mute) ImageImport(ctx context.Context, _ image.ImportSource, _ string, _ image.ImportOptions) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (mute) ContainerList(ctx context.Context, _ container.ListOptions) ([]container.Summary, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (mute) ImageList(ctx context.Context, _ image.ListOptions) ([]image.Summary, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestADeliveryThatDoesNotGetOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := depot{cli: mute{}, arch: "amd64", turn: make(chan struct{}, 1)}
		begin := time.Now()
		first := make(chan error)
		go func() {
			_, err := d.get(t.Context())
			first <- err
		}()
		synctest.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error)
		go func() {
			_, err := d.get(ctx)
			second <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-second, context.Canceled)
		assert.Equal(t, begin, time.Now(), "who waits for it can be cancelled")

		require.ErrorIs(t, <-first, context.DeadlineExceeded)
		assert.Equal(t, begin.Add(deliveryTimeout+cleanTimeout), time.Now(), "and it ends")
		d.volume = runnerVolume{"volume", "/volume"}
		v, err := d.get(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "volume", v.name)
	})
}
