package ui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdpinput "github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/sandboxexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

const (
	// patience bounds the waits for what normally takes moments; it matters where something
	// is broken.
	patience = 30 * time.Second
	// look is the pause between two looks at a page.
	look = 10 * time.Millisecond
)

// tab is a tab of a real browser, with cookies and storage of its own. At the end of the
// test there must have been nothing to complain about: no error and no warning on the
// console, nothing that the page's policy forbids, no request that failed, and none to
// anybody but the site.
type tab struct {
	t    testing.TB
	site *site
	ctx  context.Context

	mu       sync.Mutex
	asked    map[network.RequestID]string // the URL of each request
	urls     []string                     // in their order
	troubles []string
	bytes    float64 // that all answers took on the network
	excused  []*regexp.Regexp
}

// browse opens a tab with nothing in it.
func browse(s *site) *tab {
	s.t.Helper()
	b := &tab{t: s.t, site: s, asked: map[network.RequestID]string{}}
	ctx, closeTab := chromedp.NewContext(testenv.Chromium(s.t), chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	s.t.Cleanup(closeTab)
	require.NoError(s.t, chromedp.Do(ctx)) // which the tab lives as long as
	b.ctx = ctx
	s.t.Cleanup(b.check)
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.size(1280, 800)
	return b
}

// hear notes what happens in the tab.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	trouble := func(format string, args ...any) { b.troubles = append(b.troubles, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.asked[e.RequestID] = e.Request.URL
		b.urls = append(b.urls, e.Request.URL)
	case *network.EventLoadingFinished:
		b.bytes += e.EncodedDataLength
	case *network.EventLoadingFailed:
		if !e.Canceled {
			trouble("%s failed: %s %s", b.asked[e.RequestID], e.ErrorText, e.BlockedReason)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			trouble("%s was answered with %d", e.Response.URL, e.Response.Status)
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			trouble("the browser says of %s: %s", e.Entry.URL, e.Entry.Text)
		}
	case *cdpruntime.EventConsoleAPICalled:
		if e.Type == cdpruntime.ConsoleAPICalledTypeError || e.Type == cdpruntime.ConsoleAPICalledTypeWarning || e.Type == cdpruntime.ConsoleAPICalledTypeAssert {
			for _, arg := range e.Args {
				trouble("the page says: %s %s", arg.Value, arg.Description)
			}
		}
	case *cdpruntime.EventExceptionThrown:
		trouble("nobody caught: %s", js(e.ExceptionDetails))
	}
}

// excuse lets happen what one of the patterns matches.
func (b *tab) excuse(patterns ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range patterns {
		b.excused = append(b.excused, regexp.MustCompile(p))
	}
}

// check is the end of the test.
func (b *tab) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, trouble := range b.troubles {
		if !slices.ContainsFunc(b.excused, func(r *regexp.Regexp) bool { return r.MatchString(trouble) }) {
			b.t.Error(trouble)
		}
	}
	for _, url := range b.urls {
		if url != "about:blank" {
			assert.True(b.t, strings.HasPrefix(url, b.site.url+"/"), "%s is none of the site's", url)
		}
	}
}

// requests returns the paths of all requests so far.
func (b *tab) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	paths := make([]string, len(b.urls))
	for i, url := range b.urls {
		paths[i] = strings.TrimPrefix(url, b.site.url)
	}
	return paths
}

// run runs something in the tab, for so long.
func run[T any](b *tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	_, err := run(b, chromedp.Steps(actions...))
	require.NoError(b.t, err)
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := run(b, func(ctx context.Context, target *chromedp.Target) (R, error) {
		return cdp.Call(ctx, target, command, params)
	})
	require.NoError(b.t, err)
	return result
}

// open goes to a path of the site and waits until the page has loaded.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.site.url + path))
}

// drawn waits until the page is drawn as its scripts have it.
func (b *tab) drawn() {
	b.t.Helper()
	eval[bool](b, `document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))))`)
}

// size gives the page a size.
func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// prefer makes the system light or dark.
func (b *tab) prefer(theme string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
}

// js returns v as a script has it.
func js(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// eval returns what an expression is in the page, or what it will be if it is a promise.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, expression)
	return v
}

// until waits until an expression is true, in this page or one that follows.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	clock := time.NewTicker(look)
	defer clock.Stop()
	for {
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if yes {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("waiting in vain until %s (%v), while the page says:\n%s", expression, err, b.screen())
		case <-clock.C:
		}
	}
}

// screen returns what can be read, for a test that fails.
func (b *tab) screen() string {
	text, err := run(b, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.slice(0, 3000)`))
	if err != nil {
		return err.Error()
	}
	return text
}

// there waits until something is there.
func (b *tab) there(selector string) {
	b.t.Helper()
	b.until("document.querySelector(" + js(selector) + ")")
}

// text returns the text of the first element that a selector has.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, "document.querySelector("+js(selector)+").textContent")
}

// value returns the value of the first field that a selector has.
func (b *tab) value(selector string) string {
	b.t.Helper()
	return eval[string](b, "document.querySelector("+js(selector)+").value")
}

// middle is the script that returns where an element can be clicked, once it can.
const middle = `((selector) => {
	if (document.readyState !== "complete") return null; // it would move
	const element = [...document.querySelectorAll(selector)].find((one) => one.checkVisibility() && !one.disabled);
	if (!element) return null;
	element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
	const { left, top, width, height } = element.getBoundingClientRect();
	const [x, y] = [left + width / 2, top + height / 2];
	return element.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
})`

// where returns the middle of the first element that can be seen and clicked.
func (b *tab) where(selector string) (x, y float64) {
	b.t.Helper()
	b.until(middle + "(" + js(selector) + ")")
	at := eval[[]float64](b, middle+"("+js(selector)+")")
	require.Len(b.t, at, 2, selector)
	return at[0], at[1]
}

func (b *tab) click(selector string) {
	b.t.Helper()
	x, y := b.where(selector)
	b.do(chromedp.MouseClickXY(x, y))
}

// press presses keys, one after the other. Each one's text comes with the key that goes
// down, so that a page which has a use for the key of its own prevents it.
func (b *tab) press(keys string, with ...chromedp.Modifier) {
	b.t.Helper()
	for _, key := range keys {
		events := kb.Encode(key)
		for i, e := range events {
			if e.Type == kb.KeyChar {
				continue
			}
			for _, m := range with {
				e.Modifiers |= int64(m)
			}
			if i+1 < len(events) && events[i+1].Type == kb.KeyChar && e.Modifiers&^int64(chromedp.ModifierShift) == 0 {
				e.Type, e.Text = kb.KeyDown, events[i+1].Text
			}
			call(b, cdpinput.DispatchKeyEvent, *e)
		}
	}
}

// ready waits until the page's scripts have begun.
func (b *tab) ready() {
	b.t.Helper()
	b.there("[data-ready]")
}

// choose chooses from a list, as somebody does.
func (b *tab) choose(selector, value string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`((list) => { list.value = %s; list.dispatchEvent(new Event("input", { bubbles: true })); return list.dispatchEvent(new Event("change", { bubbles: true })) })(document.querySelector(%s))`, js(value), js(selector)))
}

// write replaces what is in a field, at once.
func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.click(selector)
	b.press("a", chromedp.ModifierCtrl)
	if text == "" {
		b.press("\b")
		return
	}
	call(b, cdpinput.InsertText, cdpinput.InsertTextParams{Text: text})
}

// What of the pages is looked at.
const (
	code   = `[data-file]:not([hidden]) textarea[name="content"]`
	stdout = `[data-pane="stdout"] [data-text]`
	stderr = `[data-pane="stderr"] [data-text]`
)

// status waits until a task that is shown has a status.
func (b *tab) status(status string) {
	b.t.Helper()
	b.there(`[data-part="summary"][data-status="` + status + `"]`)
}

// shows waits until an output has a text in it.
func (b *tab) shows(pane, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelector(%s)?.textContent.includes(%s)", js(pane), js(text)))
}

// sandbox returns an executor of real programs.
func sandbox(t testing.TB) ports.Executor {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		const why = "the sandbox needs Linux and root"
		if os.Getenv("TASKRUNNER_REQUIRE_SERVICES") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	executor, err := sandboxexec.New(sandboxexec.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, executor.Close(context.Background())) })
	return executor
}
