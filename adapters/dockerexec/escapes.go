package dockerexec

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
)

// escape is a known way out of containers that a version of runc has.
type escape struct {
	cve string
	// since is the first version that has it; the zero value: all.
	since release
	// fixed are the first versions without it, one for each branch that was mended,
	// ascending. Later branches never had it.
	fixed []release
	// what is what it takes and gives, as the rest of a sentence.
	what string
}

// escapes are the ways from a container, or from its image, to the host, newest
// last. Flaws of runc that give too little or that engines do not expose are not
// among them: CVE-2026-41579 writes nothing of use, by runc's own release notes, and
// CVE-2026-119101 needs checkpoints. Sources: the advisories and release notes at
// https://github.com/opencontainers/runc.
var escapes = []escape{
	{"CVE-2019-5736", release{}, []release{at("1.0.0-rc.7")},
		"a program that is root in its container overwrites runc itself"},
	{"CVE-2021-30465", release{}, []release{at("1.0.0-rc.95")},
		"containers that share a volume race with a mount, and get a folder of the host"},
	{"CVE-2024-21626", at("1.0.0-rc.93"), []release{at("1.1.12")},
		"an image whose work folder is an open file of runc starts in the host's files"},
	{"CVE-2024-45310", release{}, []release{at("1.1.14"), at("1.2.0-rc.3")},
		"containers that share a volume make runc create empty files and folders on the host"},
	{"CVE-2025-31133", release{}, []release{at("1.2.8"), at("1.3.3"), at("1.4.0-rc.3")},
		"a container that swaps its /dev/null while another one starts writes to the kernel's settings"},
	{"CVE-2025-52565", at("1.0.0-rc.3"), []release{at("1.2.8"), at("1.3.3"), at("1.4.0-rc.3")},
		"as before, by way of /dev/console"},
	{"CVE-2025-52881", release{}, []release{at("1.2.8"), at("1.3.3"), at("1.4.0-rc.3")},
		"containers that share a volume turn runc's writes to /proc on other files of the kernel, past AppArmor and SELinux"},
}

// hopeless is the escape of engines that nobody has mended for years.
const hopeless = "CVE-2019-5736"

func (e escape) in(r release) bool {
	if r.compare(e.since) < 0 {
		return false
	}
	for _, f := range e.fixed {
		if r.major == f.major && r.minor == f.minor {
			return r.compare(f) < 0
		}
	}
	return r.compare(e.fixed[len(e.fixed)-1]) < 0
}

// mended names the versions without it: "1.2.8, 1.3.3 or 1.4.0-rc.3, or later".
func (e escape) mended() string {
	last := len(e.fixed) - 1
	text := e.fixed[last].String() + " or later"
	for _, f := range slices.Backward(e.fixed[:last]) {
		text = f.String() + ", " + text
	}
	return text
}

// checkEscapes judges the runc that makes the containers. Engines tell of no other
// runtime than their default one.
func checkEscapes(info system.Info, version types.Version, runtime string) Finding {
	name := cmp.Or(runtime, info.DefaultRuntime)
	binary := info.Runtimes[name].Path
	known := name == info.DefaultRuntime || binary != "" && binary == info.Runtimes[info.DefaultRuntime].Path
	if !known || name != "runc" && path.Base(binary) != "runc" {
		return Finding{Detail: "not known for the runtime " + name}
	}
	text := runcVersion(info, version)
	r, ok := parseRelease(text)
	if !ok {
		return Finding{
			Verdict: Warning,
			Detail:  fmt.Sprintf("the engine does not say which runc it has (%q)", text),
			Mend:    "see runc --version on its host, and the advisories at https://github.com/opencontainers/runc/security",
		}
	}
	var found []escape
	for _, e := range escapes {
		if e.in(r) {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return Finding{Detail: fmt.Sprintf("none is known of runc %s", text)}
	}
	f := Finding{Verdict: Warning, Mend: "update the engine's runc to " + found[len(found)-1].mended() + "; until then, use only images that you trust"}
	switch {
	case found[0].cve == hopeless:
		f.Verdict, f.Err = Failure, errors.ErrUnsupported
		f.Detail = fmt.Sprintf("runc %s is far too old: it has %s (%s), and all that was found since", text, found[0].cve, found[0].what)
		return f
	case r.patched:
		f.Detail = fmt.Sprintf("runc %s has these, unless its distribution has mended them, which the package's changelog tells:", text)
	default:
		f.Detail = fmt.Sprintf("runc %s has these:", text)
	}
	for _, e := range found {
		f.Detail += "\n" + e.cve + ": " + e.what
	}
	return f
}

// runcVersion returns the version of runc as the engine writes it, preferably with
// what a distribution adds: "1.1.5+ds1-1+deb12u1", "v1.2.5-0-g59923ef". Engines give
// it in up to three places, of which some hold a bare commit.
func runcVersion(info system.Info, version types.Version) string {
	texts := []string{info.RuncCommit.ID}
	for _, c := range version.Components {
		if c.Name == info.DefaultRuntime {
			texts = append([]string{c.Details["GitCommit"], c.Version}, texts...)
		}
	}
	for _, text := range texts {
		if _, ok := parseRelease(text); ok {
			return text
		}
	}
	return cmp.Or(texts...)
}

// release is a version of runc. The zero value is before all others.
type release struct {
	major, minor, patch int
	// candidate is the number of a release candidate, or noCandidate.
	candidate int
	// patched says that something was added to what has this number, so that it may
	// have fixes of later ones.
	patched bool
}

// noCandidate is the candidate of a release itself.
const noCandidate = math.MaxInt

// at returns the release that text names.
func at(text string) release {
	r, ok := parseRelease(text)
	if !ok {
		panic("dockerexec: no release: " + text)
	}
	return r
}

var (
	// releaseForm is X.Y.Z with a candidate as runc ("-rc95", "-rc.3") or a
	// distribution ("~rc93") writes it, and whatever a packager adds.
	releaseForm = regexp.MustCompile(`^v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-~]rc\.?(\d{1,4}))?(?:([^0-9.].*))?$`)
	// untouchedForm is what "git describe" adds at the very commit of a version.
	untouchedForm = regexp.MustCompile(`^(-0-g[0-9a-f]+)?$`)
)

// parseRelease reads a version as an engine reports it. It is false for anything
// else, such as a bare commit.
func parseRelease(text string) (release, bool) {
	m := releaseForm.FindStringSubmatch(text)
	if m == nil {
		return release{}, false
	}
	number := func(s string) int {
		n, _ := strconv.Atoi(s) // a few digits
		return n
	}
	r := release{major: number(m[1]), minor: number(m[2]), patch: number(m[3]), candidate: noCandidate}
	if m[4] != "" {
		r.candidate = number(m[4])
	}
	r.patched = !untouchedForm.MatchString(m[5])
	return r, true
}

// compare orders releases; what was added to one does not count.
func (r release) compare(o release) int {
	return cmp.Or(cmp.Compare(r.major, o.major), cmp.Compare(r.minor, o.minor),
		cmp.Compare(r.patch, o.patch), cmp.Compare(r.candidate, o.candidate))
}

func (r release) String() string {
	s := fmt.Sprintf("%d.%d.%d", r.major, r.minor, r.patch)
	if r.candidate != noCandidate {
		s += fmt.Sprintf("-rc.%d", r.candidate)
	}
	return s
}
