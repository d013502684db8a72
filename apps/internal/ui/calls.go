package ui

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/task-runner/task-runner/adapters/httpapi"
)

// calls asks the API, on behalf of whoever asked for a page. There is no network in
// between: the API is a handler in this process, of which a Backend is one.
type calls struct{ api http.Handler }

// maxAnswer bounds what is read of an answer at once: a task with the longest program
// and input that any policy is likely to allow.
const maxAnswer = 64 << 20

// get decodes the answer of path into out.
func (c calls) get(in *http.Request, path string, out any) error {
	return c.call(in, http.MethodGet, path, nil, out)
}

// post sends body, if there is one, and decodes the answer into out.
func (c calls) post(in *http.Request, path string, body, out any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encoding the call of %s: %w", path, err)
		}
	}
	return c.call(in, http.MethodPost, path, content, out)
}

// call returns an *httpapi.Problem if the API answered with one.
func (c calls) call(in *http.Request, method, path string, body []byte, out any) error {
	res, err := c.do(in, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the answer of %s: %w", path, err)
	case len(content) > maxAnswer:
		return fmt.Errorf("the answer of %s is longer than %d bytes", path, maxAnswer)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return problemOf(res, content)
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", path, err)
	}
	return nil
}

// problemOf returns the problem that an answer says, or one made of its status if it
// says none.
func problemOf(res *http.Response, content []byte) *httpapi.Problem {
	problem := new(httpapi.Problem)
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(content, problem) == nil && problem.Status == res.StatusCode {
		return problem
	}
	return &httpapi.Problem{
		Type: "about:blank", Title: http.StatusText(res.StatusCode), Status: res.StatusCode,
		Detail: "The service answered with " + http.StatusText(res.StatusCode) + ".",
	}
}

// do returns the API's answer as soon as it begins; closing its body ends the call.
// The API hears who asks and for which host, and nothing else of in: it is this page
// that calls, whose own caller was judged before.
func (c calls) do(in *http.Request, method, path string, body []byte, fields ...string) (*http.Response, error) {
	ctx, cancel := context.WithCancel(in.Context())
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body)) //nolint:gosec // it goes nowhere: the API is in this process
	if err != nil {
		cancel()
		return nil, fmt.Errorf("calling the API: %w", err)
	}
	if body == nil {
		r.Body = http.NoBody
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	r.RequestURI, r.Host, r.RemoteAddr, r.TLS = path, in.Host, in.RemoteAddr, in.TLS
	for _, name := range []string{"User-Agent", "X-Forwarded-For", "X-Request-Id"} {
		if values, ok := in.Header[name]; ok {
			r.Header[name] = values
		}
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1]) //nolint:gosec // they come in pairs
	}
	content, pipe := io.Pipe()
	a := &answer{fields: http.Header{}, pipe: pipe, begun: make(chan struct{})}
	go func() {
		defer func() {
			// What the API has to say of a fault of its own it has logged.
			if recover() != nil {
				a.end(io.ErrUnexpectedEOF)
			} else {
				a.end(nil)
			}
		}()
		c.api.ServeHTTP(a, r)
	}()
	select {
	case <-a.begun:
	case <-ctx.Done(): // the handler may take its time to see that
		cancel()
		_ = content.Close()
		return nil, fmt.Errorf("calling the API: %w", ctx.Err())
	}
	if a.failed {
		cancel()
		return nil, errors.New("the API broke off before it answered")
	}
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Header: a.sent,
		Body: callBody{content, cancel}, Request: r,
	}, nil
}

// answer is an http.ResponseWriter whose content goes to a pipe. Its deadlines are the
// page's own answer's, so it has none.
type answer struct {
	fields http.Header
	pipe   *io.PipeWriter
	held   *bufio.Writer // what was not flushed yet; nil if that is nothing

	begun  chan struct{} // closed when what follows is set
	sent   http.Header
	status int
	failed bool // it ended before it began
}

func (a *answer) Header() http.Header { return a.fields }

func (a *answer) WriteHeader(status int) {
	if a.status != 0 || status < http.StatusOK {
		return
	}
	a.status, a.sent = status, maps.Clone(a.fields)
	close(a.begun)
}

// holders gather what is not flushed. One that waits, of which there are thousands, has
// none.
var holders = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4<<10) }}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.held == nil {
		a.held = holders.Get().(*bufio.Writer)
		a.held.Reset(a.pipe)
	}
	return a.held.Write(p)
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is for http.ResponseController.
func (a *answer) FlushError() error {
	a.WriteHeader(http.StatusOK)
	if a.held == nil {
		return nil
	}
	err := a.held.Flush()
	a.held.Reset(nil)
	holders.Put(a.held)
	a.held = nil
	return err
}

func (a *answer) end(err error) {
	if err != nil && a.status == 0 {
		a.failed = true
		close(a.begun)
	} else if flushed := a.FlushError(); err == nil {
		err = flushed
	}
	_ = a.pipe.CloseWithError(err)
}

// callBody ends the call when it is closed.
type callBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b callBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
