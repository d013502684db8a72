package ui

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/adapters/httpapi"
)

func TestFiguresInWords(t *testing.T) {
	t.Parallel()
	for ms, want := range map[float64]string{
		0: "0 µs", 0.25: "250 µs", 1: "1.0 ms", 99.94: "99.9 ms", 100: "100 ms", 999: "999 ms", 1000: "1.00 s", 59_990: "59.99 s", 61_500: "1 min 1 s", 3_600_000: "60 min 0 s",
	} {
		assert.Equal(t, want, durationOf(ms))
	}
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.50 KiB", 15 << 20: "15 MiB", 12_900_000: "12.3 MiB", 256 << 20: "256 MiB", 1<<40 + 1<<39: "1.50 TiB", 1 << 52: "4096 TiB",
	} {
		assert.Equal(t, want, bytesOf(n))
	}
	for n, want := range map[int64]string{0: "0", 1000: "1000", 1 << 10: "1k", 64 << 20: "64m", 1 << 30: "1g", 1<<30 + 1: "1073741825", 1536 << 20: "1536m"} {
		assert.Equal(t, want, sizeOf(n))
	}
	at := func(ms int) *httpapi.Time { return new(httpapi.Time(time.UnixMilli(int64(ms)))) }
	assert.Equal(t, "< 1 ms", between(at(5), at(5)))
	assert.Equal(t, "< 1 ms", between(at(5), at(2)), "a clock that went back")
	assert.Equal(t, "12 ms", between(at(0), at(12)))
	assert.Equal(t, "1.50 s", between(at(0), at(1500)))
	assert.Empty(t, between(nil, at(1)))
	assert.Empty(t, between(at(1), nil))
}

func TestHowATaskEndedInWords(t *testing.T) {
	t.Parallel()
	ended := func(status, cause, message string, change ...func(*httpapi.TaskSummary)) httpapi.TaskSummary {
		s := httpapi.TaskSummary{Accepted: httpapi.Accepted{Status: status}, Cause: &cause, StartedAt: new(httpapi.Time)}
		if message != "" {
			s.Message = &message
		}
		for _, c := range change {
			c(&s)
		}
		return s
	}
	code := func(n int) func(*httpapi.TaskSummary) { return func(s *httpapi.TaskSummary) { s.ExitCode = &n } }
	signal := func(name string) func(*httpapi.TaskSummary) {
		return func(s *httpapi.TaskSummary) { s.Signal = &name }
	}
	spec := &httpapi.Spec{MemoryLimit: new(httpapi.Size(256 << 20)), Timeout: new(1.5), OutputLimit: new(httpapi.Size(1 << 20))}
	for want, tt := range map[string]struct {
		task httpapi.TaskSummary
		spec *httpapi.Spec
	}{
		"Waiting for a worker.":                         {httpapi.TaskSummary{Accepted: httpapi.Accepted{Status: "queued"}}, spec},
		"Its worker was lost. Waiting for another one.": {httpapi.TaskSummary{Accepted: httpapi.Accepted{Status: "queued"}, Attempt: 1}, spec},
		"Running.":                   {httpapi.TaskSummary{Accepted: httpapi.Accepted{Status: "running"}}, spec},
		"Being cancelled.":           {httpapi.TaskSummary{Accepted: httpapi.Accepted{Status: "running"}, CancelRequestedAt: new(httpapi.Time)}, spec},
		"Finished with exit code 0.": {ended("succeeded", "exit", "", code(0)), spec},
		"Exited with code 3.":        {ended("failed", "exit", "", code(3)), spec},
		"Exited with code 1: the compile step failed.":           {ended("failed", "exit", "the compile step failed.", code(1)), spec},
		"Killed by SIGSEGV: it used memory that is not its own.": {ended("failed", "signal", "", signal("SIGSEGV")), spec},
		"Killed by SIGUSR1.":                                                       {ended("failed", "signal", "", signal("SIGUSR1")), spec},
		"Killed: used more than 256 MiB of memory.":                                {ended("failed", "oom", "a process was killed"), spec},
		"Killed: used more memory than allowed.":                                   {ended("failed", "oom", ""), nil},
		"Killed: ran longer than 1.5 s.":                                           {ended("timed_out", "timeout", ""), spec},
		"Killed: ran longer than allowed.":                                         {ended("timed_out", "timeout", ""), nil},
		"Killed: the compile step ran for longer than 2s.":                         {ended("timed_out", "timeout", "the compile step ran for longer than 2s"), spec},
		"Killed: wrote more than 1 MiB.":                                           {ended("failed", "output_limit", ""), spec},
		"Killed: wrote more than allowed.":                                         {ended("failed", "output_limit", ""), nil},
		"Cancelled.":                                                               {ended("cancelled", "cancelled", ""), spec},
		"Cancelled before it started.":                                             {ended("cancelled", "cancelled", "", func(s *httpapi.TaskSummary) { s.StartedAt = nil }), spec},
		"Could not be run, which is not the program's fault: the worker was lost.": {ended("failed", "infrastructure", "the worker was lost"), spec},
	} {
		assert.Equal(t, want, outcome(tt.task, tt.spec))
	}
}
