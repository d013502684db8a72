package conformance

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// Isolation attacks the executor's sandboxes in every way of a catalogue and
// demands that each attack ends exactly as it should, that no process is left
// after it, and that the next task finds everything as usual.
//
// The attacks are programs in the folder attacks. Every one is bounded: to some
// hundred processes, to twice the limit that it tries to exceed, to some seconds.
// A program that sees a process of the host stops before it attacks anything, so
// that the catalogue may be run on a sandbox that does not hold. It must still
// not be run on an executor that is known to have no sandbox at all.
func Isolation(t *testing.T, h ExecutorHarness) {
	b := newExecBench(t, h)
	host := newIsoHost(t)
	for _, chapter := range isoCatalogue {
		t.Run(chapter.name, func(t *testing.T) {
			for _, a := range chapter.attacks {
				t.Run(a.name, func(t *testing.T) {
					t.Parallel()
					a.mount(t, b, host)
				})
			}
		})
	}
}

// isoPrograms are the attack programs.
//
//go:embed attacks/*.py attacks/*.sh
var isoPrograms embed.FS

// isoChapter is a part of the catalogue.
type isoChapter struct {
	name    string
	attacks []isoAttack
}

// isoAttack is one attack and how it must end.
type isoAttack struct {
	// name is a sentence: what must be true.
	name string
	// program is a file in attacks, and args are its arguments.
	program string
	args    []string
	// harmless says that the program may run without a sandbox: it only looks.
	harmless bool
	stdin    func(b *execBench) []byte
	limits   func(l *ports.Limits)
	// beside is a program that says ready and runs during the attack, with the
	// same arguments; it must outlive it.
	beside string
	// followed is run isoFollowers times after the attack, one after the other.
	followed *isoAttack
	// ends are the ways in which the run may end.
	ends []isoEnd
	// probes are what the program must report: all of this and nothing else. A
	// program that did not exit by itself may not have come to all of it.
	probes []isoProbe
	// then looks at the rest; it may be nil.
	then func(t *testing.T, b *execBench, r execRun)
}

// isoFollowers are enough to empty the pool of most executors, so that one of them
// gets whatever its predecessor has left.
const isoFollowers = 8

// isoEnd is one way to end: the cause with its exit code or signal.
type isoEnd struct {
	cause  ports.Cause
	code   int
	signal string
}

func isoExit(code int) []isoEnd { return []isoEnd{{cause: ports.CauseExit, code: code}} }

// The ends of programs that the sandbox or the kernel ends.
var (
	isoOOM      = []isoEnd{{ports.CauseOOM, -1, "SIGKILL"}}
	isoTimeout  = []isoEnd{{ports.CauseTimeout, -1, "SIGKILL"}}
	isoFlooded  = []isoEnd{{ports.CauseOutputLimit, -1, "SIGKILL"}}
	isoAborted  = []isoEnd{{ports.CauseSignal, -1, "SIGABRT"}}
	isoOOMChild = []isoEnd{{ports.CauseOOM, -1, ""}}
)

// isoProbe is what some of the probes may report.
type isoProbe struct {
	// names of the probes, separated by spaces. A name with a "*" at its end stands
	// for every probe that begins so and is not named itself.
	names string
	// verdicts are the allowed ones, separated by spaces.
	verdicts string
	// least and most bound the number that comes with the verdict, if most is set.
	least, most int64
}

// Verdicts. Which refusal it is depends on which of several walls is hit first.
const (
	// isoRefused: the filter of system calls, or the kernel for want of a right.
	isoRefused = "EPERM EACCES ENOSYS SIGSYS"
	// isoDenied: the filter of system calls alone says so, whatever the kernel has.
	isoDenied = "EPERM"
	// isoAbsent: there is no such system call here.
	isoAbsent = "ENOSYS"
	// isoHidden: there is no such thing in the sandbox, or nothing to see in it.
	isoHidden = "ENOENT ENOTDIR ENXIO EPERM EACCES EMPTY"
	// isoReadOnly: it cannot be changed.
	isoReadOnly = "EROFS EPERM EACCES ENOENT ENOTDIR"
	// isoUnreachable: no way leads there.
	isoUnreachable = "ENETUNREACH EHOSTUNREACH ECONNREFUSED EADDRNOTAVAIL EAFNOSUPPORT EPERM EACCES ENOENT"
	// isoFull: a limit has been reached.
	isoFull = "ENOSPC EDQUOT EFBIG ENOMEM EMFILE ENFILE EAGAIN"
)

func (p isoProbe) matches(name string) (exact, match bool) {
	for n := range strings.FieldsSeq(p.names) {
		if n == name {
			return true, true
		}
		if prefix, ok := strings.CutSuffix(n, "*"); ok && strings.HasPrefix(name, prefix) {
			match = true
		}
	}
	return false, match
}

// mount mounts the attack and demands that it ends as it should.
func (a isoAttack) mount(t *testing.T, b *execBench, host *isoHost) {
	if a.beside != "" {
		defer a.settle(t, b, host)()
	}
	job := a.job(t, b, host, a.program)
	if a.stdin != nil {
		job.Spec.Stdin = a.stdin(b)
	}
	if a.limits != nil {
		a.limits(&job.Spec.Limits)
	}
	r := b.run(t, job)
	require.Contains(t, a.ends, isoEnd{r.Cause, r.ExitCode, r.Signal}, "it ended otherwise; message %q, stdout:\n%.2000s\nstderr:\n%.2000s", r.Message, r.stdout, r.stderr)
	assert.Empty(t, a.judge(r), "stdout:\n%.2000s\nstderr:\n%.2000s", r.stdout, r.stderr)
	if a.then != nil {
		a.then(t, b, r)
	}
	host.check(t)

	next := b.run(t, b.bash(`echo hello; echo "$(cat /proc/self/comm) lives"`))
	next.requireExit(t, 0)
	assert.Equal(t, "hello\ncat lives\n", next.stdout, "the next task")

	if a.followed != nil {
		for range isoFollowers {
			a.followed.mount(t, b, host)
		}
	}
}

// settle starts the program beside the attack. The function that it returns ends
// that program, which must have lived until then.
func (a isoAttack) settle(t *testing.T, b *execBench, host *isoHost) func() {
	ctx, cancel := context.WithCancel(t.Context())
	job := a.job(t, b, host, a.beside)
	w, ready := execFirst()
	job.Stdout = w
	result := inBackground(func() execRun { return b.runUntil(ctx, t, job) })
	receive(t, ready, "the program beside")
	return func() {
		cancel()
		r := receive(t, result, "the end of the program beside")
		r.requireCancelled(t, ctx)
		assert.Equal(t, "ready\n", r.stdout)
	}
}

// job returns the job that runs one of the programs.
func (a isoAttack) job(t *testing.T, b *execBench, host *isoHost, program string) ports.Job {
	t.Helper()
	file := func(name string) ports.File {
		content, err := isoPrograms.ReadFile("attacks/" + name)
		require.NoError(t, err)
		return ports.File{Path: name, Content: content}
	}
	lang, files := b.Bash, []ports.File{file(program)}
	if path.Ext(program) == ".py" {
		lang, files = b.Python, append(files, file("probe.py"))
	}
	job := b.jobOfFiles(lang, program, files...)
	job.Spec.Args = a.args
	maps.Copy(job.Spec.Env, host.env())
	if a.harmless {
		job.Spec.Env["HARMLESS"] = "1"
	}
	// Compiled modules would be files that the program did not make.
	job.Spec.Env["PYTHONDONTWRITEBYTECODE"] = "1"
	return job
}

// judge returns what is wrong with what the program reported: every probe must be
// known, come once and have one of its verdicts, and none may be missing.
func (a isoAttack) judge(r execRun) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	used := make([]bool, len(a.probes))
	for line := range strings.SplitSeq(r.stdout, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "probe" {
			continue
		}
		name, verdict := fields[1], fields[2]
		if seen[name] {
			fault("probe %s reported twice", name)
		}
		seen[name] = true
		i := a.find(name)
		if i < 0 {
			fault("nothing is known of probe %s, which reported %s", name, verdict)
			continue
		}
		used[i] = true
		p := a.probes[i]
		for part := range strings.SplitSeq(verdict, ",") {
			if !slices.Contains(strings.Fields(p.verdicts), part) {
				fault("probe %s: %s, and not one of %s", name, part, p.verdicts)
			}
		}
		if p.most > 0 {
			n, err := strconv.ParseInt(strings.Join(fields[3:], " "), 10, 64)
			if err != nil || n < p.least || n > p.most {
				fault("probe %s: %q is not between %d and %d", name, fields[3:], p.least, p.most)
			}
		}
	}
	if r.Cause != ports.CauseExit && r.Cause != ports.CauseSignal {
		return faults
	}
	for i, p := range a.probes {
		if !used[i] {
			fault("no probe reported on %s", p.names)
		}
		for n := range strings.FieldsSeq(p.names) {
			if !strings.HasSuffix(n, "*") && !seen[n] {
				fault("probe %s is missing", n)
			}
		}
	}
	return faults
}

// find returns the index of the entry for the probe, or -1: the one that names it,
// or else the first one whose pattern fits.
func (a isoAttack) find(name string) int {
	if i := slices.IndexFunc(a.probes, func(p isoProbe) bool { exact, _ := p.matches(name); return exact }); i >= 0 {
		return i
	}
	return slices.IndexFunc(a.probes, func(p isoProbe) bool { _, match := p.matches(name); return match })
}

// isoForgeries returns bytes that a launcher could take for its own supervisor's:
// every usual framing of a result, and what the harness adds.
func isoForgeries(b *execBench) []byte {
	var out bytes.Buffer
	result := []byte(`{"type":"result","cause":"exit","exit_code":0,"exitCode":0,"status":"succeeded","oom":true}`)
	n := len(result)
	big := []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	little := []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
	for kind := range 256 {
		for _, size := range [][]byte{big, little} {
			out.Write(append([]byte{byte(kind)}, size...))
			out.Write(result)
			out.Write(append(slices.Clone(size), byte(kind)))
			out.Write(result)
		}
		// Docker's multiplexed streams.
		fmt.Fprintf(&out, "%c\x00\x00\x00%s%s", kind%3, big, result)
	}
	for _, line := range []string{"\n\n", "exit 0\n", "EOF\n", "\x04", "\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x7f\xff\xff\xff"} {
		out.WriteString(line)
		out.Write(result)
		out.WriteByte('\n')
	}
	for _, forgery := range b.Forgeries {
		out.Write(forgery)
	}
	return out.Bytes()
}
