package httpapi

import (
	"encoding/base64"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/docker/go-units"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/taskrunner"
)

func TestBadSubmissionsAreRefusedWithTheFieldAndLeaveNoTask(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	with := func(member string) string { return `{"language":"python","code":"1",` + member + `}` }
	files := func(list string) string { return `{"language":"python","files":` + list + `}` }
	mib := strings.Repeat("x", 1<<20)

	for name, c := range map[string]struct{ body, field string }{
		"empty body":             {"", "body"},
		"null":                   {"null", "body"},
		"an array":               {"[]", "body"},
		"a string":               {`"x"`, "body"},
		"not JSON":               {"language=python", "body"},
		"cut off":                {`{"language":"python"`, "body"},
		"garbage behind":         {hello + "x", "body"},
		"a second value":         {hello + hello, "body"},
		"invalid UTF-8":          {"{\"language\":\"python\",\"code\":\"\xff\"}", "body"},
		"half a surrogate pair":  {`{"language":"python","code":"\ud800"}`, "body"},
		"a repeated field":       {`{"language":"python","code":"1","code":"2"}`, "code"},
		"a repeated label":       {with(`"labels":{"a":"1","a":"2"}`), "labels.a"},
		"an unknown field":       {with(`"tiemout":3`), "tiemout"},
		"another case":           {with(`"Timeout":3`), "Timeout"},
		"an unknown file field":  {files(`[{"path":"a","content":"1","mode":"0777"}]`), "files[0].mode"},
		"nesting":                {with(`"labels":{"a":{"a":1}}`), "labels.a"},
		"deep nesting":           {with(`"labels":` + strings.Repeat(`{"a":`, 20000) + `1` + strings.Repeat(`}`, 20000)), "body"},
		"deep unknown nesting":   {with(`"x":` + strings.Repeat("[", 100_000)), "x"},
		"no language":            {`{"code":"1"}`, "language"},
		"an unknown language":    {`{"language":"cobol","code":"1"}`, "language"},
		"a language of a number": {`{"language":1,"code":"1"}`, "language"},
		"null language":          {`{"language":null,"code":"1"}`, "language"},
		"no code":                {`{"language":"python"}`, "code"},
		"empty code":             {`{"language":"python","code":""}`, "code"},
		"null code":              {`{"language":"python","code":null}`, "code"},
		"code too long":          {`{"language":"python","code":"` + mib + `x"}`, "code"},
		"code and files":         {with(`"files":[{"path":"a","content":"1"}]`), "files"},

		"timeout zero":           {with(`"timeout":0`), "timeout"},
		"timeout minus zero":     {with(`"timeout":-0.0`), "timeout"},
		"timeout negative":       {with(`"timeout":-1`), "timeout"},
		"timeout null":           {with(`"timeout":null`), "timeout"},
		"timeout as text":        {with(`"timeout":"30"`), "timeout"},
		"timeout tiny":           {with(`"timeout":1e-300`), "timeout"},
		"timeout huge":           {with(`"timeout":1e300`), "timeout"},
		"timeout out of range":   {with(`"timeout":1e999`), "timeout"},
		"timeout above maximum":  {with(`"timeout":86400`), "timeout"},
		"timeout NaN":            {with(`"timeout":NaN`), "body"},
		"timeout infinite":       {with(`"timeout":Infinity`), "body"},
		"cpu zero":               {with(`"cpu_limit":0`), "cpu_limit"},
		"cpu negative":           {with(`"cpu_limit":-0.5`), "cpu_limit"},
		"cpu tiny":               {with(`"cpu_limit":1e-9`), "cpu_limit"},
		"cpu above maximum":      {with(`"cpu_limit":1000`), "cpu_limit"},
		"cpu as an object":       {with(`"cpu_limit":{}`), "cpu_limit"},
		"memory zero":            {with(`"memory_limit":0`), "memory_limit"},
		"memory zero as text":    {with(`"memory_limit":"0"`), "memory_limit"},
		"memory negative":        {with(`"memory_limit":-1`), "memory_limit"},
		"memory negative text":   {with(`"memory_limit":"-1m"`), "memory_limit"},
		"memory malformed":       {with(`"memory_limit":"256x"`), "memory_limit"},
		"memory empty":           {with(`"memory_limit":""`), "memory_limit"},
		"memory hexadecimal":     {with(`"memory_limit":"0x10m"`), "memory_limit"},
		"memory exponent":        {with(`"memory_limit":"1e9"`), "memory_limit"},
		"memory infinite":        {with(`"memory_limit":"inf"`), "memory_limit"},
		"memory overflowing":     {with(`"memory_limit":"9999999999999999p"`), "memory_limit"},
		"memory above int64":     {with(`"memory_limit":1e30`), "memory_limit"},
		"memory fraction":        {with(`"memory_limit":1.5`), "memory_limit"},
		"memory too small":       {with(`"memory_limit":1`), "memory_limit"},
		"memory above maximum":   {with(`"memory_limit":"1t"`), "memory_limit"},
		"memory true":            {with(`"memory_limit":true`), "memory_limit"},
		"memory null":            {with(`"memory_limit":null`), "memory_limit"},
		"pids zero":              {with(`"pids_limit":0`), "pids_limit"},
		"pids fraction":          {with(`"pids_limit":1.5`), "pids_limit"},
		"pids above int64":       {with(`"pids_limit":99999999999999999999`), "pids_limit"},
		"output zero":            {with(`"output_limit":0`), "output_limit"},
		"disk zero":              {with(`"disk_limit":"0b"`), "disk_limit"},
		"attempts zero":          {with(`"max_attempts":0`), "max_attempts"},
		"attempts above maximum": {with(`"max_attempts":1000000`), "max_attempts"},
		"priority above maximum": {with(`"priority":101`), "priority"},
		"priority null":          {with(`"priority":null`), "priority"},
		"network not allowed":    {with(`"network":true`), "network"},
		"network null":           {with(`"network":null`), "network"},
		"queue with a slash":     {with(`"queue":"../x"`), "queue"},
		"queue too long":         {with(`"queue":"` + strings.Repeat("q", 65) + `"`), "queue"},
		"env with a bad name":    {with(`"env":{"A=B":"c"}`), "env"},
		"env with NUL":           {with(`"env":{"A":"\u0000"}`), "env[A]"},
		"env null":               {with(`"env":{"A":null}`), "env.A"},
		"argument with NUL":      {with(`"args":["a\u0000b"]`), "args[0]"},
		"argument null":          {with(`"args":["a",null]`), "args[1]"},
		"argument a number":      {with(`"args":[1]`), "args[0]"},
		"stdin twice":            {with(`"stdin":"a","stdin_base64":"YQ=="`), "stdin_base64"},
		"stdin not base64":       {with(`"stdin_base64":"!"`), "stdin_base64"},
		"label with a bad name":  {with(`"labels":{"a b":"c"}`), "labels"},

		"no files":                 {files(`[]`), "code"},
		"a file null":              {files(`[null]`), "files[0]"},
		"a file without path":      {files(`[{"content":"1"}]`), "files[0].path"},
		"a file without content":   {files(`[{"path":"a"}]`), "files[0]"},
		"a file with two contents": {files(`[{"path":"a","content":"1","content_base64":"MQ=="}]`), "files[0]"},
		"a file with bad base64":   {files(`[{"path":"a","content_base64":"MQ"}]`), "files[0].content_base64"},
		"an absolute path":         {files(`[{"path":"/etc/passwd","content":"1"}]`), "files[0].path"},
		"a path upwards":           {files(`[{"path":"a","content":"1"},{"path":"x/../../y","content":"1"}]`), "files[1].path"},
		"a path twice":             {files(`[{"path":"a","content":"1"},{"path":"a","content":"1"}]`), "files[1].path"},
		"a path with NUL":          {files(`[{"path":"a\u0000","content":"1"}]`), "files[0].path"},
		"an entrypoint elsewhere":  {`{"language":"python","files":[{"path":"a","content":"1"}],"entrypoint":"b"}`, "entrypoint"},
		"a file too long":          {files(`[{"path":"a","content":"` + mib + `x"}]`), "files[0].content"},
		"all files too long": {files(`[` + strings.Join(slices.Collect(func(yield func(string) bool) {
			for i := range 11 {
				if !yield(`{"path":"f` + string(rune('a'+i)) + `","content":"` + mib + `"}`) {
					return
				}
			}
		}), ",") + `]`), "files"},
	} {
		t.Run(name, func(t *testing.T) {
			p := problemIn(t, s.in(t).do(http.MethodPost, "/api/v1/tasks", c.body), http.StatusBadRequest)
			assert.Equal(t, "invalid_input", p.Code)
			require.NotEmpty(t, p.Errors)
			assert.Equal(t, c.field, p.Errors[0].Field, p.Detail)
			assert.NotEmpty(t, p.Errors[0].Message)
		})
	}
	assert.Zero(t, s.count(), "nothing was stored")
}

func TestEveryMistakeInTheLimitsIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	p := problemIn(t, s.do(http.MethodPost, "/api/v1/tasks", `{"language":"python","code":"1","timeout":0,"cpu_limit":-1,"pids_limit":0}`), http.StatusBadRequest)
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Field)
	}
	assert.ElementsMatch(t, []string{"timeout", "cpu_limit", "pids_limit"}, fields)
}

func TestBadRequestsAreProblems(t *testing.T) {
	t.Parallel()
	s := serve(t, idle)
	known := s.submit(hello)
	const none = "0199b2a0-5c1e-7c3a-9f6e-2b7d9a1c4e50"
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		code, field        string
	}{
		"no content type":           {"POST", "/api/v1/tasks", hello, []string{"Content-Type", ""}, 415, "not_json", ""},
		"a form":                    {"POST", "/api/v1/tasks", hello, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "not_json", ""},
		"plain text":                {"POST", "/api/v1/tasks", hello, []string{"Content-Type", "text/plain"}, 415, "not_json", ""},
		"a malformed content type":  {"POST", "/api/v1/tasks", hello, []string{"Content-Type", "application/json; ="}, 415, "not_json", ""},
		"another charset":           {"POST", "/api/v1/tasks", hello, []string{"Content-Type", "application/json; charset=latin1"}, 415, "not_json", ""},
		"a compressed body":         {"POST", "/api/v1/tasks", hello, []string{"Content-Encoding", "gzip"}, 415, "encoded", ""},
		"an empty key":              {"POST", "/api/v1/tasks", hello, []string{"Idempotency-Key", " "}, 400, "invalid_input", "Idempotency-Key"},
		"a long key":                {"POST", "/api/v1/tasks", hello, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "invalid_input", "Idempotency-Key"},
		"a key that is not ASCII":   {"POST", "/api/v1/tasks", hello, []string{"Idempotency-Key", "é"}, 400, "invalid_input", "Idempotency-Key"},
		"a malformed wait":          {"POST", "/api/v1/tasks?wait=soon", hello, nil, 400, "invalid_input", "wait"},
		"a negative wait":           {"POST", "/api/v1/tasks?wait=-1s", hello, nil, 400, "invalid_input", "wait"},
		"a long wait":               {"POST", "/api/v1/tasks?wait=1h", hello, nil, 400, "invalid_input", "wait"},
		"an empty wait":             {"POST", "/api/v1/tasks?wait=", hello, nil, 400, "invalid_input", "wait"},
		"an unknown parameter":      {"GET", "/api/v1/tasks?staus=queued", "", nil, 400, "invalid_input", "staus"},
		"a parameter twice":         {"GET", "/api/v1/tasks?limit=1&limit=2", "", nil, 400, "invalid_input", "limit"},
		"a malformed query":         {"GET", "/api/v1/tasks?limit=%zz", "", nil, 400, "invalid_input", "query"},
		"limit zero":                {"GET", "/api/v1/tasks?limit=0", "", nil, 400, "invalid_input", "limit"},
		"limit negative":            {"GET", "/api/v1/tasks?limit=-1", "", nil, 400, "invalid_input", "limit"},
		"limit too great":           {"GET", "/api/v1/tasks?limit=501", "", nil, 400, "invalid_input", "limit"},
		"limit absurd":              {"GET", "/api/v1/tasks?limit=99999999999999999999", "", nil, 400, "invalid_input", "limit"},
		"limit no number":           {"GET", "/api/v1/tasks?limit=ten", "", nil, 400, "invalid_input", "limit"},
		"a bad cursor":              {"GET", "/api/v1/tasks?cursor=x", "", nil, 400, "invalid_input", "cursor"},
		"a bad status":              {"GET", "/api/v1/tasks?status=queued,done", "", nil, 400, "invalid_input", "status"},
		"a bad label":               {"GET", "/api/v1/tasks?label=x", "", nil, 400, "invalid_input", "label"},
		"two values of a label":     {"GET", "/api/v1/tasks?label=x=1&label=x=2", "", nil, 400, "invalid_input", "label"},
		"an unknown task":           {"GET", "/api/v1/tasks/" + none, "", nil, 404, "not_found", ""},
		"an impossible task":        {"GET", "/api/v1/tasks/%00", "", nil, 404, "not_found", ""},
		"a path as a task":          {"GET", "/api/v1/tasks/..%2F..%2Fetc", "", nil, 404, "not_found", ""},
		"cancel unknown":            {"POST", "/api/v1/tasks/" + none + "/cancel", "", nil, 404, "not_found", ""},
		"logs unknown":              {"GET", "/api/v1/tasks/" + none + "/logs", "", nil, 404, "not_found", ""},
		"log unknown":               {"GET", "/api/v1/tasks/" + none + "/logs/stdout", "", nil, 404, "not_found", ""},
		"metrics unknown":           {"GET", "/api/v1/tasks/" + none + "/metrics", "", nil, 404, "not_found", ""},
		"stream unknown":            {"GET", "/api/v1/tasks/" + none + "/stream", "", nil, 404, "not_found", ""},
		"stream unknown at its end": {"GET", "/api/v1/tasks/" + none + "/stream", "", []string{"Last-Event-ID", "1~end"}, 404, "not_found", ""},
		"a third stream":            {"GET", "/api/v1/tasks/" + known + "/logs/stdin", "", nil, 404, "not_found", ""},
		"a malformed event ID":      {"GET", "/api/v1/tasks/" + known + "/stream", "", []string{"Last-Event-ID", "1~x"}, 400, "invalid_input", "Last-Event-ID"},
		"another bus's event ID":    {"GET", "/api/v1/tasks/" + known + "/stream", "", []string{"Last-Event-ID", "abc-1"}, 400, "invalid_input", "Last-Event-ID"},
		"the end before it":         {"GET", "/api/v1/tasks/" + known + "/stream?last_event_id=1~end", "", nil, 400, "invalid_input", "Last-Event-ID"},
		"no such path":              {"GET", "/api/v2/tasks", "", nil, 404, "not_found", ""},
		"the root":                  {"GET", "/", "", nil, 404, "not_found", ""},
		"no such method":            {"DELETE", "/api/v1/tasks/" + known, "", nil, 405, "method_not_allowed", ""},
		"a put":                     {"PUT", "/api/v1/tasks", hello, nil, 405, "method_not_allowed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.in(t).do(c.method, c.path, c.body, c.header...)
			p := problemIn(t, r, c.status)
			assert.Equal(t, c.code, p.Code)
			if c.field != "" {
				require.NotEmpty(t, p.Errors)
				assert.Equal(t, c.field, p.Errors[0].Field)
			}
			if c.status == http.StatusMethodNotAllowed {
				assert.NotEmpty(t, r.Header.Get("Allow"))
			}
		})
	}
	assert.Equal(t, 1, s.count(), "nothing was stored")
}

func TestABodyIsBoundedWhateverItSaysOfItsLength(t *testing.T) {
	t.Parallel()
	s := serve(t, idle, func(s *setup) { s.core.Policy.MaxInput = 1 << 10 })
	long := `{"language":"python","code":"` + strings.Repeat("x", int(s.api.maxBody)) + `"}`
	assert.Equal(t, "too_large", problemIn(t, s.do(http.MethodPost, "/api/v1/tasks", long), http.StatusRequestEntityTooLarge).Code)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/api/v1/tasks", struct{ *strings.Reader }{strings.NewReader(long)})
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	require.EqualValues(t, 0, req.ContentLength, "the length is not told")
	res, err := s.http.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	assert.Zero(t, s.count())
}

func TestTheGreatestInputIsAcceptedInEveryEncoding(t *testing.T) {
	t.Parallel()
	s := serve(t, idle, func(s *setup) { s.core.Policy.MaxInput, s.core.Policy.MaxCode = 1<<10, 1<<10 })
	code := strings.Repeat("\n\"", 512)
	s.submit(`{"language":"python","code":"` + strings.NewReplacer("\n", `\n`, `"`, `\"`).Replace(code) + `"}`)
	s.submit(`{"language":"python","files":[{"path":"a","content_base64":"` + base64.StdEncoding.EncodeToString([]byte(code[1:])) + `"}]}`)
	assert.Equal(t, 2, s.count())
}

func TestAFullQueueSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	s := serve(t, idle, func(s *setup) { s.core.Policy.QueueDepth = 1 })
	s.submit(hello)
	r := s.do(http.MethodPost, "/api/v1/tasks", hello)
	assert.Equal(t, "full", problemIn(t, r, http.StatusServiceUnavailable).Code)
	assert.Equal(t, "5", r.Header.Get("Retry-After"))
	assert.Equal(t, 1, s.count())
}

func TestSizesAreReadAsDockerWritesThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{
		"1": 1, "1b": 1, "1B": 1, "256m": 256 << 20, "256M": 256 << 20, "256mb": 256 << 20, "1.5g": 3 << 29, "1.5GiB": 3 << 29, "64 kb": 64 << 10, "1t": 1 << 40, "1p": 1 << 50,
	} {
		n, err := parseSize(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, n, text)
	}
}

func FuzzSizes(f *testing.F) {
	for _, s := range []string{"256m", "1.5GiB", "64 kb", "0", "-1", "1e5", "0x1p4", "9999999999999999p", "1_0", " 1", "1ib", "٣m", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSize(text)
		if err != nil {
			return
		}
		assert.GreaterOrEqual(t, n, Size(0))
		assert.LessOrEqual(t, n, Size(maxSize))
		docker, err := units.RAMInBytes(text)
		require.NoError(t, err)
		assert.EqualValues(t, docker, n)
	})
}

func FuzzSubmissions(f *testing.F) {
	for _, s := range []string{
		hello, `{"language":"python","files":[{"path":"a","content_base64":"MQ=="}],"timeout":1.5,"memory_limit":"256m","labels":{"a":"b"}}`,
		`{"a":[[[[`, `{"timeout":1e999}`, `{"cpu_limit":-0}`, `{"env":{"0":1}}`, `{"\u0000":null}`, "{\"code\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var s Spec
		if err := decodeJSON(body, &s); err != nil {
			p := problemOf(err)
			assert.Equal(t, http.StatusBadRequest, p.Status, "%v", err)
			require.NotEmpty(t, p.Errors)
			assert.NotEmpty(t, p.Errors[0].Field)
			return
		}
		spec, issues := s.toSpec()
		if len(issues) > 0 {
			return
		}
		l := spec.Limits
		assert.False(t, math.IsNaN(l.CPU) || math.IsInf(l.CPU, 0))
		assert.True(t, l.CPU >= 0 && l.Memory >= 0 && l.Timeout >= 0 && l.PIDs >= 0 && l.Output >= 0 && l.Disk >= 0)
		// What was understood is written so that it is understood the same way.
		again, issues := new(specOf(full(spec))).toSpec()
		assert.Empty(t, issues)
		assert.Equal(t, full(spec), again)
	})
}

// full fills in what a stored spec has.
func full(s taskrunner.Spec) taskrunner.Spec {
	s.Limits.CPU, s.Limits.Memory, s.Limits.Timeout = max(s.Limits.CPU, 1), max(s.Limits.Memory, 1), max(s.Limits.Timeout, 1e6)
	s.Limits.PIDs, s.Limits.Output, s.Limits.Disk, s.MaxAttempts = max(s.Limits.PIDs, 1), max(s.Limits.Output, 1), max(s.Limits.Disk, 1), max(s.MaxAttempts, 1)
	return s
}
