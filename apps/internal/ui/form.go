package ui

import (
	"cmp"
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

// limitNames are the form's limits by name, those that are numbers with true.
var limitNames = map[string]bool{
	"timeout": true, "cpu_limit": true, "pids_limit": true,
	"memory_limit": false, "output_limit": false, "disk_limit": false,
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
	without("the number of attempts", *s.MaxAttempts != ports.DefaultMaxAttempts)
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
