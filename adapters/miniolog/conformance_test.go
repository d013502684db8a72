package miniolog_test

import (
	"testing"
	"time"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestLogSinkConforms(t *testing.T) {
	t.Parallel()
	// Some parts each, not hundreds: every one costs the store several requests.
	const buffer = 64 << 10
	client := client(t)
	conformance.LogSink(t, conformance.LogSinkHarness{
		New: func(t *testing.T) ports.LogSink {
			return newSink(t, client, miniolog.Config{Buffer: buffer, FlushEvery: 20 * time.Millisecond})
		},
		Buffered:   buffer,
		SignedURLs: true,
		// The one bound of its own is a log's longest length. A store that is full has no room
		// to put a long log together beside its parts, so that Close fails there; see
		// TestAWriterGoesOnAfterAnOutage.
		Full: func(t *testing.T) ports.LogSink {
			s := newSink(t, client, miniolog.Config{Buffer: buffer})
			s.SetMaxLog(1 << 20)
			return s
		},
	})
}
