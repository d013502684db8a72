package ui_test

import (
	"bufio"
	"compress/gzip"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/apps/internal/ui"
	"github.com/task-runner/task-runner/taskrunner"
)

// echo is an API that answers with the path it was asked for.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "api "+r.Method+" "+r.URL.EscapedPath())
})

const secret = "0123456789abcdef0123456789abcdef"

func newUI(t *testing.T, api http.Handler) http.Handler {
	t.Helper()
	h, err := ui.New(ui.Config{
		API: api, Secret: secret, DocsURL: "http://127.0.0.1:8000/docs", Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return h
}

func get(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:5000"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPagesRender(t *testing.T) {
	t.Parallel()
	h := newUI(t, serve(t, taskrunner.Policy{}).api)
	for name, tt := range map[string]struct {
		path   string
		status int
		want   string
	}{
		"the start page":                 {"/", 200, `<title>Task Runner</title>`},
		"the list":                       {"/tasks", 200, `<title>Tasks · Task Runner</title>`},
		"the link to the documentation":  {"/", 200, `<a href="http://127.0.0.1:8000/docs">`},
		"a task that does not exist":     {"/tasks/0199", 404, "There is no such task."},
		"a page that does not exist":     {"/nothing", 404, "There is no such page."},
		"an ID that no task can have":    {"/tasks/%00", 404, "There is no such page."},
		"an ID that is markup":           {"/tasks/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E", 404, "There is no such task."},
		"a page of markup":               {"/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E", 404, "There is no such page."},
		"a language that is markup":      {"/?language=%3Cscript%3E", 200, `<title>Task Runner</title>`},
		"a filter that is markup":        {"/tasks?status=%3Cscript%3E&language=%3Cscript%3E&mine=%3Cscript%3E", 200, "No task matches"},
		"a cursor that nobody gave":      {"/tasks?cursor=x", 400, "That did not work."},
		"a static file that is not here": {"/static/none.js", 404, ""},
		"a folder of static files":       {"/static/", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := get(t, h, tt.path)
			assert.Equal(t, tt.status, w.Code)
			assert.Contains(t, w.Body.String(), tt.want)
			assert.NotContains(t, w.Body.String(), "<script>")
			policy := w.Header().Get("Content-Security-Policy")
			assert.Contains(t, policy, "default-src 'none'")
			assert.NotContains(t, policy, "unsafe")
			assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		})
	}
}

func TestOnlyTheAPIIsPassedOn(t *testing.T) {
	t.Parallel()
	h := newUI(t, echo)
	w := get(t, h, "/api/v1/tasks/a%2Fb?limit=1")
	assert.Equal(t, "api GET /api/v1/tasks/a%2Fb", w.Body.String())
	assert.Equal(t, "default-src 'none'; sandbox; frame-ancestors 'none'", w.Header().Get("Content-Security-Policy"))
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/apis", "/api/../metrics", "//api/v1", "/API/v1"} {
		assert.NotContains(t, get(t, h, path).Body.String(), "api GET", path)
	}
}

func TestAnotherSitesPageCannotSubmit(t *testing.T) {
	t.Parallel()
	h := newUI(t, echo)
	for name, tt := range map[string]struct {
		header []string
		status int
	}{
		"another site, told by the browser":   {[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a sibling site":                      {[]string{"Sec-Fetch-Site", "same-site"}, 403},
		"another site, in an old browser":     {[]string{"Origin", "http://evil.example"}, 403},
		"this page":                           {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:5000"}, 200},
		"a program that is no browser at all": {nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:5000/api/v1/tasks", strings.NewReader("{}"))
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, tt.status, w.Code)
		})
	}
}

func TestEventsPassThroughAsTheyCome(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	srv := httptest.NewServer(newUI(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "first\n")
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-seen // the second line is not written before the first one was read
		_, _ = io.WriteString(w, "second\n")
	})))
	t.Cleanup(srv.Close)
	res, err := srv.Client().Get(srv.URL + "/api/v1/tasks/1/stream")
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	lines := bufio.NewReader(res.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "first\n", line)
	close(seen)
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "second\n", line)
}

// deadlined notes the deadline for reading.
type deadlined struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlined) SetReadDeadline(t time.Time) error {
	d.read = t
	return nil
}

func TestABodyThatNobodyAskedForIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	h := newUI(t, echo)
	for _, path := range []string{"/", "/static/run.js", "/nothing", "/api/v1/tasks"} {
		w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader("x")))
		assert.False(t, w.read.IsZero(), path)
	}
	w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	assert.True(t, w.read.IsZero(), "without a body there is nothing to wait for")
}

func TestStaticFilesAreAskedForAgainAndNotSentAgain(t *testing.T) {
	t.Parallel()
	h := newUI(t, echo)
	first := get(t, h, "/static/run.js")
	assert.Equal(t, 200, first.Code)
	assert.Equal(t, "text/javascript; charset=utf-8", first.Header().Get("Content-Type"))
	assert.Equal(t, "no-cache", first.Header().Get("Cache-Control"))
	assert.Equal(t, 304, get(t, h, "/static/run.js", "If-None-Match", first.Header().Get("ETag")).Code)
}

func TestStaticFilesAreCompressedForThoseWhoTakeIt(t *testing.T) {
	t.Parallel()
	h := newUI(t, echo)
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "deflate, GZIP;q=0.5, br": "gzip", "gzip;q=0": "", "gzip; q=0.000": "", "br": "", "x-gzip": "", "identity": "",
	} {
		w := get(t, h, "/static/run.js", "Accept-Encoding", accept)
		assert.Equal(t, want, w.Header().Get("Content-Encoding"), accept)
		assert.Equal(t, "Accept-Encoding", w.Header().Get("Vary"))
	}
	plain, zipped := get(t, h, "/static/run.js"), get(t, h, "/static/run.js", "Accept-Encoding", "gzip")
	assert.NotEqual(t, plain.Header().Get("ETag"), zipped.Header().Get("ETag"))
	unzip, err := gzip.NewReader(zipped.Body)
	require.NoError(t, err)
	content, err := io.ReadAll(unzip)
	require.NoError(t, err)
	assert.Equal(t, plain.Body.String(), string(content))
}

func TestAnAPIIsRequired(t *testing.T) {
	t.Parallel()
	_, err := ui.New(ui.Config{Secret: secret})
	assert.Error(t, err)
}

// sources returns the embedded files by name, from where they are embedded.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{"static", "templates"} {
		require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := fs.ReadFile(os.DirFS(dir), path)
			all[path] = string(body)
			return err
		}))
	}
	require.NotEmpty(t, all)
	return all
}

func TestNothingIsInlineNorLoadedFromElsewhere(t *testing.T) {
	t.Parallel()
	for what, forbidden := range map[string]*regexp.Regexp{
		"an address elsewhere":       regexp.MustCompile(`(?i)https?://|["'(=]//[a-z0-9]`),
		"a style in the page":        regexp.MustCompile(`(?i)<style|\sstyle=`),
		"a script in the page":       regexp.MustCompile(`(?i)<script>|\son[a-z]+="|["']javascript:`),
		"text that becomes markup":   regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|setHTML`),
		"text that becomes a script": regexp.MustCompile(`\beval\(|new Function|setTimeout\(["'` + "`]"),
		"a style set by a script":    regexp.MustCompile(`cssText|setAttribute\("style"`),
		"a style sheet's import":     regexp.MustCompile(`@import|\burl\(`),
	} {
		for name, body := range sources(t) {
			body = strings.ReplaceAll(body, `"http://www.w3.org/2000/svg"`, "") // a name, not an address
			assert.Empty(t, forbidden.FindString(body), "%s has %s", name, what)
		}
	}
}

func TestEveryFileThatIsNamedExistsAndEveryFileIsUsed(t *testing.T) {
	t.Parallel()
	all := sources(t)
	used := map[string]bool{}
	for _, body := range all {
		for _, m := range regexp.MustCompile(`(?:"/static/|from "\./)([^"]+)"`).FindAllStringSubmatch(body, -1) {
			_, there := all[m[1]]
			assert.True(t, there, "%s is not there", m[1])
			used[m[1]] = true
		}
	}
	for name := range all {
		if !strings.HasSuffix(name, ".html") {
			assert.True(t, used[name], "%s is used nowhere", name)
		}
	}
}

func TestEveryFieldHasItsLabelAndItsPlaceForAnError(t *testing.T) {
	t.Parallel()
	page := get(t, newUI(t, serve(t, taskrunner.Policy{Network: true}).api), "/").Body.String()
	fields := regexp.MustCompile(`<(?:input|select|textarea)\s+id="([^"]+)"([^>]*)>`).FindAllStringSubmatch(page, -1)
	require.Len(t, fields, 4+6)
	for _, m := range fields {
		labelled := strings.Contains(page, `for="`+m[1]+`"`) || strings.Contains(m[2], "aria-label=")
		assert.True(t, labelled, "%s has no label", m[1])
		assert.Contains(t, m[2], m[1]+"-error")
		assert.Equal(t, 1, strings.Count(page, ` id="`+m[1]+`-error"`))
	}
}

func TestEverythingWeighsLittle(t *testing.T) {
	t.Parallel()
	h := newUI(t, serve(t, taskrunner.Policy{}).api)
	total := get(t, h, "/").Body.Len()
	for name := range sources(t) {
		if !strings.HasSuffix(name, ".html") {
			w := get(t, h, "/static/"+name)
			require.Equal(t, 200, w.Code, name)
			total += w.Body.Len()
		}
	}
	assert.Less(t, total, 150_000, "of which the first page needs a part")
}

func TestAPageThatCouldDoNothingSaysSo(t *testing.T) {
	t.Parallel()
	away := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":503,"detail":"dial tcp 10.0.0.7:8000: secret"}`)
	})
	h := newUI(t, away)
	for _, path := range []string{"/", "/tasks", "/tasks/0199", "/?from=0199"} {
		w := get(t, h, path)
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.Equal(t, "5", w.Header().Get("Retry-After"))
		assert.Contains(t, w.Body.String(), "<h1>Task Runner is not available right now.</h1>")
		assert.Contains(t, w.Body.String(), `src="/static/away.js"`)
		assert.NotContains(t, w.Body.String(), "secret")
	}
	for _, path := range []string{"/nothing", "/tasks/%00"} {
		assert.Equal(t, http.StatusNotFound, get(t, h, path).Code, "nor would it be there otherwise")
	}
	assert.Equal(t, http.StatusOK, get(t, h, "/static/away.js").Code)
}

func TestAnAPIThatMakesNoSenseIsNoPage(t *testing.T) {
	t.Parallel()
	for name, api := range map[string]http.HandlerFunc{
		"no JSON":         func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"nothing":         func(http.ResponseWriter, *http.Request) {},
		"a broken answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"an error page":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<b>proxy</b>", http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := get(t, newUI(t, api), "/")
			assert.Equal(t, http.StatusBadGateway, w.Code)
			assert.Contains(t, w.Body.String(), "That did not work.")
			assert.NotContains(t, w.Body.String(), "proxy")
		})
	}
}

func TestWhyThereIsNoPageIsLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	h, err := ui.New(ui.Config{
		API:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }),
		Secret: secret, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	get(t, h, "/")
	assert.Contains(t, log.String(), "reading the answer of /api/v1/languages")
}

func TestATaskThatLacksWhatTasksHaveIsNoPage(t *testing.T) {
	t.Parallel()
	h := newUI(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"failed"}`) }))
	for _, path := range []string{"/tasks/1", "/?from=1"} {
		assert.Equal(t, http.StatusBadGateway, get(t, h, path).Code, path)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/tasks/1/rerun", nil))
	assert.Equal(t, http.StatusBadGateway, w.Code)
}
