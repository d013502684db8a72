package ui

import (
	"fmt"
	"image/color"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/parser"
	"github.com/go-json-experiment/json/jsontext"
)

// run is a piece of text that looks one way.
type run struct{ Text, Class string }

// MarshalJSON returns ["text"] or ["text","class class"], as the scripts read it.
func (r run) MarshalJSON() ([]byte, error) { return r.append(nil), nil }

func (r run) append(b []byte) []byte {
	b, _ = jsontext.AppendQuote(append(b, '['), r.Text) // what is no character is U+FFFD
	if r.Class != "" {
		b = append(append(append(b, `,"`...), r.Class...), '"')
	}
	return append(b, ']')
}

// styled are runs that are encoded together, in a fraction of the time.
type styled []run

// MarshalJSON implements json.Marshaler.
func (s styled) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, r := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.append(b)
	}
	return append(b, ']'), nil
}

// terminal turns what a program writes to its terminal into runs. Their classes are
// fg0 to fg15 and bg0 to bg15, the colours; b, d, i, u, s and r, for bold, dim, italic,
// underlined, struck and reversed; and ctl, alone, for what is hidden elsewhere.
//
// Colours and attributes become classes; there are 16 colours, whose contrast the page
// looks after, so that any other becomes the nearest of these. Every other escape
// sequence vanishes, and so do the bell and the backspace, which people would not see
// either: a page has no cursor, and text that hides behind a backspace is shown. As in a
// terminal, a string sequence that never ends takes with it what follows. Whatever else
// would be invisible, or would make text look like other text, is shown by name.
//
// A line end is "\n", also where "\r\n" was written. A run whose text is "\r" says that
// the line begins anew: it is there only if something follows that takes the line's place.
//
// It takes time in proportion to the text, and keeps a few hundred bytes between writes
// whatever that was.
type terminal struct {
	parser ansi.Parser
	style  style
	// params is the beginning of a CSI sequence whose end is yet to come.
	params []byte
	// returned says that the cursor stands at the line's beginning, and nothing took the
	// line's place yet.
	returned bool
	// still says that lines which begin anew lose what they had, instead of saying so.
	still bool

	// What this write made so far.
	text  []byte
	spans []span
	line  int // where the last line begins in text
}

// style is how text looks.
type style struct {
	fg, bg  uint8 // a colour's number and 1; 0 is the page's own
	flags   uint8
	special special
}

// special text looks the same whatever the style is.
type special uint8

const (
	named special = 1 + iota // is a name of what is hidden
	anew                     // the line begins anew
)

// flags are the classes of a style's flags, by bit.
var flags = [...]string{"b", "d", "i", "u", "s", "r"}

const (
	bold = 1 << iota
	dim
	italic
	underlined
	struck
	reversed
)

// span is text of one style, up to the next one's start.
type span struct {
	start int
	style style
}

const (
	// maxParams is how long the parameters of a sequence may be, which no sequence of
	// colours is.
	maxParams = 64
	// tooLong begins a sequence that means nothing whatever follows.
	tooLong = "\x1b[<"
	// maxState is how long a state is at most.
	maxState = 128
)

func newTerminal() *terminal {
	t := new(terminal)
	t.parser.SetParamsSize(parser.MaxParamsSize)
	t.parser.SetDataSize(1) // of strings, which all vanish
	t.parser.SetHandler(ansi.Handler{Execute: t.control, HandleCsi: t.sequence, Print: t.print})
	return t
}

// screen returns all that a program wrote as it looks at the end.
func screen(text string) []run {
	t := newTerminal()
	t.still = true
	return t.write(text)
}

// visible shows by name what is hidden in runs that no program wrote to a terminal.
func visible(runs []run) []run {
	all := make([]run, 0, len(runs))
	for _, r := range runs {
		for text := strings.ReplaceAll(r.Text, "\r\n", "\n"); text != ""; {
			if n := plain(text); n > 0 {
				all = append(all, run{text[:n], r.Class})
				text = text[n:]
				continue
			}
			c, size := utf8.DecodeRuneInString(text)
			all = append(all, run{name(c), "ctl"})
			text = text[size:]
		}
	}
	return all
}

// write returns what follows on what was returned before. The text is of whole characters.
func (t *terminal) write(text string) []run {
	for text != "" {
		if t.parser.State() == parser.GroundState {
			if n := plain(text); n > 0 {
				t.show(text[:n], t.style)
				text = text[n:]
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		t.advance(r)
	}
	return t.runs()
}

// plain returns how much of text is shown as it is.
func plain(text string) int {
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if size == 1 || hidden(r) {
			return i
		}
		i += size
	}
	return len(text)
}

// hidden reports whether a character that is not ASCII cannot be seen, or changes how
// others are read. Joiners are none of these: scripts and emoji need them.
func hidden(r rune) bool {
	switch {
	case r < 0xa0:
		return true
	case r == '\u200c' || r == '\u200d' || unicode.Is(unicode.Prepended_Concatenation_Mark, r):
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}

// advance takes one character that begins, continues or ends a sequence, or is hidden.
func (t *terminal) advance(r rune) {
	state := t.parser.State()
	switch {
	case r < ' ' && r != ansi.CAN && r != ansi.SUB && r != ansi.ESC && !vanishing(state):
		t.control(byte(r)) // within a sequence, too: the parser would forget what that was
	case r < utf8.RuneSelf:
		t.collect(state, byte(r))
		t.parser.Advance(byte(r))
	case !vanishing(state): // whose bytes the parser might take for controls
		t.parser.Reset()
		t.print(r)
	}
}

// vanishing reports whether everything vanishes up to the end of a string.
func vanishing(state parser.State) bool {
	switch state {
	case parser.GroundState, parser.EscapeState, parser.EscapeIntermediateState, parser.CsiEntryState, parser.CsiParamState, parser.CsiIntermediateState:
		return false
	}
	return true
}

// collect keeps the parameters of a sequence.
func (t *terminal) collect(state parser.State, c byte) {
	if state == parser.CsiEntryState {
		t.params = t.params[:0]
	}
	if state != parser.CsiEntryState && state != parser.CsiParamState || c < '0' || c > '?' {
		return
	}
	if len(t.params) == maxParams {
		t.parser.Reset()
		for i := range len(tooLong) {
			t.parser.Advance(tooLong[i])
		}
		t.params = append(t.params[:0], tooLong[2:]...)
	}
	t.params = append(t.params, c)
}

// print shows a character.
func (t *terminal) print(r rune) {
	if r >= utf8.RuneSelf && hidden(r) {
		t.show(name(r), style{special: named})
		return
	}
	t.show(string(r), t.style)
}

// control does what a control character says.
func (t *terminal) control(c byte) {
	switch c {
	case '\n', '\t':
		t.show(string(rune(c)), t.style)
	case '\r':
		t.returned = true
	case '\a', '\b', ansi.ESC:
	default:
		t.show(name(rune(c)), style{special: named})
	}
}

// name returns what a character is shown as that is hidden.
func name(r rune) string {
	switch {
	case r < ' ':
		return string('\u2400' + r)
	case r == ansi.DEL:
		return "\u2421"
	case r == utf8.RuneError: // no character at all
		return string(r)
	}
	return fmt.Sprintf("U+%04X", r)
}

// show adds text, which is not empty.
func (t *terminal) show(text string, s style) {
	if t.returned {
		t.returned = false
		if text[0] != '\n' {
			t.restart()
		}
	}
	t.add(text, s)
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		t.line = len(t.text) - len(text) + i + 1
	}
}

// restart begins the line anew.
func (t *terminal) restart() {
	if !t.still {
		t.add("\r", style{special: anew})
		return
	}
	t.text = t.text[:t.line]
	for len(t.spans) > 0 && t.spans[len(t.spans)-1].start >= t.line {
		t.spans = t.spans[:len(t.spans)-1]
	}
}

func (t *terminal) add(text string, s style) {
	if n := len(t.spans); n == 0 || t.spans[n-1].style != s {
		t.spans = append(t.spans, span{len(t.text), s})
	}
	t.text = append(t.text, text...)
}

// runs returns what this write made.
func (t *terminal) runs() []run {
	text, spans := string(t.text), t.spans
	t.text, t.spans, t.line = nil, nil, 0
	runs := make([]run, len(spans))
	class := classes{}
	for i, s := range spans {
		end := len(text)
		if i+1 < len(spans) {
			end = spans[i+1].start
		}
		runs[i] = run{text[s.start:end], class.of(s.style)}
	}
	return runs
}

// classes are those of the styles of one write, each made once.
type classes map[style]string

func (c classes) of(s style) string {
	switch {
	case s == style{} || s.special == anew:
		return ""
	case s.special == named:
		return "ctl"
	}
	class, ok := c[s]
	if !ok {
		class = s.class()
		c[s] = class
	}
	return class
}

func (s style) class() string {
	names := make([]string, 0, 8)
	if s.fg > 0 {
		names = append(names, "fg"+strconv.Itoa(int(s.fg-1)))
	}
	if s.bg > 0 {
		names = append(names, "bg"+strconv.Itoa(int(s.bg-1)))
	}
	for i, name := range flags {
		if s.flags&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// sequence does what a CSI sequence says: Select Graphic Rendition, or nothing.
func (t *terminal) sequence(cmd ansi.Cmd, params ansi.Params) {
	if cmd.Final() != 'm' || cmd.Prefix() != 0 || cmd.Intermediate() != 0 {
		return
	}
	if len(params) == 0 {
		t.style = style{}
	}
	for len(params) > 0 {
		// A parameter's own ones, which colons part, go with it.
		group := 1
		for group < len(params) && params[group-1].HasMore() {
			group++
		}
		switch n := params[0].Param(0); n {
		case 38, 48, 58:
			own := params
			if group > 1 {
				own = params[:group]
			}
			var c color.Color
			read := ansi.ReadStyleColor(own, &c)
			if read == 0 && group == 1 {
				return // there is no telling what the rest means
			}
			t.style.paint(n, c)
			params = params[max(group, min(read, len(own))):]
		default:
			if n == 4 && group > 1 && params[1].Param(1) == 0 {
				n = 24 // 4:0 is a line of no kind
			}
			t.style.set(n)
			params = params[group:]
		}
	}
}

// paint sets the colour that n says which it is.
func (s *style) paint(n int, c color.Color) {
	number := uint8(0) // of what is transparent
	switch c := c.(type) {
	case nil:
		return
	case ansi.IndexedColor:
		number = 1 + uint8(ansi.Convert16(c))
	case color.RGBA:
		number = nearest(c.R, c.G, c.B)
	case color.CMYK:
		number = nearest(color.CMYKToRGB(c.C, c.M, c.Y, c.K))
	}
	switch n {
	case 38:
		s.fg = number
	case 48:
		s.bg = number
	}
}

// found has the nearest colours found so far, by the upper half of each part: to find one
// takes as long as hundreds of bytes do, and each letter may have another.
var found [1 << 12]atomic.Uint32

// nearest returns the number of the nearest colour, and 1.
func nearest(r, g, b uint8) uint8 {
	at := &found[int(r>>4)<<8|int(g>>4)<<4|int(b>>4)]
	number := at.Load()
	if number == 0 {
		full := func(part uint8) uint8 { return part&0xf0 | part>>4 }
		number = 1 + uint32(ansi.Convert16(ansi.RGBColor{R: full(r), G: full(g), B: full(b)}))
		at.Store(number)
	}
	return uint8(number)
}

// set does what one parameter says.
func (s *style) set(n int) {
	switch {
	case n == 0:
		*s = style{}
	case n == 1:
		s.flags |= bold
	case n == 2:
		s.flags |= dim
	case n == 3:
		s.flags |= italic
	case n == 4 || n == 21:
		s.flags |= underlined
	case n == 7:
		s.flags |= reversed
	case n == 9:
		s.flags |= struck
	case n == 22:
		s.flags &^= bold | dim
	case n == 23:
		s.flags &^= italic
	case n == 24:
		s.flags &^= underlined
	case n == 27:
		s.flags &^= reversed
	case n == 29:
		s.flags &^= struck
	case n >= 30 && n <= 37:
		s.fg = uint8(n - 30 + 1)
	case n == 39:
		s.fg = 0
	case n >= 40 && n <= 47:
		s.bg = uint8(n - 40 + 1)
	case n == 49:
		s.bg = 0
	case n >= 90 && n <= 97:
		s.fg = uint8(n - 90 + 8 + 1)
	case n >= 100 && n <= 107:
		s.bg = uint8(n - 100 + 8 + 1)
	}
}

// begun is what brings a terminal into each state of the parser.
var begun = map[parser.State]string{
	parser.CsiEntryState:           "\x1b[",
	parser.CsiIntermediateState:    "\x1b[ ",
	parser.DcsEntryState:           "\x1bP",
	parser.DcsIntermediateState:    "\x1bP ",
	parser.DcsParamState:           "\x1bP0",
	parser.DcsStringState:          "\x1bPq",
	parser.EscapeState:             "\x1b",
	parser.EscapeIntermediateState: "\x1b ",
	parser.OscStringState:          "\x1b]",
	parser.SosStringState:          "\x1bX",
	parser.PmStringState:           "\x1b^",
	parser.ApcStringState:          "\x1b_",
}

// state returns a text that brings a new terminal to where this one is, and shows
// nothing; an empty one if that is where it began.
func (t *terminal) state() string {
	var b strings.Builder
	for i, number := range [...]string{"1", "2", "3", "4", "9", "7"} {
		if t.style.flags&(1<<i) != 0 {
			b.WriteString("\x1b[" + number + "m")
		}
	}
	if t.style.fg > 0 {
		fmt.Fprintf(&b, "\x1b[38;5;%dm", t.style.fg-1)
	}
	if t.style.bg > 0 {
		fmt.Fprintf(&b, "\x1b[48;5;%dm", t.style.bg-1)
	}
	if t.returned {
		b.WriteByte('\r')
	}
	if state := t.parser.State(); state == parser.CsiParamState {
		b.WriteString("\x1b[" + string(t.params))
	} else {
		b.WriteString(begun[state])
	}
	return b.String()
}
