package ui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/kballard/go-shellquote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// isStream reports whether a request is for a task's events.
func isStream(path string) bool { return strings.Contains(path, "/events") }

func streams(b *tab) (n int) {
	for _, path := range b.requests() {
		if isStream(path) {
			n++
		}
	}
	return n
}

func TestWhatAProgramDoesIsSeenWhileItDoesIt(t *testing.T) {
	t.Parallel()
	second, over := make(chan struct{}), make(chan struct{})
	sample := func(at time.Duration, cpu float64, memory int64) fakes.Step {
		return fakes.Sample(ports.Sample{At: at, CPU: cpu, Memory: memory})
	}
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{},
		fakes.Stdout("first\n"), fakes.Stderr("careful\n"), sample(100*time.Millisecond, 0.5, 20<<20), sample(200*time.Millisecond, 0.9, 30<<20),
		fakes.Until(second), fakes.Stdout("second\n"), sample(300*time.Millisecond, 0.2, 40<<20), fakes.Until(over)).addr))
	b.open("/")
	b.click("#run")
	b.status("running")
	b.shows(stdout, "first\n")
	b.shows(stderr, "careful\n")
	close(second) // which is not written before the first was read
	b.shows(stdout, "first\nsecond\n")
	for _, chart := range []string{"cpu", "memory"} {
		b.there(`[data-chart="` + chart + `"] svg path`)
		b.there(`[data-chart="` + chart + `"] svg .limit`)
		b.until(fmt.Sprintf(`document.querySelector('[data-chart="%s"] svg').getBoundingClientRect().height > 50`, chart))
	}
	b.until(`document.querySelector('[data-chart="memory"]').textContent.includes("256 MiB")`) // the limit
	b.until(`document.querySelector('[data-chart="memory"]').textContent.includes("40 MiB")`)  // the use
	b.until(`/\d/.test(document.querySelector("[data-elapsed-since]").textContent)`)
	elapsed := b.text("[data-elapsed-since]")
	b.until(`document.querySelector("[data-elapsed-since]").textContent !== ` + js(elapsed))
	close(over)
	b.status("succeeded")
	b.until(`/succeeded/i.test(document.querySelector("[data-announce]").textContent)`)
	assert.Equal(t, "first\nsecond\n", b.text(stdout))
	assert.Equal(t, 1, streams(b))

	page := "/tasks/" + eval[string](b, `document.querySelector("[data-task]").dataset.task`)
	b.open(page)
	assert.Equal(t, "first\nsecond\n", b.text(stdout))
	b.there(`[data-chart="cpu"] svg path`)
	assert.Equal(t, 1, streams(b), "nothing more can come of a finished task")
}

func TestAReaderWhoComesLateSeesAll(t *testing.T) {
	t.Parallel()
	begun, over := make(chan struct{}), make(chan struct{})
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout("first\n"), fakes.Do(func(ports.Job) { close(begun) }), fakes.Until(over), fakes.Stdout("last\n")).addr)
	id := s.submit()
	<-begun
	b := browse(s)
	b.open("/tasks/" + id)
	b.shows(stdout, "first\n")
	close(over)
	b.status("succeeded")
	b.shows(stdout, "last\n")
	assert.Equal(t, "first\nlast\n", b.text(stdout))
}

func TestAServiceThatGoesAwayLeavesNoGap(t *testing.T) {
	t.Parallel()
	away, written, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var all strings.Builder
	script := []fakes.Step{fakes.Stdout("begin\n"), fakes.Until(away)}
	all.WriteString("begin\n")
	for i := range 200 {
		line := fmt.Sprintf("line %d\n", i)
		script = append(script, fakes.Stdout(line))
		all.WriteString(line)
	}
	script = append(script, fakes.Do(func(ports.Job) { close(written) }), fakes.Until(over), fakes.Stdout("end\n"))
	all.WriteString("end\n")
	api := serve(t, taskrunner.Policy{}, script...)
	b := browse(before(t, "http://"+api.addr))
	b.excuse("503", "ERR_INCOMPLETE_CHUNKED_ENCODING")
	b.open("/")
	b.click("#run")
	b.shows(stdout, "begin\n")
	const notice = `document.querySelector("[data-connection]").checkVisibility()`
	assert.False(t, eval[bool](b, notice))

	api.kill()
	b.until(notice)
	close(away)
	<-written
	assert.Equal(t, "begin\n", b.text(stdout))
	api.start()
	b.shows(stdout, "line 199\n")
	b.until("!" + notice)
	close(over)
	b.status("succeeded")
	b.shows(stdout, "end\n")
	assert.Equal(t, all.String(), b.text(stdout), "there is no gap, and nothing twice")
}

func TestATaskIsCancelledRunAgainAndEditedFromItsPage(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	fake := fakes.NewExecutor(fakes.Stdout("done\n")).Next(fakes.Stdout("working\n"), fakes.Until(never))
	s := before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr)
	b := browse(s)
	b.open("/")
	b.write(code, "work()")
	b.click("#options summary")
	b.write("#args", "one 'two words'")
	b.click("#run")
	b.shows(stdout, "working\n")
	b.click("[data-cancel] button")
	b.status("cancelled")
	first := eval[string](b, `document.querySelector("[data-task]").dataset.task`)

	b.open("/tasks/" + first)
	assert.Contains(t, b.text(".source"), "work()")
	b.click("[data-rerun] button")
	b.until(`document.querySelector("[data-task]")?.dataset.task !== ` + js(first))
	b.status("succeeded")
	b.shows(stdout, "done\n")
	require.Len(t, fake.Jobs(), 2)
	assert.Equal(t, fake.Jobs()[0].Spec, fake.Jobs()[1].Spec)

	b.click("[data-edit]")
	b.until("document.querySelector(" + js(code) + ")?.value === 'work()'")
	assert.Equal(t, "one 'two words'", b.value("#args"))
	b.write(code, "rest()")
	b.click("#run")
	b.status("succeeded")
	require.Len(t, fake.Jobs(), 3)
	assert.Equal(t, "rest()", fake.Jobs()[2].Spec.Code)
	assert.Equal(t, []string{"one", "two words"}, fake.Jobs()[2].Spec.Args)
}

// mayCopy allows the site what a browser asks its user for.
func (b *tab) mayCopy() {
	b.t.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted,
			Origin: b.site.url, BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
		})
		require.NoError(b.t, err)
	}
}

func TestACommandIsCopiedThatRunsTheSame(t *testing.T) {
	t.Parallel()
	fake := fakes.NewExecutor()
	s := before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr)
	b := browse(s)
	b.mayCopy()
	b.open("/")
	b.write(code, "print('it''s \"quoted\"', $HOME, `date`)\n# ünïcödé")
	b.click("#run")
	b.status("succeeded")
	b.click("[data-copy-curl]")
	b.until(`/copied/i.test(document.querySelector("[data-copy-curl]").textContent + document.querySelector("[data-announce]").textContent)`)
	words, err := shellquote.Split(eval[string](b, "navigator.clipboard.readText()"))
	require.NoError(t, err)
	require.Len(t, words, 5)
	assert.Equal(t, []string{"curl", "-s", s.url + "/api/v1/tasks", "--json"}, words[:4])
	r := s.do(http.MethodPost, "/api/v1/tasks?wait=60s", words[4])
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	require.Len(t, fake.Jobs(), 2)
	was, is := fake.Jobs()[0].Spec, fake.Jobs()[1].Spec
	was.Labels = nil // they say whose task it was
	assert.Equal(t, was, is)
}

// flood writes text again and again, and says so after some of it.
func flood(text string, times int, after chan<- struct{}) fakes.Step {
	return func(ctx context.Context, job ports.Job, count *fakes.Count) (*ports.Outcome, error) {
		for i := 0; times == 0 || i < times; i++ {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			_, _ = job.Stdout.Write([]byte(text))
			count.Stdout += int64(len(text))
			if i == 100 && after != nil {
				close(after)
			}
		}
		return nil, nil
	}
}

// heartbeat counts frames, and keeps the longest time that nothing else could happen.
const heartbeat = `(() => {
	const beat = globalThis.beat = { frames: 0, longest: 0 };
	const count = () => { beat.frames++; requestAnimationFrame(count); };
	requestAnimationFrame(count);
	new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) beat.longest = Math.max(beat.longest, duration); }).observe({ type: "longtask" });
	return true;
})()`

func TestAFloodOfOutputLeavesThePageUsable(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	lines := strings.Repeat("all work and no play makes Jack a \x1b[31mdull\x1b[0m boy\n", 200)
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, flood(lines, 10<<20/len(lines), nil), fakes.Until(over)).addr)
	b := browse(s)
	b.open("/")
	eval[bool](b, heartbeat)
	b.click("#run")
	b.there(`[data-pane="stdout"] [data-truncated]:not([hidden])`)
	frames := eval[int](b, "beat.frames")
	b.until(fmt.Sprintf("beat.frames > %d", frames))
	size := eval[int](b, `document.querySelector('[data-pane="stdout"]').textContent.length`)
	assert.Greater(t, size, 100_000)
	assert.Less(t, size, 2_500_000, "what is in the page is bounded")
	b.there(`[data-pane="stdout"] [data-truncated] a[href$="/logs/stdout"]`)
	close(over)
	b.status("succeeded")
	t.Logf("10 MB of lines: %d frames, the longest task %.0f ms", eval[int](b, "beat.frames"), eval[float64](b, "beat.longest"))
	log := s.do("GET", eval[string](b, `document.querySelector('[data-pane="stdout"] [data-download]').getAttribute("href")`), "")
	assert.True(t, log.body == strings.Repeat(lines, 10<<20/len(lines)), "the whole log is there")
}

func TestALineOfAMegabyteLeavesThePageUsable(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, flood(strings.Repeat("x", 1<<10), 1<<10, nil), fakes.Stderr("all\n"), fakes.Until(over)).addr)
	b := browse(s)
	b.open("/")
	eval[bool](b, heartbeat)
	b.click("#run")
	b.shows(stderr, "all\n")
	b.until(`document.querySelector(` + js(stdout) + `).textContent.length >= 1 << 20`)
	b.click(`[data-pane="stdout"] [data-wrap]`)
	frames := eval[int](b, "beat.frames")
	b.until(fmt.Sprintf("beat.frames > %d", frames))
	close(over)
	b.status("succeeded")
	t.Logf("a line of a megabyte: %d frames, the longest task %.0f ms", eval[int](b, "beat.frames"), eval[float64](b, "beat.longest"))
	assert.Equal(t, 1<<20, eval[int](b, `document.querySelector(`+js(stdout)+`).textContent.length`))
}

func TestATaskThatFloodsIsCancelledFromThePage(t *testing.T) {
	t.Parallel()
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}, flood(strings.Repeat("y\n", 32), 0, nil)).addr))
	b.open("/")
	b.click("#run")
	b.shows(stdout, "y\ny\n")
	b.click("[data-cancel] button")
	b.status("cancelled")
}

func TestOutputIsSearchedWrappedAndCopied(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "line %d has a needle\n", i)
	}
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout(text.String()), fakes.Until(over), fakes.Stdout("a last needle\n")).addr))
	b.mayCopy()
	b.open("/")
	b.click("#run")
	b.shows(stdout, "line 299")
	b.until(fmt.Sprintf(`((pane) => pane.scrollHeight - pane.scrollTop - pane.clientHeight < 2)(document.querySelector(%s))`, js(stdout))) // it follows
	b.write(`[data-pane="stdout"] [data-search]`, "needle")
	b.until(`document.querySelector('[data-pane="stdout"] [data-found]').textContent.includes("300")`)
	b.press("\r")
	close(over)
	b.status("succeeded")
	b.until(`document.querySelector('[data-pane="stdout"] [data-found]').textContent.includes("301")`) // it goes on while output comes
	b.write(`[data-pane="stdout"] [data-search]`, "nowhere")
	b.until(`/no|0/i.test(document.querySelector('[data-pane="stdout"] [data-found]').textContent)`)

	b.click(`[data-pane="stdout"] [data-wrap]`)
	b.there(`[data-pane="stdout"] [data-wrap][aria-pressed="false"]`)
	b.until(`getComputedStyle(document.querySelector(` + js(stdout) + `)).whiteSpace === "pre"`)
	b.click(`[data-pane="stdout"] [data-copy]`)
	b.until(`/copied/i.test(document.querySelector('[data-pane="stdout"] [data-copy]').textContent + document.querySelector("[data-announce]").textContent)`)
	assert.Equal(t, text.String()+"a last needle\n", eval[string](b, "navigator.clipboard.readText()"))

	// Browsers have no clipboard for pages that come by plain http.
	eval[bool](b, `globalThis.board = navigator.clipboard; Object.defineProperty(navigator, "clipboard", { value: undefined }), true`)
	b.click("[data-copy-curl]")
	b.until(`document.querySelector("[data-announce]").textContent === "The command is copied."`)
	assert.True(t, eval[bool](b, `document.activeElement.matches("[data-copy-curl]")`), "the focus stays")
	assert.True(t, eval[bool](b, `board.readText().then((text) => text === document.querySelector("[data-copy-curl]").dataset.command)`))
}

// decode returns JSON as a value.
func decode[T any](t testing.TB, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}
