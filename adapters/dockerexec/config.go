package dockerexec

import (
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Config says which images containers are made of, how they are limited and how
// many are kept ready. The zero value is good.
type Config struct {
	// AllowedImages are the images that a language may name: references as users
	// write them ("python:3.13-slim"), where "*" stands for any characters
	// ("registry.example.com/lab/*"). None: any image, since languages are the
	// operator's own.
	AllowedImages []string
	// Pull says when images are fetched. Default: PullMissing.
	Pull PullPolicy
	// Progress, if set, is told how a pull gets on, at most a few times a second.
	// It must be safe for concurrent use and quick.
	Progress func(PullProgress)
	// Runtime is the OCI runtime as the engine knows it ("runc", "crun", "runsc").
	// Default: the engine's own.
	Runtime string
	// Network is the Docker network of jobs that ask for one. Default: none, and
	// such jobs are refused. Everything that can be reached from that network can
	// be reached by strangers' programs.
	Network string
	// Pool is how many containers are kept ready for each image that is in use; at
	// most 512. Default: twice the number of the engine's processors; negative: none,
	// so that every task waits for its container.
	Pool int
	// Limits are those that containers are made with. A job with other limits of
	// CPU, memory or processes has them changed, which costs some milliseconds; one
	// with another Disk waits for a container of its own. Containers for timeouts of
	// up to an hour, two, four and so on are kept apart. Fields that are 0 have a
	// default: 1 CPU, 256 MiB of memory, 64 processes, 64 MiB of disk, a minute. Output
	// is not used.
	Limits ports.Limits
	// IdleTTL is how long containers of an image are kept ready after its last
	// task. Default: 10 minutes; at most 12 hours.
	IdleTTL time.Duration
	// Warm are languages whose containers are made ready from the start, if their
	// images are there; nothing is pulled for them.
	Warm []ports.Language
	// Name says on every container whose it is, for people who look. Default: the
	// host's name.
	Name string
	// ReapAfter is how long something that nobody uses any more must have been so
	// before the executor takes it for a dead worker's and removes it; see Reap.
	// Default: 5 minutes; at least 1.
	ReapAfter time.Duration
}

// PullPolicy says when an image is fetched from its registry.
type PullPolicy string

// The policies.
const (
	// PullNever uses images that are there, and refuses others.
	PullNever PullPolicy = "never"
	// PullMissing pulls an image that is not there, before its first task.
	PullMissing PullPolicy = "missing"
	// PullAlways pulls each image once, before its first task, also if it is there.
	PullAlways PullPolicy = "always"
)

// PullProgress is how far a pull has got.
type PullProgress struct {
	// Image is the reference that is pulled.
	Image string
	// Received and Total count bytes of all layers that are known by now; Total
	// grows while the engine learns of more of them, and is 0 until then.
	Received, Total int64
	// Done says that the pull has ended; Err is why it failed, nil if it did not.
	Done bool
	Err  error
}

// Stats counts what an executor did and has.
type Stats struct {
	// Warm and Cold count the jobs that found a container ready and those that had
	// to wait for one to be made; Updated those of either whose container had its
	// limits changed.
	Warm, Cold, Updated int64
	// Ready is how many containers wait for a job, Alive how many there are in all.
	Ready, Alive int
	// Failed counts containers that could not be made in advance, Leaked those that
	// could not be removed.
	Failed, Leaked int64
}
