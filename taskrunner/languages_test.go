package taskrunner

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

func lang(name string, aliases ...string) Language {
	return Language{Name: name, Aliases: aliases, Source: "main.x", Run: []string{"x", ports.EntrypointArg}}
}

func TestBuiltinLanguagesAreFoundByNameAndAlias(t *testing.T) {
	t.Parallel()
	r, err := newRegistry(BuiltinLanguages())
	require.NoError(t, err)
	for given, want := range map[string]string{
		"python": "python", "py": "python", "python3": "python",
		"javascript": "javascript", "js": "javascript", "node": "javascript", "nodejs": "javascript",
		"bash": "bash",
	} {
		l, ok := r.find(given)
		assert.True(t, ok, given)
		assert.Equal(t, want, l.Name)
		assert.Contains(t, l.Run, ports.EntrypointArg)
		assert.NotEmpty(t, l.Sample)
	}
	for _, given := range []string{"", "sh", "Python", "python2", "typescript"} {
		_, ok := r.find(given)
		assert.False(t, ok, given)
	}
}

func TestLanguagesAreMerged(t *testing.T) {
	t.Parallel()
	base := []Language{lang("b", "x", "y"), lang("a")}
	got, err := MergeLanguages(base, []Language{lang("c", "x"), {Name: "a", Source: "a", Run: []string{"new"}}})
	require.NoError(t, err)
	require.Len(t, got, 3)
	assert.Equal(t, []string{"new"}, got[0].Run, "one of the same name is replaced")
	assert.Equal(t, []string{"y"}, got[1].Aliases, "an alias goes to who claims it")
	assert.Equal(t, []string{"x"}, got[2].Aliases)
	assert.Equal(t, []string{"x", "y"}, base[0].Aliases, "the arguments stay as they are")

	got, err = MergeLanguages(base, []Language{lang("y")})
	require.NoError(t, err)
	assert.Equal(t, []string{"x"}, got[1].Aliases, "a new name is taken from the aliases")
	_, err = MergeLanguages(base, []Language{lang("c", "b")})
	assert.ErrorIs(t, err, ErrInvalid, "a name that stays is not taken by an alias")
}

func TestASampleMayBeAsLargeAsIsAllowed(t *testing.T) {
	t.Parallel()
	l := lang("a")
	l.Sample = strings.Repeat("a", ports.MaxSample)
	_, err := newRegistry([]Language{l})
	assert.NoError(t, err)
}

func TestALanguageIsRefusedByTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		list  func(*Language) []Language
		field string
	}{
		"an empty name":           {func(l *Language) []Language { l.Name = ""; return nil }, "languages[0].name"},
		"upper case":              {func(l *Language) []Language { l.Name = "A"; return nil }, "languages[0].name"},
		"an odd alias":            {func(l *Language) []Language { l.Aliases = []string{"ok", "a b"}; return nil }, "languages[0].aliases[1]"},
		"no source":               {func(l *Language) []Language { l.Source = ""; return nil }, "languages[0].source"},
		"a source that leaves":    {func(l *Language) []Language { l.Source = "../x"; return nil }, "languages[0].source"},
		"a source like an option": {func(l *Language) []Language { l.Source = "-x"; return nil }, "languages[0].source"},
		"nothing to run":          {func(l *Language) []Language { l.Run = nil; return nil }, "languages[0].run"},
		"an empty command":        {func(l *Language) []Language { l.Run = []string{""}; return nil }, "languages[0].run[0]"},
		"NUL in the compiler":     {func(l *Language) []Language { l.Compile = []string{"cc", "\x00"}; return nil }, "languages[0].compile[1]"},
		"a negative timeout":      {func(l *Language) []Language { l.CompileTimeout = -1; return nil }, "languages[0].compile_timeout"},
		"an odd variable":         {func(l *Language) []Language { l.Env = map[string]string{"A B": ""}; return nil }, "languages[0].env"},
		"NUL in the sample":       {func(l *Language) []Language { l.Sample = "a\x00b"; return nil }, "languages[0].sample"},
		"a sample of no text":     {func(l *Language) []Language { l.Sample = "\xff"; return nil }, "languages[0].sample"},
		"a sample too large":      {func(l *Language) []Language { l.Sample = strings.Repeat("a", ports.MaxSample+1); return nil }, "languages[0].sample"},
		"the same name twice":     {func(l *Language) []Language { return []Language{*l, *l} }, "languages[1]"},
		"another one's alias":     {func(l *Language) []Language { return []Language{*l, lang("b", "c"), lang("d", "c")} }, "languages[2]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lang("a")
			list := test.list(&l)
			if list == nil {
				list = []Language{l}
			}
			_, err := newRegistry(list)
			var field *FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, test.field, field.Field)
		})
	}
}
