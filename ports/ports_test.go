package ports_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func TestAFieldErrorIsInvalidAndNamesTheField(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("submitting: %w", ports.Invalid("limits.memory", "must be at most %d", 7))
	assert.ErrorIs(t, err, ports.ErrInvalid)
	assert.NotErrorIs(t, err, ports.ErrConflict)
	field, ok := errors.AsType[*ports.FieldError](err)
	require.True(t, ok)
	assert.Equal(t, ports.FieldError{Field: "limits.memory", Problem: "must be at most 7"}, *field)
	assert.EqualError(t, err, "submitting: limits.memory must be at most 7")
}

func TestOnlyTheTerminalStatusesAreTerminal(t *testing.T) {
	t.Parallel()
	for i, s := range ports.Statuses() {
		assert.Equal(t, i >= 2, s.Terminal(), s)
	}
	assert.False(t, ports.Status("").Terminal())
}

func TestAnEntryIsRefusedByTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	good := ports.Entry{Task: "a", Queue: strings.Repeat("q", ports.MaxQueueName), Priority: -ports.MaxPriority}
	require.NoError(t, good.Validate())
	for field, change := range map[string]func(*ports.Entry){
		"task_id":  func(e *ports.Entry) { e.Task = "" },
		"queue":    func(e *ports.Entry) { e.Queue += "q" },
		"priority": func(e *ports.Entry) { e.Priority-- },
		"delay":    func(e *ports.Entry) { e.Delay = -1 },
	} {
		e := good
		change(&e)
		requireField(t, e.Validate(), field)
	}
}

func TestAClaimRequestIsRefusedByTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	require.NoError(t, ports.ClaimRequest{Queues: []string{"a", "a"}, TTL: 1}.Validate())
	for field, r := range map[string]ports.ClaimRequest{
		"queues":    {TTL: time.Second},
		"queues[1]": {Queues: []string{"a", ""}, TTL: time.Second},
		"ttl":       {Queues: []string{"a"}},
	} {
		requireField(t, r.Validate(), field)
	}
}

func TestALogKeyIsRefusedByTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for _, name := range []string{ports.LogStdout, ports.LogStderr, "artifacts/a/b"} {
		require.NoError(t, ports.LogKey{Task: "a", Attempt: 1, Name: name}.Validate())
	}
	for _, test := range []struct {
		key   ports.LogKey
		field string
	}{
		{ports.LogKey{Attempt: 1, Name: ports.LogStdout}, "task_id"},
		{ports.LogKey{Task: "a", Name: ports.LogStdout}, "attempt"},
		{ports.LogKey{Task: "a", Attempt: 1, Name: "stdin"}, "name"},
		{ports.LogKey{Task: "a", Attempt: 1, Name: "artifacts/"}, "name"},
		{ports.LogKey{Task: "a", Attempt: 1, Name: "artifacts/../stdout"}, "name"},
	} {
		requireField(t, test.key.Validate(), test.field)
	}
}

func requireField(t *testing.T, err error, field string) {
	t.Helper()
	fieldErr, ok := errors.AsType[*ports.FieldError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, field, fieldErr.Field)
}

// FuzzValidatePath demands that a path that is accepted stays in its folder, is
// the only way to write it, and shows on a terminal as it is.
func FuzzValidatePath(f *testing.F) {
	for _, p := range []string{
		"a", "a/b.py", ".hidden", "-rf", "a b/\u65e5", "..a", "", ".", "..", "../a", "a/..", "a/../b", "a//b", "a/", "/a", "./a",
		`a\b`, "a\x00b", "a\nb", "\x7f", "\u009b", "\xff", strings.Repeat("x", ports.MaxPathLen), strings.Repeat("x", ports.MaxPathLen+1),
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		err := ports.ValidatePath("files[0].path", p)
		if err != nil {
			requireField(t, err, "files[0].path")
			return
		}
		assert.True(t, filepath.IsLocal(p), "it leaves its folder")
		assert.Equal(t, filepath.Join(".", p), p, "there is another way to write it")
		assert.LessOrEqual(t, len(p), ports.MaxPathLen)
		assert.True(t, utf8.ValidString(p))
		assert.False(t, strings.ContainsFunc(p, func(r rune) bool { return unicode.IsControl(r) || r == '\\' }))
	})
}
