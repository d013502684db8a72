package dockerexec

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/image"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/system"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// trials notes which trials are made, each of which ends with err.
type trials struct {
	made []string
	err  error
}

func (tr *trials) run(_ context.Context, l ports.Language, code string) (time.Duration, error) {
	tr.made = append(tr.made, l.Name+": "+code)
	return 30100 * time.Microsecond, tr.err
}

// language returns one whose image has the name of it.
func language(name string) ports.Language {
	return ports.Language{Name: name, Image: "docker.io/library/" + name + ":1"}
}

// of returns the finding of that name, which must be there once.
func of(t *testing.T, findings []Finding, name string) Finding {
	t.Helper()
	found := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Name != name })
	require.Len(t, found, 1, "%s in %+v", name, findings)
	return found[0]
}

func verdicts(findings []Finding) map[string]Verdict {
	all := map[string]Verdict{}
	for _, f := range findings {
		all[f.Name] = f.Verdict
	}
	return all
}

func TestAnExaminationOfAGoodEngine(t *testing.T) {
	t.Parallel()
	s, tr := newStandIn(t, engine28), new(trials)
	s.images["docker.io/library/bash:1"] = true
	s.version.Components, s.info.RuncCommit.ID = nil, "v1.3.4-0-gd6d73eb8"
	got := examine(t.Context(), s.client(t), Config{Warm: []ports.Language{language("bash")}}, tr.run)
	for _, f := range got {
		assert.Equal(t, OK, f.Verdict, "%+v", f)
		assert.Empty(t, f.Mend, "%+v", f)
		assert.NotEmpty(t, f.Detail, "%+v", f)
	}
	assert.Contains(t, of(t, got, "engine").Detail, "Docker Engine 28.5.1, API 1.51, at tcp://127.0.0.1:")
	assert.Equal(t, "linux/amd64, 8 processors, 31.3GiB of memory, kernel 6.8.0-60-generic", of(t, got, "platform").Detail)
	assert.Equal(t, "memory, swap, CPU and processes, by cgroup v2 with the driver systemd", of(t, got, "limits").Detail)
	assert.Equal(t, "driver overlay2", of(t, got, "storage").Detail)
	assert.Equal(t, "unknown: the engine's files are not on this machine", of(t, got, "disk").Detail)
	assert.Equal(t, "the engine runs as root, and tasks as users of their own, without capabilities; AppArmor", of(t, got, "shield").Detail)
	assert.Equal(t, "a task in bash ran in 30ms, with a container made for it", of(t, got, "trial").Detail)
	assert.Equal(t, []string{"bash: echo hello"}, tr.made)
	assert.Zero(t, s.asked, "registries have no business with images that are here")
}

func TestAnExaminationTellsWhatShouldBeMended(t *testing.T) {
	t.Parallel()
	s, tr := newStandIn(t, engine29), new(trials)
	s.images["docker.io/library/python:1"] = true
	s.info.Driver = "vfs"
	got := examine(t.Context(), s.client(t), Config{Warm: []ports.Language{language("python")}}, tr.run)
	assert.Equal(t, Warning, of(t, got, "storage").Verdict)
	assert.Contains(t, of(t, got, "storage").Mend, "overlay2")
	assert.Equal(t, "the engine itself runs without root; neither AppArmor nor SELinux", of(t, got, "shield").Detail)
	var said []string
	for _, f := range got {
		if f.Name == "warning" {
			assert.Equal(t, Warning, f.Verdict)
			said = append(said, f.Detail)
		}
	}
	assert.Equal(t, []string{"the engine says: No cpuset support", "the engine says: No io.weight support"}, said)
	assert.Equal(t, OK, of(t, got, "trial").Verdict, "warnings keep nothing from running")
}

func TestNothingIsTriedWhereTasksCannotRun(t *testing.T) {
	t.Parallel()
	s, tr := newStandIn(t, engine20), new(trials)
	s.images["docker.io/library/bash:1"] = true
	s.info.MemoryLimit, s.info.SecurityOptions = false, nil
	got := examine(t.Context(), s.client(t), Config{Warm: []ports.Language{language("bash")}}, tr.run)
	assert.Equal(t, Failure, of(t, got, "limits").Verdict)
	assert.Equal(t, Failure, of(t, got, "seccomp").Verdict, "all that is wrong is told, not the first alone")
	assert.Equal(t, OK, of(t, got, "image of bash").Verdict)
	assert.Equal(t, Warning, of(t, got, "trial").Verdict)
	assert.Empty(t, tr.made)
}

func TestATrialThatFails(t *testing.T) {
	t.Parallel()
	s, tr := newStandIn(t, engine28), &trials{err: os.ErrPermission}
	s.images["docker.io/library/bash:1"] = true
	got := examine(t.Context(), s.client(t), Config{Warm: []ports.Language{language("bash")}}, tr.run)
	f := of(t, got, "trial")
	assert.Equal(t, Failure, f.Verdict)
	assert.Equal(t, "a task in bash did not run: permission denied", f.Detail)
	assert.ErrorIs(t, f.Err, os.ErrPermission)
}

func TestTheTrialIsOfAnImageThatIsHere(t *testing.T) {
	t.Parallel()
	languages := []ports.Language{language("cobol"), language("python"), language("javascript")}
	s, tr := newStandIn(t, engine28), new(trials)
	s.images["docker.io/library/cobol:1"] = true
	s.images["docker.io/library/python:1"] = false
	s.images["docker.io/library/javascript:1"] = true
	examine(t.Context(), s.client(t), Config{Warm: languages}, tr.run)
	assert.Equal(t, []string{`javascript: console.log("hello")`}, tr.made)

	delete(s.images, "docker.io/library/javascript:1")
	got := examine(t.Context(), s.client(t), Config{Warm: languages}, tr.run)
	assert.Equal(t, Warning, of(t, got, "trial").Verdict)
	assert.Len(t, tr.made, 1)
}

func TestImagesAreLookedFor(t *testing.T) {
	t.Parallel()
	const ref = "docker.io/library/bash:1"
	here, elsewhere, nowhere := map[string]bool{ref: true}, map[string]bool{ref: false}, map[string]bool{}
	for name, tt := range map[string]struct {
		images  map[string]bool
		cfg     Config
		image   string
		verdict Verdict
		detail  string
		mend    string
		asked   int
	}{
		"one that is here":                            {images: here, detail: ref + " is here"},
		"one that is here, and nothing is pulled":     {images: here, cfg: Config{Pull: PullNever}, detail: ref + " is here"},
		"one that can be pulled":                      {images: elsewhere, verdict: Warning, detail: "is not here; it is pulled before its first task", mend: "docker pull " + ref, asked: 1},
		"one that cannot be pulled":                   {images: nowhere, verdict: Failure, detail: "is not here and cannot be had: ", mend: "docker load", asked: 1},
		"one that is not here, and nothing is pulled": {images: elsewhere, cfg: Config{Pull: PullNever}, verdict: Failure, detail: "--docker-pull=never", mend: "docker pull " + ref},
		"one that is here, and always pulled":         {images: here, cfg: Config{Pull: PullAlways}, detail: "is pulled again", asked: 1},
		"one that is not allowed":                     {images: here, cfg: Config{AllowedImages: []string{"python:*"}}, verdict: Failure, detail: `the language names the image "` + ref + `", which is not among the allowed images (--docker-allowed-images)`, mend: "allow this one"},
		"one whose name is none":                      {image: "Bash::", verdict: Failure, detail: "which is not a reference", mend: "another image"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, engine28)
			s.images = tt.images
			l := language("bash")
			if tt.image != "" {
				l.Image = tt.image
			}
			tt.cfg.Warm = []ports.Language{l}
			got := examine(t.Context(), s.client(t), tt.cfg, new(trials).run)
			f := of(t, got, "image of bash")
			assert.Equal(t, tt.verdict, f.Verdict)
			assert.Contains(t, f.Detail, tt.detail)
			assert.Contains(t, f.Mend, tt.mend)
			assert.Equal(t, tt.asked, s.asked)
		})
	}
}

func TestAnImageThatIsAlwaysPulledMustBeInItsRegistry(t *testing.T) {
	t.Parallel()
	x := &examination{cli: newStandIn(t, engine28).client(t), cfg: Config{Pull: PullAlways}}
	f := x.checkImage(t.Context(), ports.Language{Image: "bash:1"}, true, nil)
	assert.Equal(t, Failure, f.Verdict)
	assert.Contains(t, f.Detail, "bash:1 is here, but --docker-pull=always fetches it again, and it cannot be had")
}

func TestAPatternOfImagesThatIsNone(t *testing.T) {
	t.Parallel()
	cli := newStandIn(t, engine28).client(t)
	got := examine(t.Context(), cli, Config{AllowedImages: []string{""}}, new(trials).run)
	assert.Equal(t, Failure, of(t, got, "images").Verdict)
	assert.Contains(t, of(t, got, "images").Detail, `--docker-allowed-images has the pattern "": it is empty`)
}

// muteRegistries are of an engine that has images and hears nothing from registries.
type muteRegistries struct{ *fakeEngine }

func (muteRegistries) DistributionInspect(ctx context.Context, _, _ string) (registrytypes.DistributionInspect, error) {
	<-ctx.Done()
	return registrytypes.DistributionInspect{}, ctx.Err()
}

func TestARegistryThatHangsHidesNoImageThatIsHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newFake()
		e.put("docker.io/library/python:1", image.InspectResponse{ID: "sha256:1"})
		bash, python := language("bash"), language("python")
		x := &examination{cli: muteRegistries{e}, cfg: Config{Warm: []ports.Language{bash, python}}}
		here, got := x.checkImages(t.Context())
		assert.Equal(t, []ports.Language{python}, here)
		assert.Equal(t, bash.Image+" is not here and cannot be had: its registry does not answer within 10s", of(t, got, "image of bash").Detail)
		assert.Equal(t, OK, of(t, got, "image of python").Verdict)
	})
}

func TestTheDiskOfALocalEngine(t *testing.T) {
	t.Parallel()
	hostname, err := os.Hostname()
	require.NoError(t, err)
	const socket = "unix:///var/run/docker.sock"
	for name, tt := range map[string]struct {
		host, name string
		free       uint64
		err        error
		verdict    Verdict
		want       string
	}{
		"with room":                          {host: socket, name: hostname, free: 5 << 30, want: "5GiB free in /var/lib/docker"},
		"without":                            {host: socket, name: hostname, free: 1 << 20, verdict: Warning, want: "1MiB free in /var/lib/docker"},
		"on another machine":                 {host: "tcp://127.0.0.1:2376", name: hostname, free: 1, want: "unknown"},
		"behind a socket that was forwarded": {host: socket, name: "another", free: 1, want: "unknown"},
		"whose files are not to be seen":     {host: socket, name: hostname, err: errors.ErrUnsupported, want: "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := checkDisk(system.Info{Name: tt.name, DockerRootDir: "/var/lib/docker"}, tt.host, func(dir string) (uint64, error) {
				assert.Equal(t, "/var/lib/docker", dir)
				return tt.free, tt.err
			})
			assert.Equal(t, tt.verdict, f.Verdict)
			assert.Contains(t, f.Detail, tt.want)
		})
	}
}

func TestWhatShieldsTheHost(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]string{
		"name=seccomp,profile=builtin":         "as users of their own, without capabilities; neither",
		"name=apparmor name=userns":            "(userns-remap); AppArmor",
		"name=selinux":                         "without capabilities; SELinux",
		"name=rootless name=selinux name=nope": "without root; SELinux",
	} {
		f := shield(system.Info{SecurityOptions: strings.Fields(options)})
		assert.Equal(t, OK, f.Verdict)
		assert.Contains(t, f.Detail, want)
	}
}

func TestAnExaminationOfTheRealEngine(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	languages := testenv.Languages(t, cli)
	got := Examine(t.Context(), cli, Config{Warm: []ports.Language{languages.Bash, languages.Python}})
	for _, f := range got {
		assert.NotEqual(t, Failure, f.Verdict, "%+v", f)
	}
	assert.Equal(t, OK, verdicts(got)["trial"])
	assert.Contains(t, of(t, got, "trial").Detail, "a task in bash ran")
}

func TestATrialWhoseProgramGoesWrong(t *testing.T) {
	t.Parallel()
	cli := testenv.Docker(t)
	_, err := newTrial(cli, Config{})(t.Context(), testenv.Languages(t, cli).Bash, "echo oh no >&2; exit 3")
	assert.ErrorContains(t, err, `ended by exit with code 3`)
	assert.ErrorContains(t, err, "oh no")
}
