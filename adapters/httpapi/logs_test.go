package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestLogsAreServedAsPlainTextWithRanges(t *testing.T) {
	t.Parallel()
	const text = "<script>alert(1)</script>\xff\x00\n"
	s := serve(t, script(fakes.Stdout(text)))
	id := s.finish(hello).TaskID
	path := "/api/v1/tasks/" + id + "/logs/stdout"
	size := len(text)

	whole := s.get(path)
	assert.Equal(t, text, whole.body, "bytes as they were written")
	assert.Equal(t, "text/plain; charset=utf-8", whole.Header.Get("Content-Type"))
	assert.Equal(t, "nosniff", whole.Header.Get("X-Content-Type-Options"))
	assert.Contains(t, whole.Header.Get("Content-Security-Policy"), "default-src 'none'")
	assert.Equal(t, `attachment; filename="`+id+`-stdout.txt"`, whole.Header.Get("Content-Disposition"))
	etag := whole.Header.Get("ETag")

	for name, c := range map[string]struct {
		header  []string
		status  int
		body    string
		content string
	}{
		"from the start":        {[]string{"Range", "bytes=0-3"}, 206, text[:4], "bytes 0-3/28"},
		"one byte":              {[]string{"Range", "bytes=3-3"}, 206, text[3:4], "bytes 3-3/28"},
		"to the end":            {[]string{"Range", "bytes=20-"}, 206, text[20:], "bytes 20-27/28"},
		"past the end":          {[]string{"Range", "bytes=20-999"}, 206, text[20:], "bytes 20-27/28"},
		"the last ones":         {[]string{"Range", "bytes=-5"}, 206, text[size-5:], "bytes 23-27/28"},
		"more than all last":    {[]string{"Range", "bytes=-99"}, 206, text, "bytes 0-27/28"},
		"the same text":         {[]string{"Range", "bytes=0-3", "If-Range", etag}, 206, text[:4], "bytes 0-3/28"},
		"another text":          {[]string{"Range", "bytes=0-3", "If-Range", `"9-9"`}, 200, text, ""},
		"several ranges":        {[]string{"Range", "bytes=0-1,3-4"}, 200, text, ""},
		"another unit":          {[]string{"Range", "lines=0-1"}, 200, text, ""},
		"backwards":             {[]string{"Range", "bytes=5-3"}, 200, text, ""},
		"no numbers":            {[]string{"Range", "bytes=a-b"}, 200, text, ""},
		"a sign":                {[]string{"Range", "bytes=+1-2"}, 200, text, ""},
		"a number out of range": {[]string{"Range", "bytes=0-99999999999999999999"}, 200, text, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.in(t).get(path, c.header...)
			assert.Equal(t, c.status, r.StatusCode)
			assert.Equal(t, c.body, r.body)
			assert.Equal(t, c.content, r.Header.Get("Content-Range"))
			assert.EqualValues(t, len(c.body), r.ContentLength)
		})
	}
	for _, outside := range []string{"bytes=28-", "bytes=100-200", "bytes=-0"} {
		r := s.get(path, "Range", outside)
		assert.Equal(t, "bad_range", problemIn(t, r, http.StatusRequestedRangeNotSatisfiable).Code)
		assert.Equal(t, "bytes */28", r.Header.Get("Content-Range"))
	}
	head := s.do(http.MethodHead, path, "")
	assert.Equal(t, http.StatusOK, head.StatusCode)
	assert.EqualValues(t, size, head.ContentLength)
	assert.Empty(t, head.body)
}

func TestLogURLsLeadToTheTextWhereNoneCanBeSigned(t *testing.T) {
	t.Parallel()
	s := serve(t, script(fakes.Stdout("out"), fakes.Stderr("error")))
	id := s.finish(hello).TaskID
	l := decode[Logs](t, s.get("/api/v1/tasks/"+id+"/logs"), http.StatusOK)
	assert.Nil(t, l.ExpiresAt)
	assert.EqualValues(t, 3, l.Stdout.Bytes)
	assert.EqualValues(t, 5, l.Stderr.Bytes)
	assert.False(t, l.Stdout.Truncated)
	path, ok := strings.CutPrefix(l.Stdout.URL, s.url)
	require.True(t, ok, l.Stdout.URL)
	assert.Equal(t, "out", s.get(path).body)

	public := serve(t, idle, func(s *setup) { s.PublicURL = "https://run.example.com/x/" })
	r := public.do(http.MethodPost, "/api/v1/tasks", hello)
	id = decode[Accepted](t, r, http.StatusAccepted).TaskID
	assert.Equal(t, "https://run.example.com/x/api/v1/tasks/"+id, r.Header.Get("Location"))
	l = decode[Logs](t, public.get("/api/v1/tasks/"+id+"/logs"), http.StatusOK)
	assert.Equal(t, "https://run.example.com/x/api/v1/tasks/"+id+"/logs/stderr", l.Stderr.URL)
	assert.Zero(t, l.Stderr.Bytes, "a task that has not started has empty logs")
	assert.Empty(t, public.get("/api/v1/tasks/"+id+"/logs/stdout").body)
}

func TestALogThatIsCutSaysSo(t *testing.T) {
	t.Parallel()
	s := serve(t, script(fakes.End(ports.Outcome{Cause: ports.CauseOutputLimit, StdoutBytes: 1000})))
	id := s.finish(hello).TaskID
	l := decode[Logs](t, s.get("/api/v1/tasks/"+id+"/logs"), http.StatusOK)
	assert.True(t, l.Stdout.Truncated)
	assert.False(t, l.Stderr.Truncated)
}

// signing is a log sink that can sign URLs.
type signing struct{ ports.LogSink }

func (signing) SignedURL(_ context.Context, key ports.LogKey, ttl time.Duration) (string, error) {
	return "https://s3.example.com/" + key.Name + "?ttl=" + ttl.String(), nil
}

func TestLogURLsAreSignedWhereTheyCanBe(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *setup) { s.core.Backend.Logs = signing{s.core.Backend.Logs} })
	id := s.finish(hello).TaskID
	l := decode[Logs](t, s.get("/api/v1/tasks/"+id+"/logs"), http.StatusOK)
	assert.Equal(t, "https://s3.example.com/stdout?ttl=15m0s", l.Stdout.URL)
	assert.Equal(t, "https://s3.example.com/stderr?ttl=15m0s", l.Stderr.URL)
	require.NotNil(t, l.ExpiresAt)
	assert.False(t, time.Time(*l.ExpiresAt).Before(time.Now()))
}

func FuzzRanges(f *testing.F) {
	for _, s := range []string{"bytes=0-3", "bytes=-5", "bytes=5-", "bytes=-", "bytes=--1", "bytes=9223372036854775807-", "x"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		size = max(size, 0)
		first, last, ok, err := parseRange(header, size)
		if err == nil && ok {
			assert.True(t, first >= 0 && first <= last && last < size, "%d-%d/%d", first, last, size)
		}
	})
}
