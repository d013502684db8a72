package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/httpapi"
)

// asking is a request for a page.
func asking(t *testing.T) *http.Request {
	t.Helper()
	return httptest.NewRequest(http.MethodGet, "http://page.example/", nil).WithContext(t.Context())
}

func answering(f http.HandlerFunc) calls { return calls{f} }

func TestACallHasItsAnswer(t *testing.T) {
	t.Parallel()
	c := answering(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("Content-Type", "text/plain") // which is too late
		w.WriteHeader(http.StatusTeapot)             // and so is this
		fmt.Fprintf(w, `{"method": %q, "path": %q, "body": %q, "type": %q}`, r.Method, r.URL.RequestURI(), body, r.Header.Get("Content-Type"))
	})
	var got map[string]string
	require.NoError(t, c.get(asking(t), "/api/v1/tasks?limit=1", &got))
	assert.Equal(t, map[string]string{"method": "GET", "path": "/api/v1/tasks?limit=1", "body": "", "type": ""}, got)
	require.NoError(t, c.post(asking(t), "/api/v1/tasks", map[string]int{"a": 1}, &got))
	assert.Equal(t, map[string]string{"method": "POST", "path": "/api/v1/tasks", "body": `{"a":1}`, "type": "application/json"}, got)
	require.NoError(t, c.post(asking(t), "/api/v1/tasks", nil, &got))
	assert.Equal(t, map[string]string{"method": "POST", "path": "/api/v1/tasks", "body": "", "type": ""}, got)

	res, err := c.do(asking(t), http.MethodGet, "/api/", nil)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, http.StatusCreated, res.StatusCode)
	assert.Equal(t, "application/json", res.Header.Get("Content-Type"))
}

func TestTheAPIHearsWhoAsksAndNothingElse(t *testing.T) {
	t.Parallel()
	var heard http.Header
	c := answering(func(_ http.ResponseWriter, r *http.Request) {
		heard = r.Header
		assert.Equal(t, "page.example", r.Host)
		assert.Equal(t, "192.0.2.1:1234", r.RemoteAddr)
		assert.Equal(t, "/api/", r.RequestURI)
	})
	in := asking(t)
	for _, name := range []string{"User-Agent", "X-Forwarded-For", "X-Request-Id", "Cookie", "Origin", "Authorization", "Last-Event-Id"} {
		in.Header.Set(name, "x")
	}
	res, err := c.do(in, http.MethodGet, "/api/", nil, "Accept", "text/event-stream")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, http.Header{"User-Agent": {"x"}, "X-Forwarded-For": {"x"}, "X-Request-Id": {"x"}, "Accept": {"text/event-stream"}}, heard)
}

func TestACallThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		api  http.HandlerFunc
		want string
	}{
		"a handler that breaks off before it answers": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the API broke off before it answered"},
		"a handler that has a fault":                  {func(http.ResponseWriter, *http.Request) { panic("fault") }, "the API broke off before it answered"},
		"a handler that breaks off in the middle": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"a": `)
			panic(http.ErrAbortHandler)
		}, "reading the answer of /api/: unexpected EOF"},
		"a handler that never writes": {func(http.ResponseWriter, *http.Request) {}, "reading the answer of /api/: unexpected end of JSON input"},
		"an answer that is not JSON":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "reading the answer of /api/: invalid character '<'"},
		"an answer that is far too long": {func(w http.ResponseWriter, _ *http.Request) {
			for piece, err := make([]byte, 1<<20), error(nil); err == nil; {
				_, err = w.Write(piece)
			}
		}, "is longer than 67108864 bytes"},
		"an error that is no problem": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<b>", http.StatusBadGateway) }, "The service answered with Bad Gateway."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out any
			assert.ErrorContains(t, answering(tt.api).get(asking(t), "/api/", &out), tt.want)
		})
	}
	err := answering(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"status": 404, "code": "not_found", "detail": "There is no such task."}`)
	}).get(asking(t), "/api/", nil)
	problem, ok := errors.AsType[*httpapi.Problem](err)
	require.True(t, ok)
	assert.Equal(t, "not_found", problem.Code)
}

func TestWhatIsFlushedIsReadAtOnceAndTheRestTogether(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	c := answering(func(w http.ResponseWriter, _ *http.Request) {
		control := http.NewResponseController(w)
		assert.NoError(t, control.Flush()) // the header
		<-read
		_, _ = io.WriteString(w, "fir")
		_, _ = io.WriteString(w, "st")
		assert.NoError(t, control.Flush())
		<-read
		_, _ = io.WriteString(w, "last")
	})
	res, err := c.do(asking(t), http.MethodGet, "/api/", nil)
	require.NoError(t, err)
	defer res.Body.Close()
	buf := make([]byte, 100)
	for _, want := range []string{"first", "last"} {
		read <- struct{}{}
		n, err := res.Body.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, want, string(buf[:n]))
	}
	_, err = res.Body.Read(buf)
	assert.Equal(t, io.EOF, err)
}

func TestACallEndsWithItsReader(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(w http.ResponseWriter, r *http.Request){
		"while the API waits": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"while it writes": func(w http.ResponseWriter, _ *http.Request) {
			var err error
			for err == nil {
				_, err = io.WriteString(w, strings.Repeat("x", 1000))
			}
			assert.ErrorIs(t, err, io.ErrClosedPipe)
		},
		"while it flushes": func(w http.ResponseWriter, _ *http.Request) {
			var err error
			for err == nil {
				_, _ = io.WriteString(w, "x")
				err = http.NewResponseController(w).Flush()
			}
			assert.ErrorIs(t, err, io.ErrClosedPipe)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			c := answering(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				w.WriteHeader(http.StatusOK)
				wait(w, r)
			})
			res, err := c.do(asking(t), http.MethodGet, "/api/", nil)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			<-ended
		})
	}
}

func TestWhoGoesAwayWaitsForNoHandler(t *testing.T) {
	t.Parallel()
	reached, release, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	c := answering(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-release // and not the end of its context
		_, _ = io.WriteString(w, "late")
		ended <- http.NewResponseController(w).Flush()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	_, err := c.do(asking(t).WithContext(ctx), http.MethodGet, "/api/", nil) //nolint:bodyclose // there is none
	assert.ErrorIs(t, err, context.Canceled)
	close(release)
	assert.ErrorIs(t, <-ended, io.ErrClosedPipe)
}
