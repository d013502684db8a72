package dockerexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"github.com/docker/go-units"

	"github.com/task-runner/task-runner/ports"
)

// Verdict says how bad a Finding is.
type Verdict int

// The verdicts.
const (
	// OK is a fact, and nothing has to be done.
	OK Verdict = iota
	// Warning is something that should be mended; tasks can run.
	Warning
	// Failure is something that keeps tasks, or those of a language, from running.
	Failure
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"ok", "warning", "failure"}[v]
}

// Finding is one answer of an examination, for people to read.
type Finding struct {
	// Name says what was looked at, in one or two words.
	Name string
	// Verdict says how bad it is.
	Verdict Verdict
	// Detail says what was found. Further lines are a list.
	Detail string
	// Mend says what to do, in one line; empty where there is nothing, or where Detail
	// says it.
	Mend string
	// Err is the cause of a Failure, for errors.Is: errors.ErrUnsupported where the
	// engine lacks something, ports.ErrInvalid where a setting is wrong.
	Err error
}

const (
	// registryTimeout bounds how long a registry may take to say whether it has an
	// image, trialTimeout how long the trial may take.
	registryTimeout = 10 * time.Second
	trialTimeout    = 2 * time.Minute
)

// lowDisk is how many bytes an engine should have free.
const lowDisk = 1 << 30

// Examine looks at an engine as an executor with this configuration would, and tells
// all that it finds: whether tasks can run, what should be mended and what shields
// the host. The images that are looked at are those of cfg.Warm. It pulls nothing;
// at the end, if nothing stands against it, it runs a program in a container. Tasks
// can run if no Finding is a Failure.
//
// It takes what the engine takes, at most some minutes, or until ctx is done. It may
// be called concurrently.
func Examine(ctx context.Context, cli client.APIClient, cfg Config) []Finding {
	return examine(ctx, cli, cfg, newTrial(cli, cfg))
}

func examine(ctx context.Context, cli client.APIClient, cfg Config, run trial) []Finding {
	x := &examination{cli: cli, cfg: cfg}
	var findings []Finding
	failed := false
	add := func(f Finding) {
		failed = failed || f.Verdict == Failure
		findings = append(findings, f)
	}
	for i, c := range requirements {
		add(c.run(ctx, x))
		if i == 0 && failed {
			return findings // nothing more can be known
		}
	}
	add(checkStorage(x.info))
	add(checkDisk(x.info, cli.DaemonHost(), freeBytes))
	add(shield(x.info))
	for _, w := range x.info.Warnings {
		add(Finding{Name: "warning", Verdict: Warning, Detail: "the engine says: " + oneLine(w)})
	}
	impossible := failed
	here, images := x.checkImages(ctx)
	for _, f := range images {
		add(f)
	}
	if impossible {
		add(Finding{Name: "trial", Verdict: Warning, Detail: "no task was tried, since something else has to be mended first"})
		return findings
	}
	add(try(ctx, here, run))
	return findings
}

// oneLine is an engine's warning without the word and its line breaks.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(s, "WARNING:")), " ")
}

func checkStorage(info system.Info) Finding {
	f := Finding{Name: "storage", Detail: "driver " + info.Driver}
	switch info.Driver {
	case "vfs":
		f.Verdict = Warning
		f.Detail += " copies the whole image for every container, which takes time and disk"
		f.Mend = `use overlay2 ("storage-driver" in the engine's daemon.json)`
	case "fuse-overlayfs":
		f.Verdict = Warning
		f.Detail += " shares no page of an image between containers: programs start slowly, and one that comes near its memory limit hardly gets on, so that it may end as timed out"
		f.Mend = `use overlay2 ("storage-driver" in the engine's daemon.json); a rootless engine has it from Linux 5.11 on`
	}
	return f
}

// checkDisk looks at the space that a local engine has for its images.
func checkDisk(info system.Info, host string, free func(dir string) (uint64, error)) Finding {
	f := Finding{Name: "disk", Detail: "unknown: the engine's files are not on this machine"}
	name, err := os.Hostname()
	if err != nil || name != info.Name || !strings.HasPrefix(host, "unix://") {
		return f
	}
	n, err := free(info.DockerRootDir)
	if err != nil {
		return f
	}
	f.Detail = fmt.Sprintf("%s free in %s", units.BytesSize(float64(n)), info.DockerRootDir)
	if n < lowDisk {
		f.Verdict = Warning
		f.Mend = "make room: images may not fit any more; docker system df shows what takes it"
	}
	return f
}

// shield says what stands between a task and the engine's host besides what every
// task's container has.
func shield(info system.Info) Finding {
	who := "the engine runs as root, and tasks as users of their own, without capabilities"
	switch {
	case hasSecurity(info, "rootless"):
		who = "the engine itself runs without root"
	case hasSecurity(info, "userns"):
		who = "root in containers is nobody outside (userns-remap)"
	}
	guard := "neither AppArmor nor SELinux"
	switch {
	case hasSecurity(info, "apparmor"):
		guard = "AppArmor"
	case hasSecurity(info, "selinux"):
		guard = "SELinux"
	}
	return Finding{Name: "shield", Detail: who + "; " + guard}
}

// checkImages looks for the images of the languages and returns those languages
// whose image is here. Registries are asked for the others, which is no pull.
func (x *examination) checkImages(ctx context.Context) (here []ports.Language, findings []Finding) {
	if err := checkAllowList(x.cfg.AllowedImages); err != nil {
		return nil, []Finding{{Name: "images", Verdict: Failure, Err: err, Detail: problem("--docker-allowed-images", err)}}
	}
	images := newImages(x.cli, x.cfg, goArch(x.info.Architecture))
	defer images.close()
	for _, l := range x.cfg.Warm {
		ok, err := has(ctx, images, l)
		if ok {
			here = append(here, l)
		}
		f := x.checkImage(ctx, l, ok, err)
		f.Name = "image of " + l.Name
		findings = append(findings, f)
	}
	return here, findings
}

// has reports whether the image of a language is here. The registries' slowness is
// no reason to take one for missing that is.
func has(ctx context.Context, images *images, l ports.Language) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	_, ok, err := images.present(ctx, l.Image)
	return ok, err
}

// problem is what err says, of the thing named if it is about a field.
func problem(of string, err error) string {
	if field, ok := errors.AsType[*ports.FieldError](err); ok {
		return of + " " + field.Problem
	}
	return err.Error()
}

// checkImage judges the image of a language, which is here, or not, or cannot be used
// at all.
func (x *examination) checkImage(ctx context.Context, l ports.Language, here bool, err error) Finding {
	ref := l.Image
	switch {
	case errors.Is(err, ports.ErrInvalid):
		return Finding{Verdict: Failure, Err: err, Detail: problem("the language", err), Mend: "give the language another image, or allow this one"}
	case err != nil:
		return Finding{Verdict: Failure, Err: err, Detail: err.Error()}
	case here && x.cfg.Pull != PullAlways:
		return Finding{Detail: ref + " is here"}
	case x.cfg.Pull == PullNever:
		return Finding{
			Verdict: Failure,
			Detail:  ref + " is not here, and --docker-pull=never fetches none",
			Mend:    "docker pull " + ref + ", or use --docker-pull=missing",
		}
	}
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	name, err := reference.ParseDockerRef(ref)
	if err == nil {
		_, err = x.cli.DistributionInspect(ctx, name.String(), "")
	}
	why := ""
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		why = fmt.Sprintf("its registry does not answer within %s", registryTimeout)
	case err != nil:
		why = strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	}
	switch {
	case err != nil && here:
		return Finding{
			Verdict: Failure, Err: err,
			Detail: fmt.Sprintf("%s is here, but --docker-pull=always fetches it again, and it cannot be had: %s", ref, why),
			Mend:   "use --docker-pull=missing, or let the engine reach the registry",
		}
	case err != nil:
		return Finding{
			Verdict: Failure, Err: err,
			Detail: fmt.Sprintf("%s is not here and cannot be had: %s", ref, why),
			Mend:   "docker pull " + ref + " shows what is wrong; docker load brings an image without a registry; a language may have another image",
		}
	case here:
		return Finding{Detail: ref + " is here, and is pulled again before its first task"}
	}
	return Finding{
		Verdict: Warning,
		Detail:  ref + " is not here; it is pulled before its first task, which waits for that",
		Mend:    "docker pull " + ref,
	}
}

// hello are programs that print "hello", by language.
var hello = map[string]string{
	"python":     `print("hello")`,
	"javascript": `console.log("hello")`,
	"bash":       `echo hello`,
}

// try runs a task in the first of the languages for which there is a program.
func try(ctx context.Context, languages []ports.Language, run trial) Finding {
	for _, l := range languages {
		code, ok := hello[l.Name]
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, trialTimeout)
		defer cancel()
		took, err := run(ctx, l, code)
		if err != nil {
			return Finding{Name: "trial", Verdict: Failure, Err: err, Detail: fmt.Sprintf("a task in %s did not run: %v", l.Name, err)}
		}
		return Finding{Name: "trial", Detail: fmt.Sprintf("a task in %s ran in %v, with a container made for it", l.Name, took.Round(time.Millisecond))}
	}
	return Finding{Name: "trial", Verdict: Warning, Detail: "no task was tried, since no built-in language has an image that is here and can be used"}
}
