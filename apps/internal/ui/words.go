package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/task-runner/task-runner/adapters/httpapi"
)

// This file says figures and facts in words. The scripts say the same of what they
// get live: format.js.

// number returns n without digits that say nothing.
func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// bytesOf returns a size as people read it.
func bytesOf(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	digits := 0
	switch {
	case i == 0 || v == math.Trunc(v):
	case v < 10:
		digits = 2
	case v < 100:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + units[i]
}

// sizeOf returns a size as the API reads it, exactly.
func sizeOf(n int64) string {
	for i, unit := range []string{"g", "m", "k"} {
		if one := int64(1) << (30 - 10*i); n >= one && n%one == 0 {
			return strconv.FormatInt(n/one, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// coresOf returns a limit of the CPU.
func coresOf(n float64) string {
	if n == 1 {
		return "1 core"
	}
	return number(n) + " cores"
}

// durationOf returns a duration in milliseconds as people read it.
func durationOf(ms float64) string {
	switch {
	case ms < 1:
		return strconv.FormatFloat(ms*1000, 'f', 0, 64) + " µs"
	case ms < 100:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	case ms < 60_000:
		return strconv.FormatFloat(ms/1000, 'f', 2, 64) + " s"
	}
	seconds := int64(ms / 1000)
	return fmt.Sprintf("%d min %d s", seconds/60, seconds%60)
}

// between returns how long it was from one time to the other; empty if one is missing.
func between(from, to *httpapi.Time) string {
	if from == nil || to == nil {
		return ""
	}
	// Times are in whole milliseconds.
	switch d := time.Time(*to).Sub(time.Time(*from)); {
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	default:
		return durationOf(float64(d.Milliseconds()))
	}
}

// stamp returns a time as machines read it.
func stamp(t *httpapi.Time) string {
	if t == nil {
		return ""
	}
	text, err := t.MarshalText()
	if err != nil {
		return ""
	}
	return string(text)
}

// clock returns a time as people read it, in UTC; scripts turn it into theirs.
func clock(t *httpapi.Time) string {
	if t == nil {
		return ""
	}
	return time.Time(*t).UTC().Format("2006-01-02 15:04:05 UTC")
}

// statusWord returns a status in words.
func statusWord(status string) string { return strings.ReplaceAll(status, "_", " ") }

// ended reports whether a status is an end.
func ended(status string) bool { return status != "queued" && status != "running" }

// signals says what those mean that programs usually end by.
var signals = map[string]string{
	"SIGABRT": "it aborted itself",
	"SIGBUS":  "it used memory that does not exist",
	"SIGFPE":  "an impossible calculation, such as a division by zero",
	"SIGILL":  "an instruction that does not exist",
	"SIGPIPE": "it wrote to a pipe that nobody reads",
	"SIGSEGV": "it used memory that is not its own",
	"SIGSYS":  "a system call that is not allowed",
	"SIGTERM": "it was asked to stop",
	"SIGXCPU": "it used more CPU time than allowed",
	"SIGXFSZ": "a file grew larger than allowed",
}

// outcome is a sentence on where a task is, or on how it ended. Limits are nil where
// they are not known.
func outcome(t httpapi.TaskSummary, spec *httpapi.Spec) string {
	switch t.Status {
	case "queued":
		if t.CancelRequestedAt != nil {
			return "Being cancelled."
		}
		if t.Attempt > 0 {
			return "Its worker was lost. Waiting for another one."
		}
		return "Waiting for a worker."
	case "running":
		if t.CancelRequestedAt != nil {
			return "Being cancelled."
		}
		return "Running."
	}
	sentence, message := ending(t, spec), strings.TrimSuffix(deref(t.Message), ".")
	switch cause := deref(t.Cause); {
	case message == "" || cause == "oom" || cause == "output_limit": // the sentence says it already
	case cause == "timeout": // it knows which step it was
		sentence = "Killed: " + message
	default:
		sentence += ": " + message
	}
	return sentence + "."
}

func ending(t httpapi.TaskSummary, spec *httpapi.Spec) string {
	switch deref(t.Cause) {
	case "exit":
		if t.ExitCode == nil {
			return "Ended"
		}
		if *t.ExitCode == 0 {
			return "Finished with exit code 0"
		}
		return fmt.Sprintf("Exited with code %d", *t.ExitCode)
	case "signal":
		signal := deref(t.Signal)
		if why, ok := signals[signal]; ok {
			return "Killed by " + signal + ": " + why
		}
		return "Killed by " + signal
	case "oom":
		if spec != nil && spec.MemoryLimit != nil {
			return "Killed: used more than " + bytesOf(int64(*spec.MemoryLimit)) + " of memory"
		}
		return "Killed: used more memory than allowed"
	case "timeout":
		if spec != nil && spec.Timeout != nil {
			return "Killed: ran longer than " + number(*spec.Timeout) + " s"
		}
		return "Killed: ran longer than allowed"
	case "output_limit":
		if spec != nil && spec.OutputLimit != nil {
			return "Killed: wrote more than " + bytesOf(int64(*spec.OutputLimit))
		}
		return "Killed: wrote more than allowed"
	case "cancelled":
		if t.StartedAt == nil {
			return "Cancelled before it started"
		}
		return "Cancelled"
	case "infrastructure":
		return "Could not be run, which is not the program's fault"
	}
	return "Ended"
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
