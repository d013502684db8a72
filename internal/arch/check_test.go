package arch

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheCheckerSeesForbiddenImports(t *testing.T) {
	t.Parallel()
	const m = module + "/"
	const (
		redis     = "github.com/redis/go-redis/v9"
		testify   = "github.com/stretchr/testify/require"
		container = "github.com/testcontainers/testcontainers-go/modules/redis"
	)
	code := func(from string, to ...string) pkg { return pkg{path: m + from, imports: to} }
	test := func(from string, to ...string) pkg { return pkg{path: m + from, tests: to} }
	tests := []struct {
		name string
		pkg  pkg
		want string // empty if the import is fine
	}{
		{"ports may import the standard library", code("ports", "context", "net/http"), ""},
		{"ports may not import the core", code("ports", m+"taskrunner"), "ports imports taskrunner: ports may not depend on taskrunner"},
		{"ports may not import a module", code("ports", "golang.org/x/sys/unix"), "ports imports golang.org/x/sys/unix: ports has no use for this module"},
		{"tests of ports may use testify", test("ports", testify), ""},
		{"tests of ports may not use another module", test("ports", redis), "a test of ports imports " + redis + ": ports has no use for this module"},
		{"tests of ports may not import an adapter", test("ports", m+"adapters/memory"), "a test of ports imports adapters/memory: ports may not depend on adapters/memory"},

		{"the core may import ports", code("taskrunner", m+"ports"), ""},
		{"the core may not import an adapter", code("taskrunner", m+"adapters/memory"), "taskrunner imports adapters/memory: taskrunner may not depend on adapters/memory"},
		{"the core may not import a module", code("taskrunner", redis), "taskrunner imports " + redis + ": taskrunner has no use for this module"},
		{"the core may not import testify", code("taskrunner", testify), "taskrunner imports " + testify + ": that is for tests"},
		{"the core may not import fakes", code("taskrunner", m+"testing/fakes"), "taskrunner imports testing/fakes: taskrunner may not depend on testing/fakes"},
		{"tests of the core may use fakes", test("taskrunner", m+"testing/fakes", testify, "go.uber.org/goleak"), ""},

		{"an adapter may import ports and a module", code("adapters/redisqueue", m+"ports", redis), ""},
		{"an adapter may import a package of its own", code("adapters/redisqueue", m+"adapters/redisqueue/scripts"), ""},
		{"an adapter may not import a sibling", code("adapters/redisqueue", m+"adapters/redisbus"), "adapters/redisqueue imports adapters/redisbus: adapters/redisqueue may not depend on adapters/redisbus"},
		{"a package within an adapter may not import a sibling", code("adapters/redisqueue/scripts", m+"adapters/memory"), "adapters/redisqueue/scripts imports adapters/memory: adapters/redisqueue may not depend on adapters/memory"},
		{"an adapter may not import the core", code("adapters/redisqueue", m+"taskrunner"), "adapters/redisqueue imports taskrunner: adapters/redisqueue may not depend on taskrunner"},
		{"an adapter may not import the runner", code("adapters/redisqueue", m+"internal/runner"), "adapters/redisqueue imports internal/runner: adapters/redisqueue may not depend on internal/runner"},
		{"an adapter may not link its suite", code("adapters/redisqueue", m+"testing/conformance"), "adapters/redisqueue imports testing/conformance: adapters/redisqueue may not depend on testing/conformance"},
		{"an adapter may not link testify", code("adapters/redisqueue", testify), "adapters/redisqueue imports " + testify + ": that is for tests"},
		{"tests of an adapter may use its suite and servers", test("adapters/redisqueue", m+"testing/conformance", m+"internal/testenv", testify), ""},
		{"tests of an adapter may not start containers by themselves", test("adapters/redisqueue", container), "a test of adapters/redisqueue imports " + container + ": only internal/testenv may"},
		{"a driving adapter may import the core", code("adapters/httpapi", m+"taskrunner", m+"ports"), ""},
		{"a driving adapter may not import the other one", code("adapters/httpapi", m+"adapters/httpclient"), "adapters/httpapi imports adapters/httpclient: adapters/httpapi may not depend on adapters/httpclient"},
		{"an executor may import what executors share", code("adapters/sandboxexec", m+"internal/runner/frame", m+"internal/warmpool", m+"internal/seccomp"), ""},
		{"an executor may not import the other one", code("adapters/sandboxexec", m+"adapters/dockerexec"), "adapters/sandboxexec imports adapters/dockerexec: adapters/sandboxexec may not depend on adapters/dockerexec"},

		{"a suite may use testify", code("testing/conformance", m+"ports", testify), ""},
		{"a suite may not use another module", code("testing/conformance", redis), "testing/conformance imports " + redis + ": testing/conformance has no use for this module"},
		{"tests of a suite may use another module", test("testing/conformance", "golang.org/x/sys/unix"), ""},
		{"a suite may not import an adapter", code("testing/conformance", m+"adapters/memory"), "testing/conformance imports adapters/memory: testing/conformance may not depend on adapters/memory"},
		{"fakes may import the memory adapters", code("testing/fakes", m+"ports", m+"adapters/memory"), ""},
		{"fakes may not use testify", code("testing/fakes", testify), "testing/fakes imports " + testify + ": that is for tests"},

		{"internal packages may not import the core", code("internal/runner", m+"taskrunner"), "internal/runner imports taskrunner: internal/runner may not depend on taskrunner"},
		{"internal packages may not import an adapter", code("internal/warmpool", m+"adapters/memory"), "internal/warmpool imports adapters/memory: internal/warmpool may not depend on adapters/memory"},
		{"the test environment may start containers", code("internal/testenv", container), ""},

		{"programs may import every adapter and themselves", code("apps/backend", m+"taskrunner", m+"adapters/memory", m+"adapters/redisbus", m+"apps/internal/wire", redis), ""},
		{"programs may not link the fakes", code("apps/backend", m+"testing/fakes"), "apps/backend imports testing/fakes: apps may not depend on testing/fakes"},
		{"programs may not link the test environment", code("apps/backend", m+"internal/testenv"), "apps/backend imports internal/testenv: apps may not depend on internal/testenv"},
		{"nothing may import a program", code("adapters/httpapi", m+"apps/internal/wire"), "adapters/httpapi imports apps/internal/wire: adapters/httpapi may not depend on apps"},
		{"no test may import a program", test("examples/snippet", m+"apps/taskrunner"), "a test of examples/snippet imports apps/taskrunner: examples may not depend on apps"},
		{"examples show what users can import", code("examples/snippet", m+"taskrunner", m+"adapters/sandboxexec"), ""},

		{"a new folder needs a rule", code("helpers"), "helpers belongs to no area; add it to the rules"},
		{"a new internal package needs a rule", code("internal/helpers"), "internal/helpers belongs to no area; add it to the rules"},
		{"a folder without a rule cannot be imported", code("ports", m+"helpers"), "ports imports helpers: it belongs to no area"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var want []string
			if test.want != "" {
				want = []string{test.want}
			}
			assert.Equal(t, want, check([]pkg{test.pkg}))
		})
	}
}

func TestTheRulesNameAreasThatExist(t *testing.T) {
	t.Parallel()
	for name, rule := range areas {
		for _, list := range [][]string{rule.imports, rule.tests} {
			for _, entry := range list {
				_, ok := areaOf(module + "/" + entry)
				assert.True(t, ok, "%s may import %s, which has no rule", name, entry)
			}
		}
	}
}

func TestPackagesOfSeveralSystemsAreJoined(t *testing.T) {
	t.Parallel()
	linux := []pkg{{"a", []string{"x", "y"}, nil}, {"b", nil, []string{"t"}}}
	darwin := []pkg{{"a", []string{"y", "z"}, []string{"u"}}}
	assert.Equal(t, []pkg{{"a", []string{"x", "y", "z"}, []string{"u"}}, {"b", nil, []string{"t"}}}, merge(linux, darwin))
}
