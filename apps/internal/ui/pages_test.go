package ui_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// post sends a form, as a browser without scripts does.
func (s *site) post(path string, form url.Values, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.send(r)
}

// run submits a form and returns the path of the task's page.
func (s *site) run(form url.Values, header ...string) string {
	s.t.Helper()
	r := s.post("/", form, header...)
	require.Equal(s.t, http.StatusSeeOther, r.StatusCode, r.body)
	return r.Header.Get("Location")
}

// task returns the task whose page has the path.
func (s *site) task(page string) httpapi.Task {
	s.t.Helper()
	r := s.do("GET", "/api/v1"+page, "")
	require.Equal(s.t, http.StatusOK, r.StatusCode, r.body)
	var task httpapi.Task
	require.NoError(s.t, json.Unmarshal([]byte(r.body), &task))
	return task
}

// end follows the task whose page has the path to its end.
func (s *site) end(page string) {
	s.t.Helper()
	r := s.do("GET", "/api/v1"+page+"/stream", "")
	require.Contains(s.t, r.body, "event: end")
}

func program(pairs ...string) url.Values {
	form := url.Values{"language": {"python"}, "path": {"main.py"}, "content": {"print(1)\r\nprint(2)\r\n"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

func TestAFormBecomesATask(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{Network: true}).addr)
	for name, tt := range map[string]struct {
		form  url.Values
		check func(t *testing.T, spec httpapi.Spec)
	}{
		"the code, with the line ends that were written": {program(), func(t *testing.T, spec httpapi.Spec) {
			assert.Equal(t, "print(1)\nprint(2)\n", spec.Code)
			assert.Equal(t, "main.py", spec.Entrypoint)
			assert.Empty(t, spec.Files)
		}},
		"code under another language's usual name": {
			url.Values{"language": {"bash"}, "path": {"main.py"}, "content": {"echo 1"}}, func(t *testing.T, spec httpapi.Spec) {
				assert.Equal(t, "echo 1", spec.Code)
				assert.Equal(t, "main.sh", spec.Entrypoint)
			}},
		"several files, the first of which is run": {program("path", "lib/util.py", "content", "x = 1"), func(t *testing.T, spec httpapi.Spec) {
			require.Len(t, spec.Files, 2)
			assert.Equal(t, "lib/util.py", spec.Files[1].Path)
			assert.Equal(t, "main.py", spec.Entrypoint)
		}},
		"one file with a name of its own": {
			url.Values{"language": {"python"}, "path": {" start.py "}, "content": {"1"}}, func(t *testing.T, spec httpapi.Spec) {
				require.Len(t, spec.Files, 1)
				assert.Equal(t, "start.py", spec.Entrypoint)
			}},
		"a file that was added and not used": {program("path", "", "content", ""), func(t *testing.T, spec httpapi.Spec) { assert.Empty(t, spec.Files) }},
		"input, arguments and environment": {
			program("stdin", "a\r\nb", "args", `one 'two words' ""`, "env", "A=1\r\n\r\n B=x=y "), func(t *testing.T, spec httpapi.Spec) {
				assert.Equal(t, "a\nb", spec.Stdin)
				assert.Equal(t, []string{"one", "two words", ""}, spec.Args)
				assert.Equal(t, map[string]string{"A": "1", "B": "x=y "}, spec.Env)
			}},
		"limits": {
			program("timeout", "2.5", "memory_limit", "64m", "cpu_limit", "0.5", "pids_limit", "8", "output_limit", "1 MiB", "disk_limit", "1048576"),
			func(t *testing.T, spec httpapi.Spec) {
				assert.InDelta(t, 2.5, *spec.Timeout, 0)
				assert.EqualValues(t, 64<<20, *spec.MemoryLimit)
				assert.InDelta(t, 0.5, *spec.CPULimit, 0)
				assert.Equal(t, 8, *spec.PIDsLimit)
				assert.EqualValues(t, 1<<20, *spec.OutputLimit)
				assert.EqualValues(t, 1<<20, *spec.DiskLimit)
			}},
		"a network": {program("network", "true"), func(t *testing.T, spec httpapi.Spec) { assert.True(t, spec.Network) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.check(t, s.task(s.run(tt.form)).Spec)
		})
	}
}

func TestWhatIsWrongStandsAtItsField(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{}).addr)
	at := func(field, message string) string { return `data-error="` + field + `">` + message + `</p>` }
	for name, tt := range map[string]struct {
		form url.Values
		want []string
	}{
		"a limit that is no number":      {program("timeout", "soon"), []string{at("timeout", "must be a number, such as 30"), `value="soon"`, "<details class=\"options\" id=\"options\" open>"}},
		"a limit that no number is":      {program("cpu_limit", "NaN"), []string{at("cpu_limit", "must be a number, such as 1")}},
		"a limit that is too high":       {program("timeout", "1e9"), []string{`data-error="timeout">`, "must be from 1ms to 10m0s"}},
		"a size that is none":            {program("memory_limit", "much"), []string{`data-error="memory_limit">`, `value="much"`}},
		"an open quote":                  {program("args", `"open`), []string{at("args", "must have every quote closed"), `value="&#34;open"`}},
		"an environment that is none":    {program("env", "A=1\r\nB"), []string{`data-error="env">`, "NAME=value", "A=1\nB"}},
		"no code":                        {url.Values{"language": {"python"}, "path": {"main.py"}, "content": {""}}, []string{`data-error="code">`}},
		"no such language":               {url.Values{"language": {"<b>"}, "content": {"1"}}, []string{`data-error="language">`}},
		"nothing at all":                 {url.Values{}, []string{`data-error="language">`}},
		"a path that leads elsewhere":    {program("path", "../evil", "content", "1"), []string{`data-error="files[1]">`, `value="../evil"`}},
		"a path behind a file not used":  {program("path", "", "content", "", "path", "../evil", "content", "1"), []string{`data-error="files[2]">`, `value="../evil"`}},
		"two files of the same name":     {program("path", "main.py", "content", "1"), []string{`data-error="files[1]">`}},
		"a network where there is none":  {program("network", "true"), []string{`role="alert">network must be false: the operator allows none`}},
		"code that is markup stays text": {program("timeout", "x", "path", `"><script>`, "content", "</textarea><script>alert(1)</script>"), []string{"&lt;/textarea&gt;&lt;script&gt;", "&#34;&gt;&lt;script&gt;"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := s.post("/", tt.form)
			assert.Equal(t, http.StatusBadRequest, r.StatusCode)
			for _, want := range tt.want {
				assert.Contains(t, r.body, want)
			}
			assert.NotContains(t, r.body, "<script>")
			assert.Empty(t, r.Header.Get("Set-Cookie"))

			p := s.problemOf(s.post("/", tt.form, "Accept", "application/json"))
			assert.NotEmpty(t, p.Errors)
		})
	}
}

func (s *site) problemOf(r reply) httpapi.Problem {
	s.t.Helper()
	require.Equal(s.t, http.StatusBadRequest, r.StatusCode, r.body)
	var p httpapi.Problem
	require.NoError(s.t, json.Unmarshal([]byte(r.body), &p))
	return p
}

func TestAScriptSubmitsTheSameForm(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{}).addr)
	r := s.post("/", program(), "Accept", "application/json")
	require.Equal(t, http.StatusCreated, r.StatusCode)
	var made struct{ TaskID, URL string }
	require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(r.body, "task_id", "TaskID")), &made))
	assert.Equal(t, "/tasks/"+made.TaskID, made.URL)
	assert.Equal(t, "print(1)\nprint(2)\n", s.task(made.URL).Spec.Code)
}

func TestAFormThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{MaxCode: 1 << 10, MaxInput: 2 << 10}).addr)
	assert.Equal(t, http.StatusRequestEntityTooLarge, s.post("/", program("stdin", strings.Repeat("x", 9<<20))).StatusCode)
	assert.Equal(t, http.StatusBadRequest, s.post("/", program("stdin", "\xff")).StatusCode)
	r := s.do("POST", "/", "%zz", "Content-Type", "application/x-www-form-urlencoded")
	assert.Equal(t, http.StatusBadRequest, r.StatusCode)
	assert.Equal(t, http.StatusForbidden, s.post("/", program(), "Sec-Fetch-Site", "cross-site").StatusCode)
}

func TestATasksPageHasEverything(t *testing.T) {
	t.Parallel()
	hostile := "\x1b[31mred\x1b[0m <script>alert(1)</script>\x1b]0;title\a\x07\n"
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Stdout(hostile), fakes.Stderr("oops\n"),
		fakes.Sample(ports.Sample{CPU: 0.5, Memory: 1 << 20}), fakes.Exit(3)).addr)
	page := s.run(program("stdin", "</pre><script>", "args", "'<script>'", "path", "lib.py", "content", `x = "<script>"`))
	s.end(page)
	r := s.do("GET", page, "")
	require.Equal(t, http.StatusOK, r.StatusCode)
	for _, want := range []string{
		`<span class="fg1">red</span> &lt;script&gt;alert(1)&lt;/script&gt;`, "oops", "Exited with code 3.", `data-status="failed"`,
		`<span class="syn-number">1</span>`, `class="syn-string">&#34;&lt;script&gt;&#34;`, "&lt;/pre&gt;&lt;script&gt;",
		`action="` + page + `/rerun"`, `href="/?from=` + strings.TrimPrefix(page, "/tasks/") + `"`,
		`&#34;cpu_percent&#34;:50`, `data-command="curl -s http://127.0.0.1`, `/logs/stdout" download=`,
	} {
		assert.Contains(t, r.body, want)
	}
	for _, forbidden := range []string{"<script>", "\x1b", "\a", `http-equiv="refresh"`, "/cancel"} {
		assert.NotContains(t, r.body, forbidden)
	}
	assert.NotContains(t, s.do("GET", page+"?part=summary", "").body, "<html")
}

func TestATaskThatRunsIsLookedAtAgainWithoutScripts(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	s := before(t, "http://"+serve(t, taskrunner.Policy{}, fakes.Until(over)).addr)
	page := s.run(program())
	r := s.do("GET", page, "")
	assert.Contains(t, r.body, `<noscript><meta http-equiv="refresh" content="2"></noscript>`)
	assert.Contains(t, r.body, `action="`+page+`/cancel"`)
	r = s.post(page+"/cancel", nil)
	require.Equal(t, http.StatusSeeOther, r.StatusCode)
	assert.Equal(t, page, r.Header.Get("Location"))
	s.end(page)
	assert.Equal(t, "cancelled", s.task(page).Status)
	assert.Equal(t, http.StatusSeeOther, s.post(page+"/cancel", nil).StatusCode, "it shows that it is over")
	close(over)
}

func TestATaskCanBeRunAgainAndEdited(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{}).addr)
	page := s.run(program("args", "a 'b c'", "env", "A=1", "stdin", "in", "memory_limit", "64m", "timeout", "7", "path", "lib.py", "content", "x"))
	first := s.task(page)
	r := s.post(page+"/rerun", nil)
	require.Equal(t, http.StatusSeeOther, r.StatusCode, r.body)
	second := s.task(r.Header.Get("Location"))
	assert.NotEqual(t, first.TaskID, second.TaskID)
	first.Spec.Labels, second.Spec.Labels = nil, nil // another browser's
	assert.Equal(t, first.Spec, second.Spec)

	r = s.do("GET", "/?from="+first.TaskID, "")
	for _, want := range []string{`value="a &#39;b c&#39;"`, "A=1", ">\nin<", `value="64m"`, `value="7"`, `value="lib.py"`} {
		assert.Contains(t, r.body, want)
	}
	for _, id := range []string{"none", ".", "..", "%2e%2e%2flimits"} {
		assert.Equal(t, http.StatusNotFound, s.do("GET", "/?from="+id, "").StatusCode)
		assert.Equal(t, http.StatusNotFound, get(t, newUI(t, serve(t, taskrunner.Policy{}).api), "/?from="+id).Code)
	}
	assert.Equal(t, http.StatusNotFound, s.post("/tasks/none/rerun", nil).StatusCode)
	assert.Equal(t, http.StatusNotFound, s.post("/tasks/none/cancel", nil).StatusCode)
}

func TestFilesThatAreNotTextAreLeftOutOfTheFormAndSaidSo(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{}).addr)
	r := s.do("POST", "/api/v1/tasks", `{"language":"python","entrypoint":"b.py","files":[{"path":"a.bin","content_base64":"/w=="},{"path":"b.py","content":"1"},{"path":"c.py","content":"2"}]}`)
	require.Equal(t, http.StatusAccepted, r.StatusCode, r.body)
	var a httpapi.Accepted
	require.NoError(t, json.Unmarshal([]byte(r.body), &a))
	r = s.do("GET", "/?from="+a.TaskID, "")
	assert.Contains(t, r.body, "Left out here, but kept by Run again: files that are not text.")
	assert.Less(t, strings.Index(r.body, `value="b.py"`), strings.Index(r.body, `value="c.py"`))
	assert.NotContains(t, r.body, "a.bin")
	assert.Contains(t, s.do("GET", "/tasks/"+a.TaskID, "").body, ">1 bytes that are not text")
}

func TestTheListIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{}).addr)
	assert.Contains(t, s.do("GET", "/tasks", "").body, "No tasks yet")
	var cookie string
	for range 30 {
		r := s.post("/", program())
		require.Equal(t, http.StatusSeeOther, r.StatusCode)
		s.end(r.Header.Get("Location"))
		cookie, _, _ = strings.Cut(r.Header.Get("Set-Cookie"), ";")
	}
	rows := func(r reply) int { return strings.Count(r.body, "<tr data-id=") }
	first := s.do("GET", "/tasks", "")
	assert.Equal(t, 25, rows(first))
	assert.NotContains(t, first.body, `rel="first"`)
	_, next, _ := strings.Cut(first.body, `<a class="button small" href="/tasks?`)
	next, _, _ = strings.Cut(next, `"`)
	second := s.do("GET", "/tasks?"+strings.ReplaceAll(next, "&amp;", "&"), "")
	assert.Equal(t, 5, rows(second))
	assert.Contains(t, second.body, `href="/tasks" rel="first"`)
	assert.NotContains(t, second.body, `rel="next"`)

	for query, want := range map[string]int{
		"status=succeeded&language=python": 25, "status=failed": 0, "language=bash": 0, "status=nonsense": 25, "mine=1": 0,
	} {
		assert.Equal(t, want, rows(s.do("GET", "/tasks?"+query, "")), query)
	}
	assert.Contains(t, s.do("GET", "/tasks?status=failed", "").body, "No task matches")
	assert.Equal(t, 1, rows(s.do("GET", "/tasks?mine=1", "", "Cookie", cookie)), "each of them came without the others' cookie")
}

func TestAnOriginIsTheBrowsers(t *testing.T) {
	t.Parallel()
	s := before(t, "http://"+serve(t, taskrunner.Policy{}).addr)
	page := s.run(program())
	assert.Contains(t, s.do("GET", page, "", "X-Forwarded-Proto", "https").body, "curl -s https://127.0.0.1")
}
