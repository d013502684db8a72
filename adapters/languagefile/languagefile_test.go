package languagefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/languagefile"
	"github.com/task-runner/task-runner/ports"
)

const complete = `# Languages of this installation.
languages:
  ruby:
    aliases: [rb, "ruby3"]
    version: 3.10
    image: ruby:3.3-slim
    source: main.rb
    run: [ruby, "{entrypoint}"]
    sample: |
      # A comment: of the sample's own.
      - - - [ &x {

      3.times do |i|
        puts "#{i}: \t"
      end
  c:
    source: src/main.c
    compile:
      - gcc
      - -O2
      - "{entrypoint}"
    compile_timeout: 1m30s
    run: [./a.out]
    env:
      DEBUG: true
      LEVEL: 3
      TEXT: |
        two
        lines
`

func TestParseReadsEveryField(t *testing.T) {
	t.Parallel()
	got, err := languagefile.Parse(strings.NewReader(complete))
	require.NoError(t, err)
	assert.Equal(t, []ports.Language{
		{
			Name: "ruby", Aliases: []string{"rb", "ruby3"}, Version: "3.10", Image: "ruby:3.3-slim",
			Source: "main.rb", Run: []string{"ruby", ports.EntrypointArg},
			Sample: "# A comment: of the sample's own.\n- - - [ &x {\n\n3.times do |i|\n  puts \"#{i}: \\t\"\nend\n",
		},
		{
			Name: "c", Source: "src/main.c", Compile: []string{"gcc", "-O2", ports.EntrypointArg},
			CompileTimeout: 90 * time.Second, Run: []string{"./a.out"},
			Env: map[string]string{"DEBUG": "true", "LEVEL": "3", "TEXT": "two\nlines\n"},
		},
	}, got)
}

func TestParseReadsTimeoutsInBothForms(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{"90": 90 * time.Second, "0.5": time.Second / 2, "2m": 2 * time.Minute, `"45s"`: 45 * time.Second} {
		got, err := languagefile.Parse(strings.NewReader("languages: {c: {source: a, run: [a], compile_timeout: " + in + "}}"))
		require.NoError(t, err, in)
		assert.Equal(t, want, got[0].CompileTimeout, in)
	}
}

func TestParseNamesLineAndFieldOfEveryMistake(t *testing.T) {
	t.Parallel()
	const ok = "source: a, run: [a]"
	tests := []struct {
		name string
		in   string
		want []string
	}{
		{"an empty file", "", []string{"languages must not be empty"}},
		{"a comment alone", "# nothing\n", []string{"languages must not be empty"}},
		{"no languages", "languages: {}", []string{"line 1: languages must have at least one language"}},
		{"languages that are nothing", "languages:\n", []string{"line 1: languages must be a mapping, not nothing"}},
		{"a list of languages", "languages:\n  - ruby\n", []string{"line 2: languages must be a mapping, not a list"}},
		{"a text", "ruby", []string{"line 1: languages must be a mapping, not a single value"}},
		{"no YAML", "languages: [", []string{"line 1: languages must be YAML"}},
		{"a tab as indentation", "languages:\n\truby: 1", []string{"line 2: languages must be YAML"}},
		{"another encoding", "languages:\n  # caf\xe9\n", []string{"line 2: languages must be UTF-8"}},
		{"two documents", "languages: {a: {" + ok + "}}\n---\nlanguages: {b: {" + ok + "}}", []string{"line 3: languages must be in one document"}},
		{"an unknown key at the top", "\nlanguage: {a: {" + ok + "}}", []string{"line 2: language is not a field"}},
		{"an unknown field", "languages:\n  ruby:\n    source: a\n    run: [a]\n    comand: x\n", []string{"line 5: languages.ruby.comand is not a field"}},
		{"a field that is there twice", "languages:\n  ruby:\n    source: a\n    source: b\n    run: [a]\n", []string{"line 4: ", "source"}},
		{"a language that is there twice", "languages:\n  ruby: {" + ok + "}\n  ruby: {" + ok + "}\n", []string{"line 3: ", "ruby"}},
		{"a language that is nothing", "languages:\n  ruby:\n", []string{"line 2: languages.ruby must be a mapping, not nothing"}},
		{"no source and no run", "languages:\n  ruby: {version: 1}", []string{"line 2: languages.ruby.source must be given", "line 2: languages.ruby.run must be given"}},
		{"a bad name", "languages: {Ruby: {" + ok + "}}", []string{`line 1: languages.Ruby has the name "Ruby"`}},
		{"an empty name", `languages: {"": {` + ok + "}}", []string{`has the name ""`}},
		{"a bad alias", "languages: {ruby: {aliases: [R B], " + ok + "}}", []string{`line 1: languages.ruby.aliases has the name "R B"`}},
		{"a source outside", "languages:\n  ruby:\n    run: [a]\n    source: ../a\n", []string{"line 4: languages.ruby.source must be clean"}},
		{"an absolute source", "languages: {ruby: {run: [a], source: /etc/passwd}}", []string{"languages.ruby.source must be relative"}},
		{"a command as a text", "languages:\n  ruby:\n    source: a\n    run: ruby main.rb\n", []string{"line 4: languages.ruby.run must be a list, not a single value"}},
		{"an empty command", "languages: {ruby: {source: a, run: []}}", []string{"languages.ruby.run must start with a program"}},
		{"an empty program", `languages: {ruby: {source: a, run: ["", x]}}`, []string{"languages.ruby.run must start with a program"}},
		{"a nested command", "languages: {ruby: {source: a, run: [a, [b]]}}", []string{"languages.ruby.run must be a text, not a list"}},
		{"a NUL in a command", `languages: {ruby: {source: a, run: ["a\0b"]}}`, []string{"languages.ruby.run must not contain a NUL"}},
		{"a variable's name with =", `languages: {ruby: {env: {"A=B": c}, ` + ok + "}}", []string{`languages.ruby.env has the name "A=B"`}},
		{"a variable that is a list", "languages: {ruby: {env: {A: [b]}, " + ok + "}}", []string{"languages.ruby.env.A must be a text, not a list"}},
		{"a sample that is a list", "languages:\n  ruby:\n    source: a\n    run: [a]\n    sample: [b]\n", []string{"line 5: languages.ruby.sample must be a text, not a list"}},
		{"a sample that is nothing", "languages:\n  ruby:\n    source: a\n    run: [a]\n    sample:\n", []string{"line 5: languages.ruby.sample must be a text, not nothing"}},
		{"a NUL in a sample", `languages: {ruby: {sample: "a\0b", ` + ok + "}}", []string{"line 1: languages.ruby.sample must not contain a NUL"}},
		{"a timeout of zero", "languages: {ruby: {compile_timeout: 0, " + ok + "}}", []string{"languages.ruby.compile_timeout must be seconds"}},
		{"a timeout below zero", "languages: {ruby: {compile_timeout: -1s, " + ok + "}}", []string{"languages.ruby.compile_timeout must be seconds"}},
		{"a timeout without end", "languages: {ruby: {compile_timeout: .inf, " + ok + "}}", []string{"languages.ruby.compile_timeout must be seconds"}},
		{"a timeout that is no number", "languages: {ruby: {compile_timeout: .nan, " + ok + "}}", []string{"languages.ruby.compile_timeout must be seconds"}},
		{"a timeout of days", "languages: {ruby: {compile_timeout: 1e9, " + ok + "}}", []string{"languages.ruby.compile_timeout must be seconds"}},
		{"a timeout in words", "languages: {ruby: {compile_timeout: soon, " + ok + "}}", []string{`not "soon"`}},
		{"an anchor", "languages:\n  a: &x {" + ok + "}\n", []string{"line 2: languages.a must be a mapping, not an anchor"}},
		{"an alias", "languages:\n  a: &x {" + ok + "}\n  b: *x\n", []string{"line 3: languages.b must be a mapping, not an alias"}},
		{"a merge key", "languages:\n  a:\n    <<: {" + ok + "}\n", []string{"line 3: languages.a must have plain keys, not a merge key"}},
		{"a tag", "languages: {a: {source: !!str a, run: [a]}}", []string{"languages.a.source must be a text, not a tag"}},
		{"a key that is a list", "languages: {? [a] : b}", []string{"languages must"}},
		{"deep nesting", "languages: " + strings.Repeat("[", 30_000), []string{"line 1: languages must not be nested so deeply"}},
		{"deep indentation", "languages:\n" + strings.Repeat(" ", 400) + "a: b", []string{"line 2: languages must not be nested so deeply"}},
		{"nested dashes", "languages: \n  " + strings.Repeat("- ", 200) + "a", []string{"line 2: languages must not be nested so deeply"}},
		{"nested explicit keys", "? ? ? " + strings.Repeat("? ", 20_000) + "a", []string{"line 1: languages must not be nested so deeply"}},
		{"a file that is too large", strings.Repeat("#", languagefile.MaxSize+1), []string{"must be at most 65536 bytes"}},
		{"several mistakes at once", "languages:\n  a: {run: [a]}\n  b: {source: a}\n", []string{"line 2: languages.a.source", "line 3: languages.b.run"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := languagefile.Parse(strings.NewReader(test.in))
			require.ErrorIs(t, err, ports.ErrInvalid)
			assert.Empty(t, got)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "languages.yaml")

	_, err := languagefile.Load(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, path)

	require.NoError(t, os.WriteFile(path, []byte("languages:\n  ruby: {version: 3}"), 0o600))
	_, err = languagefile.Load(path)
	require.ErrorIs(t, err, ports.ErrInvalid)
	assert.ErrorContains(t, err, path+": line 2: languages.ruby.source")

	require.NoError(t, os.WriteFile(path, []byte(complete), 0o600))
	got, err := languagefile.Load(path)
	require.NoError(t, err)
	assert.Len(t, got, 2)
}

func TestParseReturnsTheReadersError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := languagefile.Parse(iotest.ErrReader(broken))
	assert.ErrorIs(t, err, broken)
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{complete, "", "languages: [", "languages: {a: &x {b: *x}}", "a: |\n  b\n", "? - a\n: - b\n", "\"\\0\": {'': .nan}", "--- a\n...\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		languages, err := languagefile.Parse(strings.NewReader(src))
		if err != nil {
			require.ErrorIs(t, err, ports.ErrInvalid)
			require.Nil(t, languages)
			return
		}
		require.NotEmpty(t, languages)
		for _, l := range languages {
			require.NoError(t, ports.ValidatePath("source", l.Source))
			require.NotEmpty(t, l.Run)
			require.NotEmpty(t, l.Run[0])
			require.LessOrEqual(t, len(l.Sample), ports.MaxSample)
			require.NotContains(t, l.Sample, "\x00")
			require.True(t, utf8.ValidString(l.Sample))
			require.GreaterOrEqual(t, l.CompileTimeout, time.Duration(0))
			for _, name := range append([]string{l.Name}, l.Aliases...) {
				require.NotEmpty(t, name)
			}
		}
	})
}
