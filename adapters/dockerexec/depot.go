package dockerexec

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/client"
)

// runnerVolume is the volume with the supervisor.
type runnerVolume struct {
	name string
	// folder is where the engine's host has it.
	folder string
}

// deliveryTimeout bounds a delivery, which may have to wait for another worker's.
const deliveryTimeout = 3 * time.Minute

// depot has the volume with the supervisor put into the engine when it is first
// needed. It is safe for concurrent use.
type depot struct {
	cli  client.APIClient
	arch string

	turn chan struct{} // has one element while somebody delivers

	mu     sync.Mutex
	volume runnerVolume // zero if it has to be looked after
}

func (d *depot) get(ctx context.Context) (runnerVolume, error) {
	if v, ok := d.known(); ok {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return runnerVolume{}, fmt.Errorf("waiting for the supervisor's volume: %w", ctx.Err())
	}
	if v, ok := d.known(); ok { // somebody else was faster
		return v, nil
	}
	name, err := deliver(ctx, d.cli, d.arch)
	if err != nil {
		return runnerVolume{}, err
	}
	info, err := d.cli.VolumeInspect(ctx, name)
	if err != nil {
		return runnerVolume{}, fmt.Errorf("looking at the supervisor's volume: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.volume = runnerVolume{name, info.Mountpoint}
	return d.volume, nil
}

func (d *depot) known() (runnerVolume, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.volume, d.volume.name != ""
}

// forget says that the volume may not be what it should be.
func (d *depot) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.volume = runnerVolume{}
}
