package taskrunner

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// defaultCompileTimeout is Language.CompileTimeout's default.
const defaultCompileTimeout = 30 * time.Second

// The samples run for some two seconds, with little and with much to do, so that
// there is something to watch. They need what every installation of their language
// has, and no network.
var (
	//go:embed samples/main.sh
	bashSample string
	//go:embed samples/main.js
	javascriptSample string
	//go:embed samples/main.py
	pythonSample string
)

// BuiltinLanguages returns Python, JavaScript and Bash. Their programs' output
// is not held back in buffers, so that it can be watched as it comes. Which
// version runs is the executor's matter (the image, or what its host has), so
// Version is empty.
func BuiltinLanguages() []Language {
	return []Language{
		{
			Name: "bash", Image: "bash:5", Source: "main.sh",
			Run:    []string{"bash", ports.EntrypointArg},
			Env:    map[string]string{"LANG": "C.UTF-8"},
			Sample: bashSample,
		},
		{
			Name: "javascript", Aliases: []string{"js", "node", "nodejs"},
			Image: "node:22-slim", Source: "main.js",
			Run:    []string{"node", ports.EntrypointArg},
			Env:    map[string]string{"LANG": "C.UTF-8"},
			Sample: javascriptSample,
		},
		{
			Name: "python", Aliases: []string{"py", "python3"},
			Image: "python:3.13-slim", Source: "main.py",
			Run: []string{"python3", ports.EntrypointArg},
			Env: map[string]string{
				"LANG":             "C.UTF-8",
				"PYTHONUNBUFFERED": "1",
				// Bytecode of a program that runs once only fills its disk.
				"PYTHONDONTWRITEBYTECODE": "1",
			},
			Sample: pythonSample,
		},
	}
}

// MergeLanguages returns base with every language of over added, or put in the
// place of the one of the same name, by name. A name or alias of over is taken
// away from the aliases of base, so that an operator can claim one.
//
// ErrInvalid (a *FieldError): a language is not valid, or a name or alias is
// given twice within one of the lists, or is an alias in over and a name in base.
func MergeLanguages(base, over []Language) ([]Language, error) {
	for _, list := range [][]Language{base, over} {
		if _, err := newRegistry(list); err != nil {
			return nil, err
		}
	}
	merged := make(map[string]Language, len(base)+len(over))
	for _, l := range base {
		merged[l.Name] = l.Clone()
	}
	for _, l := range over {
		for name, other := range merged {
			other.Aliases = slices.DeleteFunc(other.Aliases, func(alias string) bool {
				return alias == l.Name || slices.Contains(l.Aliases, alias)
			})
			merged[name] = other
		}
		merged[l.Name] = l.Clone()
	}
	list := sortedLanguages(merged)
	if _, err := newRegistry(list); err != nil {
		return nil, err
	}
	return list, nil
}

func sortedLanguages(byName map[string]Language) []Language {
	return slices.SortedFunc(maps.Values(byName), func(a, b Language) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// registry finds languages by name and alias.
type registry struct {
	byName map[string]Language
	alias  map[string]string // alias or name -> name
}

func newRegistry(list []Language) (registry, error) {
	r := registry{byName: make(map[string]Language), alias: make(map[string]string)}
	for i, l := range list {
		field := fmt.Sprintf("languages[%d]", i)
		if err := checkLanguage(field, l); err != nil {
			return registry{}, err
		}
		for _, name := range append([]string{l.Name}, l.Aliases...) {
			if other, taken := r.alias[name]; taken {
				return registry{}, ports.Invalid(field, "must not use the name %q, which is %q's", name, other)
			}
			r.alias[name] = l.Name
		}
		l = l.Clone()
		if l.CompileTimeout == 0 {
			l.CompileTimeout = defaultCompileTimeout
		}
		r.byName[l.Name] = l
	}
	return r, nil
}

// find returns the language of this name or alias.
func (r registry) find(name string) (Language, bool) {
	l, ok := r.byName[r.alias[name]]
	return l, ok
}

// only returns the registry with nothing but the languages of these names. All
// must be there.
func (r registry) only(field string, names []string) (registry, error) {
	kept := make(map[string]Language)
	for i, name := range names {
		l, ok := r.find(name)
		if !ok {
			return registry{}, ports.Invalid(fmt.Sprintf("%s[%d]", field, i), "must name a configured language, and %q is none", name)
		}
		kept[l.Name] = l
	}
	return newRegistry(sortedLanguages(kept))
}

// names lists the languages' names for a message.
func (r registry) names() string {
	return strings.Join(slices.Sorted(maps.Keys(r.byName)), ", ")
}

// checkLanguage returns a *FieldError under field unless l can be used.
func checkLanguage(field string, l Language) error {
	for i, name := range append([]string{l.Name}, l.Aliases...) {
		at := field + ".name"
		if i > 0 {
			at = fmt.Sprintf("%s.aliases[%d]", field, i-1)
		}
		if !isLanguageName(name) {
			return ports.Invalid(at, "must be 1 to 32 lower case letters, digits or any of \"+#.-\"")
		}
	}
	if err := ports.ValidatePath(field+".source", l.Source); err != nil {
		return err
	}
	if strings.HasPrefix(l.Source, "-") {
		return ports.Invalid(field+".source", "must not start with \"-\"")
	}
	if len(l.Run) == 0 {
		return ports.Invalid(field+".run", "must not be empty")
	}
	if err := checkCommand(field+".run", l.Run); err != nil {
		return err
	}
	if err := checkCommand(field+".compile", l.Compile); err != nil {
		return err
	}
	if l.CompileTimeout < 0 {
		return ports.Invalid(field+".compile_timeout", "must not be negative")
	}
	if err := checkEnv(field+".env", l.Env); err != nil {
		return err
	}
	if len(l.Sample) > ports.MaxSample {
		return ports.Invalid(field+".sample", "must be at most %s", size(ports.MaxSample))
	}
	return checkText(field+".sample", l.Sample)
}

func checkCommand(field string, argv []string) error {
	for i, arg := range argv {
		at := fmt.Sprintf("%s[%d]", field, i)
		if err := checkText(at, arg); err != nil {
			return err
		}
		if i == 0 && arg == "" {
			return ports.Invalid(at, "must not be empty")
		}
	}
	return nil
}

func isLanguageName(name string) bool {
	return name != "" && len(name) <= 32 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("+#.-", r)
	})
}
