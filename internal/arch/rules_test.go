package arch

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const module = "github.com/task-runner/task-runner"

// area is a folder of the module whose packages follow the same rule. Packages of
// one area may import each other. All names are paths within the module; a name
// with "/*" stands for every folder directly below, each being an area of its own.
type area struct {
	// imports are the areas that the code may import, and tests those that its
	// tests may import besides.
	imports, tests []string
	// modules says which other modules the code may import.
	modules modules
}

// modules is a choice of modules that are not ours.
type modules int

const (
	none       modules = iota // the standard library alone, in tests testTools
	anyProduct                // any but testTools
	testHelper                // testTools alone, in tests any
)

// testTools are for tests, and for packages that are imported by tests alone.
var testTools = []string{"github.com/stretchr/testify", "go.uber.org/goleak"}

// soleImporters are modules of which exactly one area makes use.
var soleImporters = map[string]string{"github.com/testcontainers/testcontainers-go": "internal/testenv"}

// forTests may be imported where the area's rule names it, but is never part of
// what people run.
var forTests = []string{"testing/", "internal/testenv"}

var (
	// adapterTests is what the tests of every adapter may use.
	adapterTests = []string{"testing/conformance", "testing/fakes", "internal/testenv"}
	// launchers is what executors share.
	launchers = []string{"ports", "internal/runner", "internal/warmpool", "internal/cgroup", "internal/seccomp"}
)

// areas are all areas; a package outside of them is a violation, so that a new
// folder gets its rule when it is made.
var areas = map[string]area{
	"ports":      {modules: none},
	"taskrunner": {imports: []string{"ports"}, tests: []string{"testing/conformance", "testing/fakes", "adapters/memory"}, modules: none},

	// An adapter imports its port and its backing part's own module, and no sibling.
	"adapters/*": {imports: []string{"ports"}, tests: adapterTests, modules: anyProduct},
	// Those on Redis share what they demand of the server.
	"adapters/redisbus":   {imports: []string{"ports", "internal/redisserver"}, tests: adapterTests, modules: anyProduct},
	"adapters/redisqueue": {imports: []string{"ports", "internal/redisserver"}, tests: adapterTests, modules: anyProduct},
	// Executors share the supervisor and the pools.
	"adapters/sandboxexec": {imports: launchers, tests: adapterTests, modules: anyProduct},
	"adapters/dockerexec":  {imports: launchers, tests: adapterTests, modules: anyProduct},
	// Driving adapters call the core. Their tests run it on the reference adapters.
	"adapters/httpapi": {imports: []string{"ports", "taskrunner"}, modules: anyProduct,
		tests: append([]string{"adapters/memory"}, adapterTests...)},
	"adapters/httpclient": {imports: []string{"ports", "taskrunner"}, modules: anyProduct,
		tests: append([]string{"adapters/memory", "adapters/httpapi"}, adapterTests...)},

	// Its own tests break the reference adapter on purpose.
	"testing/conformance": {imports: []string{"ports"}, tests: []string{"adapters/memory"}, modules: testHelper},
	"testing/fakes":       {imports: []string{"ports", "adapters/memory"}, tests: []string{"testing/conformance"}, modules: none},

	// The compose file is looked at from outside, and has a stand-in for MongoDB.
	"testing/compose": {imports: []string{"internal/testenv"}, modules: anyProduct},

	"internal/arch": {modules: none},
	// The crash suite is tests alone, of everything together.
	"internal/chaos":       {tests: []string{"ports", "taskrunner", "adapters/*", "testing/fakes", "internal/testenv"}, modules: anyProduct},
	"internal/cgroup":      {modules: anyProduct},
	"internal/redisserver": {tests: []string{"internal/testenv"}, modules: anyProduct},
	"internal/runner":      {imports: []string{"ports", "internal/cgroup", "internal/seccomp"}, tests: []string{"internal/testenv"}, modules: anyProduct},
	"internal/seccomp":     {modules: anyProduct},
	"internal/testenv":     {imports: []string{"ports"}, modules: anyProduct},
	"internal/warmpool":    {imports: []string{"ports"}, modules: anyProduct},

	// Only the programs know all adapters.
	"apps":     {imports: []string{"taskrunner", "ports", "adapters/*"}, tests: adapterTests, modules: anyProduct},
	"examples": {imports: []string{"taskrunner", "adapters/*"}, tests: []string{"internal/testenv"}, modules: none},
	// This one opens the clients that adapters want.
	"examples/production": {imports: []string{"taskrunner", "adapters/*"}, modules: anyProduct},
}

// pkg is what the rules look at of a package.
type pkg struct {
	path    string // the import path
	imports []string
	tests   []string // what its tests import
}

// check returns a sentence for every import that breaks a rule, in a fixed order.
func check(pkgs []pkg) []string {
	var broken []string
	for _, p := range pkgs {
		from, ok := areaOf(p.path)
		if !ok {
			broken = append(broken, fmt.Sprintf("%s belongs to no area; add it to the rules", within(p.path)))
			continue
		}
		for _, to := range p.imports {
			if why := forbidden(from, to, false); why != "" {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", within(p.path), within(to), why))
			}
		}
		for _, to := range p.tests {
			if why := forbidden(from, to, true); why != "" {
				broken = append(broken, fmt.Sprintf("a test of %s imports %s: %s", within(p.path), within(to), why))
			}
		}
	}
	slices.Sort(broken)
	return broken
}

// forbidden says why an area's code, or its tests, may not import a package; it is
// empty if they may.
func forbidden(from, to string, test bool) string {
	rule := areas[ruleOf(from)]
	if target, ours := strings.CutPrefix(to, module+"/"); ours {
		toArea, ok := areaOf(to)
		switch {
		case !ok:
			return "it belongs to no area"
		case toArea == from:
			return ""
		case test && allows(rule.tests, toArea):
			return ""
		case !allows(rule.imports, toArea):
			return fmt.Sprintf("%s may not depend on %s", from, toArea)
		case !test && isForTests(target) && !isForTests(from+"/"):
			return "that is for tests"
		}
		return ""
	}
	if standard(to) {
		return ""
	}
	for mod, sole := range soleImporters {
		if inModule(to, mod) && from != sole {
			return "only " + sole + " may"
		}
	}
	isTool := slices.ContainsFunc(testTools, func(mod string) bool { return inModule(to, mod) })
	switch {
	case isTool && (test || rule.modules == testHelper):
		return ""
	case isTool:
		return "that is for tests"
	case rule.modules == anyProduct, rule.modules == testHelper && test:
		return ""
	}
	return fmt.Sprintf("%s has no use for this module", from)
}

// areaOf returns the area of an import path of this module: the longest one known,
// where a starred one stands for the folder itself.
func areaOf(path string) (string, bool) {
	rel := within(path)
	parts := strings.Split(rel, "/")
	for n := len(parts); n > 0; n-- {
		name := strings.Join(parts[:n], "/")
		if _, ok := areas[name]; ok && !strings.HasSuffix(name, "*") {
			return name, true
		}
		if n > 1 {
			if _, ok := areas[strings.Join(parts[:n-1], "/")+"/*"]; ok {
				return name, true
			}
		}
	}
	return "", false
}

// ruleOf returns the key in areas that holds the area's rule.
func ruleOf(name string) string {
	if _, ok := areas[name]; ok {
		return name
	}
	return name[:strings.LastIndexByte(name, '/')] + "/*"
}

// allows reports whether a list names the area, by itself or by a star.
func allows(list []string, name string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		prefix, starred := strings.CutSuffix(entry, "*")
		return entry == name || starred && strings.HasPrefix(name, prefix)
	})
}

func isForTests(rel string) bool {
	return slices.ContainsFunc(forTests, func(prefix string) bool { return strings.HasPrefix(rel+"/", prefix) })
}

func within(path string) string { return strings.TrimPrefix(path, module+"/") }

func inModule(path, mod string) bool { return path == mod || strings.HasPrefix(path, mod+"/") }

// standard reports whether path is in the standard library: its first element, a
// host name elsewhere, has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// merge joins what go list says about one package on several systems.
func merge(lists ...[]pkg) []pkg {
	byPath := make(map[string]pkg)
	for _, p := range slices.Concat(lists...) {
		q := byPath[p.path]
		byPath[p.path] = pkg{p.path, union(q.imports, p.imports), union(q.tests, p.tests)}
	}
	return slices.SortedFunc(maps.Values(byPath), func(a, b pkg) int { return cmp.Compare(a.path, b.path) })
}

func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}
