package dockerexec

import (
	"context"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
)

// engineTimeout bounds how long an engine may take for its first answers, all
// together.
const engineTimeout = 10 * time.Second

// engine is what is known of an engine that can run tasks.
type engine struct {
	// Arch is the architecture of its containers, as Go names it.
	Arch string
	// CPUs and Memory, in bytes, are what all its containers have together.
	CPUs   int
	Memory int64
	// CgroupVersion is "1" or "2".
	CgroupVersion string
	// UserNS: containers have user IDs of a namespace, below 65,536.
	UserNS bool
	// ahead is by how much its clock is ahead of this machine's, about.
	ahead time.Duration
}

// now returns the time by the engine's clock, which labels are written by.
func (e engine) now() time.Time { return time.Now().Add(e.ahead) }

// checkEngine asks an engine whether it can run tasks and enforce every limit. Its
// error is the first thing to mend, in one sentence, and matches errors.ErrUnsupported
// where the engine lacks something, ports.ErrInvalid where a setting is wrong, and
// else what the client said. Nothing in the engine is changed.
func checkEngine(ctx context.Context, cli client.APIClient, cfg Config) (engine, error) {
	x := &examination{cli: cli, cfg: cfg}
	for _, c := range requirements {
		if f := c.run(ctx, x); f.Verdict == Failure {
			return engine{}, &refusal{f}
		}
	}
	return engine{
		Arch:          goArch(x.info.Architecture),
		CPUs:          x.info.NCPU,
		Memory:        x.info.MemTotal,
		CgroupVersion: cgroupVersion(x.info),
		UserNS:        hasSecurity(x.info, "userns") || hasSecurity(x.info, "rootless"),
		ahead:         x.ahead,
	}, nil
}

// refusal is a Failure as an error.
type refusal struct{ finding Finding }

func (r *refusal) Error() string {
	if r.finding.Mend == "" {
		return r.finding.Detail
	}
	return r.finding.Detail + "; " + r.finding.Mend
}

func (r *refusal) Unwrap() error { return r.finding.Err }

// examination is one look at an engine. Its requirements are checked on what the
// first of them, checkContact, has learnt.
type examination struct {
	cli     client.APIClient
	cfg     Config
	info    system.Info
	version types.Version
	ahead   time.Duration
}

// check is one question.
type check struct {
	name string
	ask  func(context.Context, *examination) Finding
}

func (c check) run(ctx context.Context, x *examination) Finding {
	f := c.ask(ctx, x)
	f.Name = c.name
	return f
}

// requirements are what every executor needs of its engine, each answered at once.
var requirements = []check{
	{"engine", checkContact},
	{"platform", func(_ context.Context, x *examination) Finding { return checkPlatform(x.info) }},
	{"limits", func(_ context.Context, x *examination) Finding { return checkLimits(x.info) }},
	{"seccomp", func(_ context.Context, x *examination) Finding { return checkSeccomp(x.info) }},
	{"runtime", func(_ context.Context, x *examination) Finding { return checkRuntime(x.info, x.cfg.Runtime) }},
	{"escapes", func(_ context.Context, x *examination) Finding {
		return checkEscapes(x.info, x.version, x.cfg.Runtime)
	}},
	{"network", checkNetwork},
}
