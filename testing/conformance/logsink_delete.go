package conformance

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var logDeleteChecks = []logCheck{
	{"removes every log of the task and of no other", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		keys := func(id ports.TaskID) (keys []ports.LogKey) {
			for _, attempt := range []int{1, 2, 12} {
				for _, name := range []string{ports.LogStdout, ports.LogStderr, "artifacts/a/b"} {
					keys = append(keys, ports.LogKey{Task: id, Attempt: attempt, Name: name})
				}
			}
			return keys
		}
		ids := []ports.TaskID{"a", "a1", "A", "a/", "a/1", "a*", "*", "a.", "%61", "b", ".", "..", "/"}
		for _, id := range ids {
			for _, key := range keys(id) {
				r.write(key, fmt.Appendf(nil, "%+v", key))
			}
		}
		deleted := map[ports.TaskID]bool{}
		for _, id := range []ports.TaskID{"*", "a", ".", "/", ".."} {
			require.NoError(t, r.Delete(r.ctx, id))
			deleted[id] = true
			for _, id := range ids {
				for _, key := range keys(id) {
					if deleted[id] {
						r.requireNoLog(key, "%+v", key)
					} else {
						r.requireLog(key, fmt.Appendf(nil, "%+v", key), "%+v", key)
					}
				}
			}
		}
	}},
	{"removes what is not there without an error", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		require.NoError(t, r.Delete(r.ctx, key.Task))
		r.write(key, nil)
		for range 2 {
			require.NoError(t, r.Delete(r.ctx, key.Task))
		}
	}},
	{"takes every valid ID", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		ids := oddIDs()
		key := func(id ports.TaskID) ports.LogKey { return ports.LogKey{Task: id, Attempt: 1, Name: ports.LogStderr} }
		for _, id := range ids {
			r.write(key(id), []byte(id))
		}
		for i, id := range ids {
			require.NoError(t, r.Delete(r.ctx, id))
			r.requireNoLog(key(id))
			if i+1 < len(ids) {
				r.requireLog(key(ids[i+1]), []byte(ids[i+1]), "after %q was deleted", id)
			}
		}
	}},
	{"is not undone by a writer that is still open", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key, content := newLogKey(), logContent(int(h.Buffered)+100_000)
		w := r.writer(key)
		mustWrite(t, w, content)
		require.NoError(t, r.Delete(r.ctx, key.Task))
		r.requireNoLog(key, "after Delete")
		_, _ = w.Write(content) // fails or goes nowhere
		r.requireNoLog(key, "after a Write")
		_ = w.Close()
		r.requireNoLog(key, "after Close")
	}},
}
