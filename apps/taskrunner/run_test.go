package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/apps/internal/signals"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

func TestRunBehavesLikeTheProgram(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	for name, tt := range map[string]struct {
		file, code string
		flags      []string
		args       []string
		stdin      string
		want       outcome
	}{
		"a Python program":                             {file: "hello.py", code: `print("hello")`, want: outcome{0, "hello\n", ""}},
		"a JavaScript program":                         {file: "hello.js", code: `console.log("hello")`, want: outcome{0, "hello\n", ""}},
		"a Bash program":                               {file: "hello.sh", code: `echo hello; echo oops >&2`, want: outcome{0, "hello\n", "oops\n"}},
		"a program told by its first line":             {file: "hello", code: "#!/usr/bin/env python3\nprint('hello')", want: outcome{0, "hello\n", ""}},
		"a program told by a flag":                     {file: "hello.txt", flags: []string{"--language=py"}, code: "print('hello')", want: outcome{0, "hello\n", ""}},
		"its exit code":                                {file: "x.sh", code: "exit 42", want: outcome{42, "", ""}},
		"exit code 137 without a lack of memory":       {file: "x.sh", code: "exit 137", want: outcome{137, "", ""}},
		"its own name and arguments, flags among them": {file: "x.sh", code: `echo "${0##*/} $@"`, args: []string{"a b", "--json", "-x"}, want: outcome{0, "x.sh a b --json -x\n", ""}},
		"its standard input":                           {file: "x.sh", code: "wc -c", stdin: "12345", want: outcome{0, "5\n", ""}},
		"its environment":                              {file: "x.sh", flags: []string{"--env", "A=1,2", "--env", "B=3=4"}, code: `echo "$A $B"`, want: outcome{0, "1,2 3=4\n", ""}},
		"bytes that are not text":                      {file: "x.sh", code: `printf '\xff\x00\xfe'`, want: outcome{0, "\xff\x00\xfe", ""}},
		"a signal":                                     {file: "x.sh", code: "kill -SEGV $$", want: outcome{139, "", "taskrunner: killed by SIGSEGV\n"}},
		"a timeout":                                    {file: "x.sh", flags: []string{"--timeout=200ms"}, code: "echo first; sleep 60", want: outcome{124, "first\n", "taskrunner: timed out: the run step ran for longer than 200ms\n"}},
		"too little memory":                            {file: "x.py", flags: []string{"--memory=48m"}, code: "a = 'x' * (1 << 30)", want: outcome{137, "", "taskrunner: out of memory (48MiB; --memory allows more): a process of the program was killed for want of memory\n"}},
		"output beyond its limit":                      {file: "x.sh", flags: []string{"--output=8"}, code: "echo 123456789", want: outcome{0, "12345678", "taskrunner: output was cut after 8B; --output allows more\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(append([]string{"run"}, tt.flags...), write(t, tt.file, tt.code))
			assert.Equal(t, tt.want, call(t.Context(), tt.stdin, nil, append(args, tt.args...)...))
		})
	}
}

func TestRunOfAFloodEndsWithItsOwnExitCode(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	got := call(t.Context(), "", nil, "run", "--output=1k", write(t, "x.sh", "yes"))
	assert.Equal(t, exitOutputLimit, got.code)
	assert.Len(t, got.stdout, 1024)
	assert.Contains(t, got.stderr, "--output allows more")
}

func TestRunGivesAllOutputHoweverLong(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	text := strings.Repeat("0123456789abcde\n", 300_000) // far more than is sent live or kept in a record
	got := call(t.Context(), text, nil, "run", write(t, "x.sh", "cat"))
	assert.Equal(t, 0, got.code)
	assert.True(t, text == got.stdout, "got %d bytes of %d", len(got.stdout), len(text))
}

func TestRunReadsTheProgramFromStandardInput(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	got := call(t.Context(), "#!/bin/bash\necho $1; cat", nil, "run", "-", "arg")
	assert.Equal(t, outcome{0, "arg\n", ""}, got)
	got = call(t.Context(), "cat", nil, "run", "--language=bash", "--stdin", write(t, "in", "input"), "-")
	assert.Equal(t, outcome{0, "input", ""}, got)
}

func TestRunRefusesWhatNoTaskMayBe(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"a limit below the least":  {[]string{"--memory=1k", "x.sh"}, "--memory (TASKRUNNER_MEMORY): must be from 6 MiB"},
		"a limit above all sense":  {[]string{"--memory=100t", "x.sh"}, "--memory (TASKRUNNER_MEMORY): must be from 6 MiB"},
		"a language that is none":  {[]string{"--language=cobol", "x.sh"}, "--language (TASKRUNNER_LANGUAGE): must be one of bash, javascript, python"},
		"a variable without sense": {[]string{"--env", "1=2", "x.sh"}, "--env (TASKRUNNER_ENV): must have names of letters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"run"}, tt.args...)
			args[len(args)-1] = write(t, "x.sh", "true")
			got := call(t.Context(), "", nil, args...)
			assert.Equal(t, 2, got.code)
			assert.Contains(t, got.stderr, tt.want)
		})
	}
}

func TestRunPrintsTheResultAsTheAPIShowsIt(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	got := call(t.Context(), "", nil, "run", "--json", write(t, "x.py", "print('out'); raise SystemExit(3)"))
	assert.Equal(t, 3, got.code)
	assert.Empty(t, got.stderr)
	var task struct {
		Status, Cause, Stdout string
		ExitCode              int `json:"exit_code"`
		Usage                 struct {
			CPU  float64 `json:"cpu_time_ms"`
			Wall float64 `json:"wall_time_ms"`
			Peak int64   `json:"peak_memory_bytes"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &task))
	assert.Equal(t, "failed", task.Status)
	assert.Equal(t, "exit", task.Cause)
	assert.Equal(t, 3, task.ExitCode)
	assert.Equal(t, "out\n", task.Stdout)
	assert.Positive(t, task.Usage.CPU)
	assert.Positive(t, task.Usage.Wall)
	assert.Positive(t, task.Usage.Peak)
}

// cancelAt is a writer that interrupts the run as soon as the program writes.
type cancelAt struct {
	bytes.Buffer
	cancel context.CancelCauseFunc
}

func (c *cancelAt) Write(p []byte) (int, error) {
	c.cancel(signals.Error{Signal: syscall.SIGINT})
	return c.Buffer.Write(p)
}

func TestAnInterruptEndsTheProgramAtOnce(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stdout := &cancelAt{cancel: cancel}
	var stderr bytes.Buffer
	code := run(ctx, []string{"run", write(t, "x.sh", "trap '' INT TERM; echo started; sleep 600")}, []string{noEngine}, strings.NewReader(""), stdout, &stderr)
	assert.Equal(t, 130, code)
	assert.Equal(t, "started\n", stdout.String())
	assert.Empty(t, stderr.String())
}

func TestAProgramWhoseOutputNobodyReadsIsEnded(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	reader, stdout, err := os.Pipe()
	require.NoError(t, err)
	defer stdout.Close()
	require.NoError(t, reader.Close())
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"run", write(t, "x.sh", "trap '' INT TERM PIPE; echo started; sleep 600")}, []string{noEngine}, strings.NewReader(""), stdout, &stderr)
	assert.Equal(t, 141, code)
	assert.Empty(t, stderr.String())
}

func TestARunThatIsInterruptedBeforeItStartsSaysNothing(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(signals.Error{Signal: syscall.SIGTERM})
	assert.Equal(t, outcome{143, "", ""}, call(ctx, "", nil, "run", write(t, "x.sh", "echo x")))
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"run", write(t, "x.sh", "echo x")}, []string{noEngine}, strings.NewReader(""), broken{}, &stderr)
	assert.Equal(t, 1, code)
	assert.Equal(t, "taskrunner: writing the program's output: disk full\n", stderr.String())
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	limits := taskrunner.DefaultPolicy().Default
	limits.Timeout = time.Second
	for name, tt := range map[string]struct {
		result *taskrunner.Result
		code   int
		want   string
	}{
		"no result":               {nil, 125, "without a result"},
		"success":                 {outcomeOf(ports.Outcome{Cause: ports.CauseExit}), 0, ""},
		"a failed compile step":   {outcomeOf(ports.Outcome{Cause: ports.CauseExit, ExitCode: 1, Message: "the compile step failed"}), 1, "the compile step failed"},
		"a signal":                {outcomeOf(ports.Outcome{Cause: ports.CauseSignal, Signal: "SIGTERM"}), 143, "killed by SIGTERM"},
		"a signal nobody knows":   {outcomeOf(ports.Outcome{Cause: ports.CauseSignal, Signal: "SIGRTMIN"}), 137, "killed by SIGRTMIN"},
		"out of memory":           {outcomeOf(ports.Outcome{Cause: ports.CauseOOM, Signal: "SIGKILL"}), 137, "out of memory (256MiB; --memory allows more)"},
		"a timeout":               {outcomeOf(ports.Outcome{Cause: ports.CauseTimeout}), 124, "timed out"},
		"too much output":         {outcomeOf(ports.Outcome{Cause: ports.CauseOutputLimit}), 153, "--output allows more"},
		"a cancel":                {outcomeOf(ports.Outcome{Cause: ports.CauseCancelled}), 130, "cancelled"},
		"a fault of this machine": {outcomeOf(ports.Outcome{Cause: ports.CauseInfrastructure, Message: "no room"}), 125, "could not be run: no room"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, message := exitCode(taskrunner.Task{Spec: taskrunner.Spec{Limits: limits}, Result: tt.result})
			assert.Equal(t, tt.code, code)
			assert.Contains(t, message, tt.want)
		})
	}
}

func outcomeOf(o ports.Outcome) *taskrunner.Result { return &taskrunner.Result{Outcome: o} }

func TestTheLanguageOfASource(t *testing.T) {
	t.Parallel()
	all := append(taskrunner.BuiltinLanguages(), ports.Language{Name: "perl", Source: "main.pl", Run: []string{"/usr/bin/perl", "{entrypoint}"}})
	for name, tt := range map[string]struct {
		source source
		want   string
	}{
		"the extension of the language's source": {source{name: "a.py"}, "python"},
		"an extension that is an alias":          {source{name: "a.node"}, "javascript"},
		"an extension beats the first line":      {source{name: "a.js", content: []byte("#!/usr/bin/python3")}, "javascript"},
		"an interpreter by its path":             {source{name: "a", content: []byte("#!/bin/bash -e\n")}, "bash"},
		"an interpreter found by env":            {source{name: "a", content: []byte("#!/usr/bin/env node\n")}, "javascript"},
		"env with options and variables":         {source{name: "a", content: []byte("#!/usr/bin/env -S A=1 python3.11 -u\n")}, "python"},
		"the program of the run command":         {source{name: "a", content: []byte("#! /usr/local/bin/perl5.36")}, "perl"},
		"standard input has a first line too":    {source{content: []byte("#!/bin/bash\r\necho")}, "bash"},
		"an unknown extension and no first line": {source{name: "a.txt", content: []byte("hello")}, ""},
		"a first line without an interpreter":    {source{name: "a", content: []byte("#!\n")}, ""},
		"an unknown interpreter":                 {source{name: "a", content: []byte("#!/bin/fish\n")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.source.language("", all)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.want == "", err != nil)
		})
	}
	got, err := source{name: "a.py"}.language("bash", all)
	require.NoError(t, err)
	assert.Equal(t, "bash", got, "what is asked for beats all")
}

func FuzzTheFirstLineIsReadWithoutHarm(f *testing.F) {
	for _, seed := range []string{"#!", "#!/usr/bin/env", "#!/bin/sh\x00", "#! \t ", "#!/usr/bin/env -S A=1", strings.Repeat("#!/x ", 100)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if name := shebang(content); strings.ContainsAny(name, "/ \t\n") {
			t.Errorf("%q has the interpreter %q", content, name)
		}
	})
}
