package miniolog_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestLogSinkConforms(t *testing.T) {
	client := newClient(t)
	cfg := miniolog.Config{Bucket: "taskrunner-test", Buffer: 16 << 10}
	conformance.LogSink(t, conformance.LogSinkHarness{
		New: func(t *testing.T) ports.LogSink {
			cfg := cfg
			cfg.Prefix = strings.ToLower(rand.Text()) + "/"
			s, err := miniolog.New(t.Context(), client, cfg)
			require.NoError(t, err)
			return s
		},
		Buffered:   int64(cfg.Buffer),
		SignedURLs: true,
	})
}
