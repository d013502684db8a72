package ui

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/kballard/go-shellquote"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/ports"
)

// form is a program as people edit it: everything is text, as they wrote it.
type form struct {
	Language string
	Files    []formFile // the first one is run; there is at least one
	Stdin    string
	Args     string // words as a shell splits them
	Env      string // NAME=value lines
	Limits   map[string]string
	Network  bool
}

type formFile struct{ Path, Content string }

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

// limitNames are the form's limits by name, those that are numbers with true.
var limitNames = map[string]bool{
	"timeout": true, "cpu_limit": true, "pids_limit": true,
	"memory_limit": false, "output_limit": false, "disk_limit": false,
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

// formOf returns a task's program as a form, and what of it a form cannot hold.
func formOf(s httpapi.Spec, source string) (f form, notice string) {
	var left []string
	without := func(what string, lacking bool) {
		if lacking && !slices.Contains(left, what) {
			left = append(left, what)
		}
	}
	text := func(s string) string { // as it comes back from a browser
		without("carriage returns", strings.Contains(s, "\r"))
		return lines(s)
	}
	several := func(s string) bool { return strings.ContainsAny(s, "\r\n") }

	f = form{Language: s.Language, Stdin: text(s.Stdin), Network: s.Network}
	files := s.Files
	if files == nil {
		files = []httpapi.File{{Path: cmp.Or(s.Entrypoint, source), Content: &s.Code}}
	}
	for _, file := range files {
		if file.Content == nil || strings.Contains(*file.Content, "\x00") {
			without("files that are not text", true)
			continue
		}
		f.Files = append(f.Files, formFile{file.Path, text(*file.Content)})
		if last := len(f.Files) - 1; file.Path == s.Entrypoint && last > 0 { // it goes first
			f.Files = slices.Insert(f.Files[:last], 0, f.Files[last])
		}
	}
	if len(f.Files) == 0 {
		f.Files = []formFile{{source, ""}}
	}
	without("input that is not text", s.StdinBase64 != "")
	if slices.ContainsFunc(s.Args, several) {
		without("arguments of several lines", true)
	} else {
		f.Args = shellquote.Join(s.Args...)
	}
	env := maps.Clone(s.Env)
	maps.DeleteFunc(env, func(_, value string) bool { return several(value) })
	without("variables of several lines", len(env) < len(s.Env))
	f.Env = envOf(env)
	without("the queue", s.Queue != ports.DefaultQueue)
	without("the priority", s.Priority != 0)
	without("labels", len(ownLabels(s.Labels)) > 0)
	if len(left) > 0 {
		notice = "Left out here, but kept by Run again: " + strings.Join(left, ", ") + "."
	}
	f.Limits = map[string]string{
		"timeout": number(*s.Timeout), "memory_limit": sizeOf(int64(*s.MemoryLimit)), "cpu_limit": number(*s.CPULimit),
		"pids_limit": strconv.Itoa(*s.PIDsLimit), "output_limit": sizeOf(int64(*s.OutputLimit)), "disk_limit": sizeOf(int64(*s.DiskLimit)),
	}
	return f, notice
}

// envOf returns an environment as the form has it.
func envOf(env map[string]string) string {
	lines := make([]string, 0, len(env))
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
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

// readForm returns the form that was sent.
func readForm(values url.Values) form {
	f := form{
		Language: values.Get("language"), Stdin: lines(values.Get("stdin")), Args: values.Get("args"),
		Env: lines(values.Get("env")), Network: values.Get("network") == "true", Limits: map[string]string{},
	}
	paths := values["path"]
	for i, content := range values["content"] {
		file := formFile{Content: lines(content)}
		if i < len(paths) {
			file.Path = strings.TrimSpace(paths[i])
		}
		f.Files = append(f.Files, file)
	}
	if len(f.Files) == 0 {
		f.Files = []formFile{{}}
	}
	for name := range limitNames {
		f.Limits[name] = strings.TrimSpace(values.Get(name))
	}
	return f
}

// lines undoes what forms do to line ends.
func lines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// spec returns the form as the API wants it. What it cannot be made of is a problem
// like the API's own.
func (p *runPage) spec() (map[string]any, error) {
	f := p.Form
	spec := map[string]any{"language": f.Language}
	var issues []httpapi.FieldIssue
	wrong := func(field, message string) {
		issues = append(issues, httpapi.FieldIssue{Field: field, Message: message})
	}

	files := f.Files[:0:0]
	for i, file := range f.Files {
		if p.used(i) {
			files = append(files, file)
		}
	}
	if len(files) == 1 && p.isSource(files[0].Path) {
		spec["code"] = files[0].Content
	} else {
		list := make([]map[string]string, len(files))
		for i, file := range files {
			list[i] = map[string]string{"path": file.Path, "content": file.Content}
		}
		spec["files"], spec["entrypoint"] = list, files[0].Path
	}

	if f.Stdin != "" {
		spec["stdin"] = f.Stdin
	}
	if args, err := shellquote.Split(f.Args); err != nil {
		wrong("args", "must have every quote closed")
	} else if len(args) > 0 {
		spec["args"] = args
	}
	env := map[string]string{}
	for line := range strings.Lines(f.Env) {
		line = strings.TrimSuffix(line, "\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			wrong("env", fmt.Sprintf("must have the form NAME=value, unlike %q", line))
			continue
		}
		env[strings.TrimSpace(name)] = value
	}
	if len(env) > 0 {
		spec["env"] = env
	}
	for _, field := range p.LimitFields() {
		switch value := field.Value; {
		case value == "":
		case !limitNames[field.Name]:
			spec[field.Name] = value
		default:
			n, err := strconv.ParseFloat(value, 64)
			if err != nil || n-n != 0 { // no number, or none that JSON has
				wrong(field.Name, "must be a number, such as "+field.Default)
				continue
			}
			spec[field.Name] = n
		}
	}
	if f.Network {
		spec["network"] = true
	}
	if len(issues) > 0 {
		return nil, &httpapi.Problem{
			Type: "about:blank", Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest,
			Code: "invalid_input", Detail: issues[0].Field + " " + issues[0].Message, Errors: issues,
		}
	}
	return spec, nil
}

// isSource reports whether path is no name that somebody chose: it is empty, or what a
// language calls its source anyway.
func (p *runPage) isSource(path string) bool {
	return path == "" || slices.ContainsFunc(p.Languages, func(l httpapi.Language) bool { return l.Source == path })
}

// maxForms bounds the bytes of all programs that are being submitted at once, each of
// which takes several times its length of memory. It is more than the greatest form of
// any policy.
const maxForms = 128 << 20

var errCrowded = errors.New("too many forms at once")

// formBody is a body whose bytes count among those of all forms until release. What has
// arrived counts, and not what was announced.
type formBody struct {
	io.ReadCloser
	all  *atomic.Int64
	held int64
}

// Read implements io.Reader.
func (b *formBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.held += int64(n)
	if b.all.Add(int64(n)) > maxForms {
		return n, errCrowded
	}
	return n, err
}

func (b *formBody) release() { b.all.Add(-b.held) }

// parseForm reads a form of at most limit bytes; release is due when nothing of it is
// needed any more, whatever became of it.
func (h *handler) parseForm(w http.ResponseWriter, r *http.Request, limit int64) (release func(), err error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(uploadTimeout))
	body := &formBody{ReadCloser: r.Body, all: &h.forms}
	r.Body = http.MaxBytesReader(w, body, limit)
	if err = r.ParseForm(); err == nil {
		_ = control.SetReadDeadline(time.Time{}) // it would end the wait for the API too
	} else {
		_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // nobody asks for the rest
	}
	status, code, detail := http.StatusBadRequest, "bad_form", "The form could not be read."
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		status, detail = http.StatusRequestEntityTooLarge, "The program is larger than this service accepts."
	} else if errors.Is(err, errCrowded) {
		status, code, detail = http.StatusServiceUnavailable, "busy", "Too many large programs arrive at once; try again later."
	}
	if err == nil {
		for _, values := range r.PostForm {
			if slices.ContainsFunc(values, func(s string) bool { return !utf8.ValidString(s) }) {
				err, detail = errors.New("not UTF-8"), "The form must be text in UTF-8."
			}
		}
	}
	if err != nil {
		err = &httpapi.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
	}
	return body.release, err
}
