package ui

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/ports"
)

func aSpec(change func(*httpapi.Spec)) httpapi.Spec {
	s := httpapi.Spec{
		Language: "python", Code: "print(1)\n", Entrypoint: "main.py", Queue: ports.DefaultQueue,
		CPULimit: new(1.0), MemoryLimit: new(httpapi.Size(1 << 20)), Timeout: new(1.0), PIDsLimit: new(1),
		OutputLimit: new(httpapi.Size(1)), DiskLimit: new(httpapi.Size(1 << 20)), MaxAttempts: new(ports.DefaultMaxAttempts),
	}
	change(&s)
	return s
}

func TestWhatAFormCannotHoldIsSaid(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*httpapi.Spec)
		left   string
		check  func(t *testing.T, f form)
	}{
		"nothing": {func(s *httpapi.Spec) {
			s.Args, s.Env, s.Labels = []string{"a b", ""}, map[string]string{"A": " x=y "}, map[string]string{ownerLabel: "me"}
		}, "", func(t *testing.T, f form) {
			assert.Equal(t, "'a b' ''", f.Args)
			assert.Equal(t, "A= x=y ", f.Env)
		}},
		"line ends that browsers change": {func(s *httpapi.Spec) { s.Code, s.Stdin = "a\r\nb", "x\r\ny" }, "carriage returns", func(t *testing.T, f form) {
			assert.Equal(t, []formFile{{"main.py", "a\nb"}}, f.Files)
			assert.Equal(t, "x\ny", f.Stdin)
		}},
		"a character that no page has": {func(s *httpapi.Spec) { s.Code = "a\x00" }, "files that are not text", func(t *testing.T, f form) {
			assert.Equal(t, []formFile{{"main.py", ""}}, f.Files)
		}},
		"files of bytes": {func(s *httpapi.Spec) {
			s.Code, s.Entrypoint = "", "b.py"
			s.Files = []httpapi.File{{Path: "x", ContentBase64: new("/w==")}, {Path: "a.py", Content: new("1")}, {Path: "y", ContentBase64: new("/w==")}, {Path: "b.py", Content: new("2")}}
		}, "files that are not text", func(t *testing.T, f form) {
			assert.Equal(t, []formFile{{"b.py", "2"}, {"a.py", "1"}}, f.Files)
		}},
		"input of bytes": {func(s *httpapi.Spec) { s.StdinBase64 = "/w==" }, "input that is not text", func(*testing.T, form) {}},
		"what one line has to hold": {func(s *httpapi.Spec) {
			s.Args, s.Env = []string{"a", "b\nc"}, map[string]string{"A": "1", "B": "2\nC=3"}
		}, "arguments of several lines, variables of several lines", func(t *testing.T, f form) {
			assert.Empty(t, f.Args)
			assert.Equal(t, "A=1", f.Env)
		}},
		"what it has no field for": {func(s *httpapi.Spec) {
			s.Queue, s.Priority, s.MaxAttempts, s.Labels = "gpu", 5, new(1), map[string]string{ownerLabel: "me", "course": "1"}
		}, "the queue, the priority, the number of attempts, labels", func(*testing.T, form) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, notice := formOf(aSpec(tt.change), "main.py")
			if tt.left != "" {
				tt.left = "Left out here, but kept by Run again: " + tt.left + "."
			}
			assert.Equal(t, tt.left, notice)
			tt.check(t, f)
		})
	}
}

// parsed reads a form.
func parsed(t *testing.T, h *handler, body io.Reader) (release func(), err error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return h.parseForm(httptest.NewRecorder(), r, 1<<10)
}

func TestFormsThatArriveAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	h := new(handler)
	release, err := parsed(t, h, strings.NewReader("content=x"))
	require.NoError(t, err)
	assert.EqualValues(t, 9, h.forms.Load())

	h.forms.Add(maxForms - 9)
	crowded, err := parsed(t, h, strings.NewReader("content=y"))
	problem, ok := errors.AsType[*httpapi.Problem](err)
	require.True(t, ok)
	assert.Equal(t, http.StatusServiceUnavailable, problem.Status)
	assert.Equal(t, "busy", problem.Code)
	crowded()
	assert.EqualValues(t, maxForms, h.forms.Load())

	release()
	again, err := parsed(t, h, strings.NewReader("content=y"))
	require.NoError(t, err)
	again()
	h.forms.Store(0)
	large, err := parsed(t, h, strings.NewReader(strings.Repeat("x", 2<<10)))
	assert.Equal(t, http.StatusRequestEntityTooLarge, problemFor(err).Status)
	large()
	assert.Zero(t, h.forms.Load())
}
