package settings

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// helpWidth is the width that descriptions in the help are wrapped to.
const helpWidth = 88

// PrintHelp writes every setting, with its variable, its default and what it is
// for, in the order of their declaration.
func (s *Set) PrintHelp(w io.Writer) {
	group := ""
	for i, st := range s.order {
		if st.group != group || i == 0 {
			group = st.group
			fmt.Fprintf(w, "\n%s:\n", group)
		}
		head := "--" + st.name
		if st.secret {
			head = EnvName(st.name)
		}
		if st.placeholder != "" {
			head += " " + st.placeholder
		}
		fmt.Fprintf(w, "  %s\n", head)
		for _, line := range wrap(st.describe(), helpWidth-6) {
			fmt.Fprintf(w, "      %s\n", line)
		}
	}
}

func (st *setting) describe() string {
	notes := []string{"env " + EnvName(st.name)}
	if st.secret {
		notes = []string{"no flag, but " + EnvName(st.name) + fileSuffix + " may name a file with it"}
	}
	switch {
	case st.def != "" || st.otherwise != "":
		notes = append(notes, "default "+cmp.Or(st.otherwise, st.def))
	case st.repeated:
		notes = append(notes, "may be repeated")
	}
	return fmt.Sprintf("%s (%s)", st.usage, strings.Join(notes, "; "))
}

// PrintEnv writes a file of all variables with their defaults, as --env-file reads it,
// each below one line of what it is for.
func (s *Set) PrintEnv(w io.Writer) {
	group := ""
	for _, st := range s.order {
		if s.envFile != nil && st.name == "env-file" { // it is not about itself
			continue
		}
		if st.group != group {
			if group != "" {
				fmt.Fprintln(w)
			}
			group = st.group
			fmt.Fprintf(w, "## %s\n", group)
		}
		note := ""
		switch {
		case st.otherwise != "":
			note = " (default: " + st.otherwise + ")"
		case st.secret:
			note = " (or its file: " + EnvName(st.name) + fileSuffix + ")"
		case st.isBool:
			note = " (true or false)"
		}
		def := st.def
		if st.isBool {
			def = "false"
		}
		fmt.Fprintf(w, "\n# %s%s\n%s=%s\n", st.usage, note, EnvName(st.name), def)
	}
}

// wrap breaks text between words into lines of at most width bytes, as far as the
// words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
