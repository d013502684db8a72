package ui

import (
	"strings"
	"time"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
)

const (
	// maxHighlighted is how long a file may be that is shown in colours.
	maxHighlighted = 256 << 10
	// highlightTime is how long one file's colours may take. Lexers are regular
	// expressions that hostile text can make slow; each match is bounded by the library.
	highlightTime = 100 * time.Millisecond
)

// sourceOf returns a file in the colours of its language.
func sourceOf(path, text, language string) source {
	return source{Path: path, Lines: 1 + strings.Count(strings.TrimSuffix(text, "\n"), "\n"), Runs: visible(highlight(path, text, language))}
}

// highlight returns text as runs; where it has no colours, as one.
func highlight(path, text, language string) []run {
	plain := []run{{Text: text}}
	lexer := lexers.Match(path)
	if lexer == nil {
		lexer = lexers.Get(language)
	}
	if lexer == nil || len(text) > maxHighlighted {
		return plain
	}
	next, err := chroma.Coalesce(lexer).Tokenise(&chroma.TokeniseOptions{State: "root", EnsureLF: false}, text)
	if err != nil {
		return plain
	}
	var runs []run
	begin, done := time.Now(), 0
	for token := next(); token != chroma.EOF; token = next() {
		runs = append(runs, run{token.Value, syntaxClass(token.Type)})
		if done += len(token.Value); time.Since(begin) > highlightTime {
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
