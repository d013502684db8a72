package httpapi

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/task-runner/task-runner/taskrunner"
)

// bodyTimeout is how long a client may take to send a body.
const bodyTimeout = 2 * time.Minute

// maxBody returns the greatest size of a body: twice the sources that the policy
// allows, since base64 and the escapes of ordinary text make them longer by less
// than that, and room for the rest.
func maxBody(p taskrunner.Policy) int64 { return 2*p.MaxInput + 64<<10 }

// bodies counts the bytes of all bodies that are in memory at once. It counts what
// has arrived, not what was announced: an empty promise costs the others nothing.
type bodies struct {
	held atomic.Int64
	max  int64
}

// body is a body whose bytes are counted until release, which is due whatever
// becomes of it.
type body struct {
	io.Reader
	all  *bodies
	held int64
}

// errCrowded says that all bodies together are too large.
var errCrowded = errors.New("too many bodies at once")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.held += int64(n)
	if b.all.held.Add(int64(n)) > b.all.max {
		return n, errCrowded
	}
	return n, err
}

func (b *body) release() { b.all.held.Add(-b.held) }

// readJSON reads b, which is the request's body, into v. Its errors are Problems.
func (x *exchange) readJSON(b *body, v any) error {
	if err := wantJSON(x.r.Header); err != nil {
		return err
	}
	limit := x.api.maxBody
	tooLarge := newProblem(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("The body must be at most %d bytes long.", limit))
	if x.r.ContentLength > limit {
		x.w.Header().Set("Connection", "close")
		return tooLarge
	}
	_ = x.w.control.SetReadDeadline(time.Now().Add(bodyTimeout))
	b.Reader = http.MaxBytesReader(x.w.ResponseWriter, x.r.Body, limit)
	data, err := io.ReadAll(b)
	if err != nil {
		if errors.Is(err, errCrowded) {
			// Nobody waits for the rest of it.
			x.w.Header().Set("Connection", "close")
			_ = x.w.control.SetReadDeadline(time.Now().Add(x.w.timeout / 2))
			return newProblem(http.StatusServiceUnavailable, "busy", "Too many large submissions arrive at once; try again later.").retry("5")
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return tooLarge
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return newProblem(http.StatusRequestTimeout, "timeout", "The body did not arrive in time.")
		}
		return newProblem(http.StatusBadRequest, "bad_body", "The body ended before its end.")
	}
	return decodeJSON(data, v)
}

// wantJSON returns a problem unless the body's media type is JSON.
func wantJSON(h http.Header) error {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "application/json" || len(h.Values("Content-Type")) != 1 {
		return newProblem(http.StatusUnsupportedMediaType, "not_json", "The Content-Type must be application/json.")
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") {
		return newProblem(http.StatusUnsupportedMediaType, "not_json", "The charset must be utf-8.")
	}
	if h.Get("Content-Encoding") != "" {
		return newProblem(http.StatusUnsupportedMediaType, "encoded", "The body must not have a Content-Encoding.")
	}
	return nil
}

// noNull refuses null wherever a value may stand.
var noNull = json.UnmarshalFromFunc(func(dec *jsontext.Decoder, _ any) error {
	if dec.PeekKind() == 'n' {
		if err := dec.SkipValue(); err != nil {
			return err
		}
		return badValue("must not be null; leave it out for the default")
	}
	return json.SkipFunc
})

// decodeJSON decodes the one JSON value in data into v, strictly; see the
// package's comment. Repeated names and invalid UTF-8 are refused by the decoder
// itself, and deep nesting because no type here is deep. Its error is a *Problem.
func decodeJSON(data []byte, v any) error {
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(true), json.WithUnmarshalers(noNull))
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return issue(fieldAt(e.JSONPointer), "must not appear twice")
		}
		return issue("body", "must be one valid JSON value: %v at byte %d", e.Err, e.ByteOffset)
	}
	e, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return issue("body", "must be valid JSON")
	}
	field := fieldAt(e.JSONPointer)
	bad, isBad := asBadValue(e.Err)
	switch {
	case errors.Is(e.Err, json.ErrUnknownName):
		return issue(field, "is not a known field")
	case isBad:
		return issue(field, "%v", bad)
	case errors.Is(e.Err, strconv.ErrRange):
		return issue(field, "is out of range")
	}
	return issue(field, "must be %s", kindName(e.GoType))
}

// fieldAt writes a JSON pointer as callers write a field: files[2].path.
func fieldAt(p jsontext.Pointer) string {
	var field strings.Builder
	for token := range p.Tokens() {
		switch _, err := strconv.ParseUint(token, 10, 32); {
		case err == nil && field.Len() > 0:
			fmt.Fprintf(&field, "[%s]", token)
		case field.Len() > 0:
			field.WriteByte('.')
			fallthrough
		default:
			field.WriteString(token)
		}
	}
	if field.Len() == 0 {
		return "body"
	}
	return strings.ToValidUTF8(field.String(), "\uFFFD")
}

// kindName says what JSON a Go type wants.
func kindName(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "another kind of value"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}

// query is the parameters in a URL, all of them known.
type query url.Values

// parseQuery reads the query that op describes; an unknown parameter is refused,
// since a misspelt filter would otherwise show everything.
func parseQuery(raw string, op *huma.Operation) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, issue("query", "must be well-formed")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		switch {
		case i < 0:
			return nil, issue(strings.ToValidUTF8(name, "\uFFFD"), "is not a known query parameter")
		case len(values[name]) > 1 && op.Parameters[i].Schema.Type != huma.TypeArray:
			return nil, issue(name, "must not appear twice")
		case !slices.ContainsFunc(values[name], func(v string) bool { return v != "" }):
			return nil, issue(name, "must not be empty")
		case !utf8.ValidString(strings.Join(values[name], "")):
			return nil, issue(name, "must be valid UTF-8")
		}
	}
	return query(values), nil
}

func (q query) get(name string) string { return url.Values(q).Get(name) }
