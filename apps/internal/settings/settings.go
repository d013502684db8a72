// Package settings is the one way in which the programs of this project are
// configured: flags, each with an environment variable of the same name. The
// variable of --api-addr is TASKRUNNER_API_ADDR, and so for every other flag but
// those whose variables everybody knows, such as MONGO_URI. A flag beats its
// variable, a variable beats a line of the file of variables, that one beats the
// default, and an empty variable is one that is not set. A bad value is refused with
// an error that names both.
//
// A secret has no flag, since whoever may list processes reads those. It comes from its
// variable, or from a file that the variable with _FILE behind its name tells.
package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// Prefix is what the names of all environment variables start with.
const Prefix = "TASKRUNNER_"

// unprefixed are the settings whose variables have the names that other programs
// know them by.
var unprefixed = []string{
	"mongo-uri", "mongo-db-name", "redis-url",
	"minio-endpoint", "minio-public-endpoint", "minio-access-key", "minio-secret-key", "minio-bucket",
	"backend-url", "secret-key", "docker-host", "otel-exporter-otlp-endpoint",
}

// EnvName returns the name of the environment variable that belongs to a flag.
func EnvName(flag string) string {
	name := strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	if slices.Contains(unprefixed, flag) {
		return name
	}
	return Prefix + name
}

// fileSuffix is behind the name of a secret's variable in that of the variable which
// names a file with the secret.
const fileSuffix = "_FILE"

// ErrHelp says that the arguments ask for help.
var ErrHelp = flag.ErrHelp

// Set is a program's settings. Declare each with one of the package's functions,
// then call Parse once; the pointers they returned hold the values from then on.
// It is not safe for concurrent use.
type Set struct {
	flags   *flag.FlagSet
	order   []*setting
	group   string
	envFile *string // nil if there is no such setting
}

// New returns an empty set.
func New() *Set {
	s := &Set{flags: flag.NewFlagSet("", flag.ContinueOnError)}
	s.flags.SetOutput(io.Discard)
	s.flags.Usage = func() {}
	return s
}

// Group starts a group of settings in the help, under a heading.
func (s *Set) Group(heading string) { s.group = heading }

// Var declares a setting whose text parse turns into a value. The placeholder
// stands for the value in the help ("DURATION"), and def is the default as its
// user would write it. The errors of parse are the rest of a sentence that
// starts with the value: "must be positive". An empty def gives T's zero value and
// is not parsed. Var panics if the default is not valid or the name is taken.
func Var[T any](s *Set, name, placeholder, def, usage string, parse func(string) (T, error)) *T {
	value := new(T)
	s.add(&setting{name: name, placeholder: placeholder, def: def, usage: usage,
		apply: func(texts []string) (err error) {
			*value, err = parse(texts[len(texts)-1])
			return err
		}})
	return value
}

// Bool declares a setting that is off by default and that a bare --name turns on.
func Bool(s *Set, name, usage string) *bool {
	value := new(bool)
	s.add(&setting{name: name, isBool: true, usage: usage,
		apply: func(texts []string) (err error) {
			*value, err = parseBool(texts[len(texts)-1])
			return err
		}})
	return value
}

// Repeated declares a setting that may be given several times. In its variable
// each line is one value.
func Repeated[T any](s *Set, name, placeholder, usage string, parse func(string) (T, error)) *[]T {
	values := new([]T)
	s.add(&setting{name: name, placeholder: placeholder, usage: usage, repeated: true,
		apply: func(texts []string) error {
			*values = nil
			for _, text := range texts {
				v, err := parse(text)
				if err != nil {
					return err
				}
				*values = append(*values, v)
			}
			return nil
		}})
	return values
}

// Secret declares a setting that must not be seen: it has no flag, and no error or help
// shows its value. The errors of parse must not either.
func Secret[T any](s *Set, name, placeholder, def, usage string, parse func(string) (T, error)) *T {
	value := new(T)
	s.add(&setting{name: name, placeholder: placeholder, def: def, usage: usage, secret: true,
		apply: func(texts []string) (err error) {
			*value, err = parse(texts[len(texts)-1])
			return err
		}})
	return value
}

// EnvFile declares --env-file, a file of lines NAME=value.
func EnvFile(s *Set) {
	s.envFile = Var(s, "env-file", "FILE", "", "file of variables, one NAME=value on each line; the environment's own beat it", Text)
}

// Parse reads args, then for every flag that they do not give its variable from
// env, which holds "NAME=value" as os.Environ does. It returns the arguments
// behind the flags; the first one that is no flag ends them. The error is
// ErrHelp, or an *Error.
func (s *Set) Parse(args, env []string) ([]string, error) {
	if err := s.flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, ErrHelp
		}
		return nil, &Error{msg: strings.Replace(err.Error(), ": -", ": --", 1)}
	}
	vars, err := s.variables(env)
	if err != nil {
		return nil, err
	}
	for _, st := range s.order {
		if err := st.resolve(vars); err != nil {
			return nil, err
		}
	}
	return s.flags.Args(), nil
}

// variables returns those of env, and of the file that --env-file or its variable
// names those that env has not.
func (s *Set) variables(env []string) (map[string]string, error) {
	vars := make(map[string]string, len(env))
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok && value != "" {
			vars[name] = value
		}
	}
	if s.envFile == nil {
		return vars, nil
	}
	file := s.find("env-file")
	if err := file.resolve(vars); err != nil || *s.envFile == "" {
		return vars, err
	}
	read, err := godotenv.Read(*s.envFile)
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, Errorf(file.name, "cannot be read: %v", pathErr)
	}
	if err != nil { // whose text may have a secret
		return nil, Errorf(file.name, "%s is not a file of lines NAME=value", *s.envFile)
	}
	for name, value := range read {
		if _, ok := vars[name]; !ok {
			vars[name] = value
		}
	}
	return vars, nil
}

// ShowDefault says, for the help, what holds where a setting without a default is
// not given, because that is decided elsewhere.
func (s *Set) ShowDefault(name, text string) { s.find(name).otherwise = text }

// Secrets returns the names of the secrets whose value, given or by default, holds text.
func (s *Set) Secrets(text string) []string {
	var names []string
	for _, st := range s.order {
		if st.secret && strings.Contains(st.value, text) {
			names = append(names, st.name)
		}
	}
	return names
}

// find returns the setting of a name, nil if there is none.
func (s *Set) find(name string) *setting {
	i := slices.IndexFunc(s.order, func(st *setting) bool { return st.name == name })
	if i < 0 {
		return nil
	}
	return s.order[i]
}

// Has reports whether there is a setting of that name.
func (s *Set) Has(name string) bool { return s.find(name) != nil }

func (s *Set) add(st *setting) {
	if st.def != "" {
		if err := st.apply([]string{st.def}); err != nil {
			panic(fmt.Sprintf("settings: default %q of --%s %v", st.def, st.name, err))
		}
	}
	if s.Has(st.name) {
		panic("settings: --" + st.name + " is there already")
	}
	st.group, st.value = s.group, st.def
	if !st.secret {
		s.flags.Var(st, st.name, st.usage)
	}
	s.order = append(s.order, st)
}

// Error is a setting that cannot be accepted. Its text is for the user.
type Error struct {
	// Name is the setting's name; empty where the arguments name none that exists.
	Name string
	msg  string
}

// Error returns what is wrong and, where a setting is known, the names of its
// flag and its variable.
func (e *Error) Error() string { return e.msg }

// Errorf returns an *Error about a setting whose value turned out to be unusable
// later on, such as an address that is in use.
func Errorf(name, format string, args ...any) error {
	return &Error{Name: name, msg: fmt.Sprintf("--%s (%s): ", name, EnvName(name)) + fmt.Sprintf(format, args...)}
}

// Errorf does what the function of this name does, also for a secret, which has no flag.
func (s *Set) Errorf(name, format string, args ...any) error {
	if st := s.find(name); st != nil && st.secret {
		return secretErrorf(name, format, args...)
	}
	return Errorf(name, format, args...)
}

func secretErrorf(name, format string, args ...any) error {
	return &Error{Name: name, msg: EnvName(name) + " " + fmt.Sprintf(format, args...)}
}

// Usagef returns an *Error about the arguments as a whole.
func Usagef(format string, args ...any) error {
	return &Error{msg: fmt.Sprintf(format, args...)}
}

// setting is one flag and its variable. As a flag.Value it only collects the
// texts, so that flags and variables are parsed and refused in one way.
type setting struct {
	name, placeholder, def, usage, group string
	otherwise                            string // what holds without a default, in words
	isBool, repeated, secret             bool
	apply                                func(texts []string) error
	texts                                []string
	value                                string // in force, if it is a secret
}

func (st *setting) resolve(vars map[string]string) error {
	if st.secret {
		return st.resolveSecret(vars)
	}
	texts, origin, twin := st.texts, "--"+st.name, EnvName(st.name)
	if len(texts) == 0 {
		fromEnv := vars[twin]
		if fromEnv == "" {
			return nil
		}
		origin, twin = twin, origin
		texts = []string{fromEnv}
		if st.repeated {
			texts = strings.Split(strings.TrimSpace(fromEnv), "\n")
		}
	}
	if err := st.apply(texts); err != nil {
		return &Error{Name: st.name, msg: fmt.Sprintf("%s=%q (%s) %v", origin, shown(strings.Join(texts, "\n")), twin, err)}
	}
	return nil
}

// shown returns a value without what stands before the host of a URL, which may be a
// password, wherever it ends.
func shown(value string) string { return userInfo.ReplaceAllString(value, "://***@") }

var userInfo = regexp.MustCompile(`://\S*@`)

func (st *setting) resolveSecret(vars map[string]string) error {
	variable := EnvName(st.name)
	text, file := vars[variable], vars[variable+fileSuffix]
	switch {
	case text != "" && file != "":
		return secretErrorf(st.name, "and %s%s are both set; leave one of them out", variable, fileSuffix)
	case file != "":
		content, err := os.ReadFile(file)
		if err != nil {
			return &Error{Name: st.name, msg: fmt.Sprintf("%s%s cannot be read: %v", variable, fileSuffix, err)}
		}
		if text = strings.TrimRight(string(content), "\r\n"); text == "" {
			return &Error{Name: st.name, msg: fmt.Sprintf("%s%s names %s, which is empty", variable, fileSuffix, file)}
		}
	case text == "":
		return nil
	}
	st.value = text
	if err := st.apply([]string{text}); err != nil {
		return secretErrorf(st.name, "%v", err)
	}
	return nil
}

// Set is flag.Value's.
func (st *setting) Set(text string) error {
	st.texts = append(st.texts, text)
	return nil
}

// String is flag.Value's.
func (st *setting) String() string { return st.def }

// IsBoolFlag tells package flag that the value may be left out.
func (st *setting) IsBoolFlag() bool { return st.isBool }
