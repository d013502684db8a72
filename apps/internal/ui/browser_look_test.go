package ui_test

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// contrastScript returns the texts of a page that are hard to read.
//
//go:embed testdata/contrast.js
var contrastScript string

// palette is every look that output can have.
func palette() string {
	var b strings.Builder
	for i := range 8 {
		fmt.Fprintf(&b, "\x1b[%dmcolour %d\x1b[0m \x1b[1;%dmbold\x1b[0m \x1b[%dmbright\x1b[0m \x1b[7;%dmreversed\x1b[0m \x1b[2;%dmdim\x1b[0m\n", 30+i, i, 30+i, 90+i, 30+i, 30+i)
		fmt.Fprintf(&b, "\x1b[%dmon colour %d\x1b[0m \x1b[%dmon bright\x1b[0m\n", 40+i, i, 100+i)
	}
	b.WriteString("\x1b[2mdim\x1b[0m \x1b[4munderlined\x1b[0m \x1b[9mstruck\x1b[0m \x1b[7mreversed\x1b[0m \u202e hidden\n")
	return b.String()
}

// busy is a site where there is something to see on every page: a task for each of the
// endings, and one that runs until over is closed. It returns the paths of pages.
func busy(t testing.TB, over <-chan struct{}) (s *site, pages map[string]string) {
	t.Helper()
	long := strings.Repeat("a_very_long_word_that_nothing_breaks", 30)
	fake := fakes.NewExecutor(fakes.Stdout("running\n"+long+"\n"), fakes.Sample(ports.Sample{At: time.Second, CPU: 0.7, Memory: 90 << 20}), fakes.Sample(ports.Sample{At: 2 * time.Second, CPU: 0.9, Memory: 120 << 20}), fakes.Until(over)).
		Next(fakes.Stdout(palette()), fakes.Stderr(long+"\n"), fakes.Sample(ports.Sample{At: time.Second, CPU: 0.3, Memory: 50 << 20}), fakes.Sample(ports.Sample{At: 2 * time.Second, CPU: 0.8, Memory: 80 << 20})).
		Next(fakes.Stderr("Traceback\n"), fakes.Exit(1)).
		Next(fakes.End(ports.Outcome{Cause: ports.CauseTimeout, Signal: "SIGKILL"})).
		Next(fakes.End(ports.Outcome{Cause: ports.CauseOOM, Signal: "SIGKILL"}))
	s = before(t, "http://"+serveOn(t, taskrunner.Policy{Network: true}, fake).addr)
	program := map[string]any{
		"language": "python", "stdin": long, "args": []string{long}, "labels": map[string]string{"course": long[:200]},
		"code": "# A comment\nimport sys\n\n@decorated\ndef greet(name):\n    print(f\"hello {name}\", 42, None)  # " + long + "\n",
	}
	run := func(query string, status int) string {
		r := s.do(http.MethodPost, "/api/v1/tasks"+query, js(program))
		require.Equal(t, status, r.StatusCode, r.body)
		return "/tasks/" + decode[httpapi.Accepted](t, r.body).TaskID
	}
	pages = map[string]string{"run": "/", "tasks": "/tasks", "message": "/tasks/0199", "none": "/tasks?status=cancelled"}
	pages["finished"] = run("?wait=60s", http.StatusOK)
	pages["failed"] = run("?wait=60s", http.StatusOK)
	run("?wait=60s", http.StatusOK)
	pages["killed"] = run("?wait=60s", http.StatusOK)
	pages["running"] = run("", http.StatusAccepted)
	pages["edited"] = "/?from=" + strings.TrimPrefix(pages["finished"], "/tasks/")
	return s, pages
}

// away is a site whose service is away.
func away(t testing.TB) *site {
	t.Helper()
	return beforeHandler(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
}

// everyPage calls f with each page, when it shows what it has to.
func everyPage(b *tab, pages map[string]string, f func(name string)) {
	b.t.Helper()
	b.excuse("404")
	for name, path := range pages {
		b.open(path)
		if name == "running" {
			b.shows(stdout, "running\n")
		}
		b.drawn()
		f(name)
	}
}

func TestNoPageScrollsSideways(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	s, pages := busy(t, over)
	b := browse(s)
	fits := func(name string) {
		t.Helper()
		for _, width := range []int64{320, 360, 768, 1600} {
			b.size(width, 800)
			assert.LessOrEqual(t, eval[int64](b, "document.scrollingElement.scrollWidth"), width, "%s at %d: %s", name, width,
				eval[string](b, `[...document.body.querySelectorAll("*")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && one.checkVisibility()).map((one) => one.tagName + "." + one.className).slice(0, 5).join(" ")`))
		}
		b.size(1280, 800)
	}
	everyPage(b, pages, fits)
	b.open("/")
	b.click("#run")
	b.shows(stdout, "running\n")
	fits("a run beside the program")
}

// still fails if something of a page has moved.
func still(b *tab, message string, args ...any) {
	b.t.Helper()
	assert.Less(b.t, eval[float64](b, shifts), 0.01, "%s: %s", fmt.Sprintf(message, args...), eval[[]string](b, "movers"))
}

// watchShifts sums up how much of a page moves without anybody having asked for it, and
// shifts returns it once what is drawn has been.
const (
	watchShifts = `globalThis.moved = 0;
		globalThis.movers = [];
		new PerformanceObserver((list) => {
			for (const { value, hadRecentInput, sources } of list.getEntries()) {
				if (hadRecentInput) continue;
				moved += value;
				movers.push(...sources.map(({ node }) => (node?.outerHTML ?? node?.data ?? "?").slice(0, 100)));
			}
		}).observe({ type: "layout-shift", buffered: true });`
	shifts = `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => scheduler.postTask(() => done(moved), { priority: "background" }))))`
)

func TestNothingMovesWhileAPageComesAndOutputStreams(t *testing.T) {
	t.Parallel()
	more, over := make(chan struct{}), make(chan struct{})
	var lines []fakes.Step
	for i := range 100 {
		lines = append(lines, fakes.Stdout(fmt.Sprintf("line %d\n", i)), fakes.Stderr("oops\n"), fakes.Sample(ports.Sample{At: time.Duration(i) * time.Second, CPU: 0.5, Memory: int64(i) << 20}))
	}
	script := append([]fakes.Step{fakes.Stdout("begin\n"), fakes.Until(more)}, lines...)
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, append(script, fakes.Until(over))...).addr)
	id := s.submit()
	for _, width := range []int64{390, 1600} {
		b := browse(s)
		call(b, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: watchShifts})
		b.size(width, 900)
		for _, path := range []string{"/", "/tasks"} {
			b.open(path)
			b.ready()
			still(b, "%s at %d", path, width)
		}
		b.open("/tasks/" + id)
		b.shows(stdout, "begin\n")
		if width == 390 {
			close(more)
		}
		b.shows(stdout, "line 99\n")
		b.there(`[data-chart="cpu"] svg path`)
		still(b, "a task at %d", width)
		if width == 1600 {
			close(over)
			b.status("succeeded")
			still(b, "its end")
		}
		eval[bool](b, `document.body.prepend(Object.assign(document.createElement("h1"), { textContent: "all moves" })), true`)
		b.until("moved > 0.01") // it would be seen
	}
}

func TestEveryTextCanBeReadInBothThemes(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	s, pages := busy(t, over)
	b, gone := browse(s), browse(away(t))
	b.excuse("400")
	gone.excuse("503")
	readable := func(b *tab, name string) {
		t.Helper()
		for _, theme := range []string{"light", "dark"} {
			b.prefer(theme)
			assert.Empty(t, eval[[]string](b, contrastScript), "%s, %s", name, theme)
		}
	}
	everyPage(b, pages, func(name string) { readable(b, name) })
	b.open("/")
	b.click("#options summary")
	b.write("#timeout", "1e9")
	b.click("#run")
	b.there("#timeout-error:not([hidden])")
	readable(b, "errors")
	gone.open("/")
	readable(gone, "away")
}

// ground is the colour of the page.
const ground = "getComputedStyle(document.documentElement).backgroundColor"

func TestTheThemeIsTheSystemsOrTheReaders(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{}).addr)
	b := browse(s)
	b.prefer("light")
	b.open("/")
	light := eval[string](b, ground)
	b.prefer("dark")
	dark := eval[string](b, ground)
	assert.NotEqual(t, light, dark, "the system's theme counts at once")

	b.click(`[name="theme"][value="light"]`)
	b.there(`html[data-theme="light"] [name="theme"][value="light"][aria-pressed="true"]`)
	b.until(ground + " === " + js(light))
	b.open("/tasks")
	assert.Equal(t, "light", eval[string](b, "document.documentElement.dataset.theme"), "it is remembered")
	html := eval[string](b, `fetch("/").then((answer) => answer.text())`)
	assert.Contains(t, html, `<html lang="en" data-theme="light">`, "what the server sends has it already: nothing flashes")
	b.click(`[name="theme"][value="system"]`)
	b.there(`html:not([data-theme]) [name="theme"][value="system"][aria-pressed="true"]`)
	b.until(ground + " === " + js(dark))
	assert.Equal(t, "/tasks", eval[string](b, "location.pathname"))
}
