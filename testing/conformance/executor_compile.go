package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// compiled returns a language whose "compiler" is a Bash script, which gets the
// path of the source as $1 and must make "program", also a Bash script.
func (b *execBench) compiled(compiler string) ports.Language {
	bash := b.Bash.Run[0]
	l := b.Bash.Clone()
	l.Name, l.Aliases, l.Source = "compiled", nil, "main.src"
	l.Compile = []string{bash, "-c", compiler, "compiler", ports.EntrypointArg}
	l.CompileTimeout = b.Patience
	l.Run = []string{bash, "program"}
	return l
}

var execCompileChecks = []check[*execBench]{
	{"what the compile step made is run", func(t *testing.T, b *execBench) {
		job := b.job(b.compiled(`echo compiling; echo "from $1" >&2; cp "$1" program`), `echo "running $1"; exit 7`)
		job.Spec.Args = []string{"it"}
		r := b.run(t, job)
		r.requireExit(t, 7)
		assert.Equal(t, "running it\n", r.stdout)
		assert.Contains(t, r.stderr, "compiling\n")
		assert.Contains(t, r.stderr, "from main.src\n")
		assert.Empty(t, r.Message)
	}},
	{"what the compile step made can be executed", func(t *testing.T, b *execBench) {
		// As a compiler's result would be: a real program, started by its path.
		lang := b.compiled(`cp "$(type -P cat)" program; chmod 755 program`)
		lang.Run = []string{b.Bash.Run[0], "-c", `exec ./program "$@"`, "sh"}
		job := b.job(lang, "source")
		job.Spec.Args = []string{"main.src"}
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.Equal(t, "source", r.stdout)
	}},
	{"stdin is the program's and not the compiler's", func(t *testing.T, b *execBench) {
		job := b.job(b.compiled(`cat >&2; cp "$1" program`), "cat")
		job.Spec.Stdin = []byte("input")
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.Equal(t, "input", r.stdout)
		assert.Empty(t, r.stderr)
	}},
	{"a compile step that fails is the end, with its code and a message", func(t *testing.T, b *execBench) {
		r := b.run(t, b.job(b.compiled(`echo "$1:1: syntax error"; exit 2`), `echo never`))
		r.requireExit(t, 2)
		assert.Empty(t, r.stdout)
		assert.Contains(t, r.stderr, "main.src:1: syntax error\n")
		assert.NotEmpty(t, r.Message)
	}},
	{"a compiler that is killed is the end", func(t *testing.T, b *execBench) {
		r := b.run(t, b.job(b.compiled(`cp "$1" program; kill -SEGV $$`), `echo never`))
		r.requireCause(t, ports.CauseSignal)
		assert.Equal(t, "SIGSEGV", r.Signal)
		assert.Empty(t, r.stdout)
		assert.NotEmpty(t, r.Message)
	}},
	{"a compiler has the program's memory limit", func(t *testing.T, b *execBench) {
		lang := b.Python.Clone()
		lang.Compile, lang.CompileTimeout = lang.Run, b.Patience
		job := b.job(lang, execEat+`
if not os.path.exists("once"):
    open("once", "w").close()
    eat(128)
print("never")`)
		job.Spec.Limits.Memory = execEatLimit
		r := b.run(t, job)
		r.requireCause(t, ports.CauseOOM)
		assert.Empty(t, r.stdout)
		assert.Empty(t, r.stderr)
	}},
	{"a compiler that does not end is stopped at its own timeout", func(t *testing.T, b *execBench) {
		lang := b.compiled(`echo working; sleep 1000`)
		lang.CompileTimeout = execBrief
		r := b.run(t, b.job(lang, `echo never`))
		r.requireCause(t, ports.CauseTimeout)
		assert.Empty(t, r.stdout)
		assert.Equal(t, "working\n", r.stderr)
		assert.NotEmpty(t, r.Message)
		assert.GreaterOrEqual(t, *r.Usage.WallTime, execBrief)
		assert.Less(t, *r.Usage.WallTime, execBrief+b.Patience)
	}},
	{"the time to compile is not taken from the program", func(t *testing.T, b *execBench) {
		job := b.job(b.compiled(`sleep 1.2; cp "$1" program`), `echo made it`)
		job.Spec.Limits.Timeout = time.Second
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.Equal(t, "made it\n", r.stdout)
		assert.GreaterOrEqual(t, *r.Usage.WallTime, 1200*time.Millisecond, "wall time counts from the first step")
	}},
	{"what the compiler left running does not meet the program", func(t *testing.T, b *execBench) {
		const look = `
ghosts() { for f in /proc/[0-9]*/cmdline; do while IFS= read -r -d '' arg; do [ "$arg" = 4321 ] && echo ghost; done < $f; done; }
`
		r := b.run(t, b.job(b.compiled(look+`
trap '' TERM HUP
(setsid sleep 4321 >/dev/null 2>&1 &)
until [ -n "$(ghosts)" ]; do sleep 0.01; done
cp "$1" program`), look+`ghosts 2>/dev/null; echo end`))
		r.requireExit(t, 0)
		assert.Equal(t, "end\n", r.stdout)
	}},
	{"a compile step can be cancelled", func(t *testing.T, b *execBench) {
		ctx, cancel := execDeadline(b.Patience)
		defer cancel()
		job := b.job(b.compiled(`echo working; sleep 1000`), `echo never`)
		job.Stderr = execWriterFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
		r := b.runUntil(ctx, t, job)
		require.ErrorIs(t, r.err, ctx.Err())
		r.requireCause(t, ports.CauseCancelled)
		assert.Empty(t, r.stdout)
	}},
}
