package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCodeIsShownInColours(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		path, text, language string
		want                 run
	}{
		"a keyword, known by the file's name":     {"main.py", "import sys", "", run{"import", "syn-keyword"}},
		"a string":                                {"main.py", `x = "y"`, "python", run{`"y"`, "syn-string"}},
		"a number":                                {"main.js", "x = 42", "javascript", run{"42", "syn-number"}},
		"a comment":                               {"main.sh", "# hello", "bash", run{"# hello", "syn-comment"}},
		"a function":                              {"main.py", "def f(): pass", "python", run{"f", "syn-function"}},
		"the language, where the name says none":  {"program", "import sys", "python", run{"import", "syn-keyword"}},
		"a file of another language than the run": {"data.json", `{"a": 1}`, "python", run{"1", "syn-number"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, highlight(tt.path, tt.text, tt.language, new(time.Minute)), tt.want)
		})
	}
}

func TestCodeWithoutColoursIsPlain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ path, text, language string }{
		"a language that nobody knows":  {"main.zzz", "x = 1", "zzz"},
		"one whose lexer has no bounds": {"index.html", "<b>x</b>", "python"},
		"a file that is very long":      {"main.py", strings.Repeat("x = 1\n", maxHighlighted/6+1), "python"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, []run{{Text: tt.text}}, highlight(tt.path, tt.text, tt.language, new(time.Minute)))
		})
	}
}

func TestLinesAreNumbered(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "1\n", "a": "1\n", "a\n": "1\n", "a\nb": "1\n2\n", "a\n\n": "1\n2\n"} {
		assert.Equal(t, want, sourceOf("x", text, "", new(time.Minute)).Numbers(), "%q", text)
	}
}

func TestWhatIsMostlyHiddenIsNoText(t *testing.T) {
	t.Parallel()
	left := new(time.Minute)
	assert.Equal(t, source{Path: "x", Bytes: 1 << 20}, sourceOf("x", strings.Repeat("\x00", 1<<20), "", left))
	assert.Len(t, sourceOf("x", strings.Repeat("\u202e", maxHidden), "", left).Runs, maxHidden)
	assert.Empty(t, sourceOf("x", strings.Repeat("\u202e", maxHidden+1), "", left).Runs)
	assert.Equal(t, []run{{Text: strings.Repeat("a\n", 5000)}}, sourceOf("x", strings.Repeat("a\r\n", 5000), "", left).Runs)
	assert.Equal(t, []run{{Text: "1048576 bytes that are not text."}}, readable(strings.Repeat("\x1b", 1<<20)))
	assert.Equal(t, []run{{Text: "a"}, {name('\u202e'), "ctl"}, {Text: "b"}}, readable("a\u202eb"))
	assert.Empty(t, readable(""))
}

func TestColoursThatWouldTakeTooLongAreLeftOut(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []run{{Text: "import sys"}}, highlight("main.py", "import sys", "python", new(time.Duration(0))))
}

func TestAFileOfVeryManyLinesHasNoNumbers(t *testing.T) {
	t.Parallel()
	assert.Empty(t, source{Lines: maxNumbered + 1}.Numbers())
	assert.Len(t, strings.Fields(source{Lines: maxNumbered}.Numbers()), maxNumbered)
}

// FuzzHighlight looks for code that colours would change.
func FuzzHighlight(f *testing.F) {
	f.Add("main.py", "def f(x):\r\n\treturn '''\n\\'''\x00\xff", "python")
	f.Add("main.js", "`${`${`", "javascript")
	f.Add("main.sh", "cat <<E\n$((", "bash")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, path, text, language string) {
		if got := joined(highlight(path, text, language, new(time.Second))); got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}
