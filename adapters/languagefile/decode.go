package languagefile

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/task-runner/task-runner/ports"
)

// decoder turns the syntax tree into languages. It goes on after an error, so that
// all of them are found.
type decoder struct {
	errs []error
}

// fail notes what is wrong with a field that stands at node.
func (d *decoder) fail(node ast.Node, field, problem string, args ...any) {
	d.errs = append(d.errs, at(lineOf(node), ports.Invalid(field, problem, args...)))
}

func lineOf(node ast.Node) int {
	if t := node.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

// entry is a key of a mapping with its value.
type entry struct {
	key   string
	node  ast.Node // the key, for its line
	value ast.Node
}

// mapping returns the entries of a mapping whose keys are plain strings, each
// there once.
func (d *decoder) mapping(node ast.Node, field string) []entry {
	m, ok := node.(ast.MapNode)
	if !ok {
		d.fail(node, field, "must be a mapping, not %s", kind(node))
		return nil
	}
	var entries []entry
	seen := make(map[string]bool)
	for i := m.MapRange(); i.Next(); {
		key, ok := text(i.Key())
		switch {
		case !ok:
			d.fail(i.Key(), field, "must have plain keys, not %s", kind(i.Key()))
			continue
		case seen[key]:
			d.fail(i.Key(), join(field, key), "must be there once")
			continue
		}
		seen[key] = true
		entries = append(entries, entry{key, i.Key(), i.Value()})
	}
	return entries
}

// file decodes the document.
func (d *decoder) file(root ast.Node) []ports.Language {
	var languages []ports.Language
	for _, e := range d.mapping(root, "languages") {
		if e.key != "languages" {
			d.fail(e.node, e.key, "is not a field; the only one here is languages")
			continue
		}
		for _, l := range d.mapping(e.value, "languages") {
			languages = append(languages, d.language(l))
		}
	}
	if len(languages) == 0 && len(d.errs) == 0 {
		d.fail(root, "languages", "must have at least one language")
	}
	return languages
}

// language decodes one language.
func (d *decoder) language(l entry) ports.Language {
	path := join("languages", l.key)
	out := ports.Language{Name: l.key}
	d.name(l.node, path, l.key)
	given := make(map[string]bool)
	for _, e := range d.mapping(l.value, path) {
		field := join(path, e.key)
		given[e.key] = true
		switch e.key {
		case "aliases":
			out.Aliases = d.list(e.value, field)
			for _, alias := range out.Aliases {
				d.name(e.value, field, alias)
			}
		case "version":
			out.Version = d.text(e.value, field)
		case "image":
			out.Image = d.text(e.value, field)
		case "source":
			out.Source = d.text(e.value, field)
			if err := ports.ValidatePath(field, out.Source); err != nil {
				d.errs = append(d.errs, at(lineOf(e.value), err))
			}
		case "compile":
			out.Compile = d.command(e.value, field)
		case "compile_timeout":
			out.CompileTimeout = d.duration(e.value, field)
		case "run":
			out.Run = d.command(e.value, field)
		case "env":
			out.Env = d.env(e.value, field)
		case "sample":
			out.Sample = d.text(e.value, field)
		default:
			d.fail(e.node, field, "is not a field; there are aliases, version, image, source, compile, compile_timeout, run, env and sample")
		}
	}
	if !given["source"] {
		d.fail(l.node, join(path, "source"), "must be given: the file name that code is stored under")
	}
	if !given["run"] {
		d.fail(l.node, join(path, "run"), "must be given: the command that starts the program, as a list")
	}
	return out
}

// name checks the name of a language.
func (d *decoder) name(node ast.Node, field, name string) {
	ok := func(r rune) bool {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("+#.-", r)
	}
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !ok(r) }) {
		d.fail(node, field, "has the name %q; names are lower case letters, digits and any of +#.-", name)
	}
}

// text decodes a scalar as it is written: a version 3.10 keeps its zero.
func (d *decoder) text(node ast.Node, field string) string {
	s, ok := text(node)
	switch {
	case !ok:
		d.fail(node, field, "must be a text, not %s", kind(node))
	case strings.ContainsRune(s, 0):
		d.fail(node, field, "must not contain a NUL character")
	}
	return s
}

// list decodes a sequence of texts.
func (d *decoder) list(node ast.Node, field string) []string {
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.fail(node, field, "must be a list, not %s", kind(node))
		return nil
	}
	out := make([]string, 0, len(seq.Values))
	for _, v := range seq.Values {
		out = append(out, d.text(v, field))
	}
	return out
}

// command decodes an argv.
func (d *decoder) command(node ast.Node, field string) []string {
	argv := d.list(node, field)
	if argv != nil && (len(argv) == 0 || argv[0] == "") {
		d.fail(node, field, "must start with a program")
	}
	return argv
}

// env decodes environment variables.
func (d *decoder) env(node ast.Node, field string) map[string]string {
	out := make(map[string]string)
	for _, e := range d.mapping(node, field) {
		if e.key == "" || strings.ContainsAny(e.key, "=\x00") {
			d.fail(e.node, field, "has the name %q; names are not empty and have no \"=\"", e.key)
		}
		out[e.key] = d.text(e.value, join(field, e.key))
	}
	return out
}

// duration decodes a number of seconds or a text such as "1m30s".
func (d *decoder) duration(node ast.Node, field string) time.Duration {
	const most = 24 * time.Hour
	s := d.text(node, field)
	value, err := time.ParseDuration(s)
	if seconds, numErr := strconv.ParseFloat(s, 64); numErr == nil && math.Abs(seconds) <= most.Seconds() {
		value, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || value <= 0 || value > most {
		d.fail(node, field, "must be seconds or a duration such as \"1m30s\", above 0 and at most 24h, not %q", s)
	}
	return value
}

// text returns the text of a scalar.
func text(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// kind names a node for people.
func kind(node ast.Node) string {
	switch node.(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.AnchorNode:
		return "an anchor"
	case *ast.AliasNode:
		return "an alias"
	case *ast.MergeKeyNode:
		return "a merge key"
	case *ast.TagNode:
		return "a tag"
	}
	if _, ok := text(node); ok {
		return "a single value"
	}
	return "a " + strings.ToLower(node.Type().String())
}

func join(path ...string) string { return strings.Join(path, ".") }
