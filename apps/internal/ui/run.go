package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/task-runner/task-runner/adapters/httpapi"
)

// limitField is an input for one limit.
type limitField struct {
	Name, Label, Mode, Value, Default, Most string
}

// preset is a named choice of limits.
type preset struct {
	Name, Title string
	Values      string // JSON: the fields' values by name
}

// runPage is the page where programs are written.
type runPage struct {
	frame
	Form      form
	From      string // the task that the form was filled from
	Languages []httpapi.Language
	Limits    httpapi.ServiceLimits
	Problem   string // what is wrong and has no field
	Notice    string
	issues    map[string]string // what is wrong by field
}

// fieldError is what is wrong with a field; nothing if Message is empty.
type fieldError struct{ Field, Message string }

// Error returns what is wrong with a field.
func (p runPage) Error(field string) fieldError { return fieldError{field, p.issues[field]} }

// fileView is one file of the form.
type fileView struct {
	Index int
	formFile
	Error string
}

// File returns the file with the index i.
func (p runPage) File(i int) fileView {
	return fileView{i, p.Form.Files[i], p.issues[fmt.Sprintf("files[%d]", i)]}
}

// Blank is what a new file begins as.
func (p runPage) Blank() fileView { return fileView{} }

// OptionsOpen reports whether the options have something to see.
func (p runPage) OptionsOpen() bool {
	if p.Form.Stdin != "" || p.Form.Args != "" || p.Form.Env != "" || p.Form.Network {
		return true
	}
	for _, f := range p.LimitFields() {
		if f.Value != "" || p.issues[f.Name] != "" {
			return true
		}
	}
	return p.issues["stdin"] != "" || p.issues["args"] != "" || p.issues["env"] != "" || p.issues["network"] != ""
}

// LimitFields returns the inputs of the limits, with what holds where one is empty.
func (p runPage) LimitFields() []limitField {
	d, m := p.Limits.Default, p.Limits.Max
	fields := []limitField{
		{"timeout", "Timeout, seconds", "decimal", "", number(d.Timeout), number(m.Timeout)},
		{"memory_limit", "Memory", "text", "", bytesOf(d.MemoryLimit), bytesOf(m.MemoryLimit)},
		{"cpu_limit", "CPU, cores", "decimal", "", number(d.CPULimit), number(m.CPULimit)},
		{"pids_limit", "Processes", "numeric", "", strconv.Itoa(d.PIDsLimit), strconv.Itoa(m.PIDsLimit)},
		{"output_limit", "Output", "text", "", bytesOf(d.OutputLimit), bytesOf(m.OutputLimit)},
		{"disk_limit", "Disk", "text", "", bytesOf(d.DiskLimit), bytesOf(m.DiskLimit)},
	}
	for i := range fields {
		fields[i].Value = p.Form.Limits[fields[i].Name]
	}
	return fields
}

// Presets returns choices of limits within what the service allows.
func (p runPage) Presets() []preset {
	d, m := p.Limits.Default, p.Limits.Max
	choice := func(name string, l httpapi.Limits) preset {
		values, _ := json.Marshal(map[string]string{
			"timeout": number(l.Timeout), "memory_limit": sizeOf(l.MemoryLimit),
			"cpu_limit": number(l.CPULimit), "pids_limit": strconv.Itoa(l.PIDsLimit),
			"output_limit": sizeOf(l.OutputLimit), "disk_limit": sizeOf(l.DiskLimit),
		})
		return preset{name, fmt.Sprintf("%s s, %s of memory, %s", number(l.Timeout), bytesOf(l.MemoryLimit), coresOf(l.CPULimit)), string(values)}
	}
	small := d
	small.Timeout, small.MemoryLimit, small.CPULimit = min(d.Timeout, 5), min(d.MemoryLimit, 64<<20), min(d.CPULimit, 0.5)
	small.PIDsLimit, small.OutputLimit, small.DiskLimit = min(d.PIDsLimit, 16), min(d.OutputLimit, 1<<20), min(d.DiskLimit, 16<<20)
	none, _ := json.Marshal(map[string]string{"timeout": "", "memory_limit": "", "cpu_limit": "", "pids_limit": "", "output_limit": "", "disk_limit": ""})
	return []preset{
		choice("Small", small),
		{"Default", choice("", d).Title, string(none)},
		choice("Maximum", m),
	}
}

// run shows the page with a sample, or with the program of the task that from names.
func (h *handler) run(w http.ResponseWriter, r *http.Request) {
	p, err := h.runPage(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	q := r.URL.Query()
	if from := q.Get("from"); from != "" {
		task, err := h.getTask(r, from)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		p.From = task.TaskID
		p.Form, p.Notice = formOf(task.Spec, p.source(task.Spec.Language))
	} else {
		p.Form = p.sample(q.Get("language"))
	}
	h.render(w, http.StatusOK, "run.html", &p)
}

// runPage asks the API what it takes to run something.
func (h *handler) runPage(r *http.Request) (runPage, error) {
	p := runPage{frame: h.frame(r, "Task Runner", "run"), issues: map[string]string{}}
	var languages httpapi.Languages
	if err := h.api.get(r, "/api/v1/languages", &languages); err != nil {
		return p, err
	}
	p.Languages = languages.Languages
	return p, h.api.get(r, "/api/v1/limits", &p.Limits)
}

// sample returns the form of a language's sample; where there is no such language, of
// Python or else the first one.
func (p *runPage) sample(language string) form {
	for _, name := range []string{language, "python"} {
		for _, l := range p.Languages {
			if l.Name == name || slices.Contains(l.Aliases, name) {
				return form{Language: l.Name, Files: []formFile{{l.Source, l.Sample}}}
			}
		}
	}
	if len(p.Languages) == 0 {
		return form{Files: []formFile{{}}}
	}
	first := p.Languages[0]
	return form{Language: first.Name, Files: []formFile{{first.Source, first.Sample}}}
}

// source returns the name under which a language's code is stored.
func (p *runPage) source(language string) string {
	for _, l := range p.Languages {
		if l.Name == language {
			return l.Source
		}
	}
	return ""
}

// submit runs what was sent. Scripts ask for JSON: the task's ID and page, or the
// API's problem. Everybody else goes to the task's page, or sees the form again with
// what is wrong at its place.
func (h *handler) submit(w http.ResponseWriter, r *http.Request) {
	script := r.Header.Get("Accept") == "application/json"
	fail := func(err error) {
		if script {
			h.problem(w, err)
		} else {
			h.fail(w, r, err)
		}
	}
	p, err := h.runPage(r)
	if err != nil {
		fail(err)
		return
	}
	// What a form has more than the program in it is little, but each byte may take three.
	release, err := h.parseForm(w, r, 3*p.Limits.MaxBodyBytes)
	defer release()
	if err != nil {
		fail(err)
		return
	}
	p.Form = readForm(r.PostForm)
	if r.PostForm.Has("add_file") {
		p.Form.Files = append(p.Form.Files, formFile{})
		h.render(w, http.StatusOK, "run.html", &p)
		return
	}
	spec, err := p.spec()
	if err == nil {
		var id string
		if id, err = h.start(w, r, spec); err == nil {
			page := "/tasks/" + url.PathEscape(id)
			if script {
				writeJSON(w, http.StatusCreated, map[string]string{"task_id": id, "url": page})
			} else {
				http.Redirect(w, r, page, http.StatusSeeOther)
			}
			return
		}
	}
	problem, ok := errors.AsType[*httpapi.Problem](err)
	if ok {
		p.rename(problem)
	}
	if script || !ok {
		fail(err)
		return
	}
	p.show(problem)
	h.render(w, problem.Status, "run.html", &p)
}

// start submits a program as one of this browser's, and returns the task's ID.
func (h *handler) start(w http.ResponseWriter, r *http.Request, spec map[string]any) (string, error) {
	s := h.sessions.begin(h.sessions.of(r))
	labels, ok := spec["labels"].(map[string]any)
	if !ok {
		labels = map[string]any{}
	}
	labels[ownerLabel] = h.sessions.owner(s)
	spec["labels"] = labels
	var accepted httpapi.Accepted
	if err := h.api.post(r, "/api/v1/tasks", spec, &accepted); err != nil {
		return "", err
	}
	h.sessions.save(w, r, s)
	return accepted.TaskID, nil
}

// rename gives the files that a problem is about the places that they have in the form,
// of which those that are not used were not sent.
func (p *runPage) rename(problem *httpapi.Problem) {
	var sent []int
	for i := range p.Form.Files {
		if p.used(i) {
			sent = append(sent, i)
		}
	}
	for i, issue := range problem.Errors {
		var n int
		if _, err := fmt.Sscanf(issue.Field, "files[%d]", &n); err == nil && 0 <= n && n < len(sent) {
			rest := strings.TrimPrefix(issue.Field, fmt.Sprintf("files[%d]", n))
			problem.Errors[i].Field = fmt.Sprintf("files[%d]%s", sent[n], rest)
		}
	}
}

// used reports whether the file with the index i is more than added to the form.
func (p *runPage) used(i int) bool { return i == 0 || p.Form.Files[i] != formFile{} }

// show puts what is wrong at its place: at the longest field that begins the name, or
// above the form.
func (p *runPage) show(problem *httpapi.Problem) {
	var rest []string
	for _, issue := range problem.Errors {
		field := issue.Field
		for !p.hasField(field) && field != "" {
			field = field[:max(strings.LastIndexAny(field, ".["), 0)]
		}
		switch {
		case field == "":
			rest = append(rest, issue.Field+" "+issue.Message)
		case p.issues[field] == "":
			p.issues[field] = strings.TrimLeft(strings.TrimPrefix(issue.Field, field)+" "+issue.Message, ". ")
		}
	}
	if len(problem.Errors) == 0 {
		rest = append(rest, problem.Detail)
	}
	p.Problem = strings.Join(rest, "; ")
}

func (p *runPage) hasField(field string) bool {
	switch field {
	case "language", "code", "files", "stdin", "args", "env":
		return true
	case "network":
		return p.Limits.Network
	}
	if _, limit := limitNames[field]; limit {
		return true
	}
	for i := range p.Form.Files {
		if field == fmt.Sprintf("files[%d]", i) {
			return true
		}
	}
	return false
}
