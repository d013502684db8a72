package ui_test

import (
	"slices"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestEverythingIsDoneWithoutScripts(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	fake := fakes.NewExecutor(fakes.Stdout("\x1b[32mhello\x1b[0m\n"), fakes.Until(over))
	b := browse(before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr))
	b.excuse("400", "failed:  csp$") // modules that are told of in advance, and not wanted
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.open("/")
	b.write(code, "print('no script')")
	b.click("#options summary")
	b.write("#timeout", "soon")
	b.click("#run")
	b.there(`#timeout-error:not([hidden])`)
	assert.Contains(t, b.text("#timeout-error"), "must be a number")
	assert.Equal(t, "print('no script')", b.value(code), "what was written is still there")
	b.write("#timeout", "3")
	b.click("#run")
	b.status("running")
	close(over)
	b.status("succeeded") // the page looks again by itself
	assert.Equal(t, "hello\n", b.text(stdout))
	b.there(stdout + " .fg2")
	require.Len(t, fake.Jobs(), 1)
	assert.Equal(t, "print('no script')", fake.Jobs()[0].Spec.Code)

	b.click("[data-rerun] button")
	b.until("location.pathname !== " + js(eval[string](b, "location.pathname")))
	b.status("succeeded")
	b.click(`.bar a[href="/tasks"]`)
	b.there("[data-tasks] table")
	assert.Len(t, eval[[]string](b, `[...document.querySelectorAll("tr[data-id]")].map((one) => one.dataset.id)`), 2)
	eval[bool](b, `Boolean(document.querySelector('[data-filters] [name="status"]').value = "failed")`)
	b.click("[data-apply]")
	b.until(`document.querySelector("[data-tasks]")?.textContent.includes("No task matches")`)
	b.click(`[name="theme"][value="dark"]`)
	b.there(`html[data-theme="dark"]`)
	b.open("/?language=bash")
	assert.Equal(t, "bash", b.value("#language"))
	assert.Contains(t, b.value(code), "echo")
}

// focusable returns a name for each element that the keyboard has to reach.
const focusable = `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
	.filter((one) => !one.disabled && one.tabIndex >= 0 && one.checkVisibility({ visibilityProperty: true }) && !one.closest("noscript, template"))`

// nameOf is the script that tells elements apart.
const nameOf = `((one) => one.tagName.toLowerCase() + [...document.querySelectorAll("*")].indexOf(one) + " " + (one.getAttribute("aria-label") ?? one.textContent ?? "").trim().slice(0, 30))`

// marked reports whether the focus can be seen.
const marked = `(() => {
	const one = document.activeElement;
	const outlined = (style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
	return outlined(getComputedStyle(one)) || outlined(getComputedStyle(one, "::after")) || Boolean(one.closest(".editor") && getComputedStyle(one.closest(".editor")).boxShadow !== "none");
})()`

func TestTheKeyboardReachesEverything(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	s, pages := busy(t, over)
	b := browse(s)
	everyPage(b, pages, func(page string) {
		if eval[bool](b, `Boolean(document.querySelector("#options:not([open])"))`) {
			eval[bool](b, `document.querySelector("#options").open = true`)
		}
		missing := eval[[]string](b, focusable+".map("+nameOf+")")
		require.NotEmpty(t, missing)
		for range 3 * len(missing) {
			b.press("\t")
			at := eval[struct {
				Name                 string
				Marked, Writes, Body bool
			}](b, `(({ activeElement: one, body }) => ({ name: `+nameOf+`(one), marked: `+marked+`, writes: one.matches('[name="content"]'), body: one === body }))(document)`)
			if at.Body {
				break
			}
			if at.Writes { // where the key would write, too
				b.press(kb.Escape)
			}
			assert.True(t, at.Marked, "on page %s, who is at %s?", page, at.Name)
			missing = slices.DeleteFunc(missing, func(one string) bool { return one == at.Name })
		}
		assert.Empty(t, missing, page)
	})
}

func TestTheFirstKeySkipsWhatEveryPageHas(t *testing.T) {
	t.Parallel()
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}).addr))
	b.open("/")
	b.press("\t")
	assert.True(t, eval[bool](b, `document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().left >= 0`))
	b.press("\r")
	b.until(`location.hash === "#program"`)
	b.press("\t")
	assert.True(t, eval[bool](b, `Boolean(document.activeElement.closest("#program"))`))
}

func TestAProgramIsRunWithTheKeyboardAlone(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Until(over), fakes.Stdout("ran\n")).addr))
	b.open("/")
	reach := func(selector string) {
		t.Helper()
		for range 60 {
			if eval[bool](b, "document.activeElement.matches("+js(selector)+")") {
				return
			}
			b.press(kb.Escape)
			b.press("\t")
		}
		t.Fatalf("the keyboard does not reach %s", selector)
	}
	reach(code)
	b.press("a", chromedp.ModifierCtrl)
	b.press("x = 1\r")
	b.press("\r", chromedp.ModifierCtrl)
	b.status("running")
	close(over)
	b.until(`[...document.querySelectorAll("[aria-live]")].some((one) => /succeeded/i.test(one.textContent))`)
	reach("[data-rerun] button")
	b.press("\r")
	b.status("succeeded")
}

// named are the roles whose elements say what they are for.
var named = []string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "tab", "spinbutton", "switch", "image", "img", "region", "navigation"}

func TestEveryControlHasANameAndEveryIDIsItsOwn(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	s, pages := busy(t, over)
	b := browse(s)
	everyPage(b, pages, func(page string) {
		for _, node := range call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
			if node.Ignored || node.Role == nil {
				continue
			}
			role := decode[string](t, string(node.Role.Value))
			if slices.Contains(named, role) {
				require.NotNil(t, node.Name, "%s: a %s", page, role)
				assert.NotEmpty(t, decode[string](t, string(node.Name.Value)), "%s: a %s without a name", page, role)
			}
		}
		assert.Empty(t, eval[[]string](b, `(() => { const ids = [...document.querySelectorAll("[id]")].map((one) => one.id); return ids.filter((id, i) => ids.indexOf(id) !== i); })()`), page)
		assert.Empty(t, eval[[]string](b, `[...document.querySelectorAll("[for], [aria-describedby], [aria-labelledby], [aria-controls]")].flatMap((one) => ["for", "aria-describedby", "aria-labelledby", "aria-controls"].flatMap((name) => (one.getAttribute(name) ?? "").split(" ").filter((id) => id && !document.getElementById(id))))`), "%s: names of nothing", page)
		assert.Equal(t, 1, eval[int](b, `document.querySelectorAll("main").length`), page)
		assert.Equal(t, 1, eval[int](b, `document.querySelectorAll("h1").length`), "%s: headings of the page", page)
	})
}
