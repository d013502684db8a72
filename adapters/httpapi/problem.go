package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/task-runner/task-runner/ports"
)

// Problem is the body of every answer that is not a success, as RFC 9457
// (Problem Details for HTTP APIs) defines it, with a code for programs.
type Problem struct {
	Type      string       `json:"type" doc:"Always about:blank: the code says which problem it is." example:"about:blank"`
	Title     string       `json:"title" doc:"The phrase of the HTTP status." example:"Bad Request"`
	Status    int          `json:"status" doc:"The HTTP status." example:"400"`
	Detail    string       `json:"detail" doc:"What happened, for people." example:"timeout must be greater than 0"`
	Code      string       `json:"code" doc:"What happened, for programs." example:"invalid_input"`
	RequestID string       `json:"request_id" doc:"Names the request in the server's log." example:"4HZ2QTNBSWIX3VPJ7YAKCDLMRO"`
	Errors    []FieldIssue `json:"errors,omitempty" nullable:"false" doc:"The fields to mend, when the input was bad."`

	retryAfter string
}

// FieldIssue says what is wrong with one field of the input.
type FieldIssue struct {
	Field   string `json:"field" doc:"The path of the field, or the name of the parameter or header." example:"timeout"`
	Message string `json:"message" doc:"The rest of a sentence that starts with the field." example:"must be greater than 0"`
}

const internalDetail = "Something went wrong on our side; the request_id helps to find out what."

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	return h
}

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

func newProblem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// retry says after how many seconds to try again.
func (p *Problem) retry(seconds string) *Problem {
	p.retryAfter = seconds
	return p
}

// invalid returns the problem of input with issues, of which there is at least one.
func invalid(issues ...FieldIssue) *Problem {
	p := newProblem(http.StatusBadRequest, "invalid_input", issues[0].Field+" "+issues[0].Message)
	p.Errors = issues
	return p
}

// issue returns the problem of one field of the input.
func issue(field, message string, args ...any) *Problem {
	return invalid(FieldIssue{Field: field, Message: fmt.Sprintf(message, args...)})
}

// meanings says what each sentinel is over HTTP. An operation that knows better
// what happened says so before, with a Problem of its own.
var meanings = []struct {
	sentinel error
	status   int
	code     string
	detail   string
	retry    string
}{
	{ports.ErrInvalid, http.StatusBadRequest, "invalid_input", "The input cannot be accepted as it is.", ""},
	{ports.ErrNotFound, http.StatusNotFound, "not_found", "There is no such task.", ""},
	{ports.ErrExists, http.StatusConflict, "exists", "It exists already.", ""},
	{ports.ErrConflict, http.StatusConflict, "conflict", "The task is not in a state that allows this.", ""},
	{ports.ErrGone, http.StatusGone, "gone", "It existed and was deleted.", ""},
	{ports.ErrFull, http.StatusServiceUnavailable, "full", "Too many tasks are waiting; try again later.", "5"},
	{ports.ErrClosed, http.StatusServiceUnavailable, "unavailable", "The service is shutting down; try again.", "1"},
	{errors.ErrUnsupported, http.StatusNotImplemented, "unsupported", "This service does not support that.", ""},
	{context.Canceled, http.StatusServiceUnavailable, "interrupted", "The request was interrupted.", "1"},
}

// problemOf turns any error into a Problem. Only what was said for the caller's
// ears, a *ports.FieldError or a Problem, gets into it. An error that has no meaning
// of its own says that a backing part failed, or took too long.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if f, ok := errors.AsType[*ports.FieldError](err); ok {
		return issue(f.Field, "%s", f.Problem)
	}
	for _, m := range meanings {
		if errors.Is(err, m.sentinel) {
			return newProblem(m.status, m.code, m.detail).retry(m.retry)
		}
	}
	return unavailable()
}

// unavailable is the problem of a service that lacks a part of it.
func unavailable() *Problem {
	return newProblem(http.StatusServiceUnavailable, "unavailable", "A part of the service does not answer; try again.").retry("5")
}

// problem returns err as a Problem of this exchange, and logs it if it is the
// service's fault.
func (x *exchange) problem(err error) *Problem {
	p := problemOf(err)
	p.RequestID = x.id
	if p.Status >= http.StatusInternalServerError && error(p) != err && x.context().Err() == nil {
		x.api.log.ErrorContext(x.context(), "request failed",
			"request_id", x.id, "method", x.r.Method, "path", x.path(), "status", p.Status, "error", err)
	}
	return p
}

// fail answers with err as a problem.
func (x *exchange) fail(err error) { x.problem(err).write(x.w) }

// write writes the whole answer.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	h.Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = encodeJSON(w, p)
}
