package runner_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/ports"
)

// attempt returns an attempt at a job with a compiler.
func attempt(change func(*ports.Job)) *runner.Attempt {
	job := aJob(func(j *ports.Job) { j.Language.Compile = []string{"cc"} })
	if change != nil {
		change(&job)
	}
	return &runner.Attempt{
		Job: job, Request: runner.Place{WorkDir: "/work", Path: "/bin"}.Request(job),
		Look: func(s runner.Sample) (at, cpu time.Duration, memory int64, ok bool) {
			return s.At, *s.CPU, *s.Memory, s.At != time.Hour
		},
	}
}

func TestHowAnAttemptIsJudged(t *testing.T) {
	t.Parallel()
	const compile, run = 0, 1
	lost := fmt.Errorf("running the task: %w", runner.ErrLost)
	for name, c := range map[string]struct {
		report  *runner.Report
		err     error
		known   runner.Evidence
		want    ports.Outcome
		wantErr error
	}{
		"it ends well": {
			report: &runner.Report{End: runner.EndExit, Step: run, StdoutBytes: 3, StderrBytes: 4},
			want:   ports.Outcome{Cause: ports.CauseExit, StdoutBytes: 3, StderrBytes: 4},
		},
		"it ends well though a child of it was killed for want of memory": {
			report: &runner.Report{End: runner.EndExit, Step: run}, known: runner.Evidence{OOM: true},
			want: ports.Outcome{Cause: ports.CauseExit},
		},
		"it ends badly": {
			report: &runner.Report{End: runner.EndExit, Step: run, ExitCode: 137},
			want:   ports.Outcome{Cause: ports.CauseExit, ExitCode: 137},
		},
		"it ends badly, and one was killed for want of memory": {
			report: &runner.Report{End: runner.EndExit, Step: run, ExitCode: 1}, known: runner.Evidence{OOM: true},
			want: ports.Outcome{Cause: ports.CauseOOM, ExitCode: -1, Message: "a process of the program was killed for want of memory"},
		},
		"a signal ends it": {
			report: &runner.Report{End: runner.EndSignal, Step: run, ExitCode: -1, Signal: 11},
			want:   ports.Outcome{Cause: ports.CauseSignal, ExitCode: -1, Signal: "SIGSEGV"},
		},
		"want of memory ends it": {
			report: &runner.Report{End: runner.EndSignal, Step: run, ExitCode: -1, Signal: 9}, known: runner.Evidence{OOM: true},
			want: ports.Outcome{Cause: ports.CauseOOM, ExitCode: -1, Signal: "SIGKILL", Message: "a process of the program was killed for want of memory"},
		},
		"its compiler fails": {
			report: &runner.Report{End: runner.EndExit, Step: compile, ExitCode: 2},
			want:   ports.Outcome{Cause: ports.CauseExit, ExitCode: 2, Message: "the compile step failed"},
		},
		"its time is over": {
			report: &runner.Report{End: runner.EndTimeout, Step: run, ExitCode: -1, Signal: 9}, known: runner.Evidence{OOM: true},
			want: ports.Outcome{Cause: ports.CauseTimeout, ExitCode: -1, Signal: "SIGKILL", Message: "the run step ran for longer than 1m0s"},
		},
		"its compiler's time is over": {
			report: &runner.Report{End: runner.EndTimeout, Step: compile, ExitCode: -1, Signal: 9},
			want:   ports.Outcome{Cause: ports.CauseTimeout, ExitCode: -1, Signal: "SIGKILL", Message: "the compile step ran for longer than 30s"},
		},
		"it writes too much, and then ends well": {
			report: &runner.Report{End: runner.EndOutput, Step: run, StdoutBytes: 5 << 20},
			want: ports.Outcome{Cause: ports.CauseOutputLimit, ExitCode: -1, Signal: "SIGKILL", StdoutBytes: 5 << 20,
				Message: "the program wrote more than 4194304 bytes to one of its streams"},
		},
		"what was compiled cannot be started": {
			report: &runner.Report{End: runner.EndNotStarted, Step: run, ExitCode: -1, Message: "./main: permission denied"},
			want:   ports.Outcome{Cause: ports.CauseExit, ExitCode: 126, Message: "./main: permission denied"},
		},
		"the language's own command cannot be started": {
			report: &runner.Report{End: runner.EndNotStarted, Step: compile, ExitCode: -1, Message: "cc: not found"}, wantErr: ports.ErrInvalid,
		},
		"the supervisor goes away":                              {err: lost, wantErr: runner.ErrLost},
		"the supervisor lies":                                   {err: runner.ErrProtocol, wantErr: runner.ErrProtocol},
		"the supervisor lies, and something is known of memory": {err: lost, known: runner.Evidence{OOM: true}, want: ports.Outcome{Cause: ports.CauseOOM, ExitCode: -1, Signal: "SIGKILL", Message: "a process of the program was killed for want of memory"}},
		"the supervisor is silent": {
			err:  runner.ErrUnresponsive,
			want: ports.Outcome{Cause: ports.CauseTimeout, ExitCode: -1, Signal: "SIGKILL", Message: "the compile step ran for longer than 30s"},
		},
		"the launcher ended a step that ran too long": {
			err: lost, known: runner.Evidence{Overdue: true},
			want: ports.Outcome{Cause: ports.CauseTimeout, ExitCode: -1, Signal: "SIGKILL", Message: "the compile step ran for longer than 30s"},
		},
		"the request is refused": {err: ports.Invalid("args", "must not"), wantErr: ports.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := attempt(nil).Outcome(t.Context(), c.report, c.err, c.known)
			o.Usage = ports.Usage{}
			assert.Equal(t, c.want, o)
			if c.wantErr == nil {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, c.wantErr)
			}
		})
	}
}

func TestHowACancelledAttemptIsJudged(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		report *runner.Report
		err    error
		cause  ports.Cause
		failed bool
	}{
		"it says so":                   {&runner.Report{End: runner.EndCancelled, Step: 1, ExitCode: -1, Signal: 9}, ctx.Err(), ports.CauseCancelled, true},
		"it had just ended":            {&runner.Report{End: runner.EndExit, Step: 1}, ctx.Err(), ports.CauseExit, false},
		"it says nothing any more":     {nil, fmt.Errorf("%w: %w", ctx.Err(), runner.ErrLost), ports.CauseCancelled, true},
		"it does not come to an end":   {nil, fmt.Errorf("%w: %w", ctx.Err(), runner.ErrUnresponsive), ports.CauseCancelled, true},
		"it ended after its time, too": {&runner.Report{End: runner.EndTimeout, Step: 1, ExitCode: -1}, ctx.Err(), ports.CauseTimeout, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := attempt(nil).Outcome(ctx, c.report, c.err, runner.Evidence{})
			assert.Equal(t, c.cause, o.Cause)
			if c.failed {
				assert.ErrorIs(t, err, context.Canceled)
			} else {
				assert.NoError(t, err)
			}
		})
	}
}

func TestWhatAnAttemptHandsOn(t *testing.T) {
	t.Parallel()
	t.Run("what is unreported is what was seen", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			started, steps := 0, 0
			a := attempt(func(j *ports.Job) { j.Started = func() { started++ } })
			a.OnStep = func(int) { steps++ }
			assert.Zero(t, a.Start())
			h := a.Handlers()
			h.Started(0)
			time.Sleep(time.Second)
			h.Started(1)
			h.Stdout([]byte("12345"))
			h.Stderr([]byte("123"))
			time.Sleep(time.Second)
			o, err := a.Outcome(t.Context(), nil, runner.ErrUnresponsive, runner.Evidence{})
			require.NoError(t, err)
			assert.Equal(t, "the run step ran for longer than 1m0s", o.Message)
			assert.Equal(t, 2*time.Second, *o.Usage.WallTime)
			assert.EqualValues(t, 5, o.StdoutBytes)
			assert.EqualValues(t, 3, o.StderrBytes)
			assert.Equal(t, 1, started, "the program starts once")
			assert.Equal(t, 2, steps)
		})
	})
	t.Run("a writer that failed gets nothing more, and all is counted", func(t *testing.T) {
		t.Parallel()
		w := &failing{}
		a := attempt(func(j *ports.Job) { j.Stdout = w })
		h := a.Handlers()
		h.Stdout([]byte("123"))
		h.Stdout([]byte("45"))
		o, err := a.Outcome(t.Context(), nil, runner.ErrUnresponsive, runner.Evidence{})
		require.NoError(t, err)
		assert.Equal(t, 1, w.calls)
		assert.EqualValues(t, 5, o.StdoutBytes)
	})
	t.Run("samples are differences, and never less than nothing", func(t *testing.T) {
		t.Parallel()
		var got []ports.Sample
		a := attempt(func(j *ports.Job) { j.Sample = func(s ports.Sample) { got = append(got, s) } })
		h := a.Handlers()
		say := func(at, cpu time.Duration, memory int64) { h.Sample(runner.Sample{At: at, CPU: &cpu, Memory: &memory}) }
		say(time.Second, 0, 0) // before the start
		h.Started(0)
		say(time.Second, 500*time.Millisecond, 7)
		say(time.Second, time.Second, 7) // no time has passed
		say(time.Hour, time.Second, 7)   // of which nothing is known
		say(3*time.Second, 2500*time.Millisecond, -1)
		say(4*time.Second, time.Second, 9)
		assert.Equal(t, []ports.Sample{
			{At: time.Second, CPU: 0.5, Memory: 7}, {At: 3 * time.Second, CPU: 1}, {At: 4 * time.Second, Memory: 9},
		}, got)
	})
}

// failing is a writer that cannot.
type failing struct{ calls int }

func (f *failing) Write([]byte) (int, error) {
	f.calls++
	return 0, errors.New("no")
}
