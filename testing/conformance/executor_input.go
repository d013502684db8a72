package conformance

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// execBytes returns n bytes without any pattern, the same ones every time.
func execBytes(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(out)
	return out
}

// execBaseEnv are the variables that an executor may set by itself.
var execBaseEnv = []string{"PATH", "HOME", "TMPDIR", "LANG"}

var execInputChecks = []check[*execBench]{
	{"stdin arrives whole and then ends", func(t *testing.T, b *execBench) {
		const cat = "import shutil, sys\nshutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
		for _, stdin := range [][]byte{nil, []byte("x"), []byte("no newline"), []byte("line\r\n\x00\xff\xfe"), execBytes(1 << 20)} {
			job := b.python(cat)
			job.Spec.Stdin = stdin
			r := b.run(t, job)
			r.requireExit(t, 0)
			require.True(t, string(stdin) == r.stdout, "%d bytes became %d, or others", len(stdin), len(r.stdout))
		}
	}},
	{"stdin that is not read holds nothing up", func(t *testing.T, b *execBench) {
		for _, code := range []string{"exit 3", "head -c 10 >/dev/null; exit 3", "exec <&-; exit 3"} {
			job := b.bash(code)
			job.Spec.Stdin = execBytes(1 << 20)
			b.run(t, job).requireExit(t, 3)
		}
	}},
	{"output that comes before stdin is read locks nothing up", func(t *testing.T, b *execBench) {
		job := b.python(`
import sys
sys.stdout.write("x" * (1 << 19)); sys.stderr.write("y" * (1 << 19)); sys.stdout.flush()
sys.exit(len(sys.stdin.buffer.read()) >> 16)`)
		job.Spec.Stdin = execBytes(1 << 20)
		r := b.run(t, job)
		r.requireExit(t, 16)
		assert.Len(t, r.stdout, 1<<19)
		assert.Len(t, r.stderr, 1<<19)
	}},
	{"arguments arrive as they are", func(t *testing.T, b *execBench) {
		job := b.python("import json, os, sys\nprint(json.dumps([os.fsencode(a).hex() for a in sys.argv[1:]]))")
		job.Spec.Args = []string{
			"plain", "", " ", "two words", "'", `"`, `\`, "$HOME", "$(id)", "`id`", "*", "~", "-c", "--help", "--", "-",
			"a\nb", "\t", "é", "日本語", "\xff\xfe", "{entrypoint}", "%s", "\x1b[31m", strings.Repeat("x", 10000),
		}
		var want []string
		for _, a := range job.Spec.Args {
			want = append(want, hex.EncodeToString([]byte(a)))
		}
		r := b.run(t, job)
		r.requireExit(t, 0)
		var got []string
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &got))
		assert.Equal(t, want, got)
	}},
	{"the environment is what was promised, and nothing of the host's", func(t *testing.T, b *execBench) {
		job := b.python(`import sys; sys.stdout.buffer.write(open("/proc/self/environ", "rb").read())`)
		job.Language.Env = map[string]string{"FROM_LANGUAGE": "1", "FROM_BOTH": "language"}
		job.Spec.Env = map[string]string{"FROM_BOTH": "task", "EMPTY": "", "ODD": "a=b $HOME \"'\n\té\x1b[0m"}
		r := b.run(t, job)
		r.requireExit(t, 0)
		got := map[string]string{}
		for entry := range strings.SplitSeq(strings.TrimSuffix(r.stdout, "\x00"), "\x00") {
			name, value, ok := strings.Cut(entry, "=")
			require.True(t, ok, "%q", entry)
			require.NotContains(t, got, name, "a variable is there twice")
			got[name] = value
		}
		for name, want := range map[string]string{"FROM_LANGUAGE": "1", "FROM_BOTH": "task", "EMPTY": "", "ODD": job.Spec.Env["ODD"]} {
			assert.Equal(t, want, got[name], name)
			assert.Contains(t, got, name)
			delete(got, name)
		}
		delete(got, execMark)
		for name := range got {
			assert.Contains(t, execBaseEnv, name, "nobody promised this variable")
		}
		for _, entry := range os.Environ() {
			name, value, _ := strings.Cut(entry, "=")
			if !slices.Contains(execBaseEnv, name) {
				assert.NotContains(t, got, name, "a variable of the host")
			}
			if len(value) > 8 && name != "PATH" {
				assert.NotContains(t, r.stdout, value, "the host's %s", name)
			}
		}
	}},
	{"the task can set what the executor sets", func(t *testing.T, b *execBench) {
		job := b.python(`import os; print(os.environ["HOME"], os.environ["LANG"])`)
		job.Spec.Env = map[string]string{"HOME": "/nowhere", "LANG": "C"}
		assert.Equal(t, "/nowhere C\n", b.run(t, job).stdout)
	}},
	{"code is one file under the language's name, in a folder of its own", func(t *testing.T, b *execBench) {
		job := b.python(execListing)
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.Equal(t, fmt.Sprintf("%s %x\n", b.Python.Source, execListing), r.stdout)
	}},
	{"files are where and what they should be, and nothing else is there", func(t *testing.T, b *execBench) {
		files := []ports.File{
			{Path: "app/main.py", Content: []byte(execListing)},
			{Path: "app/lib/deep/er/data.bin", Content: []byte{0, 1, 0xff, '\n', '\r'}},
			{Path: "empty", Content: nil},
			{Path: ".hidden", Content: []byte("h")},
			{Path: "-rf", Content: []byte("dash")},
			{Path: "with space/日本 é", Content: []byte("unicode")},
			{Path: "$HOME/*", Content: []byte("shell")},
			{Path: strings.Repeat("d/", 100) + "deep", Content: []byte("deep")},
			{Path: strings.Repeat("n", ports.MaxPathLen), Content: []byte("long")},
			{Path: "big", Content: bytes.Repeat([]byte("big"), 10000)},
		}
		r := b.run(t, b.jobOfFiles(b.Python, "app/main.py", files...))
		r.requireExit(t, 0)
		slices.SortFunc(files, func(x, y ports.File) int { return strings.Compare(x.Path, y.Path) })
		var want strings.Builder
		for _, f := range files {
			fmt.Fprintf(&want, "%s %x\n", f.Path, f.Content)
		}
		assert.Equal(t, want.String(), r.stdout)
	}},
	{"the entrypoint is named relative to the work folder and runs in it", func(t *testing.T, b *execBench) {
		r := b.run(t, b.jobOfFiles(b.Bash, "scripts/start.sh",
			ports.File{Path: "scripts/start.sh", Content: []byte(`echo "$0"; cat data`)},
			ports.File{Path: "data", Content: []byte("beside\n")},
			ports.File{Path: b.Bash.Source, Content: []byte("echo wrong")}))
		r.requireExit(t, 0)
		assert.Equal(t, "scripts/start.sh\nbeside\n", r.stdout)
	}},
	{"a program may change its files and add others", func(t *testing.T, b *execBench) {
		r := b.run(t, b.jobOfFiles(b.Bash, "main.sh",
			ports.File{Path: "main.sh", Content: []byte(`
set -e
echo more >> lib/data; cat lib/data
echo new > lib/new; mkdir made; mv lib made/lib; cat made/lib/new
rm main.sh; echo x > "$TMPDIR"/file; echo y > /tmp/other; rm -r made; echo end`)},
			ports.File{Path: "lib/data", Content: []byte("old\n")}))
		r.requireExit(t, 0)
		assert.Equal(t, "old\nmore\nnew\nend\n", r.stdout, "%s", r.stderr)
	}},
	{"an interpreter may be named without its path", func(t *testing.T, b *execBench) {
		cat := ports.Language{Name: "cat", Image: b.Bash.Image, Source: "text", Run: []string{"cat", "-u", ports.EntrypointArg}}
		job := b.job(cat, "the text")
		r := b.run(t, job)
		r.requireExit(t, 0)
		assert.Equal(t, "the text", r.stdout)
	}},
}

// execListing prints each file below the work folder with its content.
const execListing = `
import os
found = []
for folder, _, names in os.walk(b"."):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as f: found.append((path[2:], f.read()))
for path, content in sorted(found):
    print(os.fsdecode(path), content.hex())
`
