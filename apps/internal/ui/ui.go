// Package ui is the web interface: pages rendered from embedded templates, with
// hand-written style sheets and script modules. There is no build step and nothing is
// loaded from anywhere but here. Programs can be submitted and results read without
// scripts; with them, output, figures and lists come live.
//
// Pages are made of what the API says, which this package's handler also passes on
// under the same origin, so that it needs no cross-origin rights: of an API in this
// process, or through a Backend of one in another.
//
// What a task wrote is hostile. Pages show it as text and nothing else, and the content
// security policy forbids every script and style but the embedded ones.
package ui

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/task-runner/task-runner/adapters/httpapi"
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
	// Secret signs what browsers keep for the page: at least 32 bytes, the same for
	// every process that serves one site. Required.
	Secret string
	// DocsURL is where the API's documentation is; empty hides the link to it.
	DocsURL string
	// Logger gets why there is no page to show, where the API did not say it.
	// Default: slog.Default().
	Logger *slog.Logger
}

// New returns the handler of the web interface.
func New(cfg Config) (http.Handler, error) {
	if cfg.API == nil {
		return nil, errors.New("ui: an API is required")
	}
	templates, err := template.New("").Funcs(words).ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("ui: parsing the templates: %w", err)
	}
	assets, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("ui: reading the static files: %w", err)
	}
	sessions, err := newSessions(cfg.Secret)
	if err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	h := &handler{
		templates: templates, api: calls{cfg.API}, sessions: sessions, docsURL: cfg.DocsURL,
		log: cmp.Or(cfg.Logger, slog.Default()),
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.run)
	mux.HandleFunc("POST /{$}", h.submit)
	mux.HandleFunc("GET /tasks", h.tasks)
	mux.HandleFunc("GET /tasks/{id}", h.task)
	mux.HandleFunc("GET /tasks/{id}/events", h.events)
	mux.HandleFunc("POST /tasks/{id}/cancel", h.cancel)
	mux.HandleFunc("POST /tasks/{id}/rerun", h.rerun)
	mux.HandleFunc("POST /theme", h.setTheme)
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
	api       calls
	sessions  *sessions
	docsURL   string
	log       *slog.Logger
	forms     atomic.Int64 // bytes of all that are being submitted
}

// words are what templates say figures and facts with.
var words = template.FuncMap{
	"bytes": bytesOf, "size": func(n *httpapi.Size) string { return bytesOf(int64(*n)) }, "duration": durationOf, "between": between, "number": number,
	"stamp": stamp, "clock": clock, "status": statusWord, "ended": ended,
}

// frame is what every page has.
type frame struct {
	Title   string
	Here    string // the page in the navigation
	Theme   string // empty: the system's
	Back    string // where a change of the theme comes back to
	DocsURL string
}

func (h *handler) frame(r *http.Request, title, here string) frame {
	back := r.URL.RequestURI()
	if r.Method == http.MethodPost { // what answered a form cannot be asked for
		back = "/"
	}
	return frame{Title: title, Here: here, Theme: h.sessions.of(r).Theme, Back: back, DocsURL: h.docsURL}
}

// message is a page with nothing but something to say.
type message struct {
	frame
	Message, Detail, RequestID string
}

func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	h.render(w, http.StatusNotFound, "message.html", message{frame: h.frame(r, "Not found · Task Runner", ""), Message: "There is no such page."})
}

// fail answers with a page that says why there is no other one. While the API is away
// that page looks by itself whether it is back.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	problem := h.explain(err)
	m := message{frame: h.frame(r, "Task Runner", ""), Detail: problem.Detail, RequestID: problem.RequestID}
	name := "message.html"
	switch problem.Status {
	case http.StatusNotFound, http.StatusGone:
		m.Message, m.Detail, m.RequestID = "There is no such task.", "Finished tasks are only kept for a while. This one is gone, or never existed.", ""
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
		m.Message, m.Detail, name = "Task Runner is not available right now.", "", "away.html"
		if r.Method != http.MethodGet {
			m.Message, m.Detail, name = "Not now.", problem.Detail, "message.html"
		}
	default:
		m.Message = "That did not work."
	}
	h.render(w, problem.Status, name, m)
}

// problem answers a script.
func (h *handler) problem(w http.ResponseWriter, err error) {
	problem := h.explain(err)
	writeJSON(w, problem.Status, problem)
}

// explain returns what to say about err, and logs what is not said.
func (h *handler) explain(err error) *httpapi.Problem {
	problem := problemFor(err)
	if problem.Code == badAnswer && !errors.Is(err, context.Canceled) { // else it is the reader who left
		h.log.Error("the API did not answer a page as it should", "error", err)
	}
	return problem
}

// badAnswer is the code of the one problem that is not the API's.
const badAnswer = "bad_answer"

// problemFor returns what to say about err: what the API said, or that it did not
// answer as it should.
func problemFor(err error) *httpapi.Problem {
	if problem, ok := errors.AsType[*httpapi.Problem](err); ok {
		return problem
	}
	return &httpapi.Problem{
		Type: "about:blank", Title: http.StatusText(http.StatusBadGateway), Status: http.StatusBadGateway,
		Detail: "The service behind this page did not answer as it should; try again.", Code: badAnswer,
	}
}

func writeJSON(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content) // the reader went away; there is nobody to tell
}

// render executes the template before it writes anything, so that a page is
// served whole or not at all.
func (h *handler) render(w http.ResponseWriter, status int, name string, content any) {
	var body bytes.Buffer
	if err := h.templates.ExecuteTemplate(&body, name, content); err != nil {
		h.log.Error("could not render a page", "template", name, "error", err)
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "private, no-cache")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the reader went away; there is nobody to tell
}

// taskPath returns the API's path of a task.
func taskPath(id string) string { return "/api/v1/tasks/" + url.PathEscape(id) }
