package dockerexec

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReleases(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]release{
		"1.2.5":                    {1, 2, 5, noCandidate, false},
		"v1.2.5-0-g59923ef":        {1, 2, 5, noCandidate, false},
		"1.0.0-rc95":               {1, 0, 0, 95, false},
		"1.4.0-rc.3":               {1, 4, 0, 3, false},
		"v1.4.0-rc.3-0-g8d4ef1e":   {1, 4, 0, 3, false},
		"1.1.5+ds1-1+deb12u1":      {1, 1, 5, noCandidate, true},
		"1.0.0~rc93+ds1-5+deb11u5": {1, 0, 0, 93, true},
		"1.1.12-0ubuntu2~22.04.1":  {1, 1, 12, noCandidate, true},
		"1.1.12-1.fc39":            {1, 1, 12, noCandidate, true},
		"v1.2.5-14-g59923ef":       {1, 2, 5, noCandidate, true},
		"1.3.0+dev":                {1, 3, 0, noCandidate, true},
		"1.2.0-rc.1+dev":           {1, 2, 0, 1, true},
	} {
		got, ok := parseRelease(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "1.2", "v", "ff819c7e9184c13b7c2607fe6c30ae19403a7aff", "1.2.3.4", "1.2.33333", "N/A", " 1.2.3", "5736abc.1.2"} {
		_, ok := parseRelease(text)
		assert.False(t, ok, text)
	}
}

func TestReleasesAreOrdered(t *testing.T) {
	t.Parallel()
	ascending := []string{"1.0.0-rc7", "1.0.0~rc93+ds1", "1.0.0-rc.95", "1.0.0", "1.0.3", "1.1.0", "1.1.12", "1.2.0-rc.1", "1.2.0", "1.10.0", "2.0.0"}
	for i := 1; i < len(ascending); i++ {
		a, _ := parseRelease(ascending[i-1])
		b, _ := parseRelease(ascending[i])
		assert.Negative(t, a.compare(b), "%s and %s", ascending[i-1], ascending[i])
		assert.Positive(t, b.compare(a), "%s and %s", ascending[i-1], ascending[i])
		assert.Zero(t, a.compare(a))
	}
}

func FuzzReleases(f *testing.F) {
	for _, text := range []string{"1.2.5", "v1.2.5-0-g59923ef", "1.1.5+ds1-1+deb12u1", "1.0.0~rc93+ds1", "1.4.0-rc.3", "", "1.2.3.4"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseRelease(text)
		if !ok {
			assert.Zero(t, r)
			return
		}
		again, ok := parseRelease(r.String())
		require.True(t, ok, r)
		assert.Zero(t, r.compare(again))
		assert.False(t, again.patched)
		for _, e := range escapes { // whatever it is, it can be judged
			assert.Equal(t, e.in(again), e.in(r))
		}
	})
}

func TestEscapesOfEveryBranch(t *testing.T) {
	t.Parallel()
	const (
		overwrite, exchange, leak, touch = "CVE-2019-5736", "CVE-2021-30465", "CVE-2024-21626", "CVE-2024-45310"
		null, console, labels            = "CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"
	)
	for text, want := range map[string][]string{
		"1.0.0-rc2":  {overwrite, exchange, touch, null, labels},
		"1.0.0-rc6":  {overwrite, exchange, touch, null, console, labels},
		"1.0.0-rc7":  {exchange, touch, null, console, labels},
		"1.0.0-rc93": {exchange, leak, touch, null, console, labels},
		"1.0.0-rc95": {leak, touch, null, console, labels},
		"1.0.3":      {leak, touch, null, console, labels},
		"1.1.11":     {leak, touch, null, console, labels},
		"1.1.12":     {touch, null, console, labels},
		"1.1.15":     {null, console, labels},
		"1.2.0-rc.2": {touch, null, console, labels},
		"1.2.7":      {null, console, labels},
		"1.2.8":      nil,
		"1.3.2":      {null, console, labels},
		"1.3.3":      nil,
		"1.4.0-rc.2": {null, console, labels},
		"1.4.0-rc.3": nil,
		"1.5.0-rc.1": nil,
		"2.0.0":      nil,
	} {
		r, ok := parseRelease(text)
		require.True(t, ok, text)
		var got []string
		for _, e := range escapes {
			if e.in(r) {
				got = append(got, e.cve)
			}
		}
		assert.Equal(t, want, got, text)
	}
}

func TestEnginesRuncIsJudged(t *testing.T) {
	t.Parallel()
	component := func(version, commit string) types.Version {
		return types.Version{Components: []types.ComponentVersion{{Name: "Engine", Version: "28.0.0"}, {Name: "runc", Version: version, Details: map[string]string{"GitCommit": commit}}}}
	}
	runtimes := map[string]system.RuntimeWithStatus{
		"runc": {Runtime: system.Runtime{Path: "runc"}}, "io.containerd.runc.v2": {Runtime: system.Runtime{Path: "runc"}},
		"debug": {Runtime: system.Runtime{Path: "/opt/debug/runc"}}, "kata": {Runtime: system.Runtime{Type: "io.containerd.kata.v2"}},
		"runsc": {Runtime: system.Runtime{Path: "/usr/bin/runsc"}},
	}
	for name, tt := range map[string]struct {
		version types.Version
		commit  string
		runtime string
		verdict Verdict
		detail  []string
		mend    string
	}{
		"a good one":                         {version: component("1.3.3", "v1.3.3-0-gd842d771"), detail: []string{"none is known of runc v1.3.3-0-gd842d771"}},
		"one with known escapes":             {version: component("1.2.5", "v1.2.5-0-g59923ef"), verdict: Warning, detail: []string{"runc v1.2.5-0-g59923ef has these:\nCVE-2025-31133: ", "\nCVE-2025-52881: "}, mend: "update the engine's runc to 1.2.8, 1.3.3, 1.4.0-rc.3 or later; until then, use only images that you trust"},
		"a distribution's, perhaps mended":   {version: component("1.1.5+ds1", "1.1.5+ds1-1+deb12u1"), verdict: Warning, detail: []string{"runc 1.1.5+ds1-1+deb12u1 has these, unless its distribution has mended them", "\nCVE-2024-21626: "}},
		"a distribution's that is very old":  {version: component("1.0.0~rc93+ds1", ""), verdict: Warning, detail: []string{"unless its distribution", "CVE-2021-30465"}},
		"a distribution's that is far older": {version: component("1.0.0~rc6+dfsg1", "1.0.0~rc6+dfsg1-3"), verdict: Failure, detail: []string{"is far too old: it has CVE-2019-5736"}},
		"one whose commit says nothing":      {version: component("1.3.4", "ff819c7e9184c13b"), detail: []string{"none is known of runc 1.3.4"}},
		"one that only Info tells of":        {commit: "v1.3.4-0-gd6d73eb8", detail: []string{"v1.3.4-0-gd6d73eb8"}},
		"one that nobody tells of":           {commit: "N/A", verdict: Warning, detail: []string{`does not say which runc it has ("N/A")`}},
		"another runtime":                    {version: component("1.0.0", ""), runtime: "runsc", detail: []string{"not known for the runtime runsc"}},
		"a shim by its type":                 {version: component("1.0.0", ""), runtime: "kata", detail: []string{"not known for the runtime kata"}},
		"runc by its shim":                   {version: component("1.2.5", ""), runtime: "io.containerd.runc.v2", verdict: Warning, detail: []string{"runc 1.2.5 has these"}},
		"another runc than the one told of":  {version: component("1.2.5", ""), runtime: "debug", detail: []string{"not known for the runtime debug"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info := system.Info{DefaultRuntime: "runc", Runtimes: runtimes, RuncCommit: system.Commit{ID: tt.commit}}
			f := checkEscapes(info, tt.version, tt.runtime)
			assert.Equal(t, tt.verdict, f.Verdict)
			for _, want := range tt.detail {
				assert.Contains(t, f.Detail, want)
			}
			assert.True(t, strings.HasPrefix(f.Mend, tt.mend), f.Mend)
			assert.Equal(t, f.Verdict == OK, f.Mend == "")
		})
	}
}
