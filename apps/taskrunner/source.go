package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/task-runner/task-runner/apps/internal/options"
	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/ports"
)

// source is the file to run.
type source struct {
	// name is the file's own name; empty for standard input.
	name    string
	content []byte
}

// readSource reads the file, or standard input for "-".
func readSource(file string, stdin io.Reader, limit int64) (source, error) {
	s := source{}
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return s, err
		}
		defer f.Close()
		s.name, stdin = filepath.Base(file), f
	}
	var err error
	// One byte more than is allowed makes the core refuse it.
	if s.content, err = io.ReadAll(io.LimitReader(stdin, limit+1)); err != nil {
		return s, fmt.Errorf("reading the program: %w", err)
	}
	if len(s.content) == 0 {
		return s, settings.Usagef("%s is empty", file)
	}
	return s, nil
}

// language returns the name of the source's language: the one asked for, or the
// one that its extension tells, or its #! line.
func (s source) language(asked string, all []ports.Language) (string, error) {
	if asked != "" {
		return asked, nil // the core knows whether it exists
	}
	if ext := path.Ext(s.name); ext != "" {
		for _, l := range all {
			if path.Ext(l.Source) == ext || answersTo(l, ext[1:]) {
				return l.Name, nil
			}
		}
	}
	if interpreter := shebang(s.content); interpreter != "" {
		for _, l := range all {
			if answersTo(l, interpreter) || path.Base(l.Run[0]) == interpreter {
				return l.Name, nil
			}
		}
	}
	what := s.name
	if what == "" {
		what = "standard input"
	}
	return "", settings.Usagef("cannot tell the language of %s; name it with --language (%s) before the file: one of %s",
		what, settings.EnvName("language"), options.LanguageNames(all))
}

func answersTo(l ports.Language, name string) bool {
	return l.Name == name || slices.Contains(l.Aliases, name)
}

// shebang returns the name of the interpreter in the first line, without its
// version: "python" for "#!/usr/bin/env python3.11". It is empty if there is none.
func shebang(content []byte) string {
	line, _, _ := bytes.Cut(content[:min(len(content), 256)], []byte("\n"))
	words, ok := strings.CutPrefix(string(line), "#!")
	if !ok {
		return ""
	}
	for word := range strings.FieldsSeq(words) {
		name := path.Base(word)
		if name == "env" || strings.HasPrefix(word, "-") || strings.Contains(word, "=") {
			continue
		}
		return strings.TrimRight(name, "0123456789.")
	}
	return ""
}
