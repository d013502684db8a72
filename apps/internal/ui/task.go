package ui

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/kballard/go-shellquote"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/ports"
)

// taskPage is the page of one task.
type taskPage struct {
	frame
	httpapi.Task
	Sentence string
	Panes    []pane
	Samples  string // JSON
	Program  []source
	Curl     string // a command that runs the same; empty if it would be too long
}

// pane is one output.
type pane struct {
	Name, TaskID string
	Runs         []run
	Bytes        int64
	Truncated    bool
	Done         bool // nothing more comes
}

// source is one file of a program.
type source struct {
	Path  string
	Lines int
	Runs  []run
	Bytes int // of a file that is no text, which has no Runs
}

// maxNumbered is how many lines a file may have whose lines are numbered. Numbers of
// empty lines are several times as long as the lines.
const maxNumbered = 20_000

// Numbers are the numbers of the lines; none of a file that has very many.
func (s source) Numbers() string {
	if s.Lines > maxNumbered {
		return ""
	}
	var b strings.Builder
	for i := range s.Lines {
		b.WriteString(strconv.Itoa(i + 1))
		b.WriteByte('\n')
	}
	return b.String()
}

// Args returns the task's arguments as a shell would be given them.
func (p taskPage) Args() []run { return readable(shellquote.Join(p.Spec.Args...)) }

// Env returns the task's environment, a variable a line.
func (p taskPage) Env() []run { return readable(envOf(p.Spec.Env)) }

// Stdin returns what the task reads.
func (p taskPage) Stdin() []run {
	if s := p.Spec.StdinBase64; s != "" {
		return noText(bytesIn(s))
	}
	return readable(p.Spec.Stdin)
}

// readable returns text with what is hidden in it.
func readable(text string) []run {
	if !isText(text) {
		return noText(len(text))
	}
	return visible([]run{{Text: text}})
}

func noText(bytes int) []run { return []run{{Text: strconv.Itoa(bytes) + " bytes that are not text."}} }

// bytesIn returns how many bytes the base64 is of.
func bytesIn(encoded string) int {
	return base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(encoded, "=")))
}

// maxCurl is how long a command may be that people paste into a shell.
const maxCurl = 32 << 10

// task shows a task, or with ?part=summary only what changes with its status.
func (h *handler) task(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if ports.TaskID(id).Validate() != nil {
		h.notFound(w, r)
		return
	}
	p := taskPage{frame: h.frame(r, "Task "+id+" · Task Runner", "task")}
	var err error
	if p.Task, err = h.getTask(r, id); err != nil {
		h.fail(w, r, err)
		return
	}
	p.Sentence = outcome(p.TaskSummary, &p.Spec)
	p.Curl = curl(r, p.Spec)
	if r.URL.Query().Get("part") == "summary" {
		h.render(w, http.StatusOK, "summary", p)
		return
	}
	done := ended(p.Status)
	p.Panes = []pane{
		{"stdout", p.TaskID, screen(p.Stdout), p.StdoutBytes, p.StdoutTruncated, done},
		{"stderr", p.TaskID, screen(p.Stderr), p.StderrBytes, p.StderrTruncated, done},
	}
	if done {
		var metrics httpapi.Metrics
		if err := h.api.get(r, taskPath(id)+"/metrics", &metrics); err != nil {
			h.fail(w, r, err)
			return
		}
		samples, err := json.Marshal(metrics.Samples)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		p.Samples = string(samples)
	}
	p.Program = program(p.Spec)
	h.render(w, http.StatusOK, "task.html", p)
}

// getTask asks the API for a task, which has all of its limits.
func (h *handler) getTask(r *http.Request, id string) (task httpapi.Task, err error) {
	if id == "." || id == ".." { // which would lead elsewhere
		return task, &httpapi.Problem{Status: http.StatusNotFound}
	}
	if err := h.api.get(r, taskPath(id), &task); err != nil {
		return task, err
	}
	s := task.Spec
	if s.CPULimit == nil || s.MemoryLimit == nil || s.Timeout == nil || s.PIDsLimit == nil || s.OutputLimit == nil || s.DiskLimit == nil {
		return task, errors.New("the API's task lacks a limit")
	}
	return task, nil
}

// CPUPercent is the limit of the CPU as samples count.
func (p taskPage) CPUPercent() float64 { return *p.Spec.CPULimit * 100 }

// Cores is the limit of the CPU in words.
func (p taskPage) Cores() string { return coresOf(*p.Spec.CPULimit) }

// OwnLabels are the task's labels but for the one that the page gives.
func (p taskPage) OwnLabels() map[string]string { return ownLabels(p.Labels) }

func ownLabels(labels map[string]string) map[string]string {
	own := maps.Clone(labels)
	delete(own, ownerLabel)
	return own
}

// cancel asks for the end of a task. One that is finished already is no error to
// people, who see it.
func (h *handler) cancel(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	var accepted httpapi.Accepted
	err := h.api.post(r, taskPath(id)+"/cancel", nil, &accepted)
	if err != nil && problemFor(err).Status != http.StatusConflict {
		h.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/tasks/"+url.PathEscape(id), http.StatusSeeOther)
}

// rerun submits what a task was asked to do once more.
func (h *handler) rerun(w http.ResponseWriter, r *http.Request) {
	// Whatever it is that the API has in a spec, it takes back.
	var task struct {
		Spec map[string]any `json:"spec"`
	}
	if err := h.api.get(r, taskPath(r.PathValue("id")), &task); err != nil {
		h.fail(w, r, err)
		return
	}
	if task.Spec == nil {
		h.fail(w, r, errors.New("the API's task lacks its spec"))
		return
	}
	id, err := h.start(w, r, task.Spec)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/tasks/"+url.PathEscape(id), http.StatusSeeOther)
}

// program returns the files of a task as they are shown, the one that is run first.
func program(s httpapi.Spec) []source {
	colours := highlightTime // what is left of it
	if s.Files == nil {
		return []source{sourceOf(s.Entrypoint, s.Code, s.Language, &colours)}
	}
	files := make([]source, 0, len(s.Files))
	for _, f := range s.Files {
		file := source{Path: f.Path}
		if f.Content != nil {
			file = sourceOf(f.Path, *f.Content, s.Language, &colours)
		} else if f.ContentBase64 != nil {
			file.Bytes = bytesIn(*f.ContentBase64)
		}
		if files = append(files, file); f.Path == s.Entrypoint {
			last := len(files) - 1
			files[0], files[last] = files[last], files[0]
		}
	}
	return files
}

// curl returns the command that runs the same once more.
func curl(r *http.Request, s httpapi.Spec) string {
	s.Labels = ownLabels(s.Labels)
	body, err := json.Marshal(s)
	if err != nil || len(body) > maxCurl {
		return ""
	}
	return shellquote.Join("curl", "-s", origin(r)+"/api/v1/tasks", "--json", string(body))
}

// origin returns the page's origin as its reader's browser has it.
func origin(r *http.Request) string {
	scheme := "http"
	if secure(r) {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
