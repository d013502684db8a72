package miniolog_test

import (
	"testing"
	"time"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestLogSinkConforms(t *testing.T) {
	client := client(t)
	conformance.LogSink(t, conformance.LogSinkHarness{
		New: func(t *testing.T) ports.LogSink {
			return newSink(t, client, miniolog.Config{FlushEvery: 20 * time.Millisecond})
		},
		Buffered:   buffer,
		SignedURLs: true,
	})
}
