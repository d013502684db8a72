package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var logCreateChecks = []logCheck{
	{"keeps what is written", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		for _, n := range []int{0, 1, 511, 512, 513, 1 << 16, 1<<16 + 1, 5<<20 + 3} {
			key := newLogKey()
			r.write(key, logContent(n))
			r.requireLog(key, logContent(n))
		}
	}},
	{"refuses a key that was created before and leaves that log alone", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		w := r.writer(key)
		refused := func(when string) {
			_, err := r.Create(r.ctx, key)
			requireSentinel(t, err, ports.ErrExists, when)
		}
		refused("while nothing is written")
		mustWrite(t, w, []byte("first "))
		refused("while it is being written")
		mustWrite(t, w, []byte("attempt"))
		require.NoError(t, w.Close())
		refused("when it is complete")
		r.requireLog(key, []byte("first attempt"))
	}},
}

var logKeyChecks = []logCheck{
	{"keeps attempts and names apart", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		id := newID()
		var keys []ports.LogKey
		for _, attempt := range []int{1, 2, 10, 11, 1 << 30} {
			for _, name := range []string{ports.LogStdout, ports.LogStderr, "artifacts/stdout", "artifacts/1"} {
				keys = append(keys, ports.LogKey{Task: id, Attempt: attempt, Name: name})
			}
		}
		r.requireApart(keys)
	}},
	{"takes every valid ID, each for itself", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		var keys []ports.LogKey
		for _, id := range oddIDs() {
			keys = append(keys, ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStdout})
		}
		r.requireApart(keys)
	}},
	{"is not confused by IDs that look like parts of a key", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		r.requireApart([]ports.LogKey{
			{Task: "a", Attempt: 1, Name: "stdout"},
			{Task: "a", Attempt: 11, Name: "stdout"},
			{Task: "a1", Attempt: 1, Name: "stdout"},
			{Task: "a/1", Attempt: 1, Name: "stdout"},
			{Task: "a/1/stdout", Attempt: 1, Name: "stdout"},
			{Task: "a/1/artifacts", Attempt: 1, Name: "stdout"},
			{Task: "a", Attempt: 1, Name: "artifacts/1/stdout"},
			{Task: "a", Attempt: 1, Name: "artifacts/a/1/stdout"},
			{Task: "a%2F1", Attempt: 1, Name: "stdout"},
			{Task: "../a", Attempt: 1, Name: "stdout"},
			{Task: "A", Attempt: 1, Name: "stdout"},
		})
	}},
	{"takes every clean path for an artifact", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		id := newID()
		var keys []ports.LogKey
		for _, path := range []string{
			"a", "A", "a/b", "a/b/c", "a b", " ", "é", "e\u0301", "...", "..a", "a..", ".a", "-", "*", "?", "a?b=c", "a#b", "%", "%2e%2e",
			"a%2Fb", "+", "a+b", "&", "'", `"`, "<>", "|", ":", ";", "~", "$", "stdout", "artifacts", "artifacts/a",
			strings.Repeat("x", ports.MaxPathLen), strings.Repeat("d/", 100) + "x", "😀",
		} {
			keys = append(keys, ports.LogKey{Task: id, Attempt: 1, Name: "artifacts/" + path})
		}
		r.requireApart(keys)
	}},
	{"refuses what is no key", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		good := newLogKey()
		bad := map[string]ports.LogKey{}
		for what, id := range badIDs() {
			bad["an ID that is "+what] = ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStdout}
		}
		for _, attempt := range []int{0, -1, -1 << 31} {
			bad[fmt.Sprintf("attempt %d", attempt)] = ports.LogKey{Task: good.Task, Attempt: attempt, Name: ports.LogStdout}
		}
		for _, name := range []string{
			"", "other", "STDOUT", "stdout/", "stdout/a", "/stdout", "../stdout", "stdout\x00", "artifacts", "artifacts/", "artifacts//a",
			"artifacts/.", "artifacts/..", "artifacts/../stdout", "artifacts/a/../b", "artifacts/a/", "artifacts//etc/passwd",
			"artifacts/a\x00b", "artifacts/a\nb", "artifacts/\xff", `artifacts/a\b`, "artifacts/" + strings.Repeat("x", ports.MaxPathLen+1),
		} {
			bad[fmt.Sprintf("the name %.60q", name)] = ports.LogKey{Task: good.Task, Attempt: 1, Name: name}
		}
		for what, key := range bad {
			_, err := r.Create(r.ctx, key)
			requireField(t, err, "", "creating with "+what)
			_, _, err = r.Open(r.ctx, key, 0, -1)
			requireField(t, err, "", "opening with "+what)
		}
	}},
	{"finds no log but by its own key", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := ports.LogKey{Task: "task1", Attempt: 1, Name: "artifacts/dir/file"}
		r.write(key, []byte("content"))
		for _, other := range []ports.LogKey{
			{Task: "task", Attempt: 1, Name: key.Name},
			{Task: "task11", Attempt: 1, Name: key.Name},
			{Task: "TASK1", Attempt: 1, Name: key.Name},
			{Task: "*", Attempt: 1, Name: key.Name},
			{Task: key.Task, Attempt: 2, Name: key.Name},
			{Task: key.Task, Attempt: 11, Name: key.Name},
			{Task: key.Task, Attempt: 1, Name: ports.LogStdout},
			{Task: key.Task, Attempt: 1, Name: "artifacts/dir"},
			{Task: key.Task, Attempt: 1, Name: "artifacts/dir/file1"},
			{Task: key.Task, Attempt: 1, Name: "artifacts/*"},
		} {
			r.requireNoLog(other, "%+v", other)
		}
	}},
}

// requireApart writes a log of its own under every key, all open at once, and
// reads each of them back.
func (r *logRig) requireApart(keys []ports.LogKey) {
	r.t.Helper()
	content := func(i int) []byte { return fmt.Appendf(nil, "log %d: %+v", i, keys[i]) }
	var finish []func()
	for i, key := range keys {
		w := r.writer(key)
		finish = append(finish, func() {
			mustWrite(r.t, w, content(i))
			require.NoError(r.t, w.Close(), "%+v", key)
		})
	}
	for _, f := range finish {
		f()
	}
	for i, key := range keys {
		r.requireLog(key, content(i), "%+v", key)
	}
}
