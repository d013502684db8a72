package ui_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestALineThatBeginsAnewTakesThePlaceOfAllOfIt(t *testing.T) {
	t.Parallel()
	begun, over := make(chan struct{}), make(chan struct{})
	long := strings.Repeat("progress ", 5_000) // which is in several pieces on the page
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{},
		fakes.Stdout("before\n"+long+"\x1b[31mred\x1b[0m"), fakes.Until(begun), fakes.Stdout("\r1%\r2%"), fakes.Stdout("\r\x1b[32mdone\x1b[0m\nafter\n"), fakes.Until(over)).addr))
	b.open("/")
	b.click("#run")
	b.shows(stdout, "red")
	assert.Equal(t, "before\n"+long+"red", b.text(stdout))
	found := func(text string) {
		t.Helper()
		b.until(`document.querySelector('[data-pane="stdout"] [data-found]').textContent === ` + js(text))
	}
	b.write(`[data-pane="stdout"] [data-search]`, "e")
	found("2000+ found")
	b.write(`[data-pane="stdout"] [data-search]`, "red")
	found("1 found")
	b.press("\r")
	found("1 of 1")
	close(begun)
	b.shows(stdout, "after\n")
	assert.Equal(t, "before\ndone\nafter\n", b.text(stdout))
	assert.Equal(t, "done", b.text(stdout+" .fg2"))
	found("none")
	assert.Zero(t, eval[int](b, `CSS.highlights.get("found").size + CSS.highlights.get("found-now").size`), "nothing of it is left")
	close(over)
	b.status("succeeded")
	assert.Equal(t, "before\ndone\nafter\n", b.text(stdout))
}

func TestLettersThatHaveAColourEachAreBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 150_000 {
		fmt.Fprintf(&text, "\x1b[%dmx", 31+i%2)
	}
	over := make(chan struct{})
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout(text.String()), fakes.Stdout("\x1b[0m\nend\n"), fakes.Until(over)).addr))
	b.open("/")
	b.click("#run")
	b.shows(stdout, "end\n")
	b.there(`[data-pane="stdout"] [data-truncated]:not([hidden])`)
	assert.Less(t, eval[int](b, `document.querySelectorAll('[data-pane="stdout"] *').length`), 100_000)
	close(over)
	b.status("succeeded")
}

func TestTheReaderDecidesWhatIsInSight(t *testing.T) {
	t.Parallel()
	more, over := make(chan struct{}), make(chan struct{})
	lines := strings.Repeat("some line\n", 500)
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout(lines+"first\n"), fakes.Until(more), fakes.Stdout(lines+"second\n"), fakes.Until(over)).addr))
	const (
		follow = `[data-pane="stdout"] [data-follow]`
		top    = `document.querySelector('[data-pane="stdout"] [data-text]').scrollTop`
		left   = `((pane) => pane.scrollHeight - pane.scrollTop - pane.clientHeight)(document.querySelector('[data-pane="stdout"] [data-text]'))`
	)
	b.open("/")
	b.click("#run")
	b.shows(stdout, "first\n")
	b.until(left + " < 2")
	eval[bool](b, `(document.querySelector('[data-pane="stdout"] [data-text]').scrollTop -= 1000) > 0`)
	b.there(follow + `[aria-pressed="false"]`)
	was := eval[float64](b, top)
	close(more)
	b.shows(stdout, "second\n")
	assert.InDelta(t, was, eval[float64](b, top), 1, "who has scrolled up stays there")
	b.click(follow)
	b.there(follow + `[aria-pressed="true"]`)
	b.until(left + " < 2")
	close(over)
	b.status("succeeded")
}

func TestAMatchOutOfSightIsShown(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("some line\n", 3_000) + "a Needle here\n" + strings.Repeat("some line\n", 3_000) + "and one needle there\n"
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout(text)).addr)
	b := browse(s)
	b.open("/")
	b.click("#run")
	b.status("succeeded")
	b.shows(stdout, "there\n")
	b.write(`[data-pane="stdout"] [data-search]`, "needle")
	found := func(text string) {
		t.Helper()
		b.until(`document.querySelector('[data-pane="stdout"] [data-found]').textContent === ` + js(text))
	}
	// The one that is marked is where it can be seen.
	const seen = `(() => {
		const [match] = CSS.highlights.get("found-now");
		const range = document.createRange();
		range.setStart(match.startContainer, match.startOffset);
		range.setEnd(match.endContainer, match.endOffset);
		const [box, pane] = [range, document.querySelector('[data-pane="stdout"] [data-text]')].map((one) => one.getBoundingClientRect());
		return box.height > 0 && box.top >= pane.top && box.bottom <= pane.bottom && range.toString();
	})()`
	found("2 found")
	b.press("\r")
	found("1 of 2")
	b.until(seen + ` === "Needle"`)
	b.press("\r")
	found("2 of 2")
	b.until(seen + ` === "needle"`)
	b.press("\r")
	found("1 of 2")
	b.press(kb.Escape)
	found("")
	assert.Equal(t, 0, eval[int](b, `CSS.highlights.get("found").size + CSS.highlights.get("found-now").size`))
}

func TestTheFocusStaysWhenASummaryIsWrittenAnew(t *testing.T) {
	t.Parallel()
	begun, over := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(over) })
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout("working\n"), fakes.Until(begun)).addr)
	id := s.submit()
	b := browse(s)
	b.open("/tasks/" + id)
	b.shows(stdout, "working\n")
	focused := func(selector string) string { return "document.activeElement.matches(" + js(selector) + ")" }
	eval[bool](b, `document.querySelector("[data-copy-curl]").focus(), true`)
	close(begun)
	b.status("succeeded")
	assert.True(t, eval[bool](b, focused("[data-copy-curl]")))

	other := before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout("working\n"), fakes.Until(over)).addr)
	b = browse(other)
	b.open("/tasks/" + other.submit())
	b.shows(stdout, "working\n")
	eval[bool](b, `document.querySelector("[data-cancel] button").focus(), true`)
	b.press("\r")
	b.status("cancelled")
	assert.True(t, eval[bool](b, focused("[data-cause]")), "what had it is gone")
	assert.Equal(t, "Task cancelled. Cancelled.", b.text("[data-announce]"))
}

func TestATaskThatIsGoneSaysSo(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	api := serve(t, taskrunner.Policy{}, fakes.Stdout("working\n"), fakes.Until(over))
	s := before(t, "http://"+api.addr)
	b := browse(s)
	b.excuse("503", "404", "ERR_INCOMPLETE_CHUNKED_ENCODING")
	b.open("/tasks/" + s.submit())
	b.shows(stdout, "working\n")
	api.kill()
	api.cfg = serve(t, taskrunner.Policy{}).cfg // which has never heard of it
	api.start()
	b.until(`document.querySelector("[data-connection]").checkVisibility() && document.querySelector("[data-connection]").textContent.includes("gone")`)
	b.shows(stdout, "working\n")
}

func TestAChartIsReadWithTheKeyboard(t *testing.T) {
	t.Parallel()
	script := make([]fakes.Step, 0, 3)
	for i, memory := range []int64{10 << 20, 40 << 20, 20 << 20} {
		script = append(script, fakes.Sample(ports.Sample{At: time.Duration(i+1) * time.Second, CPU: 0.5, Memory: memory}))
	}
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, script...).addr)
	b := browse(s)
	id := s.submit()
	s.end("/tasks/" + id)
	b.open("/tasks/" + id)
	const chart = `[data-chart="memory"] svg`
	b.there(chart + " path.line")
	assert.Equal(t, "Memory: 20 MiB at last, 40 MiB at most, over 3 s; the limit is 256 MiB.", eval[string](b, `document.querySelector('`+chart+`').getAttribute("aria-label")`))
	says := func(text string) {
		t.Helper()
		b.until(`document.querySelector('[data-chart="memory"] figcaption').textContent.includes(` + js(text) + `)`)
	}
	says("last 20 MiB, peak 40 MiB")
	eval[bool](b, `document.querySelector('`+chart+`').focus(), true`)
	b.press(kb.Home)
	says("10 MiB at 1.0 s")
	b.press(kb.ArrowRight)
	says("40 MiB at 2.0 s")
	b.there(chart + " .cross")
	b.press(kb.Escape)
	says("last 20 MiB, peak 40 MiB")
}
