package frame

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/cgroup"
)

// fullRequest has every field set.
func fullRequest() *Request {
	return &Request{
		WorkDir: "/work",
		Files: []File{
			{Path: "main.c", Mode: 0o644, Content: []byte("int main;")},
			{Path: "a/b/empty", Mode: 0o755},
		},
		Steps: []Step{
			{Name: "compile", Argv: []string{"cc", "main.c"}, Env: []string{"PATH=/bin", "EMPTY="}, Dir: "/work/a", Timeout: time.Second},
			{Name: "run", Argv: []string{"./a.out", ""}, Timeout: MaxTimeout},
		},
		Stdin:          []byte{0, 1, 2},
		OutputLimit:    10,
		OutputKill:     40,
		SampleInterval: 250 * time.Millisecond,
		Rlimits:        []Rlimit{{RlimitCore, 1, 1}, {RlimitFSize, 7, math.MaxUint64}},
	}
}

func smallRequest() *Request {
	return &Request{WorkDir: "/", Steps: []Step{{Argv: []string{"x"}, Timeout: 1}}}
}

// payload strips the header, after checking it.
func payload(t testing.TB, want Type, f []byte) []byte {
	t.Helper()
	got, size, err := ParseHeader(f)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Len(t, f, HeaderSize+size)
	return f[HeaderSize:]
}

func TestARequestSurvivesTheWire(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*Request{"full": fullRequest(), "small": smallRequest()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := AppendRequest([]byte("before"), want)
			require.NoError(t, err)
			got, err := ParseRequest(payload(t, TypeRequest, f[len("before"):]))
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}

func TestARequestThatIsCutOrHasMoreIsRefused(t *testing.T) {
	t.Parallel()
	f, err := AppendRequest(nil, fullRequest())
	require.NoError(t, err)
	p := payload(t, TypeRequest, f)
	for n := range p {
		_, err := ParseRequest(p[:n])
		assert.Error(t, err, "cut to %d bytes", n)
	}
	_, err = ParseRequest(append(p, 0))
	assert.ErrorContains(t, err, "trailing")
}

func TestAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	f, err := AppendRequest(nil, fullRequest())
	require.NoError(t, err)
	f[HeaderSize+1]++
	_, err = ParseRequest(f[HeaderSize:])
	assert.ErrorContains(t, err, "version")

	f = AppendReady(nil, Ready{Threads: 3})
	f[HeaderSize+1]++
	_, err = ParseReady(f[HeaderSize:])
	assert.ErrorContains(t, err, "version")
}

func TestARequestOutOfRangeIsRefusedByBothSides(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		field  string
		change func(*Request)
	}{
		"no work folder":                  {"work_dir", func(r *Request) { r.WorkDir = "" }},
		"a relative work folder":          {"work_dir", func(r *Request) { r.WorkDir = "work" }},
		"a work folder with NUL":          {"work_dir", func(r *Request) { r.WorkDir = "/a\x00b" }},
		"too many files":                  {"files", func(r *Request) { r.Files = make([]File, MaxFiles+1) }},
		"a file without a path":           {"files[1].path", func(r *Request) { r.Files[1].Path = "" }},
		"an absolute file":                {"files[0].path", func(r *Request) { r.Files[0].Path = "/etc/passwd" }},
		"a file above the work folder":    {"files[0].path", func(r *Request) { r.Files[0].Path = "a/../../b" }},
		"a file that is the folder":       {"files[0].path", func(r *Request) { r.Files[0].Path = "." }},
		"a file with an empty element":    {"files[0].path", func(r *Request) { r.Files[0].Path = "a//b" }},
		"a file that ends in a slash":     {"files[0].path", func(r *Request) { r.Files[0].Path = "a/" }},
		"a file with NUL":                 {"files[0].path", func(r *Request) { r.Files[0].Path = "a\x00" }},
		"a file with a long path":         {"files[0].path", func(r *Request) { r.Files[0].Path = strings.Repeat("a", MaxPath+1) }},
		"a setuid file":                   {"files[0].mode", func(r *Request) { r.Files[0].Mode = 0o4755 }},
		"no step":                         {"steps", func(r *Request) { r.Steps = nil }},
		"too many steps":                  {"steps", func(r *Request) { r.Steps = make([]Step, MaxSteps+1) }},
		"a long name":                     {"steps[0].name", func(r *Request) { r.Steps[0].Name = strings.Repeat("x", 65) }},
		"no command":                      {"steps[1].argv", func(r *Request) { r.Steps[1].Argv = nil }},
		"an empty command":                {"steps[1].argv", func(r *Request) { r.Steps[1].Argv = []string{"", "a"} }},
		"an argument with NUL":            {"steps[1].argv", func(r *Request) { r.Steps[1].Argv[1] = "a\x00b" }},
		"a long argument":                 {"steps[1].argv", func(r *Request) { r.Steps[1].Argv[1] = strings.Repeat("x", MaxString) }},
		"too many arguments":              {"steps[0].argv", func(r *Request) { r.Steps[0].Argv = slicesOf("x", MaxStrings+1) }},
		"too many variables":              {"steps[0].env", func(r *Request) { r.Steps[0].Env = slicesOf("A=b", MaxStrings+1) }},
		"a variable without a value":      {"steps[0].env", func(r *Request) { r.Steps[0].Env[0] = "PATH" }},
		"a variable without a name":       {"steps[0].env", func(r *Request) { r.Steps[0].Env[0] = "=x" }},
		"a variable with NUL":             {"steps[0].env", func(r *Request) { r.Steps[0].Env[0] = "A=\x00" }},
		"a relative folder":               {"steps[0].dir", func(r *Request) { r.Steps[0].Dir = "a" }},
		"no timeout":                      {"steps[0].timeout", func(r *Request) { r.Steps[0].Timeout = 0 }},
		"a negative timeout":              {"steps[0].timeout", func(r *Request) { r.Steps[0].Timeout = -1 }},
		"an absurd timeout":               {"steps[0].timeout", func(r *Request) { r.Steps[0].Timeout = math.MaxInt64 }},
		"a negative limit on output":      {"output_limit", func(r *Request) { r.OutputLimit = -1 }},
		"an absurd limit on output":       {"output_limit", func(r *Request) { r.OutputLimit = math.MaxInt64; r.OutputKill = math.MaxInt64 }},
		"a kill below the limit":          {"output_kill", func(r *Request) { r.OutputKill = 9 }},
		"an absurd kill":                  {"output_kill", func(r *Request) { r.OutputKill = math.MaxInt64 }},
		"samples all the time":            {"sample_interval", func(r *Request) { r.SampleInterval = 1 }},
		"a negative interval":             {"sample_interval", func(r *Request) { r.SampleInterval = -time.Second }},
		"too many rlimits":                {"rlimits", func(r *Request) { r.Rlimits = make([]Rlimit, maxRlimits+1) }},
		"an rlimit that hits the guard":   {"rlimits[0]", func(r *Request) { r.Rlimits[0].Resource = 9 }},
		"an rlimit that does not exist":   {"rlimits[1]", func(r *Request) { r.Rlimits[1].Resource = 200 }},
		"an rlimit softer than hard":      {"rlimits[0]", func(r *Request) { r.Rlimits[0].Soft = 2 }},
		"fewer descriptors than it needs": {"rlimits[0]", func(r *Request) { r.Rlimits[0] = Rlimit{RlimitNoFile, 10, 1024} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fullRequest()
			c.change(r)
			_, err := AppendRequest(nil, r)
			var refusal *Error
			require.ErrorAs(t, err, &refusal, "the launcher")
			assert.Equal(t, c.field, refusal.Field)
			assert.NotEmpty(t, refusal.Problem)

			f := appendRequest(nil, r) // as a launcher that does not check would
			_, err = ParseRequest(f[HeaderSize:])
			assert.ErrorAs(t, err, &refusal, "the supervisor")
		})
	}
}

func slicesOf(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

func TestARequestThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	r := smallRequest()
	r.Stdin = make([]byte, MaxRequest)
	_, err := AppendRequest(nil, r)
	assert.ErrorContains(t, err, "32 MiB")
}

// A length that the frame cannot hold must not make the decoder allocate for it.
func TestALengthThatCannotBeAllocatesNothing(t *testing.T) {
	p := payload(t, TypeRequest, appendRequest(nil, smallRequest()))
	// The number of steps is behind version, work folder, three numbers and the
	// number of rlimits.
	at := 2 + 4 + 1 + 3*8 + 4
	for _, n := range [][]byte{{0xff, 0xff, 0xff, 0xff}, {0, 0, 0, MaxSteps}} {
		evil := bytes.Clone(p)
		copy(evil[at:], n)
		allocs := testing.AllocsPerRun(10, func() {
			_, err := ParseRequest(evil)
			assert.Error(t, err)
		})
		assert.Less(t, allocs, 40.0)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header  []byte
		problem string
	}{
		"too short":              {[]byte{1, 0, 0, 0}, "cut short"},
		"type 0":                 {[]byte{0, 0, 0, 0, 0}, "unknown type"},
		"a type to come":         {[]byte{8, 0, 0, 0, 0}, "unknown type"},
		"output beyond 32 KiB":   {[]byte{byte(TypeStdout), 0, 0, 0x80, 1}, "longer"},
		"a request of 4 GiB":     {[]byte{byte(TypeRequest), 0xff, 0xff, 0xff, 0xff}, "longer"},
		"a result with a novel":  {[]byte{byte(TypeResult), 0, 1, 0, 0}, "longer"},
		"a started with a novel": {[]byte{byte(TypeStarted), 0, 0, 0, 65}, "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := ParseHeader(c.header)
			assert.ErrorContains(t, err, c.problem)
		})
	}
}

func fullResult() *Result {
	return &Result{
		End: EndSignal, Step: 1, ExitCode: -1, Signal: 11, Wall: time.Second, CPU: time.Millisecond, MaxRSS: 5 << 20,
		StdoutBytes: 1 << 40, StderrBytes: 7,
		Counters: cgroup.Counters{CPU: new(time.Hour), Memory: new(int64(1)), PeakMemory: new(int64(2)), OOMKills: new(int64(0))},
	}
}

func TestReportsSurviveTheWire(t *testing.T) {
	t.Parallel()
	for _, want := range []Ready{{Threads: 9}, {Threads: 1, Counters: fullResult().Counters}} {
		ready, err := ParseReady(payload(t, TypeReady, AppendReady(nil, want)))
		require.NoError(t, err)
		assert.Equal(t, want, ready)
	}

	step, err := ParseStarted(payload(t, TypeStarted, AppendStarted(nil, 3)))
	require.NoError(t, err)
	assert.Equal(t, 3, step)

	for _, want := range []Sample{
		{At: time.Second, CPU: new(time.Minute), Memory: new(int64(4096))},
		{At: 1, Memory: new(int64(0))},
		{},
	} {
		sample, err := ParseSample(payload(t, TypeSample, AppendSample(nil, want)))
		require.NoError(t, err)
		assert.Equal(t, want, sample)
	}

	for _, want := range []*Result{
		fullResult(),
		{End: EndExit, ExitCode: 255},
		{End: EndNotStarted, ExitCode: -1, Message: "python3: executable not found in PATH"},
	} {
		result, err := ParseResult(payload(t, TypeResult, AppendResult(nil, want)))
		require.NoError(t, err)
		assert.Equal(t, want, result)
	}
}

func TestALongMessageIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	r := &Result{End: EndNotStarted, ExitCode: -1, Message: strings.Repeat("é", MaxMessage)}
	got, err := ParseResult(payload(t, TypeResult, AppendResult(nil, r)))
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("é", MaxMessage/2), got.Message)

	r.Message = "x" + r.Message
	got, err = ParseResult(payload(t, TypeResult, AppendResult(nil, r)))
	require.NoError(t, err)
	assert.Equal(t, "x"+strings.Repeat("é", MaxMessage/2-1), got.Message)
}

func TestReportsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	result := func(change func(*Result)) []byte {
		r := fullResult()
		change(r)
		return AppendResult(nil, r)
	}
	for name, f := range map[string][]byte{
		"an end that does not exist":    result(func(r *Result) { r.End = 7 }),
		"no end":                        result(func(r *Result) { r.End = 0 }),
		"a step that cannot be":         result(func(r *Result) { r.Step = MaxSteps }),
		"an exit code of 256":           result(func(r *Result) { r.End, r.Signal, r.ExitCode = EndExit, 0, 256 }),
		"signal 65":                     result(func(r *Result) { r.Signal = 65 }),
		"an exit code and a signal":     result(func(r *Result) { r.ExitCode = 0 }),
		"an exit without a code":        result(func(r *Result) { r.End, r.Signal = EndExit, 0 }),
		"a signal end without a signal": result(func(r *Result) { r.Signal = 0 }),
		"a failed start without a word": result(func(r *Result) { r.End, r.Signal = EndNotStarted, 0 }),
		"negative wall time":            result(func(r *Result) { r.Wall = -1 }),
		"negative CPU time":             result(func(r *Result) { r.CPU = -1 }),
		"a negative size":               result(func(r *Result) { r.MaxRSS = -1 }),
		"negative output":               result(func(r *Result) { r.StdoutBytes = -1 }),
		"negative memory":               result(func(r *Result) { r.Counters.PeakMemory = new(int64(-1)) }),
		"trailing bytes in a result":    append(AppendResult(nil, fullResult()), 0),
		"a ready without threads":       AppendReady(nil, Ready{}),
		"a ready with negative counts":  AppendReady(nil, Ready{Threads: 1, Counters: cgroup.Counters{OOMKills: new(int64(-1))}}),
		"trailing bytes in a ready":     append(AppendReady(nil, Ready{Threads: 1}), 0),
		"step 8 started":                AppendStarted(nil, MaxSteps),
		"trailing bytes in a started":   append(AppendStarted(nil, 0), 0),
		"a sample before the start":     AppendSample(nil, Sample{At: -1}),
		"a sample of negative CPU time": AppendSample(nil, Sample{CPU: new(time.Duration(-1))}),
		"a flag that is 2":              {byte(TypeSample), 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0},
		"output of no bytes":            {byte(TypeStdout), 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Error(t, parseReport(Type(f[0]), f[HeaderSize:]))
		})
	}
}

// parseReport parses what a supervisor sends.
func parseReport(t Type, p []byte) (err error) {
	_, err = reencode(t, p)
	return err
}

// reencode parses a report and encodes what came out again.
func reencode(t Type, p []byte) ([]byte, error) {
	switch t {
	case TypeReady:
		v, err := ParseReady(p)
		return AppendReady(nil, v), err
	case TypeStarted:
		v, err := ParseStarted(p)
		return AppendStarted(nil, v), err
	case TypeStdout, TypeStderr:
		v, err := ParseData(p)
		f := make([]byte, HeaderSize, HeaderSize+len(v))
		PutHeader(f, t, len(v))
		return append(f, v...), err
	case TypeSample:
		v, err := ParseSample(p)
		return AppendSample(nil, v), err
	case TypeResult:
		v, err := ParseResult(p)
		if err != nil {
			return nil, err
		}
		return AppendResult(nil, v), nil
	}
	return nil, &Error{"frame", "is no report"}
}

// What the supervisor accepts is valid and has this one encoding.
func FuzzParseRequest(f *testing.F) {
	for _, r := range []*Request{fullRequest(), smallRequest()} {
		b, err := AppendRequest(nil, r)
		require.NoError(f, err)
		f.Add(b[HeaderSize:])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := ParseRequest(p)
		if err != nil {
			return
		}
		again, err := AppendRequest(nil, r)
		require.NoError(t, err)
		assert.Equal(t, p, again[HeaderSize:])
	})
}

// What the launcher accepts has this one encoding.
func FuzzParseReport(f *testing.F) {
	f.Add(AppendReady(nil, Ready{Threads: 9}))
	f.Add(AppendReady(nil, Ready{Threads: 9, Counters: fullResult().Counters}))
	f.Add(AppendStarted(nil, 1))
	f.Add(AppendSample(nil, Sample{At: 1, CPU: new(time.Second)}))
	f.Add(AppendResult(nil, fullResult()))
	f.Add(AppendResult(nil, &Result{End: EndNotStarted, ExitCode: -1, Message: "why"}))
	f.Add([]byte{byte(TypeStdout), 0, 0, 0, 2, 'h', 'i'})
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, size, err := ParseHeader(b)
		if err != nil || len(b) != HeaderSize+size {
			return
		}
		again, err := reencode(kind, b[HeaderSize:])
		if err == nil {
			assert.Equal(t, b, again)
		}
	})
}
