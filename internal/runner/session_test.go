package runner_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/cgroup"
	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/runner/frame"
	"github.com/task-runner/task-runner/ports"
)

// These tests play the supervisor themselves, on the test's own clock, so that it can
// lie, die and be silent.

// ready is the frame that every supervisor starts with. What made the sandbox was
// counted, too.
var (
	hello = runner.Ready{Threads: 9, Counters: cgroup.Counters{
		CPU: new(time.Minute), Memory: new(int64(1 << 20)), PeakMemory: new(int64(4 << 20)), OOMKills: new(int64(1)),
	}}
	ready = frame.AppendReady(nil, hello)
)

// request is what the lying supervisors are asked to do.
func request() *runner.Request {
	return &runner.Request{
		WorkDir:        "/work",
		Steps:          []runner.Step{step("compile", "cc"), step("run", "a.out")},
		OutputLimit:    10,
		OutputKill:     40,
		SampleInterval: time.Second,
	}
}

// step returns a step that may take a minute.
func step(name string, argv ...string) runner.Step {
	return runner.Step{Name: name, Argv: argv, Env: []string{"PATH=/usr/bin:/bin"}, Timeout: time.Minute}
}

// pretend starts a supervisor that does what play says, once it has read its
// request, and returns the session with it. It hangs up after that.
func pretend(t *testing.T, play func(say func(...[]byte), stdin io.Reader)) *runner.Session {
	stdinR, stdinW := io.Pipe()
	stdoutR, stdoutW := io.Pipe()
	say := func(frames ...[]byte) {
		for _, f := range frames {
			if _, err := stdoutW.Write(f); err != nil {
				return // the launcher hung up
			}
		}
	}
	go func() {
		defer stdoutW.Close()
		defer stdinR.Close()
		say(ready)
		header := make([]byte, frame.HeaderSize)
		if _, err := io.ReadFull(stdinR, header); err != nil {
			return
		}
		_, size, err := frame.ParseHeader(header)
		if !assert.NoError(t, err) {
			return
		}
		if _, err := io.CopyN(io.Discard, stdinR, int64(size)); !assert.NoError(t, err) {
			return
		}
		play(say, stdinR)
	}()
	s := runner.NewSession(stdinW, stdoutR)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func data(kind frame.Type, text string) []byte {
	f := make([]byte, frame.HeaderSize, frame.HeaderSize+len(text))
	frame.PutHeader(f, kind, len(text))
	return append(f, text...)
}

func started(step int) []byte { return frame.AppendStarted(nil, step) }

func result(r runner.Report) []byte { return frame.AppendResult(nil, &r) }

func stdout(text string) []byte { return data(frame.TypeStdout, text) }
func stderr(text string) []byte { return data(frame.TypeStderr, text) }

func sample(at time.Duration) []byte {
	return frame.AppendSample(nil, frame.Sample{At: at, CPU: new(time.Minute + at)})
}

func TestATrueStoryIsBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		want := runner.Report{
			End: runner.EndExit, Step: 1, ExitCode: 7, Wall: 2 * time.Second, CPU: time.Second, MaxRSS: 1 << 20, StdoutBytes: 30, StderrBytes: 5,
			Counters: cgroup.Counters{CPU: new(time.Minute + 2*time.Second), PeakMemory: new(int64(4 << 20)), OOMKills: new(int64(1))},
		}
		s := pretend(t, func(say func(...[]byte), _ io.Reader) {
			say(started(0), stderr("warn"))
			time.Sleep(2 * time.Second)
			say(sample(time.Second), started(1), stdout("0123456789"), stderr("!"), sample(2*time.Second), result(want))
		})
		got, err := s.Ready(t.Context())
		require.NoError(t, err)
		assert.Equal(t, hello, got)

		var story []string
		report, err := s.Run(t.Context(), request(), runner.Handlers{
			Started: func(step int) { story = append(story, "started "+string(rune('0'+step))) },
			Stdout:  func(p []byte) { story = append(story, "out "+string(p)) },
			Stderr:  func(p []byte) { story = append(story, "err "+string(p)) },
			Sample:  func(s runner.Sample) { story = append(story, "sample "+s.At.String()) },
		})
		require.NoError(t, err)
		assert.Equal(t, &want, report)
		assert.Equal(t, []string{"started 0", "err warn", "sample 1s", "started 1", "out 0123456789", "err !", "sample 2s"}, story)
	})
}

func TestHandlersMayBeMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), _ io.Reader) {
			time.Sleep(time.Second)
			say(started(0), started(1), stdout("a"), stderr("b"), sample(1),
				result(runner.Report{End: runner.EndSignal, Step: 1, ExitCode: -1, Signal: 11, StdoutBytes: 1, StderrBytes: 1}))
		})
		report, err := s.Run(t.Context(), request(), runner.Handlers{})
		require.NoError(t, err)
		assert.Equal(t, 11, report.Signal)
	})
}

func TestALieIsAProtocolViolation(t *testing.T) {
	t.Parallel()
	exit := runner.Report{End: runner.EndExit, Step: 1}
	change := func(change func(*runner.Report)) []byte {
		r := exit
		change(&r)
		return result(r)
	}
	both := append(started(0), started(1)...)
	for name, c := range map[string]struct {
		lie   [][]byte
		about string
	}{
		"a second ready":                     {[][]byte{ready}, "type 2"},
		"a request":                          {[][]byte{data(frame.TypeRequest, "x")}, "sent a request"},
		"a frame of no type":                 {[][]byte{{0, 0, 0, 0, 0}}, "unknown type"},
		"a frame beyond its bound":           {[][]byte{{byte(frame.TypeStdout), 0xff, 0, 0, 0}}, "longer"},
		"garbage in a frame":                 {[][]byte{data(frame.TypeResult, "garbage")}, "cut short"},
		"a step out of turn":                 {[][]byte{started(1)}, "out of turn"},
		"a step twice":                       {[][]byte{started(0), started(0)}, "out of turn"},
		"a step that nobody asked for":       {[][]byte{both, started(2)}, "out of turn"},
		"output before any step":             {[][]byte{stderr("x")}, "before a step"},
		"stdout of a compiler":               {[][]byte{started(0), stdout("x")}, "before the last step"},
		"empty output":                       {[][]byte{both, stdout("")}, "1 byte"},
		"more stdout than asked for":         {[][]byte{both, stdout("0123456789"), stdout("x")}, "more output"},
		"more stderr than asked for":         {[][]byte{both, stderr("0123456789x")}, "more output"},
		"a sample before any step":           {[][]byte{sample(0)}, "nobody asked"},
		"a sample from the future":           {[][]byte{both, sample(time.Hour)}, "time cannot be"},
		"a sample from the past":             {[][]byte{both, sample(3), sample(2)}, "time cannot be"},
		"CPU time that shrinks":              {[][]byte{both, sample(3), frame.AppendSample(nil, frame.Sample{At: 3, CPU: new(time.Minute + 2)})}, "CPU time cannot be"},
		"CPU time that shrank since Ready":   {[][]byte{both, frame.AppendSample(nil, frame.Sample{At: 3, CPU: new(time.Minute - 1)})}, "CPU time cannot be"},
		"CPU time of an impossible machine":  {[][]byte{both, frame.AppendSample(nil, frame.Sample{At: 3, CPU: new(10_000 * time.Hour)})}, "CPU time cannot be"},
		"a flood of samples":                 {[][]byte{both, sample(1), sample(2), sample(3), sample(4)}, "faster"},
		"a result of nothing":                {[][]byte{result(exit)}, "which cannot be"},
		"a result of an earlier step":        {[][]byte{both, change(func(r *runner.Report) { r.Step, r.ExitCode = 0, 1 })}, "which cannot be"},
		"a success before the last step":     {[][]byte{started(0), change(func(r *runner.Report) { r.Step = 0 })}, "before the last step"},
		"a failed start of a started step":   {[][]byte{both, change(func(r *runner.Report) { r.End, r.ExitCode, r.Message = runner.EndNotStarted, -1, "why" })}, "which cannot be"},
		"a cancel that nobody asked for":     {[][]byte{both, change(func(r *runner.Report) { r.End = runner.EndCancelled })}, "it was not"},
		"a timeout too early":                {[][]byte{both, change(func(r *runner.Report) { r.End, r.Wall = runner.EndTimeout, time.Second })}, "it was not"},
		"too much output that was not":       {[][]byte{both, change(func(r *runner.Report) { r.End, r.StdoutBytes = runner.EndOutput, 40 })}, "there was not"},
		"output that did not come":           {[][]byte{both, change(func(r *runner.Report) { r.StdoutBytes = 1 })}, "count of the output"},
		"output that is not counted":         {[][]byte{both, stderr("x"), result(exit)}, "count of the output"},
		"a longer time than there was":       {[][]byte{both, change(func(r *runner.Report) { r.Wall = time.Minute })}, "longer than it ran"},
		"more CPU time than there is":        {[][]byte{both, change(func(r *runner.Report) { r.CPU = 100_000 * time.Hour })}, "more CPU time"},
		"a counter beyond that":              {[][]byte{both, change(func(r *runner.Report) { r.Counters.CPU = new(100_000 * time.Hour) })}, "CPU time cannot be"},
		"a counter below that of Ready":      {[][]byte{both, change(func(r *runner.Report) { r.Counters.CPU = new(time.Minute - 1) })}, "CPU time cannot be"},
		"a counter below that of a sample":   {[][]byte{both, sample(1), frame.AppendSample(nil, frame.Sample{At: 2}), change(func(r *runner.Report) { r.Counters.CPU = new(time.Minute) })}, "CPU time cannot be"},
		"a lower peak than before the task":  {[][]byte{both, change(func(r *runner.Report) { r.Counters.PeakMemory = new(int64(4<<20 - 1)) })}, "peak of the memory fell"},
		"fewer kills than before the task":   {[][]byte{both, change(func(r *runner.Report) { r.Counters.OOMKills = new(int64(0)) })}, "killed for want of memory fell"},
		"bytes in one piece with the result": {[][]byte{both, append(result(exit), 0)}, "follow the result"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := pretend(t, func(say func(...[]byte), _ io.Reader) {
					time.Sleep(2 * time.Second)
					say(c.lie...)
				})
				report, err := s.Run(t.Context(), request(), runner.Handlers{})
				assert.Nil(t, report)
				assert.ErrorIs(t, err, runner.ErrProtocol)
				assert.ErrorContains(t, err, c.about)
			})
		})
	}
}

// A group that others used before may have counted more than the task can have.
func TestWhatWasCountedBeforeReadyIsNotTheTasks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		used time.Duration
		want error
	}{
		"used by nobody since":              {0, nil},
		"used a little since":               {time.Second, nil},
		"used more than can be since Ready": {100_000 * time.Hour, runner.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := 200_000 * time.Hour
			said := frame.AppendReady(nil, runner.Ready{Threads: 1, Counters: cgroup.Counters{CPU: &before}})
			said = append(said, started(0)...)
			said = append(said, result(runner.Report{End: runner.EndExit, ExitCode: 1, Counters: cgroup.Counters{CPU: new(before + c.used)}})...)
			s := runner.NewSession(nopCloser{io.Discard}, io.NopCloser(bytes.NewReader(said)))
			_, err := s.Run(t.Context(), request(), runner.Handlers{})
			assert.ErrorIs(t, err, c.want)
		})
	}
}

func TestASampleThatNobodyAskedForIsAViolation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), _ io.Reader) { say(started(0), sample(0)) })
		req := request()
		req.SampleInterval = 0
		_, err := s.Run(t.Context(), req, runner.Handlers{})
		assert.ErrorIs(t, err, runner.ErrProtocol)
	})
}

func TestASupervisorThatGoesAwayIsLost(t *testing.T) {
	t.Parallel()
	for name, last := range map[string][]byte{
		"at once":               {},
		"after a frame":         started(0),
		"within a header":       started(0)[:3],
		"within a frame's body": started(0)[:frame.HeaderSize],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := pretend(t, func(say func(...[]byte), _ io.Reader) { say(last) })
				report, err := s.Run(t.Context(), request(), runner.Handlers{})
				assert.Nil(t, report)
				assert.ErrorIs(t, err, runner.ErrLost)
				assert.NotErrorIs(t, err, runner.ErrProtocol)
			})
		})
	}
}

func TestASupervisorThatIsSilentIsGivenUpWhenItsTimeoutsAreLongOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), stdin io.Reader) {
			say(started(0))
			_, _ = io.Copy(io.Discard, stdin)
			<-t.Context().Done()
		})
		start := time.Now()
		report, err := s.Run(t.Context(), request(), runner.Handlers{})
		assert.Nil(t, report)
		assert.ErrorIs(t, err, runner.ErrUnresponsive)
		assert.Equal(t, 2*time.Minute+10*time.Second, time.Since(start), "two steps of a minute, and some grace")
	})
}

func TestTheTimeOfHandlersIsNotTheSupervisors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), _ io.Reader) {
			say(started(0), stderr("a"), stderr("b"), result(runner.Report{End: runner.EndExit, ExitCode: 1, StderrBytes: 2}))
		})
		report, err := s.Run(t.Context(), request(), runner.Handlers{Stderr: func([]byte) { time.Sleep(time.Hour) }})
		require.NoError(t, err)
		assert.Equal(t, 1, report.ExitCode)
	})
}

func TestACancelGivesTheReportOfWhatWasUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), stdin io.Reader) {
			say(started(0), stderr("partial"))
			_, _ = io.Copy(io.Discard, stdin) // until it is closed
			time.Sleep(time.Second)
			say(result(runner.Report{End: runner.EndCancelled, ExitCode: -1, Signal: 9, CPU: time.Second, StderrBytes: 7}))
		})
		ctx, cancel := context.WithCancel(t.Context())
		report, err := s.Run(ctx, request(), runner.Handlers{Stderr: func([]byte) { cancel() }})
		assert.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, runner.ErrLost)
		require.NotNil(t, report)
		assert.Equal(t, time.Second, report.CPU)
	})
}

func TestACancelThatIsNotAnsweredIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), _ io.Reader) {
			say(started(0))
			<-t.Context().Done()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		report, err := s.Run(ctx, request(), runner.Handlers{})
		assert.Nil(t, report)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorIs(t, err, runner.ErrUnresponsive)
		assert.Equal(t, 4*time.Second, time.Since(start))
	})
}

func TestATaskThatEndsAsItIsCancelledMayStillHaveEndedByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), stdin io.Reader) {
			say(started(0))
			_, _ = io.Copy(io.Discard, stdin)
			say(result(runner.Report{End: runner.EndExit, ExitCode: 3}))
		})
		ctx, cancel := context.WithCancel(t.Context())
		report, err := s.Run(ctx, request(), runner.Handlers{Started: func(int) { cancel() }})
		assert.ErrorIs(t, err, context.Canceled)
		require.NotNil(t, report)
		assert.Equal(t, 3, report.ExitCode)
	})
}

func TestACancelWhileTheRequestIsWrittenEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stdinR, stdinW := io.Pipe() // nobody reads
		stdoutR, stdoutW := io.Pipe()
		go func() {
			_, _ = stdoutW.Write(ready)
			<-t.Context().Done()
		}()
		defer stdinR.Close()
		defer stdoutW.Close()
		s := runner.NewSession(stdinW, stdoutR)
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		report, err := s.Run(ctx, request(), runner.Handlers{})
		assert.Nil(t, report)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestReadyRefusesWhatIsNotReady(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hello []byte
		want  error
	}{
		"nothing":                   {nil, runner.ErrLost},
		"half of it":                {ready[:4], runner.ErrLost},
		"another frame":             {started(0), runner.ErrProtocol},
		"a message of another tool": {[]byte("exec format error\n"), runner.ErrProtocol},
		"another version":           {data(frame.TypeReady, "\x00\x63"+string(ready[frame.HeaderSize+2:])), runner.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := runner.NewSession(nopCloser{io.Discard}, io.NopCloser(strings.NewReader(string(c.hello))))
			_, err := s.Ready(t.Context())
			assert.ErrorIs(t, err, c.want)
			_, err = s.Run(t.Context(), request(), runner.Handlers{})
			assert.Error(t, err, "the session is of no use")
		})
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestReadyStopsWaitingWhenItsContextIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, stdinW := io.Pipe()
		stdoutR, _ := io.Pipe()
		s := runner.NewSession(stdinW, stdoutR)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Ready(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestABadRequestIsRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(func(...[]byte), io.Reader) { assert.Fail(t, "a request came") })
		req := request()
		req.Files = []runner.File{{Path: "../x"}}
		_, err := s.Run(t.Context(), req, runner.Handlers{})
		assert.ErrorIs(t, err, ports.ErrInvalid)
		field, ok := errors.AsType[*ports.FieldError](err)
		require.True(t, ok)
		assert.Equal(t, "files[0].path", field.Field)
	})
}

func TestASessionIsForOneTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), _ io.Reader) {
			say(started(0), result(runner.Report{End: runner.EndExit, ExitCode: 1}))
		})
		_, err := s.Run(t.Context(), request(), runner.Handlers{})
		require.NoError(t, err)
		_, err = s.Run(t.Context(), request(), runner.Handlers{})
		assert.ErrorContains(t, err, "used before")
		_, err = s.Ready(t.Context())
		assert.ErrorContains(t, err, "used before")
	})
}

func TestCloseEndsARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pretend(t, func(say func(...[]byte), _ io.Reader) {
			say(started(0))
			<-t.Context().Done()
		})
		report, err := s.Run(t.Context(), request(), runner.Handlers{Started: func(int) { assert.NoError(t, s.Close()) }})
		assert.Nil(t, report)
		assert.ErrorIs(t, err, runner.ErrLost)
		assert.NoError(t, s.Close(), "again")
	})
}

// Whatever a supervisor sends, the launcher gets no more output than it asked for, and
// a report or a reason why there is none.
func FuzzSession(f *testing.F) {
	both := append(started(0), started(1)...)
	end := result(runner.Report{End: runner.EndExit, Step: 1, StdoutBytes: 3})
	f.Add(append(append(append([]byte{}, both...), stdout("abc")...), end...))
	f.Add(append(append([]byte{}, both...), sample(1)...))
	f.Add(started(0)[:3])
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, said []byte) {
		s := runner.NewSession(nopCloser{io.Discard}, io.NopCloser(io.MultiReader(bytes.NewReader(ready), bytes.NewReader(said))))
		req := request()
		var outs, errs int
		report, failure := s.Run(t.Context(), req, runner.Handlers{
			Stdout: func(p []byte) { outs += len(p) },
			Stderr: func(p []byte) { errs += len(p) },
		})
		assert.LessOrEqual(t, int64(max(outs, errs)), req.OutputLimit)
		if failure != nil {
			assert.Nil(t, report)
			assert.True(t, errors.Is(failure, runner.ErrProtocol) || errors.Is(failure, runner.ErrLost), "%v", failure)
			return
		}
		assert.EqualValues(t, outs, min(report.StdoutBytes, req.OutputLimit))
		assert.EqualValues(t, errs, min(report.StderrBytes, req.OutputLimit))
	})
}
