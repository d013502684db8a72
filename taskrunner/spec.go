package taskrunner

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/task-runner/task-runner/ports"
)

// Bounds that are not the operator's matter.
const (
	maxArgs = 1000
	maxEnv  = 1000
	// maxArg is the longest single argument or NAME=value that Linux passes to a
	// program, its NUL included: MAX_ARG_STRLEN, execve(2).
	maxArg = 128 * kiB
	// maxArgv bounds all of them together, well below what execve(2) allows with
	// the usual stack limit of 8 MiB (a quarter of it).
	maxArgv = 1 * miB

	maxLabels     = 32
	maxLabelName  = 63
	maxLabelValue = 255

	maxIdempotencyKey = 255
	maxMaxAttempts    = 10
)

// checkSpec checks spec against policy, which is complete, and the languages that
// it allows, and returns a copy with every default filled in and the language
// under its canonical name. Checking that again changes nothing.
//
// Its error is a *FieldError that names the field as the HTTP API does.
func checkSpec(spec Spec, policy Policy, langs registry) (Spec, error) {
	lang, ok := langs.find(spec.Language)
	switch {
	case spec.Language == "":
		return Spec{}, ports.Invalid("language", "must not be empty; known are %s", langs.names())
	case !ok:
		return Spec{}, ports.Invalid("language", "must be one of %s", langs.names())
	}
	// Sizes come first: all that follows costs time in proportion to them.
	if err := checkSizes(spec, policy); err != nil {
		return Spec{}, err
	}
	spec = spec.Clone()
	spec.Language = lang.Name
	spec.Limits = fillLimits(spec.Limits, policy.Default)
	spec.Queue = orElse(spec.Queue, ports.DefaultQueue)
	spec.MaxAttempts = orElse(spec.MaxAttempts, ports.DefaultMaxAttempts)

	var err error
	if spec.Entrypoint, err = checkSources(spec, lang); err != nil {
		return Spec{}, err
	}
	for _, check := range []func() error{
		func() error { return checkArgs(spec.Args) },
		func() error { return checkEnv("env", spec.Env) },
		func() error { return checkArgv(spec) },
		func() error { return checkLimits("", spec.Limits, policy.Max) },
		func() error { return checkDisk(spec) },
		func() error { return checkChoices(spec, policy) },
		func() error { return checkLabels(spec.Labels) },
	} {
		if err := check(); err != nil {
			return Spec{}, err
		}
	}
	return spec, nil
}

func checkSizes(s Spec, p Policy) error {
	if int64(len(s.Code)) > p.MaxCode {
		return ports.Invalid("code", "must be at most %s", size(p.MaxCode))
	}
	if len(s.Files) > p.MaxFiles {
		return ports.Invalid("files", "must be at most %d", p.MaxFiles)
	}
	sources := int64(len(s.Code))
	for i, f := range s.Files {
		if int64(len(f.Content)) > p.MaxCode {
			return ports.Invalid(fmt.Sprintf("files[%d].content", i), "must be at most %s", size(p.MaxCode))
		}
		sources += int64(len(f.Path) + len(f.Content))
	}
	var args int64
	for _, a := range s.Args {
		args += int64(len(a))
	}
	// The field blamed is the one whose bytes go over the sum.
	total := int64(0)
	for _, part := range []struct {
		field string
		bytes int64
	}{
		{"files", sources}, {"stdin", int64(len(s.Stdin))}, {"args", args},
		{"env", mapSize(s.Env)}, {"labels", mapSize(s.Labels)},
	} {
		if total += part.bytes; total > p.MaxInput {
			return ports.Invalid(part.field, "must leave all input together at most %s", size(p.MaxInput))
		}
	}
	return nil
}

func mapSize(m map[string]string) (n int64) {
	for k, v := range m {
		n += int64(len(k) + len(v))
	}
	return n
}

// checkSources checks Code, Files and Entrypoint and returns the entrypoint.
func checkSources(s Spec, lang Language) (entrypoint string, err error) {
	if len(s.Files) == 0 {
		switch {
		case s.Code == "":
			return "", ports.Invalid("code", "must not be empty")
		case !utf8.ValidString(s.Code):
			return "", ports.Invalid("code", "must be valid UTF-8")
		case s.Entrypoint != "" && s.Entrypoint != lang.Source:
			return "", ports.Invalid("entrypoint", "must be left out where code is given, or be %q", lang.Source)
		}
		return lang.Source, nil
	}
	if s.Code != "" {
		return "", ports.Invalid("files", "must not be given together with code")
	}
	if err := checkFiles(s.Files); err != nil {
		return "", err
	}
	entrypoint = s.Entrypoint
	if entrypoint == "" {
		entrypoint = lang.Source
		if len(s.Files) == 1 {
			entrypoint = s.Files[0].Path
		}
	}
	switch {
	case !slices.ContainsFunc(s.Files, func(f File) bool { return f.Path == entrypoint }):
		if s.Entrypoint == "" {
			return "", ports.Invalid("entrypoint", "must name one of the files, as none is called %q", lang.Source)
		}
		return "", ports.Invalid("entrypoint", "must be the path of one of the files")
	case strings.HasPrefix(entrypoint, "-"):
		return "", ports.Invalid("entrypoint", "must not start with \"-\", which interpreters take for an option")
	}
	return entrypoint, nil
}

func checkFiles(files []File) error {
	seen := make(map[string]bool, len(files)) // path -> is a file, not just a folder of one
	for i, f := range files {
		field := fmt.Sprintf("files[%d].path", i)
		if err := ports.ValidatePath(field, f.Path); err != nil {
			return err
		}
		isFile, used := seen[f.Path]
		switch {
		case isFile:
			return ports.Invalid(field, "must be different from the other files' paths")
		case used:
			return ports.Invalid(field, "must not be a folder of another file")
		}
		seen[f.Path] = true
		for end := strings.LastIndexByte(f.Path, '/'); end >= 0; end = strings.LastIndexByte(f.Path[:end], '/') {
			folder := f.Path[:end]
			if seen[folder] {
				return ports.Invalid(field, "must not lie in another file")
			}
			seen[folder] = false
		}
	}
	return nil
}

func checkArgs(args []string) error {
	if len(args) > maxArgs {
		return ports.Invalid("args", "must be at most %d", maxArgs)
	}
	for i, a := range args {
		field := fmt.Sprintf("args[%d]", i)
		if err := checkText(field, a); err != nil {
			return err
		}
		if len(a) >= maxArg {
			return ports.Invalid(field, "must be shorter than %s", size(maxArg))
		}
	}
	return nil
}

// checkEnv checks an environment; its errors name "field[NAME]".
func checkEnv(field string, env map[string]string) error {
	if len(env) > maxEnv {
		return ports.Invalid(field, "must have at most %d variables", maxEnv)
	}
	// In order, so that the same input gets the same error.
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !isEnvName(name) {
			return ports.Invalid(field, "must have names of letters, digits and \"_\", not starting with a digit, and %s is none", quote(name))
		}
		at := fmt.Sprintf("%s[%s]", field, name)
		if err := checkText(at, env[name]); err != nil {
			return err
		}
		if len(name)+1+len(env[name]) >= maxArg {
			return ports.Invalid(at, "must be shorter than %s together with its name", size(maxArg))
		}
	}
	return nil
}

func isEnvName(s string) bool {
	return s != "" && len(s) <= 255 && (s[0] < '0' || s[0] > '9') && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlnum(r) && r != '_'
	})
}

func checkArgv(s Spec) error {
	n := mapSize(s.Env)
	for _, a := range s.Args {
		n += int64(len(a))
	}
	if n > maxArgv {
		return ports.Invalid("args", "must be at most %s together with env", size(maxArgv))
	}
	return nil
}

// checkDisk makes sure that the sources fit on the task's disk, where each takes
// whole pages.
func checkDisk(s Spec) error {
	need := pages(len(s.Code))
	for _, f := range s.Files {
		need += pages(len(f.Content))
	}
	if need > s.Limits.Disk {
		return ports.Invalid("disk_limit", "must be at least %s, the size of the sources", size(need))
	}
	return nil
}

// pages returns the size of the whole pages that n bytes take.
func pages(n int) int64 { return (int64(n) + pageSize - 1) / pageSize * pageSize }

func checkChoices(s Spec, p Policy) error {
	switch {
	case s.Network && !p.Network:
		return ports.Invalid("network", "must be false: the operator allows none")
	case s.Priority < -ports.MaxPriority || s.Priority > ports.MaxPriority:
		return ports.Invalid("priority", "must be from %d to %d", -ports.MaxPriority, ports.MaxPriority)
	case s.MaxAttempts < 1 || s.MaxAttempts > maxMaxAttempts:
		return ports.Invalid("max_attempts", "must be from 1 to %d", maxMaxAttempts)
	case len(s.IdempotencyKey) > maxIdempotencyKey:
		return ports.Invalid("idempotency_key", "must be at most %d bytes long", maxIdempotencyKey)
	case strings.ContainsFunc(s.IdempotencyKey, func(r rune) bool { return r < ' ' || r > '~' }):
		return ports.Invalid("idempotency_key", "must consist of printable ASCII characters")
	}
	if err := checkQueueName("queue", s.Queue); err != nil {
		return err
	}
	if len(p.Queues) > 0 && !slices.Contains(p.Queues, s.Queue) {
		return ports.Invalid("queue", "must be one of %s", strings.Join(p.Queues, ", "))
	}
	return nil
}

func checkQueueName(field, name string) error {
	if name == "" || len(name) > ports.MaxQueueName || strings.ContainsFunc(name, func(r rune) bool {
		return !isAlnum(r) && !strings.ContainsRune("._-", r)
	}) {
		return ports.Invalid(field, "must be 1 to %d letters, digits or any of \"._-\"", ports.MaxQueueName)
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return ports.Invalid("labels", "must be at most %d", maxLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name == "" || len(name) > maxLabelName || strings.ContainsFunc(name, func(r rune) bool {
			return !isAlnum(r) && !strings.ContainsRune("._/-", r)
		}) {
			return ports.Invalid("labels", "must have names of 1 to %d letters, digits or any of \"._/-\", and %s is none",
				maxLabelName, quote(name))
		}
		value, field := labels[name], "labels["+name+"]"
		switch {
		case len(value) > maxLabelValue:
			return ports.Invalid(field, "must be at most %d bytes long", maxLabelValue)
		case !utf8.ValidString(value):
			return ports.Invalid(field, "must be valid UTF-8")
		case strings.ContainsFunc(value, unicode.IsControl):
			return ports.Invalid(field, "must not contain control characters")
		}
	}
	return nil
}

// checkText refuses what cannot be passed to a program or written as text.
func checkText(field, s string) error {
	switch {
	case strings.ContainsRune(s, 0):
		return ports.Invalid(field, "must not contain NUL")
	case !utf8.ValidString(s):
		return ports.Invalid(field, "must be valid UTF-8")
	}
	return nil
}

// quote quotes what a caller sent, short enough for a message.
func quote(s string) string {
	if len(s) > 40 {
		s = s[:utf8Cut([]byte(s[:40]))] + "..."
	}
	return fmt.Sprintf("%q", s)
}

func isAlnum(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// equalSpecs reports whether two complete specs ask for the same. A Store may
// give an empty slice or map back as nil.
func equalSpecs(a, b Spec) bool {
	return a.Language == b.Language && a.Code == b.Code && a.Entrypoint == b.Entrypoint &&
		slices.EqualFunc(a.Files, b.Files, func(x, y File) bool {
			return x.Path == y.Path && bytes.Equal(x.Content, y.Content)
		}) &&
		slices.Equal(a.Args, b.Args) && bytes.Equal(a.Stdin, b.Stdin) && maps.Equal(a.Env, b.Env) &&
		a.Limits == b.Limits && a.Network == b.Network && a.Queue == b.Queue &&
		a.Priority == b.Priority && a.MaxAttempts == b.MaxAttempts &&
		maps.Equal(a.Labels, b.Labels) && a.IdempotencyKey == b.IdempotencyKey
}
