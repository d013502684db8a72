package miniolog_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/ports"
)

// What a client repeats has already been done: the condition of a write then fails
// although nobody else wrote.
func TestAnswersThatAreLost(t *testing.T) {
	t.Parallel()
	for what, size := range map[string]int{
		"of a log without a byte":  0,
		"of a log in one piece":    100,
		"of a log in several ones": 3*buffer + 100,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			s := newSink(t, g.client(t, 0), miniolog.Config{})
			g.set(g.losingFirstAnswers(t))
			w := create(t, s)
			write(t, w, content(size))
			_, err := s.Create(t.Context(), key)
			require.ErrorIs(t, err, ports.ErrExists)
			require.NoError(t, w.Close())
			requireLog(t, s, content(size))
		})
	}
}

// The same for a client that repeats nothing: the caller hears of an error and tries
// again.
func TestAnswersThatAreLostForGood(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	s := newSink(t, g.client(t, 1), miniolog.Config{})
	w := create(t, s)
	g.set(g.losingFirstAnswers(t))
	failed := 0
	for rest := content(3*buffer + 100); len(rest) > 0; {
		n, err := w.Write(rest)
		rest = rest[n:]
		if err != nil {
			failed++
		}
	}
	assert.Equal(t, 6, failed, "the answers for three parts and three heads")
	require.Error(t, w.Close())
	require.NoError(t, w.Close())
	requireLog(t, s, content(3*buffer+100))
}

// A Close of which the answer is lost has closed the log all the same. A flush, which comes
// next, finds that out and leaves it so.
func TestAnAnswerToCloseThatIsLostForGood(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	client := g.client(t, 1)
	s := newSink(t, client, miniolog.Config{FlushEvery: 1})
	w := create(t, s)
	write(t, w, content(buffer+1))
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if complete.MatchString(r.Header.Get(metadataHeader)) {
			g.loseAnswer(r)
		}
		return r.Method == http.MethodPut && answer(w, r, http.StatusServiceUnavailable, "SlowDown")
	})
	write(t, w, []byte("the end")) // which cannot be flushed before
	require.Error(t, w.Close())
	want := append(content(buffer+1), "the end"...)
	requireLog(t, s, want)
	g.set(nil)
	for len(objects(t, client, s.Prefix())) > 1 { // until the flush has removed the part
	}
	requireLog(t, s, want)
	require.NoError(t, w.Close())
	requireLog(t, s, want)
}

// A request may arrive long after its connection was given up.
func TestRequestsThatAreLate(t *testing.T) {
	t.Parallel()
	for what, match := range map[string]func(*http.Request) bool{
		"with a part": func(r *http.Request) bool { return isPut(r, "parts") },
		"with a head": func(r *http.Request) bool { return isPut(r, "logs") },
		"with the whole log": func(r *http.Request) bool {
			return complete.MatchString(r.Header.Get(metadataHeader))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			s := newSink(t, g.client(t, 0), miniolog.Config{})
			w := create(t, s)
			rule, deliver := g.capturing(t, match)
			g.set(rule)
			// Heads of no bytes follow one another: their ETags must tell them apart.
			write(t, w, content(3*buffer))
			write(t, w, []byte("the end"))
			require.NoError(t, w.Close())
			want := append(content(3*buffer), "the end"...)
			requireLog(t, s, want)
			status := deliver()
			requireLog(t, s, want)
			require.NoError(t, s.Delete(t.Context(), key.Task))
			if status == http.StatusOK {
				return // a part, which nobody reads any more
			}
			require.Equal(t, http.StatusPreconditionFailed, status)
			require.NotEqual(t, http.StatusOK, deliver(), "the log is back")
		})
	}
}

// While a log grows, a late head must not undo a newer one either.
func TestALateHeadUndoesNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	s := newSink(t, g.client(t, 0), miniolog.Config{})
	w := create(t, s)
	rule, deliver := g.capturing(t, func(r *http.Request) bool { return isPut(r, "logs") })
	g.set(rule)
	write(t, w, content(3*buffer+1))
	require.Equal(t, http.StatusPreconditionFailed, deliver())
	got, complete := read(t, s)
	require.False(t, complete)
	require.Equal(t, string(content(3*buffer)), got)
	require.NoError(t, w.Close())
}
