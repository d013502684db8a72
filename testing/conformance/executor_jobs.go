package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var execJobChecks = []check[*execBench]{
	{"an interpreter that is not there is named", func(t *testing.T, b *execBench) {
		for _, name := range []string{"/no/such/interpreter", "no-such-interpreter"} {
			job := b.bash(`echo never`)
			job.Language.Run = []string{name, ports.EntrypointArg}
			r := b.runUntil(t.Context(), t, job)
			assert.Empty(t, r.stdout)
			if r.err != nil {
				// Trying again cannot help.
				require.ErrorIs(t, r.err, ports.ErrInvalid)
				assert.Contains(t, r.err.Error(), name)
				continue
			}
			assert.NotEqual(t, 0, r.ExitCode)
			assert.Contains(t, r.Message, name)
		}
	}},
	{"a compiler that is not there is named", func(t *testing.T, b *execBench) {
		lang := b.compiled("")
		lang.Compile[0] = "/no/such/compiler"
		r := b.runUntil(t.Context(), t, b.job(lang, `echo never`))
		assert.Empty(t, r.stdout)
		if r.err != nil {
			require.ErrorIs(t, r.err, ports.ErrInvalid)
			assert.Contains(t, r.err.Error(), lang.Compile[0])
			return
		}
		assert.NotEqual(t, 0, r.ExitCode)
		assert.Contains(t, r.Message, lang.Compile[0])
	}},
	{"a program that cannot be started is no lost attempt", func(t *testing.T, b *execBench) {
		// The compiler's result is a folder: nobody's fault but the program's.
		lang := b.compiled(`mkdir program`)
		r := b.run(t, b.job(lang, ""))
		assert.NotEqual(t, 0, r.ExitCode)
	}},
	{"every task ID will do", func(t *testing.T, b *execBench) {
		for _, id := range []ports.TaskID{
			"..", ".", "/", "../../../../../../tmp/x", "a/b", "*", "%", "%s%n", "-", "--", `\`, `"`, "'", "$HOME", "`id`", ":", "{}", "~",
			"task", "init", "memory", "cgroup.procs",
			ports.TaskID(strings.Repeat("x", ports.MaxIDLen)), ports.TaskID(strings.Repeat("/", ports.MaxIDLen)),
		} {
			job := b.bash(`echo "$MINE"`)
			job.Task, job.Spec.Env["MINE"] = id, string(id)
			r := b.run(t, job)
			r.requireExit(t, 0)
			assert.Equal(t, string(id)+"\n", r.stdout)
		}
	}},
	{"two attempts of one task do not meet", func(t *testing.T, b *execBench) {
		// A ghost of the first one may still be running when the second one starts.
		first := b.bash(`echo first > file; echo ready; sleep 1000`)
		w, ready := execFirst()
		first.Stdout = w
		ctx, cancel := execDeadline(b.Patience)
		defer cancel()
		result := inBackground(func() execRun { return b.runUntil(ctx, t, first) })
		receive(t, ready, "the first attempt's output")
		second := b.bash(`cat file 2>/dev/null; exit 4`)
		second.Task, second.Attempt = first.Task, 2
		out, err := b.x.Run(t.Context(), execQuiet(second))
		require.NoError(t, err)
		assert.Equal(t, 4, out.ExitCode)
		assert.Zero(t, out.StdoutBytes)
		cancel()
		receive(t, result, "the first attempt's end").requireCancelled(t, ctx)
	}},
	{"a path that leads out of the work folder is refused", func(t *testing.T, b *execBench) {
		for _, path := range []string{"", ".", "..", "../x", "a/../../x", "/tmp/x", "a//b", "a/./b", "a/", "a\x00b", strings.Repeat("x", ports.MaxPathLen+1)} {
			job := b.jobOfFiles(b.Bash, "main.sh", ports.File{Path: "main.sh", Content: []byte("echo never")}, ports.File{Path: path})
			r := b.runUntil(t.Context(), t, job)
			require.ErrorIs(t, r.err, ports.ErrInvalid, "%q", path)
			assert.Empty(t, r.stdout)
		}
	}},
	{"files that exclude each other are refused", func(t *testing.T, b *execBench) {
		main := ports.File{Path: "main.sh", Content: []byte("echo never")}
		for _, files := range [][]ports.File{
			{main, {Path: "a"}, {Path: "a"}},
			{main, {Path: "a"}, {Path: "a/b"}},
			{main, {Path: "a/b"}, {Path: "a"}},
		} {
			r := b.runUntil(t.Context(), t, b.jobOfFiles(b.Bash, "main.sh", files...))
			require.ErrorIs(t, r.err, ports.ErrInvalid)
			assert.Empty(t, r.stdout)
		}
	}},
	{"a limit that is not set is refused and not taken for none", func(t *testing.T, b *execBench) {
		for name, change := range map[string]func(*ports.Limits){
			"cpu":     func(l *ports.Limits) { l.CPU = 0 },
			"memory":  func(l *ports.Limits) { l.Memory = 0 },
			"timeout": func(l *ports.Limits) { l.Timeout = 0 },
			"pids":    func(l *ports.Limits) { l.PIDs = 0 },
			"output":  func(l *ports.Limits) { l.Output = 0 },
			"disk":    func(l *ports.Limits) { l.Disk = 0 },
		} {
			for _, negative := range []bool{false, true} {
				job := b.bash(`echo never`)
				change(&job.Spec.Limits)
				if negative {
					l := &job.Spec.Limits
					l.CPU, l.Memory, l.Timeout, l.PIDs, l.Output, l.Disk = -1, -1, -time.Second, -1, -1, -1
				}
				r := b.runUntil(t.Context(), t, job)
				require.ErrorIs(t, r.err, ports.ErrInvalid, name)
				assert.Empty(t, r.stdout)
			}
		}
	}},
	{"a variable or an argument that no program can be given is refused", func(t *testing.T, b *execBench) {
		for name, change := range map[string]func(*ports.Job){
			"NUL in an argument":          func(j *ports.Job) { j.Spec.Args = []string{"a\x00b"} },
			"NUL in a variable":           func(j *ports.Job) { j.Spec.Env["A"] = "a\x00b" },
			"NUL in a variable's name":    func(j *ports.Job) { j.Spec.Env["A\x00B"] = "" },
			"equals in a variable's name": func(j *ports.Job) { j.Spec.Env["A=B"] = "" },
			"a variable without a name":   func(j *ports.Job) { j.Spec.Env[""] = "x" },
		} {
			job := b.bash(`echo never`)
			change(&job)
			r := b.runUntil(t.Context(), t, job)
			require.ErrorIs(t, r.err, ports.ErrInvalid, name)
			assert.Empty(t, r.stdout, name)
		}
	}},
	{"a network is had on demand or refused", func(t *testing.T, b *execBench) {
		const interfaces = `
with open("/proc/self/net/dev") as f: names = [line.split(":")[0].strip() for line in f if ":" in line]
print(sorted(names))`
		job := b.python(interfaces)
		job.Spec.Network = true
		if !b.has(Network) {
			r := b.runUntil(t.Context(), t, job)
			require.ErrorIs(t, r.err, ports.ErrInvalid)
			assert.Empty(t, r.stdout)
			return
		}
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.NotContains(t, []string{"[]\n", "['lo']\n"}, r.stdout)
	}},
	{"the job stays as it was", func(t *testing.T, b *execBench) {
		job := b.jobOfFiles(b.Bash, "main.sh", ports.File{Path: "main.sh", Content: []byte(`echo "$1" > main.sh; cat`)})
		job.Spec.Args, job.Spec.Stdin = []string{"x"}, []byte("stdin")
		job.Spec.Env["A"] = "1"
		job.Spec.Env[execMark] = b.mark(job.Task)
		spec, lang := job.Spec.Clone(), job.Language.Clone()
		b.run(t, job).requireExit(t, 0)
		assert.Equal(t, spec, job.Spec)
		assert.Equal(t, lang, job.Language)
	}},
	{"many runs at once do not mix", func(t *testing.T, b *execBench) {
		type mine struct {
			job ports.Job
			run execRun
		}
		all := make([]mine, 16)
		for i := range all {
			all[i].job = b.bash(`
read -r line
for n in {1..50}; do echo "$line $1 $ME $n"; done
echo "$line" >&2
cat file
exit "$1"`)
			spec := &all[i].job.Spec
			spec.Files = []ports.File{{Path: b.Bash.Source, Content: []byte(spec.Code)}, {Path: "file", Content: fmt.Appendf(nil, "file %d\n", i)}}
			spec.Code, spec.Entrypoint = "", b.Bash.Source
			spec.Args = []string{fmt.Sprint(i)}
			spec.Stdin = fmt.Appendf(nil, "stdin %d\n", i)
			spec.Env["ME"] = fmt.Sprintf("env %d", i)
		}
		concurrently(len(all), func(i int) { all[i].run = b.runUntil(t.Context(), t, all[i].job) })
		for i, m := range all {
			require.NoError(t, m.run.err)
			m.run.requireExit(t, i)
			var want strings.Builder
			for n := 1; n <= 50; n++ {
				fmt.Fprintf(&want, "stdin %d %d env %d %d\n", i, i, i, n)
			}
			fmt.Fprintf(&want, "file %d\n", i)
			assert.Equal(t, want.String(), m.run.stdout)
			assert.Equal(t, fmt.Sprintf("stdin %d\n", i), m.run.stderr)
		}
	}},
}
