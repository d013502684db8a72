package ui_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// markup is what must be text wherever it stands.
const markup = `</pre></textarea></title><script>pwned=1</script><img src=x onerror=pwned=1><svg onload=pwned=1><a href="javascript:pwned=1">x</a>'"&amp;{{.}}`

// untouched fails unless nothing of what tasks say became part of a page.
func untouched(b *tab) {
	b.t.Helper()
	assert.False(b.t, eval[bool](b, `"pwned" in globalThis`), "a script ran")
	assert.Empty(b.t, eval[[]string](b, `[...document.querySelectorAll("script:not([src]), img:not(.brand img), iframe, object, embed, style, base, [onerror], [onload], [style*=url], a[href^='javascript' i]")].map((one) => one.outerHTML)`))
	assert.Contains(b.t, eval[string](b, "document.title"), "Task Runner")
}

func TestOutputThatIsHostileIsText(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	const (
		before1 = "\x1b[1;31mred\x1b[0m \x1b[44mblue\x1b[49m \x1b[38;2;255;0;0mtrue\x1b[m plain\n" + markup + "\n"
		links   = "\x1b]8;;javascript:pwned=1\x1b\\link\x1b]8;;\x1b\\ \x1b]52;c;cHduZWQ=\x07copied \x1b]0;pwned\x07titled \x1b[2J\x1b[10;10Hmoved\n"
		strange = "bidi \u202eabc\u2066def\u2069 nul \x00 c1 \u009b31m bytes \xff\xfe\x9b end\n"
		turning = " 10%\r 50%\r100% done\nand \x1b[3"
		rest    = "2mgreen\x1b[0m over\n"
	)
	visible := []string{
		"red blue true plain\n" + markup + "\n", "link copied titled moved\n", "bidi ", "abc", "nul ", " end\n", "\n100% done\nand green over\n",
	}
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout(before1), fakes.Stdout(links), fakes.Stdout(strange), fakes.Stdout(turning),
		fakes.Until(over), fakes.Stdout(rest), fakes.Stderr(markup+"\x1b[33myellow\n")).addr)
	b := browse(s)
	b.open("/")
	b.click("#run")
	b.shows(stdout, "100% done\n")
	close(over)
	b.status("succeeded")
	b.shows(stdout, "green over\n")
	live := map[string]string{stdout: b.text(stdout), stderr: b.text(stderr)}
	colours := func() {
		t.Helper()
		for class, text := range map[string]string{"fg1.b": "red", "bg4": "blue", "fg2": "green", "ctl": "U+202E"} {
			assert.True(t, eval[bool](b, `[...document.querySelectorAll('[data-pane="stdout"] .`+class+`')].some((one) => one.textContent === `+js(text)+`)`), class)
		}
	}
	for _, text := range visible {
		assert.Contains(t, live[stdout], text)
	}
	for _, hidden := range []string{"\x1b", "\x00", "\u202e", "\u2066", "\u009b", "\r", "10%\n", "52;c", "javascript:pwned=1\x1b"} {
		assert.NotContains(t, live[stdout], hidden)
	}
	colours()
	untouched(b)

	b.open("/tasks/" + eval[string](b, `document.querySelector("[data-task]").dataset.task`))
	assert.Equal(t, live[stdout], b.text(stdout), "the finished page is as the live one")
	assert.Equal(t, live[stderr], b.text(stderr))
	colours()
	untouched(b)
}

func TestProgramsThatAreHostileAreText(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout("fine\n")).addr)
	name := strings.NewReplacer("/", "", `"`, "", "'", "").Replace(markup) + ".py"
	r := s.do(http.MethodPost, "/api/v1/tasks?wait=60s", js(map[string]any{
		"language": "python", "entrypoint": name, "stdin": markup, "args": []string{markup}, "env": map[string]string{"X": markup},
		"files":  []map[string]string{{"path": "other.py", "content": markup + "\n\u202e\x1b[31mno colour"}, {"path": name, "content": "'''" + markup}},
		"labels": map[string]string{"kind": markup},
	}))
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	page := "/tasks/" + decode[httpapi.Task](t, r.body).TaskID
	b := browse(s)
	b.open(page)
	source := b.text(".source")
	for _, want := range []string{markup, name, "\u241b[31mno colour", "U+202E"} {
		assert.Contains(t, source, want)
	}
	assert.Contains(t, b.text("dl.facts"), markup)
	untouched(b)

	b.open("/?from=" + strings.TrimPrefix(page, "/tasks/"))
	b.there(`[role="tab"]`)
	assert.Equal(t, "'''"+markup, b.value(code))
	assert.Equal(t, markup, b.value("#stdin"))
	assert.Contains(t, b.text(".tabs"), name)
	assert.Equal(t, b.value(code), b.text(".editor code"))
	untouched(b)
	b.click("#run")
	b.status("succeeded")
	untouched(b)

	b.open("/tasks")
	untouched(b)
}
