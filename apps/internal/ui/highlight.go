package ui

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
)

const (
	// maxHighlighted is how long a file may be that is shown in colours.
	maxHighlighted = 256 << 10
	// highlightTime is how long the colours of a program may take. Lexers are regular
	// expressions that hostile text can make slow; each match is bounded by the library. What
	// a lexer takes to be made, once, is none of it.
	highlightTime = 250 * time.Millisecond
)

// coloured are the lexers that are used, more or less those of the editor. For some of
// the others text can be made of which a single token takes many seconds: they look at
// all of it before they say anything, or try a great many expressions. A file's name, by
// which one is chosen, is its author's.
var coloured = map[string]bool{
	"Bash": true, "C": true, "C#": true, "C++": true, "D": true, "Dart": true, "Go": true, "JSON": true, "Java": true,
	"JavaScript": true, "Kotlin": true, "Lua": true, "PHP": true, "Perl": true, "Python": true, "Ruby": true, "Rust": true,
	"SQL": true, "Scala": true, "Swift": true, "TypeScript": true, "Zig": true,
}

// sourceOf returns a file in the colours of its language, as far as they are found in
// that much time, of which it takes its part.
func sourceOf(path, text, language string, left *time.Duration) source {
	if !isText(text) {
		return source{Path: path, Bytes: len(text)}
	}
	return source{Path: path, Lines: 1 + strings.Count(strings.TrimSuffix(text, "\n"), "\n"), Runs: visible(highlight(path, text, language, left))}
}

// maxHidden is how many characters of a text may be hidden ones. Each is shown by its
// name, which takes thirty times as much.
const maxHidden = 1000

// isText reports whether people could read s.
func isText(s string) bool {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	for n := 0; ; n++ {
		s = s[plain(s):]
		if s == "" || n == maxHidden {
			return s == ""
		}
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
	}
}

// highlight returns text as runs; where it has no colours, as one.
func highlight(path, text, language string, left *time.Duration) []run {
	plain := []run{{Text: text}}
	lexer := lexers.Match(path)
	if lexer == nil {
		lexer = lexers.Get(language)
	}
	if lexer == nil || !coloured[lexer.Config().Name] || len(text) > maxHighlighted || *left <= 0 {
		return plain
	}
	next, err := chroma.Coalesce(lexer).Tokenise(&chroma.TokeniseOptions{State: "root", EnsureLF: false}, text)
	if err != nil {
		return plain
	}
	var runs []run
	begin, done := time.Now(), 0
	defer func() { *left -= time.Since(begin) }()
	for token := next(); token != chroma.EOF; token = next() {
		runs = append(runs, run{token.Value, syntaxClass(token.Type)})
		if done += len(token.Value); time.Since(begin) > *left {
			break
		}
	}
	// The lexer is to lose or to make nothing, whatever it is.
	if done > len(text) || joined(runs) != text[:done] {
		return plain
	}
	if done < len(text) {
		runs = append(runs, run{Text: text[done:]})
	}
	return runs
}

func joined(runs []run) string {
	var b strings.Builder
	for _, r := range runs {
		b.WriteString(r.Text)
	}
	return b.String()
}

// syntaxClass returns the class of a kind of token, which the editor has too.
func syntaxClass(t chroma.TokenType) string {
	switch {
	case t.InCategory(chroma.Comment):
		return "syn-comment"
	case t.InCategory(chroma.Keyword):
		return "syn-keyword"
	case t.InSubCategory(chroma.LiteralString):
		return "syn-string"
	case t.InSubCategory(chroma.LiteralNumber):
		return "syn-number"
	case t == chroma.NameFunction || t == chroma.NameFunctionMagic || t == chroma.NameClass || t == chroma.NameDecorator:
		return "syn-function"
	case t.InCategory(chroma.Operator):
		return "syn-operator"
	}
	return ""
}
