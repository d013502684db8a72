package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/apps/internal/settings"
)

// program has one setting of every kind.
type program struct {
	set     *settings.Set
	addr    *string
	workers *int
	keep    *time.Duration
	memory  *int64
	quiet   *bool
	env     *[]string
}

func newProgram() program {
	s := settings.New()
	s.Group("Addresses")
	p := program{set: s}
	p.addr = settings.Var(s, "api-addr", "HOST:PORT", "127.0.0.1:8000", "where the API listens", settings.Addr)
	s.Group("The rest")
	p.workers = settings.Var(s, "concurrency", "N", "", "how many tasks run at once", settings.Count(1))
	s.ShowDefault("concurrency", "one for each processor")
	p.keep = settings.Var(s, "retention", "TIME", "24h", "how long tasks are kept", settings.Period)
	p.memory = settings.Var(s, "memory", "SIZE", "", "memory", settings.Size)
	p.quiet = settings.Bool(s, "quiet", "say nothing")
	p.env = settings.Repeated(s, "env", "NAME=VALUE", "a variable", settings.Text)
	return p
}

func TestAFlagBeatsItsVariableAndThatBeatsTheDefault(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args, env []string
		want      string
	}{
		"nothing given is the default":       {want: "127.0.0.1:8000"},
		"an empty variable is not set":       {env: []string{"TASKRUNNER_API_ADDR="}, want: "127.0.0.1:8000"},
		"a variable":                         {env: []string{"TASKRUNNER_API_ADDR=h:1"}, want: "h:1"},
		"a flag":                             {args: []string{"--api-addr", "h:2"}, want: "h:2"},
		"both":                               {args: []string{"--api-addr=h:2"}, env: []string{"TASKRUNNER_API_ADDR=h:1"}, want: "h:2"},
		"the last flag counts":               {args: []string{"--api-addr=h:2", "--api-addr=h:3"}, want: "h:3"},
		"a flag hides a variable's nonsense": {args: []string{"--api-addr=h:2"}, env: []string{"TASKRUNNER_API_ADDR=nonsense"}, want: "h:2"},
		"other variables are left alone":     {env: []string{"API_ADDR=h:1", "TASKRUNNER_SERVICE_PORT=x"}, want: "127.0.0.1:8000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProgram()
			rest, err := p.set.Parse(tt.args, tt.env)
			require.NoError(t, err)
			assert.Empty(t, rest)
			assert.Equal(t, tt.want, *p.addr)
		})
	}
}

func TestValuesAreParsed(t *testing.T) {
	t.Parallel()
	p := newProgram()
	rest, err := p.set.Parse(
		[]string{"--quiet", "--memory=256m", "--env", "A=1,2", "--env=B=3", "prog.py", "--quiet=false", "-x"},
		[]string{"TASKRUNNER_CONCURRENCY=7", "TASKRUNNER_RETENTION=1.5"})
	require.NoError(t, err)
	assert.Equal(t, []string{"prog.py", "--quiet=false", "-x"}, rest)
	assert.Equal(t, 7, *p.workers)
	assert.Equal(t, 1500*time.Millisecond, *p.keep)
	assert.EqualValues(t, 256<<20, *p.memory)
	assert.True(t, *p.quiet)
	assert.Equal(t, []string{"A=1,2", "B=3"}, *p.env)
}

func TestEachLineOfARepeatedSettingsVariableIsAValue(t *testing.T) {
	t.Parallel()
	p := newProgram()
	_, err := p.set.Parse(nil, []string{"TASKRUNNER_ENV=A=1\nB=2\n", "TASKRUNNER_QUIET=1"})
	require.NoError(t, err)
	assert.Equal(t, []string{"A=1", "B=2"}, *p.env)
	assert.True(t, *p.quiet)
}

func TestABadValueIsRefusedNamingFlagAndVariable(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args, env []string
		want      string
	}{
		"a flag that is no number": {args: []string{"--concurrency=many"},
			want: `--concurrency="many" (TASKRUNNER_CONCURRENCY) must be a whole number from 1 to 2147483647`},
		"a variable that is no number": {env: []string{"TASKRUNNER_CONCURRENCY=0"},
			want: `TASKRUNNER_CONCURRENCY="0" (--concurrency) must be a whole number from 1 to 2147483647`},
		"a flag that is empty":       {args: []string{"--api-addr="}, want: `--api-addr="" (TASKRUNNER_API_ADDR) must be HOST:PORT`},
		"an address without a port":  {args: []string{"--api-addr=localhost"}, want: "must be HOST:PORT"},
		"a port above 65535":         {args: []string{"--api-addr=:65536"}, want: "must have a port from 0 to 65535"},
		"a port with a name":         {args: []string{"--api-addr=:http"}, want: "must have a port from 0 to 65535"},
		"a negative time":            {args: []string{"--retention=-1s"}, want: "must be a time"},
		"a time that is not finite":  {args: []string{"--retention=NaN"}, want: "is too long"},
		"a time beyond all measure":  {args: []string{"--retention=1e300"}, want: "is too long"},
		"a size without a number":    {args: []string{"--memory=lots"}, want: "must be a positive size"},
		"a size of zero":             {args: []string{"--memory=0"}, want: "must be a positive size"},
		"a URL with a password":      {args: []string{"--api-addr=http://me:pass/w@rd@host"}, want: `--api-addr="http://***@host" (TASKRUNNER_API_ADDR) must be HOST:PORT`},
		"a switch that is no switch": {args: []string{"--quiet=perhaps"}, want: "must be true or false"},
		"an unknown flag":            {args: []string{"--nonsense"}, want: "flag provided but not defined: --nonsense"},
		"a flag without its value":   {args: []string{"--api-addr"}, want: "flag needs an argument: --api-addr"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProgram()
			_, err := p.set.Parse(tt.args, tt.env)
			var bad *settings.Error
			require.ErrorAs(t, err, &bad)
			assert.Contains(t, err.Error(), tt.want)
		})
	}
}

func TestParsers(t *testing.T) {
	t.Parallel()
	_, err := settings.Names("a,,b")
	assert.Error(t, err)
	names, err := settings.Names("a, b")
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, names)
	for _, bad := range []string{"0", "-1", "NaN", "Inf", "x", ""} {
		_, err := settings.Cores(bad)
		assert.Error(t, err, bad)
	}
	cores, err := settings.Cores("0.5")
	require.NoError(t, err)
	assert.Equal(t, 0.5, cores)
	_, err = settings.Duration("0")
	assert.Error(t, err)
	_, err = settings.OneOf("a", "b")("c")
	assert.EqualError(t, err, "must be one of a, b")
}

func TestHelpShowsEverySettingWithItsVariable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := newProgram()
	p.set.PrintHelp(&out)
	assert.Equal(t, `
Addresses:
  --api-addr HOST:PORT
      where the API listens (env TASKRUNNER_API_ADDR; default 127.0.0.1:8000)

The rest:
  --concurrency N
      how many tasks run at once (env TASKRUNNER_CONCURRENCY; default one for each
      processor)
  --retention TIME
      how long tasks are kept (env TASKRUNNER_RETENTION; default 24h)
  --memory SIZE
      memory (env TASKRUNNER_MEMORY)
  --quiet
      say nothing (env TASKRUNNER_QUIET)
  --env NAME=VALUE
      a variable (env TASKRUNNER_ENV; may be repeated)
`, out.String())

	_, err := newProgram().set.Parse([]string{"--help"}, nil)
	assert.ErrorIs(t, err, settings.ErrHelp)
}

func TestHelpIsWrapped(t *testing.T) {
	t.Parallel()
	s := settings.New()
	s.Group("G")
	settings.Bool(s, "x", strings.Repeat("many words ", 30))
	var out strings.Builder
	s.PrintHelp(&out)
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(line), 89)
	}
}

func TestAMistakenDefaultPanics(t *testing.T) {
	t.Parallel()
	assert.Panics(t, func() {
		settings.Var(settings.New(), "n", "N", "none", "", settings.Count(1))
	})
}

func FuzzParsersNeverPanicNorAcceptWhatIsNotPositive(f *testing.F) {
	for _, seed := range []string{"", "0", "1", "-1", "1e309", "256m", "1h", "NaN", ":0", "[::1]:8000", "9223372036854775807"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := settings.Duration(s); err == nil && d <= 0 {
			t.Errorf("Duration(%q) = %v", s, d)
		}
		if n, err := settings.Size(s); err == nil && n <= 0 {
			t.Errorf("Size(%q) = %v", s, n)
		}
		if c, err := settings.Cores(s); err == nil && !(c > 0) {
			t.Errorf("Cores(%q) = %v", s, c)
		}
		if _, err := settings.Addr(s); err == nil && !strings.Contains(s, ":") {
			t.Errorf("Addr(%q) was accepted", s)
		}
	})
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("of-a-file\n"), 0o600))
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	for name, tt := range map[string]struct {
		args, env     []string
		want, problem string
	}{
		"the default":                   {want: "default"},
		"a variable":                    {env: []string{"SECRET_KEY=hush-hush"}, want: "hush-hush"},
		"a file":                        {env: []string{"SECRET_KEY_FILE=" + file}, want: "of-a-file"},
		"both":                          {env: []string{"SECRET_KEY=hush-hush", "SECRET_KEY_FILE=" + file}, problem: "SECRET_KEY and SECRET_KEY_FILE are both set"},
		"a file that is not there":      {env: []string{"SECRET_KEY_FILE=" + file + "x"}, problem: "SECRET_KEY_FILE cannot be read"},
		"a file of nothing":             {env: []string{"SECRET_KEY_FILE=" + empty}, problem: "which is empty"},
		"a bad one is not shown":        {env: []string{"SECRET_KEY=hush"}, problem: "SECRET_KEY must be long"},
		"on the command line, never":    {args: []string{"--secret-key=hush-hush"}, problem: "flag provided but not defined: --secret-key"},
		"of a file of variables":        {env: []string{"TASKRUNNER_ENV_FILE=" + envFile(t, "SECRET_KEY='in quotes'")}, want: "in quotes"},
		"the environment beats a file":  {env: []string{"TASKRUNNER_ENV_FILE=" + envFile(t, "SECRET_KEY=of-the-file"), "SECRET_KEY=hush-hush"}, want: "hush-hush"},
		"a flag may name that file":     {args: []string{"--env-file", envFile(t, "# none\nexport SECRET_KEY=of-the-file")}, want: "of-the-file"},
		"a file of variables not there": {args: []string{"--env-file", file + "x"}, problem: "--env-file (TASKRUNNER_ENV_FILE): cannot be read"},
		"a file of something else":      {args: []string{"--env-file", envFile(t, "hush hush")}, problem: "is not a file of lines NAME=value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := settings.New()
			settings.EnvFile(s)
			secret := settings.Secret(s, "secret-key", "KEY", "default", "a key", func(text string) (string, error) {
				if len(text) < 7 {
					return "", errors.New("must be long")
				}
				return text, nil
			})
			_, err := s.Parse(tt.args, tt.env)
			if tt.problem != "" {
				require.ErrorContains(t, err, tt.problem)
				assert.NotContains(t, err.Error(), "hush")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, *secret)
			assert.Equal(t, []string{"secret-key"}, s.Secrets(tt.want))
			assert.Empty(t, s.Secrets("x-x"))
		})
	}
}

// envFile returns the name of a file of that text.
func envFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(name, []byte(text+"\n"), 0o600))
	return name
}

func TestTheFileOfVariablesHasEachWithItsDefault(t *testing.T) {
	t.Parallel()
	p := newProgram()
	settings.EnvFile(p.set)
	settings.Secret(p.set, "secret-key", "KEY", "default", "a key", settings.Text)
	var file strings.Builder
	p.set.PrintEnv(&file)
	assert.Equal(t, `## Addresses

# where the API listens
TASKRUNNER_API_ADDR=127.0.0.1:8000

## The rest

# how many tasks run at once (default: one for each processor)
TASKRUNNER_CONCURRENCY=

# how long tasks are kept
TASKRUNNER_RETENTION=24h

# memory
TASKRUNNER_MEMORY=

# say nothing (true or false)
TASKRUNNER_QUIET=false

# a variable
TASKRUNNER_ENV=

# a key (or its file: SECRET_KEY_FILE)
SECRET_KEY=default
`, file.String())
}
