package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
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
	res, err := client.Do(req)
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

func TestTextIsJoinedWhereACharacterIsCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pieces []string
		want   []string
	}{
		"plain":                          {[]string{"ab", "cd"}, []string{"ab", "cd"}},
		"two bytes":                      {[]string{"a\xc3", "\xa9b"}, []string{"a", "éb"}},
		"three bytes in three":           {[]string{"\xe2", "\x82", "\xac"}, []string{"", "", "€"}},
		"four bytes":                     {[]string{"\xf0\x9f", "\x98\x80!"}, []string{"", "😀!"}},
		"never completed":                {[]string{"a\xe2\x82", "b"}, []string{"a", "\ufffd\ufffdb"}},
		"no text at all":                 {[]string{"\xff\xfe", "\x80"}, []string{"\ufffd\ufffd", "\ufffd"}},
		"an overlong form is not waited": {[]string{"\xc0", "\xaf"}, []string{"\ufffd", "\ufffd"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s textStream
			offset := int64(0)
			for i, p := range c.pieces {
				got := s.add(1, offset, []byte(p), false)
				assert.Equal(t, c.want[i], got.text)
				offset += int64(len(p))
			}
		})
	}
}

func FuzzTextDoesNotDependOnWhereItIsCut(f *testing.F) {
	f.Add([]byte("a€\xff😀\xe2\x82"), uint8(2), uint8(5))
	f.Add([]byte("\xf0\x9f\x98\xf0\x9f\x98\x80"), uint8(1), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, a, b uint8) {
		i := min(int(a), len(data))
		j := min(i+int(b), len(data))
		var s textStream
		var text strings.Builder
		for _, cut := range [][2]int{{0, i}, {i, j}, {max(j-2, 0), len(data)}} {
			// The place as a reader who resumes hands it in.
			c := cursor{after: "7", stdout: s}
			back, ok := parseCursor(c.String())
			require.True(t, ok, c.String())
			if len(s.held) > 0 {
				s = back.stdout
			}
			p := s.add(1, int64(cut[0]), data[cut[0]:cut[1]], cut[1] == len(data) && cut[0] == max(j-2, 0))
			text.WriteString(p.text)
		}
		assert.Equal(t, toText(data), text.String())
	})
}

func TestACursorIsReadOnlyAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "12", "1700000000000-0", "12~end", "~end", "12~oe282.1021.1", "12~ec3.0.3", "12~of09f98.1.2~ee2.7.2"} {
		c, ok := parseCursor(id)
		require.True(t, ok, id)
		assert.Equal(t, id, c.String())
	}
	for _, id := range []string{
		"A", "1\n2", "1~", "1~x", "1~end~end", "1~END", "~oe2.1.1", "1~oe2", "1~oe2.1", "1~oe2.-1.1", "1~oe2.1.-1", "1~oe2.01.1", "1~oE2.1.1", "1~o.1.1",
		"1~o41.1.1", "1~oe282ac.1.1", "1~oe2.1.1~oe2.1.1", "1~ee2.1.1~oe2.1.1", "1~oe2.99999999999999999999.1", strings.Repeat("1", 65), "é",
	} {
		_, ok := parseCursor(id)
		assert.False(t, ok, id)
	}
}

func FuzzCursors(f *testing.F) {
	for _, id := range []string{"12", "12~end", "12~of09f98.1.2~ee2.7.2", "12~oe2.-1.1", "~"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		c, ok := parseCursor(id)
		if !ok {
			return
		}
		assert.Equal(t, id, c.String())
		assert.NotContains(t, id, "\n")
		for _, name := range outputs {
			assert.LessOrEqual(t, len(c.output(name).held), 3)
		}
		_ = ports.EventID(c.after)
	})
}
