package ports

import (
	"maps"
	"slices"
	"time"
)

// Language says how programs of one language are stored, compiled and run. It is
// data: package taskrunner has the built-in ones and operators add their own.
type Language struct {
	// Name is the canonical name, such as "python": lower case letters, digits and
	// any of "+#.-".
	Name string
	// Aliases are further names that callers may use.
	Aliases []string
	// Version is for people to read ("3.13"); empty if unknown.
	Version string
	// Image is the container image for executors that use one.
	Image string
	// Source is the file name that a task's Code is stored under ("main.py").
	Source string
	// Compile is the command that turns the sources into what Run starts; nil if
	// nothing has to be compiled. Its output goes to the task's stderr.
	Compile []string
	// CompileTimeout bounds the compile step, which shares every other limit
	// with the program. Default: 30 s.
	CompileTimeout time.Duration
	// Run is the command that starts the program. In Compile and Run the element
	// EntrypointArg stands for the path of the entrypoint, relative to the work
	// folder, which is the current one. The first element is an absolute path, a
	// path relative to the work folder if it contains a slash ("./program"), or
	// else a name looked up in the sandbox's PATH.
	Run []string
	// Env is the environment that programs of this language start with.
	Env map[string]string
	// Sample is a small program that shows the language to people who try it out, at
	// most MaxSample bytes of UTF-8; empty if there is none. It is shown and not run:
	// whoever wants to see what it does submits it as Code.
	Sample string
}

// MaxSample is the greatest size of a Language.Sample in bytes.
const MaxSample = 64 << 10

// EntrypointArg is replaced by the entrypoint's path in Language.Compile and
// Language.Run.
const EntrypointArg = "{entrypoint}"

// Clone returns a deep copy of l.
func (l Language) Clone() Language {
	l.Aliases = slices.Clone(l.Aliases)
	l.Compile, l.Run = slices.Clone(l.Compile), slices.Clone(l.Run)
	l.Env = maps.Clone(l.Env)
	return l
}
