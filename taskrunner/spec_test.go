package taskrunner

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func testPolicy(t testing.TB, change func(*Policy)) (Policy, registry) {
	t.Helper()
	var p Policy
	if change != nil {
		change(&p)
	}
	p, err := p.complete()
	require.NoError(t, err)
	langs, err := newRegistry(BuiltinLanguages())
	require.NoError(t, err)
	return p, langs
}

func files(paths ...string) func(*Spec) {
	return func(s *Spec) {
		s.Code = ""
		for _, p := range paths {
			s.Files = append(s.Files, File{Path: p, Content: []byte("x")})
		}
	}
}

func TestASpecIsCompleted(t *testing.T) {
	t.Parallel()
	policy, langs := testPolicy(t, nil)
	given := Spec{Language: "py", Code: "print(1)", Args: []string{"a"}, Limits: Limits{CPU: 2}}
	got, err := checkSpec(given, policy, langs)
	require.NoError(t, err)
	assert.Equal(t, Spec{
		Language: "python", Code: "print(1)", Entrypoint: "main.py", Args: []string{"a"},
		Limits:      Limits{CPU: 2, Memory: 256 << 20, Timeout: 30 * time.Second, PIDs: 64, Output: 10 << 20, Disk: 64 << 20},
		Queue:       "default",
		MaxAttempts: 3,
	}, got)
	got.Args[0] = "changed"
	assert.Equal(t, "a", given.Args[0], "the caller's spec is not kept")
}

func TestAnEntrypointIsFound(t *testing.T) {
	t.Parallel()
	policy, langs := testPolicy(t, nil)
	for name, test := range map[string]struct {
		paths       []string
		given, want string
	}{
		"the only file":                    {[]string{"run.py"}, "", "run.py"},
		"the language's own among several": {[]string{"lib.py", "main.py"}, "", "main.py"},
		"the one that is named":            {[]string{"lib/a.py", "main.py"}, "lib/a.py", "lib/a.py"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Spec{Language: "python", Entrypoint: test.given}
			files(test.paths...)(&s)
			got, err := checkSpec(s, policy, langs)
			require.NoError(t, err)
			assert.Equal(t, test.want, got.Entrypoint)
		})
	}
}

func TestASpecIsRefusedByTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	policy, langs := testPolicy(t, nil)
	many := func(n int) map[string]string {
		m := make(map[string]string)
		for i := range n {
			m[fmt.Sprintf("n%d", i)] = ""
		}
		return m
	}
	for name, test := range map[string]struct {
		change func(*Spec)
		field  string
		says   string
	}{
		"no language":                         {func(s *Spec) { s.Language = "" }, "language", "python"},
		"an unknown language":                 {func(s *Spec) { s.Language = "cobol" }, "language", "bash, javascript, python"},
		"a language in another case":          {func(s *Spec) { s.Language = "Python" }, "language", "must be one of"},
		"no code":                             {func(s *Spec) { s.Code = "" }, "code", "must not be empty"},
		"code that is not UTF-8":              {func(s *Spec) { s.Code = "\xff" }, "code", "UTF-8"},
		"code and files":                      {func(s *Spec) { s.Files = []File{{Path: "a"}} }, "files", "together with code"},
		"too much code":                       {func(s *Spec) { s.Code = strings.Repeat("x", 1<<20+1) }, "code", "1 MiB"},
		"too large a file":                    {func(s *Spec) { s.Code = ""; s.Files = []File{{Path: "a", Content: make([]byte, 1<<20+1)}} }, "files[0].content", "1 MiB"},
		"too many files":                      {files(make([]string, 101)...), "files", "100"},
		"an absolute path":                    {files("a", "/etc/passwd"), "files[1].path", "relative"},
		"a path that leaves":                  {files("a", "b", "../c"), "files[2].path", "clean"},
		"a path that leaves from within":      {files("a/../../b"), "files[0].path", "clean"},
		"an empty path":                       {files(""), "files[0].path", "empty"},
		"a path with NUL":                     {files("a\x00b"), "files[0].path", "control"},
		"a path with backslashes":             {files(`a\b`), "files[0].path", "slashes"},
		"the same path twice":                 {files("a", "b", "a"), "files[2].path", "different"},
		"a file in a file":                    {files("a", "a/b"), "files[1].path", "in another file"},
		"a file where a folder is":            {files("a/b/c", "a/b"), "files[1].path", "folder"},
		"an entrypoint that is not there":     {func(s *Spec) { files("a", "b")(s); s.Entrypoint = "c" }, "entrypoint", "one of the files"},
		"an entrypoint in another case":       {func(s *Spec) { files("a", "b")(s); s.Entrypoint = "A" }, "entrypoint", "one of the files"},
		"no entrypoint among several":         {files("a", "b"), "entrypoint", `"main.py"`},
		"an entrypoint that is an option":     {files("-c"), "entrypoint", `start with "-"`},
		"an entrypoint beside code":           {func(s *Spec) { s.Entrypoint = "x.py" }, "entrypoint", "left out"},
		"NUL in an argument":                  {func(s *Spec) { s.Args = []string{"a", "\x00"} }, "args[1]", "NUL"},
		"an argument that is not UTF-8":       {func(s *Spec) { s.Args = []string{"\xff"} }, "args[0]", "UTF-8"},
		"an argument longer than Linux takes": {func(s *Spec) { s.Args = []string{strings.Repeat("x", 128<<10)} }, "args[0]", "128 KiB"},
		"too many arguments":                  {func(s *Spec) { s.Args = make([]string, 1001) }, "args", "1000"},
		"arguments too long together": {func(s *Spec) {
			for range 9 {
				s.Args = append(s.Args, strings.Repeat("x", 127<<10))
			}
		}, "args", "1 MiB"},
		"an empty name in env":           {func(s *Spec) { s.Env = map[string]string{"": "x"} }, "env", `""`},
		"a name with = in env":           {func(s *Spec) { s.Env = map[string]string{"A=B": "x"} }, "env", `"A=B"`},
		"a name with a digit first":      {func(s *Spec) { s.Env = map[string]string{"1A": "x"} }, "env", `"1A"`},
		"NUL in env":                     {func(s *Spec) { s.Env = map[string]string{"A": "\x00"} }, "env[A]", "NUL"},
		"too long a variable":            {func(s *Spec) { s.Env = map[string]string{"A": strings.Repeat("x", 128<<10)} }, "env[A]", "128 KiB"},
		"too many variables":             {func(s *Spec) { s.Env = many(1001) }, "env", "1000"},
		"a negative CPU limit":           {func(s *Spec) { s.Limits.CPU = -1 }, "cpu_limit", "from 0.01 to 4"},
		"a CPU limit that is no number":  {func(s *Spec) { s.Limits.CPU = math.NaN() }, "cpu_limit", "to 4"},
		"an infinite CPU limit":          {func(s *Spec) { s.Limits.CPU = math.Inf(1) }, "cpu_limit", "to 4"},
		"a CPU limit above the maximum":  {func(s *Spec) { s.Limits.CPU = 4.01 }, "cpu_limit", "to 4"},
		"a tiny CPU limit":               {func(s *Spec) { s.Limits.CPU = 1e-9 }, "cpu_limit", "from 0.01"},
		"a negative memory limit":        {func(s *Spec) { s.Limits.Memory = -1 }, "memory_limit", "6 MiB to 2 GiB"},
		"a tiny memory limit":            {func(s *Spec) { s.Limits.Memory = 1 }, "memory_limit", "6 MiB"},
		"a memory limit above maximum":   {func(s *Spec) { s.Limits.Memory = 2<<30 + 1 }, "memory_limit", "2 GiB"},
		"a negative timeout":             {func(s *Spec) { s.Limits.Timeout = -time.Second }, "timeout", "10m0s"},
		"a timeout above the maximum":    {func(s *Spec) { s.Limits.Timeout = time.Hour }, "timeout", "10m0s"},
		"a tiny timeout":                 {func(s *Spec) { s.Limits.Timeout = 1 }, "timeout", "1ms"},
		"a negative PIDs limit":          {func(s *Spec) { s.Limits.PIDs = -1 }, "pids_limit", "from 1 to 512"},
		"too many PIDs":                  {func(s *Spec) { s.Limits.PIDs = 513 }, "pids_limit", "512"},
		"a negative output limit":        {func(s *Spec) { s.Limits.Output = -1 }, "output_limit", "100 MiB"},
		"too much output":                {func(s *Spec) { s.Limits.Output = math.MaxInt64 }, "output_limit", "100 MiB"},
		"a negative disk limit":          {func(s *Spec) { s.Limits.Disk = math.MinInt64 }, "disk_limit", "1 GiB"},
		"a disk smaller than the code":   {func(s *Spec) { s.Code = strings.Repeat("x", 5000); s.Limits.Disk = 4096 }, "disk_limit", "8 KiB"},
		"a disk smaller than many files": {func(s *Spec) { files("a", "b", "c")(s); s.Entrypoint = "a"; s.Limits.Disk = 8192 }, "disk_limit", "12 KiB"},
		"a network":                      {func(s *Spec) { s.Network = true }, "network", "operator"},
		"a queue with odd characters":    {func(s *Spec) { s.Queue = "a/b" }, "queue", "64"},
		"a queue of the system's own":    {func(s *Spec) { s.Queue = "~reconcile" }, "queue", "64"},
		"too long a queue":               {func(s *Spec) { s.Queue = strings.Repeat("q", 65) }, "queue", "64"},
		"too high a priority":            {func(s *Spec) { s.Priority = 101 }, "priority", "100"},
		"too low a priority":             {func(s *Spec) { s.Priority = math.MinInt }, "priority", "-100"},
		"negative attempts":              {func(s *Spec) { s.MaxAttempts = -1 }, "max_attempts", "from 1 to 10"},
		"too many attempts":              {func(s *Spec) { s.MaxAttempts = 11 }, "max_attempts", "10"},
		"too many labels":                {func(s *Spec) { s.Labels = many(33) }, "labels", "32"},
		"a label with an odd name":       {func(s *Spec) { s.Labels = map[string]string{"$where": "1"} }, "labels", `"$where"`},
		"a label with a long value":      {func(s *Spec) { s.Labels = map[string]string{"a": strings.Repeat("x", 256)} }, "labels[a]", "255"},
		"a label with control character": {func(s *Spec) { s.Labels = map[string]string{"a": "b\n"} }, "labels[a]", "control"},
		"a label with a terminal's code": {func(s *Spec) { s.Labels = map[string]string{"a": "\u009b2J"} }, "labels[a]", "control"},
		"a label that is not UTF-8":      {func(s *Spec) { s.Labels = map[string]string{"a": "\xc3"} }, "labels[a]", "UTF-8"},
		"too long an idempotency key":    {func(s *Spec) { s.IdempotencyKey = strings.Repeat("k", 256) }, "idempotency_key", "255"},
		"an odd idempotency key":         {func(s *Spec) { s.IdempotencyKey = "é" }, "idempotency_key", "ASCII"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Spec{Language: "python", Code: "print(1)"}
			test.change(&s)
			_, err := checkSpec(s, policy, langs)
			require.ErrorIs(t, err, ErrInvalid)
			var field *FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, test.field, field.Field)
			assert.Contains(t, field.Problem, test.says)
		})
	}
}

func TestAllInputTogetherIsBounded(t *testing.T) {
	t.Parallel()
	policy, langs := testPolicy(t, nil)
	half := func() []File {
		var fs []File
		for i := range 9 {
			fs = append(fs, File{Path: fmt.Sprintf("f%d", i), Content: make([]byte, 1<<20)})
		}
		return fs
	}
	s := Spec{Language: "python", Files: half(), Entrypoint: "f0", Stdin: make([]byte, 1<<20-100)}
	_, err := checkSpec(s, policy, langs)
	require.NoError(t, err)

	for field, change := range map[string]func(*Spec){
		"files":  func(s *Spec) { s.Files = append(half(), File{Path: "x", Content: make([]byte, 1<<20)}) },
		"stdin":  func(s *Spec) { s.Stdin = make([]byte, 1<<20) },
		"args":   func(s *Spec) { s.Args = []string{strings.Repeat("x", 200)} },
		"env":    func(s *Spec) { s.Env = map[string]string{"A": strings.Repeat("x", 200)} },
		"labels": func(s *Spec) { s.Labels = map[string]string{"a": strings.Repeat("x", 200)} },
	} {
		t.Run("too much by "+field, func(t *testing.T) {
			s := s.Clone()
			change(&s)
			_, err := checkSpec(s, policy, langs)
			var fieldErr *FieldError
			require.ErrorAs(t, err, &fieldErr)
			assert.Equal(t, field, fieldErr.Field)
			assert.Contains(t, fieldErr.Problem, "10 MiB")
		})
	}
}

func TestTheOperatorCanAllowMore(t *testing.T) {
	t.Parallel()
	policy, langs := testPolicy(t, func(p *Policy) {
		p.Network = true
		p.Max.PIDs = 1000
		p.MaxCode = 2 << 20
	})
	s := Spec{Language: "js", Code: strings.Repeat("x", 3<<19), Network: true, Limits: Limits{PIDs: 1000}}
	_, err := checkSpec(s, policy, langs)
	assert.NoError(t, err)
}

// FuzzCheckSpec demands that no spec makes the check panic, and that one that is
// accepted is complete, so that checking it again changes nothing.
func FuzzCheckSpec(f *testing.F) {
	f.Add("python", "print(1)", "", "", "", "", "A", "b", "", "k", 0.0, int64(0), int64(0), 0, 0)
	f.Add("js", "", "main.js", "a/b.js", "", "x", "PATH", "", "q", "", 1.5, int64(1<<28), int64(time.Second), 3, 1)
	f.Add("bash", "", "../x", "x/", "-c", "\x00", "1", "\xff", "é", "\n", math.NaN(), int64(-1), int64(1), -1, 101)
	policy, langs := testPolicy(f, nil)
	f.Fuzz(func(t *testing.T, language, code, path1, path2, entrypoint, arg, name, value, queue, key string,
		cpu float64, bytes, timeout int64, small, priority int,
	) {
		s := Spec{
			Language: language, Code: code, Entrypoint: entrypoint, Args: []string{arg},
			Env: map[string]string{name: value}, Labels: map[string]string{value: name},
			Limits: Limits{CPU: cpu, Memory: bytes, Timeout: time.Duration(timeout), PIDs: small, Output: bytes, Disk: bytes},
			Queue:  queue, Priority: priority, MaxAttempts: small, IdempotencyKey: key,
		}
		if path1 != "" || path2 != "" {
			s.Files = []File{{Path: path1, Content: []byte(arg)}, {Path: path2}}
		}
		got, err := checkSpec(s, policy, langs)
		if err != nil {
			var field *FieldError
			require.ErrorAs(t, err, &field)
			require.NotEmpty(t, field.Field)
			return
		}
		again, err := checkSpec(got, policy, langs)
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.True(t, equalSpecs(got, again))

		_, ok := langs.byName[got.Language]
		require.True(t, ok)
		require.NotEmpty(t, got.Entrypoint)
		require.NoError(t, ports.ValidatePath("entrypoint", got.Entrypoint))
		require.NotEmpty(t, got.Queue)
		require.Positive(t, got.MaxAttempts)
		require.NoError(t, checkLimits("", got.Limits, policy.Max))
		for _, f := range got.Files {
			require.NoError(t, ports.ValidatePath("path", f.Path))
		}
	})
}

func TestSpecsAreComparedWhole(t *testing.T) {
	t.Parallel()
	base := func() Spec {
		return Spec{
			Language: "python", Files: []File{{Path: "a", Content: []byte("x")}}, Entrypoint: "a",
			Args: []string{"1"}, Stdin: []byte("in"), Env: map[string]string{"A": "b"}, Labels: map[string]string{"l": "m"},
			Limits: Limits{CPU: 1}, Queue: "q", MaxAttempts: 1, IdempotencyKey: "k",
		}
	}
	assert.True(t, equalSpecs(base(), base()))
	assert.True(t, equalSpecs(Spec{Args: []string{}, Env: map[string]string{}, Stdin: []byte{}, Files: []File{}}, Spec{}), "nil is empty")
	for name, change := range map[string]func(*Spec){
		"language":   func(s *Spec) { s.Language = "bash" },
		"code":       func(s *Spec) { s.Code = "x" },
		"path":       func(s *Spec) { s.Files[0].Path = "b" },
		"content":    func(s *Spec) { s.Files[0].Content = []byte("y") },
		"entrypoint": func(s *Spec) { s.Entrypoint = "b" },
		"args":       func(s *Spec) { s.Args[0] = "2" },
		"stdin":      func(s *Spec) { s.Stdin = nil },
		"env":        func(s *Spec) { s.Env["A"] = "c" },
		"labels":     func(s *Spec) { s.Labels["l"] = "n" },
		"limits":     func(s *Spec) { s.Limits.CPU = 2 },
		"network":    func(s *Spec) { s.Network = true },
		"queue":      func(s *Spec) { s.Queue = "p" },
		"priority":   func(s *Spec) { s.Priority = 1 },
		"attempts":   func(s *Spec) { s.MaxAttempts = 2 },
		"key":        func(s *Spec) { s.IdempotencyKey = "l" },
	} {
		t.Run("another "+name, func(t *testing.T) {
			s := base()
			change(&s)
			assert.False(t, equalSpecs(base(), s))
		})
	}
}
