package dockerexec

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner/frame"
	"github.com/task-runner/task-runner/ports"
)

func TestAConfigThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg   Config
		field string
	}{
		"CPU that is not a number":       {Config{Limits: ports.Limits{CPU: math.NaN()}}, "cpu_limit"},
		"CPU without end":                {Config{Limits: ports.Limits{CPU: math.Inf(1)}}, "cpu_limit"},
		"less CPU than nothing":          {Config{Limits: ports.Limits{CPU: -1}}, "cpu_limit"},
		"less CPU than an engine gives":  {Config{Limits: ports.Limits{CPU: 0.001}}, "cpu_limit"},
		"less memory than nothing":       {Config{Limits: ports.Limits{Memory: -1}}, "memory_limit"},
		"less memory than it gives":      {Config{Limits: ports.Limits{Memory: 1 << 20}}, "memory_limit"},
		"memory without end":             {Config{Limits: ports.Limits{Memory: math.MaxInt64}}, "memory_limit"},
		"fewer processes than none":      {Config{Limits: ports.Limits{PIDs: -1}}, "pids_limit"},
		"processes without end":          {Config{Limits: ports.Limits{PIDs: math.MaxInt}}, "pids_limit"},
		"a disk with no room for files":  {Config{Limits: ports.Limits{Disk: 4096}}, "disk_limit"},
		"less disk than nothing":         {Config{Limits: ports.Limits{Disk: -1}}, "disk_limit"},
		"less time than none":            {Config{Limits: ports.Limits{Timeout: -1}}, "timeout"},
		"a pool without end":             {Config{Pool: math.MaxInt}, "docker_pool"},
		"a pull policy that is none":     {Config{Pull: "sometimes"}, "docker_pull"},
		"containers that are never idle": {Config{IdleTTL: -1}, "idle_ttl"},
		"containers that rest for days":  {Config{IdleTTL: 24 * time.Hour}, "idle_ttl"},
		"a reaper that does not wait":    {Config{ReapAfter: time.Second}, "reap_after"},
		"an image that is no pattern":    {Config{AllowedImages: []string{" "}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.cfg.complete()
			require.ErrorIs(t, err, ports.ErrInvalid)
			var field *ports.FieldError
			if c.field != "" && assert.ErrorAs(t, err, &field) {
				assert.Equal(t, c.field, field.Field)
			}
		})
	}
	t.Run("the zero one is good", func(t *testing.T) {
		t.Parallel()
		cfg, err := Config{}.complete()
		require.NoError(t, err)
		assert.NoError(t, checkTaskLimits(cfg.Limits))
		assert.Equal(t, PullMissing, cfg.Pull)
	})
	t.Run("so is the least", func(t *testing.T) {
		t.Parallel()
		_, err := Config{Pool: math.MinInt, Limits: ports.Limits{CPU: 0.01, Memory: 6 << 20, PIDs: 1, Disk: 8192, Timeout: 1, Output: -1}}.complete()
		assert.NoError(t, err)
	})
}

func TestTheTimeThatAJobMayTakeIsRoundedUp(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{
		time.Nanosecond:                time.Hour,
		time.Hour - 10*time.Second:     time.Hour, // the supervisor's own grace is 10 s
		time.Hour - 10*time.Second + 1: 2 * time.Hour,
		time.Hour:                      2 * time.Hour,
		2 * time.Hour:                  4 * time.Hour,
		5 * time.Hour:                  8 * time.Hour,
		frame.MaxTimeout:               1024 * time.Hour,
	} {
		got := budgetOf(ports.Job{Spec: ports.Spec{Limits: ports.Limits{Timeout: timeout}}})
		assert.Equal(t, want, got, "%s", timeout)
		assert.GreaterOrEqual(t, got, timeout)
	}
	both := ports.Job{
		Language: ports.Language{Compile: []string{"cc"}, CompileTimeout: frame.MaxTimeout},
		Spec:     ports.Spec{Limits: ports.Limits{Timeout: frame.MaxTimeout}},
	}
	assert.Equal(t, 2048*time.Hour, budgetOf(both))
}

func TestAContainersLimits(t *testing.T) {
	t.Parallel()
	x := &Executor{engine: engine{CPUs: 2}}
	l := ports.Limits{CPU: 0.5, Memory: 64 << 20, PIDs: 10}
	assert.Equal(t, limits{memory: 66<<20 + 7, nanoCPUs: 5e8, pids: 10 + supposedOverhead.pids}, x.limitsFor(l, 7))
	x.overhead.Store(&overhead{memory: 1 << 20, pids: 6})
	assert.Equal(t, limits{memory: 65 << 20, nanoCPUs: 5e8, pids: 16}, x.limitsFor(l, 0), "as the last supervisor said")
	l = ports.Limits{CPU: 1 << 10, Memory: 1 << 50, PIDs: 4_000_000}
	got := x.limitsFor(l, frame.MaxRequest)
	assert.EqualValues(t, 2e9, got.nanoCPUs, "all processors")
	assert.Greater(t, got.memory, l.Memory)
	assert.LessOrEqual(t, got.pids, int64(1<<22), "what a kernel takes")
}
