package languagefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/task-runner/task-runner/ports"
)

// MaxSize is the greatest size of a file in bytes.
const MaxSize = 64 << 10

// maxDepth is the deepest nesting that the parser, which recurses, is given. The
// format itself needs four levels.
const maxDepth = 16

// Load reads the file at path. Its error names the file.
func Load(path string) ([]ports.Language, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading languages: %w", err)
	}
	defer f.Close()
	languages, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("reading languages from %s: %w", path, err)
	}
	return languages, nil
}

// Parse reads a file's content and returns its languages in the order they stand
// there. ErrInvalid: it is not such a file; the error joins all that is wrong,
// each starting with its line.
func Parse(r io.Reader) ([]ports.Language, error) {
	src, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(src) > MaxSize {
		return nil, ports.Invalid("languages", "must be at most %d bytes of YAML", MaxSize)
	}
	if err := checkUTF8(src); err != nil {
		return nil, err
	}
	root, err := parse(string(src))
	if err != nil {
		return nil, err
	}
	var d decoder
	languages := d.file(root)
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	return languages, nil
}

// checkUTF8 refuses what the parser would replace without a word.
func checkUTF8(src []byte) error {
	line := 0
	for text := range bytes.Lines(src) {
		line++
		if !utf8.Valid(text) {
			return at(line, ports.Invalid("languages", "must be UTF-8"))
		}
	}
	return nil
}

// parse returns the content of the one document in src.
func parse(src string) (ast.Node, error) {
	tokens := lexer.Tokenize(src)
	if err := checkDepth(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		// The parser's own text spans several lines with an excerpt of the file.
		var syntax interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return nil, at(syntax.GetToken().Position.Line, ports.Invalid("languages", "must be YAML: %s", syntax.GetMessage()))
		}
		return nil, ports.Invalid("languages", "must be YAML: %v", err)
	}
	switch {
	case len(file.Docs) > 1:
		return nil, at(file.Docs[1].GetToken().Position.Line, ports.Invalid("languages", "must be in one document"))
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		return nil, ports.Invalid("languages", "must not be empty")
	}
	return file.Docs[0].Body, nil
}

// checkDepth bounds the nesting before the parser recurses: each level has its
// bracket, its dash or its indentation.
func checkDepth(tokens token.Tokens) error {
	const maxColumn = 8 * maxDepth
	flow := 0
	for _, t := range tokens {
		column := t.Position.IndentNum
		switch t.Type {
		case token.SequenceEntryType, token.MappingKeyType: // "- - - " nests within one line.
			column = t.Position.Column
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		}
		if flow > maxDepth || column > maxColumn {
			return at(t.Position.Line, ports.Invalid("languages", "must not be nested so deeply"))
		}
	}
	return nil
}

// at puts the line in front of an error.
func at(line int, err error) error { return fmt.Errorf("line %d: %w", line, err) }
