package conformance

import (
	"testing"

	"github.com/task-runner/task-runner/ports"
)

// LogSinkHarness says how to test a ports.LogSink.
type LogSinkHarness struct {
	// New returns an empty sink with room for at least 64 MiB. Required.
	New func(t *testing.T) ports.LogSink
	// Buffered is how many of the last bytes that Write accepted may be unreadable
	// until the writer is closed, and lost if it never is. Default: none.
	Buffered int64
	// SignedURLs says that the sink has them, readable by net/http from here.
	// Where it has none, the suite demands errors.ErrUnsupported.
	SignedURLs bool
	// Full returns an empty sink with room for some bytes, but at most 8 MiB. Nil:
	// the sink has no bound of its own.
	Full func(t *testing.T) ports.LogSink
	// Bubble says that the sink lives in this process and keeps time by package
	// time alone.
	Bubble bool
}

// LogSink runs the suite for ports.LogSink.
func LogSink(t *testing.T, h LogSinkHarness) {
	topic := func(name string, checks []logCheck) { runTopic(t, name, h.Bubble, h, checks) }
	topic("Create", logCreateChecks)
	topic("Keys", logKeyChecks)
	topic("Write", logWriteChecks)
	topic("Open", logOpenChecks)
	topic("Growing", logGrowingChecks)
	topic("Delete", logDeleteChecks)
	topic("Concurrency", logConcurrencyChecks)
	topic("Context", logContextChecks)
	if h.SignedURLs {
		topic("SignedURL", logSignedURLChecks)
	} else {
		topic("SignedURL", logUnsignedURLChecks)
	}
	if h.Full == nil {
		leftOut(t, "Full", "the harness has no bounded sink")
		return
	}
	topic("Full", logFullChecks)
}

type logCheck = check[LogSinkHarness]
