package conformance

import (
	"io/fs"
	"path"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestIsolationJudgesProbes(t *testing.T) {
	t.Parallel()
	a := isoAttack{probes: []isoProbe{
		{names: "mount chroot", verdicts: "EPERM ENOSYS"},
		{names: "open:*", verdicts: "ENOENT"},
		{names: "open:null", verdicts: "OK"},
		{"forks", "EAGAIN", 2, 32},
	}}
	const good = "probe mount EPERM\nprobe chroot ENOSYS\nprobe open:mem ENOENT\nprobe open:null OK\nprobe forks EAGAIN 32\nanything else\n"
	exit := ports.Outcome{Cause: ports.CauseExit}
	require.Empty(t, a.judge(execRun{Outcome: exit, stdout: good}))

	for name, change := range map[string][2]string{
		"a hole":                    {"mount EPERM", "mount OK"},
		"another refusal":           {"chroot ENOSYS", "chroot EINVAL"},
		"one hole of several":       {"mount EPERM", "mount EPERM,OK"},
		"a hole behind a pattern":   {"open:mem ENOENT", "open:mem OK"},
		"a name before its pattern": {"open:null OK", "open:null ENOENT"},
		"a hang":                    {"mount EPERM", "mount HANG"},
		"too many":                  {"EAGAIN 32", "EAGAIN 33"},
		"too few":                   {"EAGAIN 32", "EAGAIN 1"},
		"no number":                 {"EAGAIN 32", "EAGAIN"},
		"a probe left out":          {"probe chroot ENOSYS\n", ""},
		"a pattern left out":        {"probe open:mem ENOENT\n", ""},
		"a probe that is repeated":  {"probe chroot ENOSYS\n", "probe chroot ENOSYS\nprobe chroot ENOSYS\n"},
		"a probe nobody knows":      {"anything else", "probe reboot EPERM"},
		"nothing at all":            {good, ""},
	} {
		r := execRun{Outcome: exit, stdout: strings.Replace(good, change[0], change[1], 1)}
		assert.NotEmpty(t, a.judge(r), name)
	}

	killed := ports.Outcome{Cause: ports.CauseOOM}
	assert.Empty(t, a.judge(execRun{Outcome: killed, stdout: "probe mount EPERM\n"}), "a program that was killed reports what it came to")
	assert.NotEmpty(t, a.judge(execRun{Outcome: killed, stdout: "probe mount OK\n"}))
}

func TestIsolationCatalogueIsWhole(t *testing.T) {
	t.Parallel()
	used := map[string]bool{"probe.py": true}
	names := map[string]bool{}
	for _, chapter := range isoCatalogue {
		for _, a := range chapter.attacks {
			assert.False(t, names[a.name], "%s is there twice", a.name)
			names[a.name] = true
			used[a.program] = true
			if a.followed != nil {
				used[a.followed.program] = true
			}
			if a.beside != "" {
				used[a.beside] = true
			}
			assert.NotEmpty(t, a.ends, a.name)
		}
	}
	programs, err := fs.Glob(isoPrograms, "attacks/*")
	require.NoError(t, err)
	for _, p := range programs {
		assert.True(t, used[path.Base(p)], "no attack uses %s", p)
		delete(used, path.Base(p))
	}
	assert.Empty(t, used, "these programs are missing")
}

// A probe with a wrong number would be refused everywhere, and prove nothing.
func TestIsolationCallNumbersAreTheKernels(t *testing.T) {
	t.Parallel()
	column, ok := map[string]int{"amd64": 1, "arm64": 2}[runtime.GOARCH]
	if runtime.GOOS != "linux" || !ok {
		t.Skip("the numbers are those of Linux on amd64 and arm64")
	}
	source, err := isoPrograms.ReadFile("attacks/probe.py")
	require.NoError(t, err)
	entries := regexp.MustCompile(`(?m)^    "(\w+)": \((\w+), (\w+)\),$`).FindAllStringSubmatch(string(source), -1)
	require.Greater(t, len(entries), 70)
	seen := map[string]bool{}
	for _, e := range entries {
		name, number := e[1], e[1+column]
		assert.False(t, seen[name], "%s is there twice", name)
		seen[name] = true
		if want, ok := isoCallNumbers[name]; ok {
			assert.Equal(t, strconv.Itoa(want), number, name)
		} else {
			assert.Equal(t, "None", number, "nothing is known of %s", name)
		}
	}
}
