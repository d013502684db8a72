package dockerexec

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/task-runner/task-runner/ports"
)

const (
	defaultReapGrace = 5 * time.Minute
	minReapGrace     = time.Minute
	// oldVolume is how old the volume of another version must be: while a fleet is
	// updated, workers of both run, and need theirs.
	oldVolume = 24 * time.Hour
)

// ReapOptions are how Reap goes about it. The zero value is good.
type ReapOptions struct {
	// Grace is for how long a thing must have been of no use. Default: 5 minutes;
	// less than 1 minute is ports.ErrInvalid, since a worker may take some time
	// between two steps.
	Grace time.Duration
	// DryRun finds out what would be removed, and removes nothing.
	DryRun bool
}

// Reaped is a thing that Reap removed, or would remove.
type Reaped struct {
	// Kind is "container", "image" or "volume".
	Kind string
	// ID is the engine's, whole; of a volume, its name.
	ID string
	// Name is for people; it may be empty.
	Name string
	// Why says why nobody needs it, as the rest of a sentence that starts with it.
	Why string
}

// Reap removes from an engine what workers that died have left there: containers
// that do not run, containers that run past the time by which their worker must
// have ended them, what a delivery of the supervisor was made with, and supervisors
// of other versions that no container has used and that are a day old. It knows
// them by their labels and touches nothing else, and nothing of a living worker.
//
// Ages are told by the engine's clock. Whatever cannot be understood stays. Workers
// may reap at the same time, each other's leftovers too: what somebody else has
// removed meanwhile, or taken into use again, is passed over.
//
// It returns what was removed together with the errors of all that could not be.
func Reap(ctx context.Context, cli client.APIClient, opts ReapOptions) ([]Reaped, error) {
	switch {
	case opts.Grace == 0:
		opts.Grace = defaultReapGrace
	case opts.Grace < minReapGrace:
		return nil, ports.Invalid("grace", "must be at least %s", minReapGrace)
	}
	clock, err := engineClock(ctx, cli)
	if err != nil {
		return nil, fmt.Errorf("reaping: %w", err)
	}
	s := &sweep{cli: cli, opts: opts, now: clock()}
	// What a container uses can only go after it.
	s.containers(ctx)
	s.images(ctx)
	s.volumes(ctx)
	if err := errors.Join(s.errs...); err != nil {
		return s.reaped, fmt.Errorf("reaping: %w", err)
	}
	return s.reaped, nil
}

type sweep struct {
	cli    client.APIClient
	opts   ReapOptions
	now    time.Time
	reaped []Reaped
	errs   []error
}

// fail notes an error, unless it says that somebody else was faster.
func (s *sweep) fail(err error, doing string, args ...any) {
	if !cerrdefs.IsNotFound(err) && !cerrdefs.IsConflict(err) {
		s.errs = append(s.errs, fmt.Errorf(doing+": %w", append(args, err)...))
	}
}

func (s *sweep) remove(what Reaped, remove func() error) {
	if !s.opts.DryRun {
		if err := remove(); err != nil {
			s.fail(err, "removing the %s %s", what.Kind, what.ID)
			return
		}
	}
	s.reaped = append(s.reaped, what)
}

func (s *sweep) containers(ctx context.Context) {
	all, err := s.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: labelled(labelRole)})
	if err != nil {
		s.fail(err, "listing containers")
	}
	for i := range all {
		if ctx.Err() != nil { // the error is noted
			return
		}
		c := &all[i]
		var why string
		switch c.Labels[labelRole] {
		case roleSandbox:
			why = s.sandbox(ctx, c)
		case roleRunner:
			why = s.expired(c.Labels)
		}
		if why == "" {
			continue
		}
		name := ""
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/")
		}
		s.remove(Reaped{"container", c.ID, name, why}, func() error {
			return s.cli.ContainerRemove(ctx, c.ID, container.RemoveOptions{
				RemoveVolumes: true,
				// One that did not run, and does now, is somebody's.
				Force: !idle(c.State),
			})
		})
	}
}

// sandbox says why nobody needs a container that is or was for a task; it is empty
// if somebody may.
func (s *sweep) sandbox(ctx context.Context, c *container.Summary) string {
	if !idle(c.State) {
		return s.expired(c.Labels)
	}
	since := time.Unix(c.Created, 0)
	if s.now.Sub(since) <= s.opts.Grace {
		return ""
	}
	now, err := s.cli.ContainerInspect(ctx, c.ID)
	if err != nil {
		s.fail(err, "looking at the container %s", c.ID)
		return ""
	}
	if now.State == nil || !idle(now.State.Status) {
		return ""
	}
	finished, err := time.Parse(time.RFC3339Nano, now.State.FinishedAt)
	if err != nil {
		return ""
	}
	if finished.After(since) { // it is the year 1 if it never ran
		since = finished
	}
	return s.past(since, "has not run for %s")
}

// idle reports whether a container in this state does not run and can be removed
// without force.
func idle(state container.ContainerState) bool {
	return state == container.StateCreated || state == container.StateExited || state == container.StateDead
}

// expired says for how long a thing with these labels has been of no use; it is
// empty if that is not longer than the grace, or if nothing says so.
func (s *sweep) expired(labels map[string]string) string {
	at, err := time.Parse(expiryFormat, labels[labelExpires])
	if err != nil {
		return ""
	}
	return s.past(at, "expired %s ago")
}

func (s *sweep) past(t time.Time, why string) string {
	age := s.now.Sub(t)
	if age <= s.opts.Grace {
		return ""
	}
	return fmt.Sprintf(why, age.Round(time.Second))
}

func (s *sweep) images(ctx context.Context) {
	all, err := s.cli.ImageList(ctx, image.ListOptions{Filters: labelled(labelRole + "=" + roleRunner)})
	if err != nil {
		s.fail(err, "listing images")
	}
	for _, i := range all {
		if ctx.Err() != nil {
			return
		}
		why := s.expired(i.Labels)
		if why == "" || i.Labels[labelRole] != roleRunner {
			continue
		}
		name := ""
		if len(i.RepoTags) > 0 {
			name = i.RepoTags[0]
		}
		s.remove(Reaped{"image", i.ID, name, why}, func() error {
			_, err := s.cli.ImageRemove(ctx, i.ID, image.RemoveOptions{PruneChildren: true})
			if err != nil {
				// An engine has several ways to say that somebody else was faster.
				if _, gone := s.cli.ImageInspect(ctx, i.ID); cerrdefs.IsNotFound(gone) {
					return nil
				}
			}
			return err
		})
	}
}

func (s *sweep) volumes(ctx context.Context) {
	current, err := currentVolumes()
	if err != nil {
		s.fail(err, "telling this version's volumes")
		return
	}
	unused := labelled(labelRole + "=" + roleRunner)
	unused.Add("dangling", "true")
	all, err := s.cli.VolumeList(ctx, volume.ListOptions{Filters: unused})
	if err != nil {
		s.fail(err, "listing volumes")
	}
	for _, v := range all.Volumes {
		if ctx.Err() != nil {
			return
		}
		made, err := time.Parse(time.RFC3339, v.CreatedAt)
		age := s.now.Sub(made)
		if err != nil || age <= max(oldVolume, s.opts.Grace) || current[v.Name] ||
			v.Labels[labelRole] != roleRunner || !strings.HasPrefix(v.Name, runnerPrefix) {
			continue
		}
		why := fmt.Sprintf("is of another version, unused and %s old", age.Round(time.Second))
		s.remove(Reaped{"volume", v.Name, v.Name, why}, func() error {
			return s.cli.VolumeRemove(ctx, v.Name, false) // a conflict if it is used
		})
	}
}

// currentVolumes are the volumes that executors of this version need.
func currentVolumes() (map[string]bool, error) {
	names := map[string]bool{}
	for _, arch := range arches {
		p, err := runnerPayload(arch)
		if err != nil {
			return nil, err
		}
		names[p.volume] = true
	}
	return names, nil
}

func labelled(label string) filters.Args { return filters.NewArgs(filters.Arg("label", label)) }
