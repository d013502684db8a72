package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sseReader reads a stream as the HTML standard says (section 9.2.6).
type sseReader struct {
	t      testing.TB
	res    *http.Response
	lines  *bufio.Reader
	lastID string
	// comments are the lines that readers ignore, so far.
	comments []string
	close    context.CancelFunc
}

type sseEvent struct {
	id, name, data string
}

// field decodes the event's data.
func field[T any](t testing.TB, e sseEvent) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal([]byte(e.data), &v), e.data)
	return v
}

func openSSE(t testing.TB, client *http.Client, url, lastID string) *sseReader {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := client.Do(req) //nolint:bodyclose // r.close does
	require.NoError(t, err)
	r := &sseReader{t: t, res: res, lines: bufio.NewReader(res.Body), lastID: lastID, close: func() { cancel(); res.Body.Close() }}
	t.Cleanup(r.close)
	return r
}

// next returns the next event, false at the end of the stream.
func (r *sseReader) next() (sseEvent, bool) {
	r.t.Helper()
	e := sseEvent{}
	for {
		line, err := r.lines.ReadString('\n')
		if err == io.EOF || err != nil && r.res.Request.Context().Err() != nil {
			assert.Empty(r.t, line, "the stream ends between lines")
			return e, false
		}
		require.NoError(r.t, err)
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "\n":
			if e.name == "" && e.data == "" {
				continue
			}
			e.id = r.lastID
			e.data = strings.TrimSuffix(e.data, "\n")
			return e, true
		case name == "":
			r.comments = append(r.comments, value)
		case name == "event":
			e.name = value
		case name == "data":
			e.data += value + "\n"
		case name == "id":
			r.lastID = value
		case name == "retry":
			assert.Regexp(r.t, `^\d+$`, value)
		default:
			r.t.Errorf("line %q", line)
		}
	}
}

// rest returns all events to the end of the stream.
func (r *sseReader) rest() (events []sseEvent) {
	r.t.Helper()
	for e, ok := r.next(); ok; e, ok = r.next() {
		events = append(events, e)
	}
	return events
}

// output returns the text of one output in events.
func output(t testing.TB, name string, events []sseEvent) string {
	t.Helper()
	var text strings.Builder
	for _, e := range events {
		if e.name == name {
			text.WriteString(field[outputData](t, e).Text)
		}
	}
	return text.String()
}

func TestBytesThatAreNoTextAreReplaced(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":              "",
		"a€😀\x00":       "a€😀\x00",
		"\xff\xfea":     "\ufffd\ufffda",
		"a\xe2\x82":     "a\ufffd\ufffd",
		"\xe2\x82a":     "\ufffd\ufffda",
		"\xc0\xaf":      "\ufffd\ufffd",       // overlong
		"\xed\xa0\x80":  "\ufffd\ufffd\ufffd", // a surrogate
		"\xf0\x9f\x98é": "\ufffd\ufffd\ufffdé",
	} {
		assert.Equal(t, want, toText([]byte(in)), "%q", in)
	}
}

func FuzzTextDoesNotDependOnWhereItIsCut(f *testing.F) {
	f.Add([]byte("a€\xff😀\xe2\x82"), uint8(2))
	f.Add([]byte("\xf0\x9f\x98\xf0\x9f\x98\x80"), uint8(5))
	f.Fuzz(func(t *testing.T, data []byte, at uint8) {
		i := min(int(at), len(data))
		hold := cutRune(data[:i])
		require.LessOrEqual(t, hold, min(3, i))
		assert.Equal(t, toText(data), toText(data[:i-hold])+toText(data[i-hold:]))
		assert.True(t, utf8.ValidString(toText(data)))
	})
}
