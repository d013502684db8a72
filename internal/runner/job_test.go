package runner_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/runner/frame"
	"github.com/task-runner/task-runner/ports"
)

// aJob is one that any sandbox runs.
func aJob(change func(*ports.Job)) ports.Job {
	job := ports.Job{
		Language: ports.Language{Name: "c", Source: "main.c", Run: []string{"./main", ports.EntrypointArg}},
		Spec: ports.Spec{Code: "code", Limits: ports.Limits{
			CPU: 1, Memory: 64 << 20, Timeout: time.Minute, PIDs: 16, Output: 1 << 20, Disk: 16 << 20,
		}},
	}
	if change != nil {
		change(&job)
	}
	return job
}

func files(paths ...string) []ports.File {
	var all []ports.File
	for _, p := range paths {
		all = append(all, ports.File{Path: p, Content: []byte("content")})
	}
	return all
}

func TestCheckJob(t *testing.T) {
	t.Parallel()
	limit := func(change func(*ports.Limits)) func(*ports.Job) {
		return func(j *ports.Job) { change(&j.Spec.Limits) }
	}
	for name, c := range map[string]struct {
		change func(*ports.Job)
		field  string // "" where the job is taken
	}{
		"an ordinary job":                     {nil, ""},
		"no command":                          {func(j *ports.Job) { j.Language.Run = nil }, "language"},
		"a network where there is none":       {func(j *ports.Job) { j.Spec.Network = true }, "network"},
		"no CPU":                              {limit(func(l *ports.Limits) { l.CPU = 0 }), "cpu_limit"},
		"less than no CPU":                    {limit(func(l *ports.Limits) { l.CPU = -1 }), "cpu_limit"},
		"CPU that is not a number":            {limit(func(l *ports.Limits) { l.CPU = math.NaN() }), "cpu_limit"},
		"CPU without end":                     {limit(func(l *ports.Limits) { l.CPU = math.Inf(1) }), "cpu_limit"},
		"no memory":                           {limit(func(l *ports.Limits) { l.Memory = 0 }), "memory_limit"},
		"memory without end":                  {limit(func(l *ports.Limits) { l.Memory = math.MaxInt64 }), "memory_limit"},
		"no time":                             {limit(func(l *ports.Limits) { l.Timeout = 0 }), "timeout"},
		"less than no time":                   {limit(func(l *ports.Limits) { l.Timeout = math.MinInt64 }), "timeout"},
		"the most time":                       {limit(func(l *ports.Limits) { l.Timeout = frame.MaxTimeout }), ""},
		"time without end":                    {limit(func(l *ports.Limits) { l.Timeout = math.MaxInt64 }), "timeout"},
		"no processes":                        {limit(func(l *ports.Limits) { l.PIDs = 0 }), "pids_limit"},
		"the most processes":                  {limit(func(l *ports.Limits) { l.PIDs = 4_000_000 }), ""},
		"more processes than a kernel counts": {limit(func(l *ports.Limits) { l.PIDs = 1 << 22 }), "pids_limit"},
		"processes without end":               {limit(func(l *ports.Limits) { l.PIDs = math.MaxInt }), "pids_limit"},
		"no output":                           {limit(func(l *ports.Limits) { l.Output = 0 }), "output_limit"},
		"output without end":                  {limit(func(l *ports.Limits) { l.Output = math.MaxInt64 }), "output_limit"},
		"no disk":                             {limit(func(l *ports.Limits) { l.Disk = 0 }), "disk_limit"},
		"disk without end":                    {limit(func(l *ports.Limits) { l.Disk = math.MaxInt64 }), "disk_limit"},
		"a compiler without a timeout":        {func(j *ports.Job) { j.Language.Compile = []string{"cc"} }, ""},
		"a compiler with less than no time":   {func(j *ports.Job) { j.Language.CompileTimeout = -1 }, "language"},
		"a compiler with time without end":    {func(j *ports.Job) { j.Language.CompileTimeout = math.MaxInt64 }, "language"},
		"a variable without a name":           {func(j *ports.Job) { j.Spec.Env = map[string]string{"": "x"} }, "env"},
		"a name with an equals sign":          {func(j *ports.Job) { j.Language.Env = map[string]string{"A=B": "x"} }, "env"},
		"a file outside of the folder":        {func(j *ports.Job) { j.Spec.Files = files("ok", "../x") }, "files[1].path"},
		"a source that is no path":            {func(j *ports.Job) { j.Language.Source = "/etc/passwd" }, "files[0].path"},
		"files that fit exactly": {func(j *ports.Job) {
			j.Spec.Files = []ports.File{{Path: "a", Content: make([]byte, 16<<20)}}
		}, ""},
		"files that do not fit": {func(j *ports.Job) {
			j.Spec.Files = []ports.File{{Path: "a", Content: make([]byte, 16<<20-4096)}, {Path: "b", Content: []byte("xx")}, {Path: "c", Content: []byte("x")}}
		}, "disk_limit"},
		"more files and folders than a small disk has": {func(j *ports.Job) {
			j.Spec.Limits.Disk = 4096
			for i := range 512 {
				j.Spec.Files = append(j.Spec.Files, ports.File{Path: fmt.Sprintf("%d/file", i)})
			}
		}, "disk_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := aJob(c.change)
			err := runner.CheckJob(job, false, job.Spec.Limits.Disk)
			if c.field == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ports.ErrInvalid)
			var field *ports.FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, c.field, field.Field)
		})
	}
	t.Run("a network where there is one", func(t *testing.T) {
		t.Parallel()
		assert.NoError(t, runner.CheckJob(aJob(func(j *ports.Job) { j.Spec.Network = true }), true, 1<<20))
	})
	t.Run("no room at all", func(t *testing.T) {
		t.Parallel()
		assert.ErrorIs(t, runner.CheckJob(aJob(nil), false, 0), ports.ErrInvalid)
	})
}

func TestARequestIsWhatTheJobSays(t *testing.T) {
	t.Parallel()
	place := runner.Place{WorkDir: "/work", Path: "/bin"}
	t.Run("with code and a compiler", func(t *testing.T) {
		t.Parallel()
		job := aJob(func(j *ports.Job) {
			j.Language.Compile = []string{"cc", ports.EntrypointArg}
			j.Language.Env = map[string]string{"A": "language", "B": "language", "HOME": "/home"}
			j.Spec.Env = map[string]string{"A": "task"}
			j.Spec.Args = []string{"x", ports.EntrypointArg}
			j.Spec.Stdin = []byte("input")
		})
		req := place.Request(job)
		require.NoError(t, req.Validate())
		env := []string{"A=task", "B=language", "HOME=/home", "LANG=C.UTF-8", "PATH=/bin", "TMPDIR=/tmp"}
		assert.Equal(t, []runner.Step{
			{Name: "compile", Argv: []string{"cc", "main.c"}, Env: env, Timeout: 30 * time.Second},
			{Name: "run", Argv: []string{"./main", "main.c", "x", ports.EntrypointArg}, Env: env, Timeout: time.Minute},
		}, req.Steps, "a task's own argument stays as it is")
		assert.Equal(t, []runner.File{{Path: "main.c", Mode: 0o644, Content: []byte("code")}}, req.Files)
		assert.Equal(t, "/work", req.WorkDir)
		assert.Equal(t, "input", string(req.Stdin))
		assert.EqualValues(t, 1<<20, req.OutputLimit)
		assert.EqualValues(t, 4<<20, req.OutputKill)
		assert.Equal(t, []string{"./main", ports.EntrypointArg}, job.Language.Run, "the language's command stays as it is")
		assert.EqualValues(t, len("code"), runner.FilesSize(req))
		assert.Equal(t, 100*time.Second, runner.Patience(job))
	})
	t.Run("with files", func(t *testing.T) {
		t.Parallel()
		req := place.Request(aJob(func(j *ports.Job) {
			j.Language.CompileTimeout = time.Second // of no compiler
			j.Spec.Code, j.Spec.Files, j.Spec.Entrypoint = "", files("lib/a.c", "b.c"), "b.c"
		}))
		require.NoError(t, req.Validate())
		require.Len(t, req.Steps, 1)
		assert.Equal(t, []string{"./main", "b.c"}, req.Steps[0].Argv)
		assert.Equal(t, "lib/a.c", req.Files[0].Path)
		assert.EqualValues(t, 14, runner.FilesSize(req))
	})
	t.Run("with the greatest limits that are taken", func(t *testing.T) {
		t.Parallel()
		job := aJob(func(j *ports.Job) {
			j.Language.Compile, j.Language.CompileTimeout = []string{"cc"}, frame.MaxTimeout
			j.Spec.Limits = ports.Limits{
				CPU: 1 << 10, Memory: 1 << 50, Timeout: frame.MaxTimeout, PIDs: 4_000_000, Output: 1 << 48, Disk: 1 << 50,
			}
		})
		require.NoError(t, runner.CheckJob(job, false, job.Spec.Limits.Disk))
		assert.NoError(t, place.Request(job).Validate())
		assert.Greater(t, runner.Patience(job), 2*frame.MaxTimeout)
	})
}
