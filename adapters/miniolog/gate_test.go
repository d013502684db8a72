package miniolog_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"
)

// gate stands in front of a store and passes requests on, but for those that its rule
// takes care of.
type gate struct {
	server *httptest.Server
	pass   *httputil.ReverseProxy

	mu   sync.Mutex
	rule func(w http.ResponseWriter, r *http.Request) bool
	seen int
}

func newGate(t testing.TB) *gate {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	target := &url.URL{Scheme: "http", Host: store(t).Endpoint}
	g := &gate{pass: &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // which the signature covers
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}}
	g.server = httptest.NewServer(g)
	t.Cleanup(g.server.Close)
	return g
}

// client returns a client that talks through the gate and, with tries of 1, tries
// nothing again.
func (g *gate) client(t testing.TB, tries int) *minio.Client {
	t.Helper()
	return newClient(t, strings.TrimPrefix(g.server.URL, "http://"), tries)
}

// set has a rule, which may be nil, take care of requests. It says whether it did.
func (g *gate) set(rule func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rule = rule
}

func (g *gate) requests() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.seen++
	rule := g.rule
	g.mu.Unlock()
	if rule == nil || !rule(w, r) {
		g.pass.ServeHTTP(w, r)
	}
}

// loseAnswer has the store do what is asked, and cuts the connection.
func (g *gate) loseAnswer(r *http.Request) {
	g.pass.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// answer answers as a store that refuses.
func answer(w http.ResponseWriter, r *http.Request, status int, code string) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>made for a test</Message></Error>", code)
	return true
}

// isPut reports whether a request writes an object below a folder of that name.
func isPut(r *http.Request, folder string) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/"+folder+"/")
}

// metadataHeader is where a head's record is.
const metadataHeader = "X-Amz-Meta-Taskrunner-Log"

var parts, complete = regexp.MustCompile(`"parts":\d+`), regexp.MustCompile(`"complete":true`)

// losingFirstAnswers returns a rule that loses the first answer to every step of a
// log: to each part, and to each head that counts more of them or is complete.
func (g *gate) losingFirstAnswers(t *testing.T) func(http.ResponseWriter, *http.Request) bool {
	var mu sync.Mutex
	lost := map[string]bool{}
	t.Cleanup(func() { require.NotEmpty(t, lost, "no answer was lost") })
	return func(_ http.ResponseWriter, r *http.Request) bool {
		record := r.Header.Get(metadataHeader)
		id := r.URL.Path + parts.FindString(record) + complete.FindString(record)
		mu.Lock()
		first := r.Method == http.MethodPut && !lost[id]
		lost[id] = lost[id] || first
		mu.Unlock()
		if first {
			g.loseAnswer(r)
		}
		return false
	}
}

// capturing returns a rule that swallows the first request that matches, as a network
// may that delivers it late, and a function that delivers it.
func (g *gate) capturing(t *testing.T, match func(*http.Request) bool) (rule func(http.ResponseWriter, *http.Request) bool, deliver func() int) {
	var mu sync.Mutex
	var caught bool
	var late *http.Request
	var body []byte
	rule = func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		first := !caught && match(r)
		caught = caught || first
		mu.Unlock()
		if !first {
			return false
		}
		b, _ := io.ReadAll(r.Body) // which may take other requests
		mu.Lock()
		defer mu.Unlock()
		late, body = r.Clone(t.Context()), b
		panic(http.ErrAbortHandler)
	}
	deliver = func() int {
		mu.Lock()
		defer mu.Unlock()
		require.NotNil(t, late, "no request was late")
		late.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		g.pass.ServeHTTP(answer, late)
		return answer.Code
	}
	return rule, deliver
}
