package ui

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatAProgramWritesBecomesRuns(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want []run
	}{
		"nothing":                  {"", []run{}},
		"plain text":               {"a\tb\nc", []run{{"a\tb\nc", ""}}},
		"characters of any script": {"é€😀 日本 שלום", []run{{"é€😀 日本 שלום", ""}}},
		"bytes of no character":    {"a\ufffdb", []run{{"a\ufffdb", ""}}},

		"a colour":                        {"a\x1b[31mb\x1b[39mc", []run{{"a", ""}, {"b", "fg1"}, {"c", ""}}},
		"a bright one":                    {"\x1b[97;101ma", []run{{"a", "fg15 bg9"}}},
		"a ground":                        {"\x1b[44ma\x1b[49mb", []run{{"a", "bg4"}, {"b", ""}}},
		"every attribute":                 {"\x1b[1;2;3;4;9;7ma", []run{{"a", "b d i u s r"}}},
		"attributes that end one by one":  {"\x1b[1;3;4;7;9ma\x1b[22mb\x1b[23mc\x1b[24md\x1b[27me\x1b[29mf", []run{{"a", "b i u s r"}, {"b", "i u s r"}, {"c", "u s r"}, {"d", "s r"}, {"e", "s"}, {"f", ""}}},
		"dim and bold, which end as one":  {"\x1b[1;2ma\x1b[22mb", []run{{"a", "b d"}, {"b", ""}}},
		"a line of a kind":                {"\x1b[4:3ma\x1b[4:0mb\x1b[21mc", []run{{"a", "u"}, {"b", ""}, {"c", "u"}}},
		"everything ends":                 {"\x1b[1;31;44ma\x1b[0mb", []run{{"a", "fg1 bg4 b"}, {"b", ""}}},
		"everything ends, in short":       {"\x1b[1;31ma\x1b[mb", []run{{"a", "fg1 b"}, {"b", ""}}},
		"an empty parameter ends all":     {"\x1b[31ma\x1b[1;mb\x1b[;31mc", []run{{"a", "fg1"}, {"b", ""}, {"c", "fg1"}}},
		"one of the 16 among 256":         {"\x1b[38;5;9ma\x1b[48:5:3mb", []run{{"a", "fg9"}, {"b", "fg9 bg3"}}},
		"one of 256 becomes the nearest":  {"\x1b[38;5;196ma\x1b[38:5:21mb", []run{{"a", "fg9"}, {"b", "fg12"}}},
		"a true colour, too":              {"\x1b[38;2;255;0;0ma\x1b[48:2::0:0:255mb\x1b[38:2:0:255:0mc", []run{{"a", "fg9"}, {"b", "fg9 bg12"}, {"c", "fg10 bg12"}}},
		"what follows a colour is read":   {"\x1b[38;5;9;1ma\x1b[0;38;2;255;0;0;4mb\x1b[0;38:5:9;3mc", []run{{"a", "fg9 b"}, {"b", "fg9 u"}, {"c", "fg9 i"}}},
		"a line's colour is not shown":    {"\x1b[4;58;5;9ma\x1b[58:2::1:2:3;59;1mb", []run{{"a", "u"}, {"b", "b u"}}},
		"a transparent colour is none":    {"\x1b[31ma\x1b[38:1mb", []run{{"a", "fg1"}, {"b", ""}}},
		"a colour that is cut off":        {"\x1b[31;38;5ma\x1b[38;2;1mb\x1b[38mc", []run{{"abc", "fg1"}}},
		"a colour of no kind":             {"\x1b[38:9:1;1ma", []run{{"a", "b"}}},
		"a colour that hardly is there":   {"\x1b[38:6::255:0:0:1ma", []run{{"a", "fg9"}}},
		"a colour beyond all numbers":     {"\x1b[38;5;99999999999999999999ma\x1b[0mb", []run{{"ab", ""}}},
		"numbers that mean nothing":       {"\x1b[5;6;8;25;28;10;51;73;108;200ma", []run{{"a", ""}}},
		"concealed text is shown":         {"\x1b[8mpassword", []run{{"password", ""}}},
		"neighbours of one style are one": {"\x1b[31ma\x1b[0;31mb\x1b[1;22mc", []run{{"abc", "fg1"}}},

		"the cursor":                       {"a\x1b[2J\x1b[H\x1b[10;20H\x1b[?25l\x1b[Kb\x1b7\x1b8", []run{{"ab", ""}}},
		"a sequence that ends alike":       {"\x1b[>4;2ma\x1b[?1mb\x1b[1 mc", []run{{"abc", ""}}},
		"a title":                          {"a\x1b]0;title\ab\x1b]2;title\x1b\\c", []run{{"abc", ""}}},
		"a title of any script":            {"\x1b]0;✓ – Ϝ\U0001f79c\ab", []run{{"b", ""}}},
		"a link, whose text stays":         {"\x1b]8;;javascript:alert(1)\x1b\\text\x1b]8;;\x1b\\", []run{{"text", ""}}},
		"the clipboard":                    {"a\x1b]52;c;cm0gLXJmIC8=\ab", []run{{"ab", ""}}},
		"a picture":                        {"a\x1bPq#0;2;0;0;0~~\n\x1b\\b\x1b_Gf=100;AAAA\x1b\\c\x1b^x\x1b\\d\x1bXx\x1b\\e", []run{{"abcde", ""}}},
		"a charset":                        {"a\x1b(Bb\x1b)0c", []run{{"abc", ""}}},
		"a sequence that never ends":       {"a\x1b[31", []run{{"a", ""}}},
		"a string that never ends":         {"a\x1b]0;b\nc", []run{{"a", ""}}},
		"a string that is cancelled":       {"a\x1b]0;b\x18c\x1b_d\x1ae", []run{{"ace", ""}}},
		"a sequence within a sequence":     {"\x1b[3\x1b[1ma\x1b\x1b[4mb", []run{{"a", "b"}, {"b", "b u"}}},
		"a sequence that a character ends": {"\x1b[31€m\x1b€", []run{{"€m€", ""}}},
		"a line end within a sequence":     {"a\x1b[3\n1mb", []run{{"a\n", ""}, {"b", "fg1"}}},
		"a sequence of many parameters":    {"\x1b[" + strings.Repeat("1;", 31) + "1ma\x1b[0m\x1b[" + strings.Repeat("1;", 40) + "mb\x1b[3mc", []run{{"a", "b"}, {"b", ""}, {"c", "i"}}},
		"a sequence that is too long":      {"\x1b[" + strings.Repeat("0", 1<<20) + "1ma\x1b[3mb", []run{{"a", ""}, {"b", "i"}}},

		"the line begins anew":           {"10%\r20%", []run{{"10%", ""}, {"\r", ""}, {"20%", ""}}},
		"in a colour":                    {"\x1b[31ma\rb", []run{{"a", "fg1"}, {"\r", ""}, {"b", "fg1"}}},
		"a line end of another system":   {"a\r\nb\r\r\nc", []run{{"a\nb\nc", ""}}},
		"a sequence stands in between":   {"a\r\x1b[K\x1b[1m\nb\r\x1b[0Kc", []run{{"a", ""}, {"\nb", "b"}, {"\r", ""}, {"c", "b"}}},
		"nothing follows":                {"a\r", []run{{"a", ""}}},
		"twice, with nothing in between": {"a\r\rb", []run{{"a", ""}, {"\r", ""}, {"b", ""}}},

		"the bell and the backspace": {"a\ab\bc", []run{{"abc", ""}}},
		"other controls":             {"a\x00\x0b\x7f\u0085b", []run{{"a", ""}, {"␀␋␡U+0085", "ctl"}, {"b", ""}}},
		"a control among colours":    {"\x1b[31ma\x01b", []run{{"a", "fg1"}, {"␁", "ctl"}, {"b", "fg1"}}},
		"text that is turned around": {"a\u202eb\u2066c\u061cd", []run{{"a", ""}, {"U+202E", "ctl"}, {"b", ""}, {"U+2066", "ctl"}, {"c", ""}, {"U+061C", "ctl"}, {"d", ""}}},
		"text that cannot be seen":   {"\u200b\u2060\ufeff\u00ad\u2028\u2029\U000e0041\u3164", []run{{"U+200BU+2060U+FEFFU+00ADU+2028U+2029U+E0041U+3164", "ctl"}}},
		"joiners, which emoji need":  {"👩\u200d💻 می\u200cخواهم ❤️ \u06dd", []run{{"👩\u200d💻 می\u200cخواهم ❤️ \u06dd", ""}}},
		"a sequence in one character": {"\u009b31ma\u009d0;b\u009c", []run{
			{"U+009B", "ctl"}, {"31ma", ""}, {"U+009D", "ctl"}, {"0;b", ""}, {"U+009C", "ctl"},
		}},
		"markup is text": {"<script>alert(1)</script>", []run{{"<script>alert(1)</script>", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, newTerminal().write(tt.text))
		})
	}
}

func TestAScreenHasWhatIsLeftOfEachLine(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want []run
	}{
		"a bar":                                {"start\n10%\r20%\r100%\nend\n", []run{{"start\n100%\nend\n", ""}}},
		"what is shorter replaces all":         {"abcdef\rx", []run{{"x", ""}}},
		"the first line":                       {"a\rb", []run{{"b", ""}}},
		"a line of several colours":            {"a\n\x1b[31mb\x1b[32mc\r\x1b[33md", []run{{"a\n", ""}, {"d", "fg3"}}},
		"a line whose colour began before":     {"\x1b[31ma\nb\rc", []run{{"a\nc", "fg1"}}},
		"a line end of another system":         {"a\r\nb\r\n", []run{{"a\nb\n", ""}}},
		"nothing follows":                      {"a\r", []run{{"a", ""}}},
		"nothing but a line end":               {"a\r\x1b[K\nb", []run{{"a\nb", ""}}},
		"what is hidden is by name here, too":  {"a\rb\x00", []run{{"b", ""}, {"␀", "ctl"}}},
		"a line that begins anew, many a time": {strings.Repeat("a", 1<<16) + "\n" + strings.Repeat("b\r", 1<<16) + "c", []run{{strings.Repeat("a", 1<<16) + "\nc", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, screen(tt.text))
		})
	}
}

func TestWhatIsHiddenInAProgramIsVisible(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []run{
		{"if", "syn-keyword"}, {" x ", ""}, {"U+202E", "ctl"}, {"\n", ""}, {"␛", "ctl"}, {"[31m", ""}, {"␍", "ctl"}, {"\ufffd", "ctl"},
	}, visible([]run{{"if", "syn-keyword"}, {" x \u202e\r\n\x1b[31m\r\xff", ""}}))
	assert.Empty(t, visible(nil))
}

func TestRunsAsScriptsReadThem(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal([]run{{"a\n", ""}, {"</script>", "fg1 b"}})
	require.NoError(t, err)
	assert.JSONEq(t, `[["a\n"],["</script>","fg1 b"]]`, string(text))
}

// merged joins neighbours of one class, which writes part.
func merged(runs []run) []run {
	all := []run{}
	for _, r := range runs {
		if n := len(all); n > 0 && all[n-1].Class == r.Class && all[n-1].Text != "\r" && r.Text != "\r" {
			all[n-1].Text += r.Text
			continue
		}
		all = append(all, r)
	}
	return all
}

var classOf = regexp.MustCompile(`^(ctl|((^| )fg(\d|1[0-5]))?((^| )bg(\d|1[0-5]))?((^| )b)?((^| )d)?((^| )i)?((^| )u)?((^| )s)?((^| )r)?)$`)

func FuzzTerminal(f *testing.F) {
	for _, text := range []string{
		"a\x1b[1;38;5;196mb\r\nc\r\x1b[0md", "\x1b]0;t\a\x1bPq~\x1b\\\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\", "\x1b[38:2::1:2:3;48:6::255:0:0:1;58:5:9m€",
		"\u202e\x00\u009b1m\x1b[?25l\x1b[1 q\x1b(B\x1b\x1b[m", "\x1b[" + strings.Repeat("3:", 80) + "m", "\x1bP1;2 |x\r\x18\x1b]\u009c\x1a",
	} {
		for _, cut := range []uint{1, 2, 5} {
			f.Add(text, cut)
		}
	}
	f.Fuzz(func(t *testing.T, text string, cut uint) {
		text = strings.ToValidUTF8(text, "\ufffd")
		runs := newTerminal().write(text)
		size := 0
		for i, r := range runs {
			require.NotEmpty(t, r.Text)
			require.Regexp(t, classOf, r.Class)
			for _, c := range r.Text {
				require.False(t, unicode.IsControl(c) && c != '\n' && c != '\t' && r.Text != "\r" || c == 0x202e || c == 0x2028, "%q", r.Text)
			}
			require.False(t, r.Text == "\r" && (i+1 == len(runs) || runs[i+1].Text[0] == '\n' || runs[i+1].Text == "\r"), "a line begins anew only if something takes its place")
			content, err := json.Marshal(r)
			require.NoError(t, err)
			size += len(content) + 1
		}
		require.LessOrEqual(t, size, 32*len(text)+64)
		require.Equal(t, runs, merged(runs), "neighbours of one class are one")

		// In pieces it is the same, also if each piece is read by another terminal.
		var pieces, resumed []run
		one, other := newTerminal(), newTerminal()
		for rest := text; rest != ""; {
			n := min(int(cut%7)+1, len(rest))
			for n < len(rest) && !utf8.RuneStart(rest[n]) {
				n++
			}
			pieces = append(pieces, one.write(rest[:n])...)
			resumed = append(resumed, other.write(rest[:n])...)
			rest = rest[n:]
			state := one.state()
			require.LessOrEqual(t, len(state), maxState)
			require.Equal(t, state, other.state())
			other = newTerminal()
			require.Empty(t, other.write(state), "a state shows nothing")
			require.Equal(t, state, other.state())
		}
		require.Equal(t, runs, merged(pieces))
		require.Equal(t, runs, merged(resumed))

		// A screen has no line that begins anew, and else what the terminal has.
		var lines strings.Builder
		for _, r := range runs {
			lines.WriteString(r.Text)
		}
		want := strings.Split(lines.String(), "\n")
		for i, line := range want {
			want[i] = line[strings.LastIndexByte(line, '\r')+1:]
		}
		var got strings.Builder
		for _, r := range screen(text) {
			require.NotEmpty(t, r.Text)
			got.WriteString(r.Text)
		}
		require.Equal(t, strings.Join(want, "\n"), got.String())
	})
}

func BenchmarkTerminal(b *testing.B) {
	for name, text := range map[string]string{
		"plain":   strings.Repeat("the quick brown fox jumps over the lazy dog\n", 1500),
		"scripts": strings.Repeat("быстрая лиса 素早い狐 😀\n", 1500),
		"log":     strings.Repeat("\x1b[2m12:30:00\x1b[0m \x1b[32mINFO\x1b[0m request served \x1b[36mstatus=\x1b[0m200\n", 800),
		"hostile": strings.Repeat("\x1b[38;2;1;20;30ma\r\x00", 3000),
		"endless": "\x1b]0;" + strings.Repeat("x", 1<<16),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			t := newTerminal()
			for b.Loop() {
				t.write(text)
				t.style, t.returned = style{}, false
				t.parser.Reset()
			}
		})
	}
}

func TestAStateIsSmall(t *testing.T) {
	t.Parallel()
	worst := newTerminal()
	worst.write("\x1b[1;2;3;4;7;9;97;107m\r\x1b[" + strings.Repeat("1", maxParams+1) + strings.Repeat("2", maxParams-2))
	assert.LessOrEqual(t, len(worst.state()), maxState)
	for number := range 16 {
		w := newTerminal()
		w.write("\x1b[38;5;" + strconv.Itoa(number) + "m")
		again := newTerminal()
		again.write(w.state())
		assert.Equal(t, w.style, again.style)
	}
}
