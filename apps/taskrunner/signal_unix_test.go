//go:build unix

package main

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/apps/internal/signals"
)

// It is not parallel, because the signal goes to the whole process.
func TestASignalEndsTheContext(t *testing.T) {
	ctx, stop := signals.Context(t.Context())
	defer stop()
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	<-ctx.Done()
	var s signals.Error
	require.ErrorAs(t, context.Cause(ctx), &s)
	assert.Equal(t, syscall.SIGTERM, s.Signal)
	code, ok := interrupted(ctx)
	assert.True(t, ok)
	assert.Equal(t, 143, code)
}
