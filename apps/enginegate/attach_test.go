package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
)

// pair returns both ends of a connection.
func pair(t *testing.T) (here, there *net.UnixConn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socketOf(t))
	require.NoError(t, err)
	defer l.Close()
	a, err := new(net.Dialer).DialContext(t.Context(), "unix", l.Addr().String())
	require.NoError(t, err)
	b, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a.(*net.UnixConn), b.(*net.UnixConn)
}

// line is a line between a worker and a container, as both see it.
type line struct {
	t                 *testing.T
	worker, container *net.UnixConn
	cut               context.CancelFunc
	ended             chan struct{}
}

func newLine(t *testing.T) *line {
	worker, toWorker := pair(t)
	container, toEngine := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	l := &line{t, worker, container, cancel, make(chan struct{})}
	go func() {
		defer close(l.ended)
		splice(ctx, end{toWorker, bufio.NewReader(toWorker)}, end{toEngine, bufio.NewReader(toEngine)})
	}()
	t.Cleanup(func() {
		cancel()
		<-l.ended
	})
	return l
}

func (l *line) says(from io.Writer, text string) {
	l.t.Helper()
	_, err := io.WriteString(from, text)
	require.NoError(l.t, err)
}

func (l *line) hears(at io.Reader, text string) {
	l.t.Helper()
	b := make([]byte, len(text))
	_, err := io.ReadFull(at, b)
	require.NoError(l.t, err)
	assert.Equal(l.t, text, string(b))
}

func TestALineGoesBothWaysAndEndsInEach(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.says(l.worker, "in")
	l.hears(l.container, "in")
	l.says(l.container, "out")
	l.hears(l.worker, "out")
	require.NoError(t, l.worker.CloseWrite())
	rest, err := io.ReadAll(l.container)
	require.NoError(t, err)
	assert.Empty(t, rest, "the container's input ends")
	l.says(l.container, "last words")
	l.hears(l.worker, "last words")
	require.NoError(t, l.container.Close())
	rest, err = io.ReadAll(l.worker)
	require.NoError(t, err)
	assert.Empty(t, rest)
	<-l.ended
}

func TestLastWordsArriveThoughTheContainerListensNoMore(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	words := bytes.Repeat([]byte("last words "), 10_000) // more than what is under way
	require.NoError(t, l.container.CloseRead())
	l.says(l.worker, "nobody reads this")
	go func() {
		_, _ = l.container.Write(words) // what is missing, the reader tells
		_ = l.container.Close()
	}()
	heard, err := io.ReadAll(l.worker)
	require.NoError(t, err)
	assert.Equal(t, string(words), string(heard))
	require.NoError(t, l.worker.Close())
	<-l.ended
}

func TestALineEndsWithTheWorker(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	require.NoError(t, l.worker.Close())
	_, err := io.ReadAll(l.container)
	require.NoError(t, err)
	for err == nil { // until it is known that nobody reads
		_, err = io.WriteString(l.container, "words for nobody")
	}
	<-l.ended
}

func TestALineThatIsCutEnds(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.says(l.worker, "in")
	l.hears(l.container, "in")
	l.cut()
	<-l.ended
	_, _ = io.ReadAll(l.worker) // ends
	_, _ = io.ReadAll(l.container)
}

// attaching sends what a client does to become attached.
func attaching(t *testing.T, socket string) net.Conn {
	t.Helper()
	c, err := dialSocket(socket)(t.Context(), "", "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprintf(c, "POST /containers/%s/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n", aTask)
	require.NoError(t, err)
	return c
}

// instead has an engine answer with h what the gate does not ask by itself.
func instead(e *engine, h http.HandlerFunc) {
	inner := e.Config.Handler
	e.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own.MatchString(r.URL.Path) || r.URL.Path == "/_ping" {
			inner.ServeHTTP(w, r)
			return
		}
		h(w, r)
	})
}

func TestAnEngineThatDoesNotAttachIsQuoted(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	instead(e, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, "it is paused")
	})
	c := attaching(t, opened(t, e.client(t), dockerexec.RequestsConfig{}))
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, http.StatusConflict, answer.StatusCode)
	said, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	assert.Equal(t, "it is paused", string(said))
}

func TestAWorkerThatHangsUpDoesNotWaitForTheEngine(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	asked, gone := make(chan struct{}), make(chan struct{})
	instead(e, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	c := attaching(t, opened(t, e.client(t), dockerexec.RequestsConfig{}))
	<-asked
	require.NoError(t, c.Close())
	<-gone
}
