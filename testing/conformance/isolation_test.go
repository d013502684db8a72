//go:build linux

package conformance_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

// isoCase is the one attack that the scripted sandbox knows.
const isoCase = "kernel/key rings are out of reach"

// scriptedSandbox answers the attack on key rings and the task after it, and
// starts nothing.
type scriptedSandbox struct {
	attack, next ports.Outcome
	report, echo string
}

func (s *scriptedSandbox) Check(context.Context) error { return nil }
func (s *scriptedSandbox) Close(context.Context) error { return nil }

func (s *scriptedSandbox) Run(_ context.Context, job ports.Job) (ports.Outcome, error) {
	out, text := s.next, s.echo
	if job.Spec.Entrypoint == "keys.py" {
		out, text = s.attack, s.report
	}
	job.Started()
	_, err := job.Stdout.Write([]byte(text))
	out.StdoutBytes = int64(len(text))
	out.Usage.WallTime = new(time.Millisecond)
	return out, err
}

func newScriptedSandbox() *scriptedSandbox {
	s := &scriptedSandbox{echo: "hello\ncat lives\n"}
	s.attack.Cause, s.next.Cause = ports.CauseExit, ports.CauseExit
	for _, name := range []string{"add_key-session", "add_key-user", "request_key", "keyctl-join", "keyctl-get", "keyctl-search", "proc-keys", "proc-key-users"} {
		s.report += "probe " + name + " EPERM\n"
	}
	return s
}

// isoFaults are sandboxes with a hole. Every one but the last two is a script.
var isoFaults = map[string]struct {
	attack string
	says   string
	put    func(*scriptedSandbox)
}{
	"a probe gets through": {isoCase, "keyctl-join: OK", func(s *scriptedSandbox) {
		s.report = strings.Replace(s.report, "keyctl-join EPERM", "keyctl-join OK", 1)
	}},
	"a probe is missing": {isoCase, "probe proc-keys is missing", func(s *scriptedSandbox) {
		s.report = strings.Replace(s.report, "probe proc-keys EPERM\n", "", 1)
	}},
	"the program ends otherwise": {isoCase, "it ended otherwise", func(s *scriptedSandbox) { s.attack.ExitCode = 1 }},
	"the program is killed": {isoCase, "it ended otherwise", func(s *scriptedSandbox) {
		s.attack = ports.Outcome{Cause: ports.CauseSignal, Signal: "SIGKILL", ExitCode: -1}
	}},
	"the next task suffers": {isoCase, "the next task", func(s *scriptedSandbox) { s.echo = "hello\n" }},
	"the next task fails":   {isoCase, "actual  : 127", func(s *scriptedSandbox) { s.next.ExitCode = 127 }},
	// Plain processes: the one program only looks, the other one notices where it is.
	"the host is seen":            {"host/the host's files and processes are not there", "host-process: SEEN", nil},
	"the program sees that it is": {"kernel/mounts stay as they are", "this program is no sandbox's and stops here", nil},
}

// TestIsolationSuiteOfFault runs an attack on the sandbox that the environment
// names, as TestExecutorSuiteOfFault does.
func TestIsolationSuiteOfFault(t *testing.T) {
	name, ok := os.LookupEnv(execFaultVar)
	if !ok {
		return
	}
	h := plainHarness(t, nil)
	fault := isoFaults[name]
	if fault.put != nil || name == "" {
		h.New = func(*testing.T) ports.Executor {
			s := newScriptedSandbox()
			if fault.put != nil {
				fault.put(s)
			}
			return s
		}
	}
	conformance.Isolation(t, h)
}

func TestIsolationSuiteAcceptsSandbox(t *testing.T) {
	t.Parallel()
	out, err := runExecSuite(t, "", execPattern("TestIsolationSuiteOfFault/"+isoCase))
	require.NoError(t, err, "%s", out)
	assert.Contains(t, out, "--- PASS: TestIsolationSuiteOfFault/kernel/key_rings")
}

func TestIsolationSuiteNotices(t *testing.T) {
	t.Parallel()
	for name, fault := range isoFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := runExecSuite(t, name, execPattern("TestIsolationSuiteOfFault/"+fault.attack))
			require.Error(t, err, "the fault was not noticed: %s", out)
			assert.Contains(t, out, "--- FAIL: TestIsolationSuiteOfFault/")
			assert.Contains(t, out, fault.says)
		})
	}
}
