package runner_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

func TestWhoseWishEndedAJob(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	closed := runner.NewJobs("executor")
	closed.Close(t.Context())
	cancelled := ports.Outcome{Cause: ports.CauseCancelled, ExitCode: -1}
	exit := ports.Outcome{Cause: ports.CauseExit}
	for name, c := range map[string]struct {
		jobs *runner.Jobs
		ctx  context.Context
		o    ports.Outcome
		err  error
		want ports.Outcome
		is   error
	}{
		"nobody's":                                   {runner.NewJobs("x"), t.Context(), exit, nil, exit, nil},
		"nobody's, and another attempt may do":       {runner.NewJobs("x"), t.Context(), ports.Outcome{}, runner.ErrLost, ports.Outcome{}, runner.ErrLost},
		"nobody's, for all that came after":          {closed, ended, exit, nil, exit, nil},
		"the caller's":                               {runner.NewJobs("x"), ended, cancelled, ended.Err(), cancelled, context.Canceled},
		"the caller's, just after the job was lost":  {runner.NewJobs("x"), ended, ports.Outcome{}, runner.ErrLost, cancelled, context.Canceled},
		"that of Close":                              {closed, t.Context(), cancelled, context.Canceled, cancelled, ports.ErrClosed},
		"that of Close, just after the job was lost": {closed, t.Context(), ports.Outcome{}, runner.ErrLost, cancelled, ports.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := c.jobs.Ended(c.ctx, c.o, c.err)
			assert.Equal(t, c.want, o)
			assert.ErrorIs(t, err, c.is)
		})
	}
}

func TestCloseWaitsForJobsAndThenLosesItsPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := runner.NewJobs("executor")
		ctx, done, err := jobs.Begin(t.Context())
		require.NoError(t, err)
		patience, lose := context.WithCancel(t.Context())
		closed := false
		go func() {
			jobs.Close(patience)
			closed = true
		}()
		synctest.Wait()
		assert.NoError(t, ctx.Err())
		_, _, err = jobs.Begin(t.Context())
		assert.ErrorIs(t, err, ports.ErrClosed)
		lose()
		synctest.Wait()
		assert.Error(t, ctx.Err(), "the job is told")
		assert.False(t, closed, "and waited for")
		done()
		synctest.Wait()
		assert.True(t, closed)
		jobs.Close(t.Context()) // again
	})
}
