package conformance

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// execSpin is a Python program that uses 300 ms of CPU time and prints, in
// nanoseconds, what it used since its start.
const execSpin = `
import time
while time.process_time() < 0.3: pass
print(time.process_time_ns())
`

// requireCPUTime demands the CPU time that the program measured by itself, in
// nanoseconds, and some more for starting and ending it.
func requireCPUTime(t *testing.T, r execRun, printed string) {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(printed), 10, 64)
	require.NoError(t, err)
	own := time.Duration(n)
	require.NotNil(t, r.Usage.CPUTime)
	assert.GreaterOrEqual(t, *r.Usage.CPUTime, own, "less than the program itself measured")
	assert.LessOrEqual(t, *r.Usage.CPUTime, own+own/4+100*time.Millisecond, "far more than the program itself measured")
}

var execUsageChecks = []check[*execBench]{
	{"CPU time is what the program used", func(t *testing.T, b *execBench) {
		if !b.has(CPUTime) {
			return // every run demands nil
		}
		r := b.run(t, b.python(execSpin))
		r.requireExit(t, 0)
		requireCPUTime(t, r, r.stdout)
	}},
	{"CPU time of a child counts, waited for or not", func(t *testing.T, b *execBench) {
		if !b.has(CPUTime) {
			return
		}
		for _, wait := range []string{"os.waitpid(pid, 0)", "while not os.path.exists('done'): time.sleep(0.01)"} {
			r := b.run(t, b.python(`
import os, time
pid = os.fork()
if pid == 0:
    while time.process_time() < 0.3: pass
    print(time.process_time_ns(), flush=True)
    open("done", "w").close()
    time.sleep(1000 if "path" in "`+wait+`" else 0)
    os._exit(0)
`+wait+`
os._exit(0)`))
			r.requireExit(t, 0)
			requireCPUTime(t, r, r.stdout)
		}
	}},
	{"a program that sleeps uses next to no CPU time", func(t *testing.T, b *execBench) {
		if !b.has(CPUTime) {
			return
		}
		r := b.run(t, b.bash(`sleep 0.5`))
		r.requireExit(t, 0)
		assert.Less(t, *r.Usage.CPUTime, 250*time.Millisecond)
		assert.Positive(t, *r.Usage.CPUTime)
		assert.GreaterOrEqual(t, *r.Usage.WallTime, 500*time.Millisecond)
	}},
	{"wall time is the program's", func(t *testing.T, b *execBench) {
		r := b.run(t, b.python(`
import time
begin = time.monotonic_ns(); time.sleep(0.3); print(time.monotonic_ns() - begin)`))
		r.requireExit(t, 0)
		own, err := strconv.ParseInt(strings.TrimSpace(r.stdout), 10, 64)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, *r.Usage.WallTime, time.Duration(own))
		assert.Less(t, *r.Usage.WallTime, time.Duration(own)+b.Patience/4)
	}},
	{"peak memory is what was held at the worst moment, however short", func(t *testing.T, b *execBench) {
		if !b.has(PeakMemory) {
			return
		}
		for _, code := range []string{
			`eat(64)`,
			`eat(64); import time; time.sleep(0.01)`,
			`
if os.fork() == 0: eat(64); os._exit(0)
os.wait()`,
		} {
			r := b.run(t, b.python(execEat+code))
			r.requireExit(t, 0)
			assert.GreaterOrEqual(t, *r.Usage.PeakMemory, int64(64<<20))
			assert.LessOrEqual(t, *r.Usage.PeakMemory, int64(112<<20))
		}
	}},
	{"a run's usage is its own", func(t *testing.T, b *execBench) {
		b.run(t, b.python(execEat+execSpin+`eat(64)`)).requireExit(t, 0)
		for range 4 {
			r := b.run(t, b.bash(`exit 0`))
			r.requireExit(t, 0)
			if b.has(PeakMemory) {
				assert.Less(t, *r.Usage.PeakMemory, int64(48<<20))
			}
			if b.has(CPUTime) {
				assert.Less(t, *r.Usage.CPUTime, 250*time.Millisecond)
			}
		}
	}},
	{"a run that was killed has its usage too", func(t *testing.T, b *execBench) {
		job := b.python(execEat + `kept = eat(64)
while True: pass`)
		job.Spec.Limits.Timeout = 3 * time.Second
		r := b.run(t, job)
		if b.has(PeakMemory) {
			assert.GreaterOrEqual(t, *r.Usage.PeakMemory, int64(32<<20))
		}
		if b.has(CPUTime) {
			assert.GreaterOrEqual(t, *r.Usage.CPUTime, 100*time.Millisecond)
		}
		assert.GreaterOrEqual(t, *r.Usage.WallTime, job.Spec.Limits.Timeout)
	}},
}
