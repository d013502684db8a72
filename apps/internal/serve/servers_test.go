package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/httpapi"
)

// patience bounds the waits for what normally takes no time.
const patience = time.Minute

var quiet = slog.New(slog.DiscardHandler)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// get asks a server in the background; the channel has its answer, or "" if it was cut.
func get(l net.Listener) <-chan string {
	answer := make(chan string, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := client.Get("http://" + l.Addr().String())
		if err != nil {
			answer <- ""
			return
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		answer <- string(body)
	}()
	return answer
}

func TestRequestsUnderWayEndAndNewOnesAreNotTaken(t *testing.T) {
	t.Parallel()
	l := listen(t)
	begun, end := make(chan struct{}), make(chan struct{})
	s, ctx := NewServers(t.Context(), quiet)
	s.Add("addr", l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-end
		_, _ = io.WriteString(w, "whole")
	}), 100)
	answer := get(l)
	<-begun
	closed := s.Shutdown()
	<-ctx.Done()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, patience, time.Millisecond)
	select {
	case <-closed:
		assert.Fail(t, "it is not closed before the last request has ended")
	default:
	}
	close(end)
	s.Close(closed, patience)
	assert.Equal(t, "whole", <-answer)
	assert.NoError(t, s.Err())
}

func TestRequestsThatDoNotEndAreCut(t *testing.T) {
	t.Parallel()
	stuck, free := listen(t), listen(t)
	begun, cut := make(chan struct{}), make(chan struct{})
	s, _ := NewServers(t.Context(), quiet)
	s.Add("stuck", stuck, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(cut)
	}), 100)
	s.Add("free", free, http.NotFoundHandler(), 100)
	answer := get(stuck)
	<-begun
	s.Close(s.Shutdown(), 0)
	<-cut
	assert.Empty(t, <-answer)
	assert.NoError(t, s.Err())
}

// broken is a listener that fails.
type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) { return nil, errors.New("no more files") }

func TestAServerThatFailsEndsAll(t *testing.T) {
	t.Parallel()
	s, ctx := NewServers(t.Context(), quiet)
	s.Add("api-addr", listen(t), http.NotFoundHandler(), 100)
	l := broken{listen(t)}
	s.Add("web-addr", l, http.NotFoundHandler(), 100)
	<-ctx.Done()
	s.Close(s.Shutdown(), patience)
	assert.EqualError(t, s.Err(), "--web-addr (TASKRUNNER_WEB_ADDR): serving on "+l.Addr().String()+": no more files")
}

// elsewhere is a listener that says that others can reach it.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func TestWhoeverLetsStrangersRunCodeIsWarned(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		add    func(*Servers, net.Listener)
		warned bool
	}{
		"on loopback":              {func(s *Servers, l net.Listener) { s.Add("addr", l, http.NotFoundHandler(), 100) }, false},
		"elsewhere":                {func(s *Servers, l net.Listener) { s.Add("addr", elsewhere{l}, http.NotFoundHandler(), 100) }, true},
		"elsewhere, probes alone":  {func(s *Servers, l net.Listener) { s.AddProbes("addr", elsewhere{l}, http.NotFoundHandler()) }, false},
		"on loopback, probes also": {func(s *Servers, l net.Listener) { s.AddProbes("addr", l, http.NotFoundHandler()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said bytes.Buffer
			s, _ := NewServers(t.Context(), slog.New(slog.NewTextHandler(&said, nil)))
			tt.add(s, listen(t))
			s.Close(s.Shutdown(), patience)
			assert.Equal(t, tt.warned, bytes.Contains(said.Bytes(), []byte("THERE IS NO ACCESS CONTROL")), said.String())
		})
	}
}

func TestAHandlerIsReplacedWhileItServes(t *testing.T) {
	t.Parallel()
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	l := listen(t)
	h := NewHandler(says("old"))
	s, _ := NewServers(t.Context(), quiet)
	s.Add("addr", l, h, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				assert.Contains(t, []string{"old", "new"}, <-get(l))
			}
		})
	}
	assert.Equal(t, "old", <-get(l))
	h.Replace(says("new"))
	assert.Equal(t, "new", <-get(l))
	cancel()
	asking.Wait()
	s.Close(s.Shutdown(), patience)
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	l := listen(t)
	s, _ := NewServers(t.Context(), quiet)
	probes, err := httpapi.NewProbes(httpapi.ProbesConfig{Logger: quiet})
	require.NoError(t, err)
	s.Add("addr", l, probes, 1)
	held, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer held.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	require.Eventually(t, func() bool { // the server may not have seen the other one yet
		r, err := (&http.Client{Transport: transport}).Get("http://" + l.Addr().String())
		require.NoError(t, err)
		defer r.Body.Close()
		_, _ = io.Copy(io.Discard, r.Body)
		transport.CloseIdleConnections()
		return r.Close
	}, patience, time.Millisecond, "one too many is for one request")
	s.Close(s.Shutdown(), 0)
}
