// Package ui is the web interface: one page, rendered from an embedded template,
// with hand-written style sheets and script modules. There is no build step and
// nothing is loaded from anywhere but here. The page talks to the API alone,
// which this package's handler passes on under the same origin, so that it needs
// no cross-origin rights: to an API in this process, or through a Backend to one
// in another.
//
// What a task wrote is hostile. The page shows it as text and nothing else, and
// the content security policy forbids every script and style but the embedded ones.
package ui

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/task-runner/task-runner/ports"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pagePolicy lets the page load its own files, call its own origin, and do
// nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// apiPolicy is for what the API answers, in case somebody opens it as a page: a
// log is text that nobody trusts.
const apiPolicy = "default-src 'none'; sandbox; frame-ancestors 'none'"

// Config is what the web interface needs.
type Config struct {
	// API serves every path under /api/. Nothing else is passed to it. It sets its own
	// deadline for a body that takes longer than bodyTimeout. Required.
	API http.Handler
	// Ready, if set, returns an error while the API is away: instead of a page that
	// could do nothing there is one that says so, and goes on once it is back. It is
	// called for every page.
	Ready func(context.Context) error
	// DocsURL is where the API's documentation is; empty hides the link to it.
	DocsURL string
}

// page is what the templates are rendered from.
type page struct {
	Title   string
	DocsURL string
	Message string
}

// New returns the handler of the web interface.
func New(cfg Config) (http.Handler, error) {
	if cfg.API == nil {
		return nil, errors.New("ui: an API is required")
	}
	templates, err := template.ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("ui: parsing the templates: %w", err)
	}
	assets, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("ui: reading the static files: %w", err)
	}
	h := &handler{templates: templates, ready: cfg.Ready, docsURL: cfg.DocsURL}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.newTask)
	mux.HandleFunc("GET /tasks/{id}", h.task)
	mux.HandleFunc("/", h.notFound)
	mux.Handle("GET /static/{name...}", assets)
	mux.Handle("/api/", withHeader(cfg.API, "Content-Security-Policy", apiPolicy))
	return withHeader(boundBodies(http.NewCrossOriginProtection().Handler(mux)),
		"Content-Security-Policy", pagePolicy,
		"X-Content-Type-Options", "nosniff",
		"Referrer-Policy", "same-origin",
		"Cross-Origin-Opener-Policy", "same-origin",
		"Cross-Origin-Resource-Policy", "same-origin",
	), nil
}

// withHeader sets header fields, given as pairs of names and values, before h runs.
func withHeader(h http.Handler, fields ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		h.ServeHTTP(w, r)
	})
}

// bodyTimeout is how long a body may take that nobody asked for: the server reads
// what is left of it before it sends an answer.
const bodyTimeout = 5 * time.Second

func boundBodies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		h.ServeHTTP(w, r)
	})
}

type handler struct {
	templates *template.Template
	ready     func(context.Context) error
	docsURL   string
}

func (h *handler) newTask(w http.ResponseWriter, r *http.Request) {
	h.app(w, r, "Task Runner")
}

// task serves the same page; its script finds out what the task is.
func (h *handler) task(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if ports.TaskID(id).Validate() != nil {
		h.notFound(w, r)
		return
	}
	h.app(w, r, "Task "+id+" · Task Runner")
}

// app serves the page that talks to the API.
func (h *handler) app(w http.ResponseWriter, r *http.Request, title string) {
	if h.ready != nil && h.ready(r.Context()) != nil {
		w.Header().Set("Retry-After", "5")
		h.render(w, http.StatusServiceUnavailable, "away.html", page{Title: title, Message: "Task Runner is away just now."})
		return
	}
	h.render(w, http.StatusOK, "app.html", page{Title: title})
}

func (h *handler) notFound(w http.ResponseWriter, _ *http.Request) {
	h.render(w, http.StatusNotFound, "message.html", page{Title: "Not found · Task Runner", Message: "There is no such page."})
}

// render executes the template before it writes anything, so that a page is
// served whole or not at all.
func (h *handler) render(w http.ResponseWriter, status int, name string, p page) {
	p.DocsURL = h.docsURL
	var body bytes.Buffer
	if err := h.templates.ExecuteTemplate(&body, name, p); err != nil {
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the reader went away; there is nobody to tell
}
