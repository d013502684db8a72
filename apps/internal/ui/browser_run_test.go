package ui_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	cdpinput "github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestTheSampleOfEachLanguageRunsFromThePage(t *testing.T) {
	t.Parallel()
	b := browse(before(t, "http://"+serveOn(t, taskrunner.Policy{}, sandbox(t)).addr))
	b.open("/")
	for _, language := range taskrunner.BuiltinLanguages() {
		b.choose("#language", language.Name)
		b.until(fmt.Sprintf("document.querySelector(%s).value === %s", js(code), js(language.Sample)))
		b.click("#run")
		b.status("succeeded")
		b.shows(stdout, "Hello, world!")
		b.there(stdout + " .b")
		b.until(`document.querySelector("dl.facts").textContent.includes(` + js(language.Name) + `)`)
	}
}

func TestTheEditorKnowsHowProgramsAreWritten(t *testing.T) {
	t.Parallel()
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}).addr))
	b.open("/")
	b.write(code, "")
	for name, tt := range map[string]struct {
		write func()
		want  string
	}{
		"a new line keeps the indentation, and deepens it behind a colon": {func() { b.press("if x:\ry\rz") }, "if x:\n    y\n    z"},
		"an opening bracket brings the closing one":                       {func() { b.press("f([") }, "f([])"},
		"a closing bracket that is there already is stepped over":         {func() { b.press("f([1])") }, "f([1])"},
		"a pair with nothing in it goes at once":                          {func() { b.press("f(\b") }, "f"},
		"quotes come in pairs, and a selection is put between them":       {func() { b.press("abc"); b.press("a", chromedp.ModifierCtrl); b.press(`"`) }, `"abc"`},
		"Tab indents": {func() { b.press("x"); b.press(kb.Home); b.press("\t") }, "    x"},
		"Shift and Tab takes back the indentation of all that is selected": {func() {
			b.press("if x:\ry\rz")
			b.press("a", chromedp.ModifierCtrl)
			b.press("\t", chromedp.ModifierShift)
		}, "if x:\ny\nz"},
		"what the editor wrote can be undone": {func() { b.press("x"); b.press(kb.Home); b.press("\t"); b.press("z", chromedp.ModifierCtrl) }, "x"},
	} {
		b.write(code, "")
		tt.write()
		assert.Equal(t, tt.want, b.value(code), name)
	}

	b.write(code, "def greet(name):\n    return \"hello\", 42  # a comment\n")
	for kind, text := range map[string]string{"keyword": "def", "string": `"hello"`, "number": "42", "comment": "# a comment", "function": "greet"} {
		b.until(fmt.Sprintf(`[...CSS.highlights.get("syn-%s") ?? []].some((one) => one.startContainer.data.slice(one.startOffset, one.endOffset) === %s)`, kind, js(text)))
	}
	assert.Equal(t, b.value(code), b.text(".editor code"), "what is drawn is what is written")
	assert.Equal(t, "1\n2\n3\n", b.text(".gutter"))
}

func TestTheKeyboardIsNotTrappedInTheEditor(t *testing.T) {
	t.Parallel()
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}).addr))
	b.open("/")
	b.write(code, "x")
	inside := "document.activeElement === document.querySelector(" + js(code) + ")"
	b.press("\t")
	assert.True(t, eval[bool](b, inside), "Tab writes")
	b.press(kb.Escape + "\t")
	assert.False(t, eval[bool](b, inside), "Tab goes on after Escape")
	assert.Equal(t, "x   ", b.value(code))
	b.press("\t", chromedp.ModifierShift)
	assert.True(t, eval[bool](b, inside), "and comes back")
	b.press(kb.Escape)
	b.press("\t", chromedp.ModifierShift)
	assert.False(t, eval[bool](b, inside), "backwards too")
}

func TestTheKeysRunTheProgramAndTheDraftSurvives(t *testing.T) {
	t.Parallel()
	fake := fakes.NewExecutor(fakes.Stdout("ran\n"))
	b := browse(before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr))
	b.open("/")
	b.write(code, "print('mine')")
	b.press("\r", chromedp.ModifierCtrl)
	b.status("succeeded")
	b.shows(stdout, "ran\n")
	require.Len(t, fake.Jobs(), 1)
	assert.Equal(t, "print('mine')", fake.Jobs()[0].Spec.Code)

	b.choose("#language", "bash")
	b.write(code, "echo mine")
	b.open("/tasks")
	b.open("/")
	b.until("document.querySelector(" + js(code) + ").value === 'echo mine'")
	assert.Equal(t, "bash", b.value("#language"))
	b.size(320, 800)
	assert.True(t, eval[bool](b, `["#language", "#run"].every((one) => document.querySelector(one).checkVisibility()) &&
		new Set(["#language", "[data-reset]", "#run"].map((one) => document.querySelector(one).getBoundingClientRect()).map(({ top, height }) => Math.round(top + height / 2))).size === 1`), "one row, also where there is little room")
	b.click("[data-reset]")
	b.until("document.querySelector(" + js(code) + ").value === document.querySelector('#language').selectedOptions[0].dataset.sample")
}

func TestADraftThatIsNoneOrIsNotKeptHarmsNothing(t *testing.T) {
	t.Parallel()
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}).addr))
	b.open("/")
	b.ready()
	sample := b.value(code)
	for _, draft := range []string{
		"{", "null", "7", `"python"`, `[]`, `{"language":"none","files":[{"path":"x","content":"x"}]}`, `{"language":"python","files":7,"inputs":7}`,
		`{"language":"python","files":[null,7,{"path":1,"content":2},{"path":"x"}],"inputs":{"stdin":{},"timeout":[],"__proto__":"x"}}`,
	} {
		b.open("/tasks") // whose scripts keep no draft
		eval[bool](b, `localStorage.setItem("taskrunner.draft", `+js(draft)+`), true`)
		b.open("/")
		b.ready()
		assert.Equal(t, sample, b.value(code), draft)
		assert.Empty(t, b.value("#stdin")+b.value("#timeout"), draft)
	}
	eval[bool](b, `Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }, true`)
	b.write(code, "print('not kept')")
	b.click("#run")
	b.status("succeeded")
}

func TestSeveralFilesAreTabsAndRunTogether(t *testing.T) {
	t.Parallel()
	fake := fakes.NewExecutor(fakes.Stdout("ran\n"))
	b := browse(before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr))
	b.open("/")
	b.write(code, "import util")
	b.click(`.tabs [aria-label="Add a file"]`)
	b.until(`document.querySelectorAll('[role="tab"]').length === 2`)
	if eval[bool](b, `document.activeElement.matches(".tab input")`) { // it asks for the name first
		b.press("a", chromedp.ModifierCtrl)
		b.press("util.py\r")
	}
	b.write(code, "x = 1")
	b.click(`[role="tab"]`)
	b.until("document.querySelector(" + js(code) + ").value === 'import util'")
	b.press(kb.ArrowRight)
	b.until("document.querySelector(" + js(code) + ").value === 'x = 1'")
	b.click("#run")
	b.status("succeeded")
	require.Len(t, fake.Jobs(), 1)
	spec := fake.Jobs()[0].Spec
	require.Len(t, spec.Files, 2)
	assert.Equal(t, "main.py", spec.Entrypoint)
	assert.Equal(t, "util.py", spec.Files[1].Path)
	assert.Equal(t, "x = 1", string(spec.Files[1].Content))
}

func TestAFileThatIsDroppedIsOpened(t *testing.T) {
	t.Parallel()
	fake := fakes.NewExecutor()
	b := browse(before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr))
	b.open("/")
	script := filepath.Join(t.TempDir(), "hello.sh")
	require.NoError(t, os.WriteFile(script, []byte("echo dropped\n"), 0o644))
	picture := filepath.Join(t.TempDir(), "picture.png")
	require.NoError(t, os.WriteFile(picture, []byte("\x89PNG\r\n\x1a\n\x00\x00"), 0o644))
	folder := filepath.Join(t.TempDir(), "folder")
	require.NoError(t, os.Mkdir(folder, 0o755))
	large := filepath.Join(t.TempDir(), "large.txt")
	require.NoError(t, os.WriteFile(large, nil, 0o644))
	require.NoError(t, os.Truncate(large, 1<<40)) // more than anybody could read
	drop := func(file string) {
		x, y := b.where(code)
		for _, kind := range []cdpinput.DispatchDragEventType{cdpinput.DispatchDragEventTypeDragEnter, cdpinput.DispatchDragEventTypeDragOver, cdpinput.DispatchDragEventTypeDrop} {
			call(b, cdpinput.DispatchDragEvent, cdpinput.DispatchDragEventParams{Type: kind, X: x, Y: y, Data: &cdpinput.DragData{Items: []*cdpinput.DragDataItem{}, Files: []string{file}, DragOperationsMask: 1}})
		}
	}
	drop(script)
	b.until("document.querySelector(" + js(code) + ").value === 'echo dropped\\n'")
	assert.Equal(t, "bash", b.value("#language"), "the name says which language it is")
	for _, file := range []string{picture, folder, large} {
		drop(file)
		b.until(`[...document.querySelectorAll("[data-error]:not([hidden])")].some((one) => one.textContent.includes(` + js(filepath.Base(file)) + `))`)
		assert.Equal(t, "echo dropped\n", b.value(code))
	}
}

func TestInputArgumentsAndLimitsReachTheProgram(t *testing.T) {
	t.Parallel()
	fake := fakes.NewExecutor()
	b := browse(before(t, "http://"+serveOn(t, taskrunner.Policy{Network: true}, fake).addr))
	b.open("/")
	b.click("#options summary")
	b.write("#stdin", "first\nsecond")
	b.write("#args", `--count 3 "two words"`)
	b.click(`[data-preset]`)
	assert.Equal(t, "64m", b.value("#memory_limit"))
	b.write("#timeout", "2.5")
	b.click(`input[name="network"]`)
	b.click("#run")
	b.status("succeeded")
	require.Len(t, fake.Jobs(), 1)
	spec := fake.Jobs()[0].Spec
	assert.Equal(t, "first\nsecond", string(spec.Stdin))
	assert.Equal(t, []string{"--count", "3", "two words"}, spec.Args)
	assert.EqualValues(t, 64<<20, spec.Limits.Memory)
	assert.InDelta(t, 2.5, spec.Limits.Timeout.Seconds(), 0)
	assert.True(t, spec.Network)
}

func TestWhatTheServiceRefusesStandsAtItsField(t *testing.T) {
	t.Parallel()
	b := browse(before(t, "http://"+serve(t, taskrunner.Policy{}).addr))
	b.excuse("400")
	b.open("/")
	assert.False(t, eval[bool](b, `Boolean(document.querySelector('[name="network"]'))`), "what is not allowed is not offered")
	b.click("#options summary")
	b.write("#timeout", "1e9")
	b.write("#args", `"open`)
	b.click("#options summary")
	b.click("#run")
	b.there("#args-error:not([hidden])")
	assert.Contains(t, b.text("#args-error"), "quote")
	assert.True(t, eval[bool](b, `document.activeElement.id === "args" && document.querySelector("#options").open`), "the first one is ready to be mended")
	b.write("#args", "")
	assert.True(t, eval[bool](b, `document.querySelector("#args-error").hidden && !document.querySelector("#args").hasAttribute("aria-invalid")`), "what is being mended is not wrong any more")
	b.click("#run")
	b.there(`#timeout[aria-invalid="true"][aria-describedby~="timeout-error"]`)
	assert.Contains(t, b.text("#timeout-error"), "must be from")
	assert.Equal(t, "timeout", eval[string](b, "document.activeElement.id"))
	b.write("#timeout", "3")
	b.write(code, "")
	b.click("#run")
	b.there("#code-error:not([hidden])")
	assert.True(t, eval[bool](b, "document.activeElement === document.querySelector("+js(code)+")"))
	b.there(code + `[aria-invalid="true"][aria-describedby~="code-error"][aria-describedby~="leave-editor"]`)
	b.write(code, "1")
	b.click("#run")
	b.status("succeeded")
	assert.False(t, eval[bool](b, `Boolean(document.querySelector("[data-error]:not([hidden])"))`))
}

func TestADoubleClickRunsOnce(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	fake := fakes.NewExecutor(fakes.Until(over))
	b := browse(before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr))
	b.open("/")
	x, y := b.where("#run")
	b.do(chromedp.MouseClickXY(x, y), chromedp.MouseClickXY(x, y, chromedp.ClickCount(2)))
	b.status("running")
	close(over)
	b.status("succeeded")
	assert.Len(t, fake.Jobs(), 1)
}
