package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// patience is how long a case waits for something that must happen.
const patience = 30 * time.Second

// check is one case of a suite: a promise, as a sentence, and its test.
type check[H any] struct {
	name string
	run  func(t *testing.T, h H)
}

// runTopic runs the checks of one topic as parallel subtests, each in a bubble of
// its own if the adapter can live in one.
func runTopic[H any](t *testing.T, topic string, bubble bool, h H, checks []check[H]) {
	t.Helper()
	t.Run(topic, func(t *testing.T) {
		for _, c := range checks {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if bubble {
					synctest.Test(t, func(t *testing.T) { c.run(t, h) })
					return
				}
				c.run(t, h)
			})
		}
	})
}

// leftOut tells whoever reads the output which topic a harness does without.
func leftOut(t *testing.T, topic, why string) {
	t.Helper()
	t.Logf("left out: %s: %s", topic, why)
}

// sentinels are all errors of which a method's error matches at most one.
var sentinels = []error{
	ports.ErrNotFound, ports.ErrExists, ports.ErrConflict, ports.ErrLeaseLost,
	ports.ErrCancelled, ports.ErrGone, ports.ErrFull, ports.ErrClosed,
	ports.ErrInvalid, errors.ErrUnsupported,
	context.Canceled, context.DeadlineExceeded,
}

// requireSentinel demands that err matches want and no other sentinel, and says
// more than the sentinel alone.
func requireSentinel(t *testing.T, err, want error, msg ...any) {
	t.Helper()
	require.Error(t, err, msg...)
	for _, s := range sentinels {
		if s == want {
			require.ErrorIs(t, err, s, msg...)
		} else {
			require.NotErrorIs(t, err, s, msg...)
		}
	}
	assert.NotEqual(t, want.Error(), err.Error(), "the error does not say what was being done")
}

// requireField demands a *ports.FieldError for the named field; any field if it is "".
func requireField(t *testing.T, err error, field string, msg ...any) {
	t.Helper()
	requireSentinel(t, err, ports.ErrInvalid, msg...)
	fieldErr, ok := errors.AsType[*ports.FieldError](err)
	require.True(t, ok, "%v is no *ports.FieldError", err)
	assert.NotEmpty(t, fieldErr.Problem)
	if field != "" {
		assert.Equal(t, field, fieldErr.Field)
	}
}

// requireContextError demands an error that matches ctx's own and no sentinel.
func requireContextError(t *testing.T, ctx context.Context, err error, msg ...any) {
	t.Helper()
	require.Error(t, ctx.Err())
	require.ErrorIs(t, err, ctx.Err(), msg...)
	for _, s := range sentinels {
		if s != ctx.Err() {
			require.NotErrorIs(t, err, s, msg...)
		}
	}
}

// doneContexts returns the two ways in which a context can be done.
func doneContexts(t *testing.T) map[string]context.Context {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	t.Cleanup(cancel)
	return map[string]context.Context{"cancelled": cancelled, "expired": expired}
}

// patientContext returns a context that is done when patience is over.
func patientContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// receive returns the next value of ch and fails the test if none comes.
func receive[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		require.FailNow(t, "nothing happened", "waited %v for %s", patience, what)
		panic("unreachable")
	}
}

// inBackground runs f in a goroutine and returns the channel that its result
// arrives on.
func inBackground[T any](f func() T) <-chan T {
	ch := make(chan T, 1)
	go func() { ch <- f() }()
	return ch
}

// concurrently calls f with 0 to n-1, all at once, and waits for all of them.
// f must not end the test, only mark it failed.
func concurrently(n int, f func(i int)) {
	start, done := make(chan struct{}), make(chan struct{}, n)
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			<-start
			f(i)
		}()
	}
	close(start)
	for range n {
		<-done
	}
}

var lastID atomic.Int64

// newID returns a task ID that no other call returns.
func newID() ports.TaskID {
	return ports.TaskID(fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", lastID.Add(1)))
}

// oddIDs returns valid IDs that an adapter could take for something else: paths,
// patterns, keys, quotes, each printable ASCII character, the greatest length,
// IDs that are another one's prefix and IDs that differ in case only.
func oddIDs() []ports.TaskID {
	ids := []ports.TaskID{
		"..", ".", "/", "//", "/etc/passwd", "../../a", "a/", "a", "A", "a1", "a/1", "a:1", "a1/", "a.1",
		"*", "?", "a*", "[a]", "{a}", "{}", "%", "%00", "%2e%2e", "a%2F1", `\`, `\0`, `"`, "'", "''", "`",
		"$", "$where", "${HOME}", "-", "--", "-rf", "a,b", "a;b", "a|b", "a&b", "a=b", "#", "~", "@", "<a>", "(a)",
		"null", "0", "00", "stdout", "CON", "con",
		ports.TaskID(strings.Repeat("x", ports.MaxIDLen)),
		ports.TaskID(strings.Repeat("X", ports.MaxIDLen)),
		ports.TaskID(strings.Repeat("/", ports.MaxIDLen)),
		ports.TaskID(strings.Repeat("x", ports.MaxIDLen-1) + "y"),
	}
	for c := byte('!'); c <= '~'; c++ {
		ids = append(ids, ports.TaskID([]byte{'c', c, 'c'}))
	}
	return ids
}

// badIDs returns strings that are no task IDs, by what is wrong with them.
func badIDs() map[string]ports.TaskID {
	return map[string]ports.TaskID{
		"empty":         "",
		"too long":      ports.TaskID(strings.Repeat("x", ports.MaxIDLen+1)),
		"space":         "a b",
		"newline":       "a\n",
		"NUL":           "a\x00b",
		"DEL":           "a\x7f",
		"not ASCII":     "é",
		"invalid UTF-8": "\xff\xfe",
	}
}
