package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// send begins a request on a connection of its own.
func (s *service) send(p *pipes, request string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	conn, err := p.dial(s.t.Context(), "", "")
	require.NoError(s.t, err)
	_, err = io.WriteString(conn, request)
	require.NoError(s.t, err)
	return conn, bufio.NewReader(conn)
}

// receive reads one answer.
func receive(t *testing.T, r *bufio.Reader) reply {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return reply{res, string(body)}
}

// submission is the beginning of a submission, the last byte of which is missing.
func submission(size int) string {
	return fmt.Sprintf("POST /api/v1/tasks HTTP/1.1\r\nHost: pipe\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		size+1, strings.Repeat(" ", size))
}

func TestLargeBodiesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *service, p *pipes) {
		limit := int(s.api.maxBody)
		slow, _ := s.send(p, submission(limit-1000))
		synctest.Wait()
		require.EqualValues(t, limit-1000, s.api.bodies.held.Load())

		begin := time.Now()
		large, answer := s.send(p, submission(2000))
		r := receive(t, answer)
		assert.Equal(t, "busy", problemIn(t, r, http.StatusServiceUnavailable).Code)
		assert.Equal(t, "5", r.Header.Get("Retry-After"))
		assert.True(t, r.Close, "nobody reads the rest of it")
		assert.Equal(t, begin, time.Now(), "nor waits for it")
		require.NoError(t, large.Close())
		synctest.Wait()
		require.EqualValues(t, limit-1000, s.api.bodies.held.Load(), "what is refused is not held")
		s.submit(hello) // there is room for small ones

		promise, _ := s.send(p, strings.TrimRight(submission(limit-1), " "))
		synctest.Wait()
		s.submit(hello) // what was announced and did not come takes no room
		require.NoError(t, promise.Close())

		require.NoError(t, slow.Close())
		synctest.Wait()
		assert.Zero(t, s.api.bodies.held.Load())
		s.submit(`{"language":"python","code":"` + strings.Repeat("x", 1<<10) + `"}`)
		bad := s.do(http.MethodPost, "/api/v1/tasks", "{")
		require.Equal(t, http.StatusBadRequest, bad.StatusCode)
		assert.Zero(t, s.api.bodies.held.Load())
	}, func(s *setup) {
		s.core.Policy.MaxInput, s.core.Policy.MaxCode = 1<<10, 1<<10
		s.MaxBodies = 2<<10 + 64<<10
	})
}

func TestABodyWhoseReadingPanicsIsNotHeld(t *testing.T) {
	t.Parallel()
	s := assemble(t, idle)
	broken := io.MultiReader(strings.NewReader(hello), panics{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/tasks", broken)
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	s.api.ServeHTTP(answer, r)
	assert.Equal(t, http.StatusInternalServerError, answer.Code)
	assert.Zero(t, s.api.bodies.held.Load())
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("a broken reader") }

func TestWhoWaitsForATaskHoldsNoBody(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *service, p *pipes) {
		request := strings.Replace(submission(len(hello)-1), "/tasks", "/tasks?wait=60s", 1)
		conn, answer := s.send(p, strings.TrimRight(request, " ")+hello)
		synctest.Wait()
		assert.EqualValues(t, 1, s.api.readers.Load())
		assert.Zero(t, s.api.bodies.held.Load())
		assert.Equal(t, http.StatusAccepted, receive(t, answer).StatusCode)
		require.NoError(t, conn.Close())
	})
}

func TestARoomForBodiesThatIsTooSmallForOneIsRefused(t *testing.T) {
	t.Parallel()
	client := assemble(t, idle).client
	_, err := New(Config{Client: client, MaxBodies: maxBody(client.Policy()) - 1})
	assert.ErrorIs(t, err, ports.ErrInvalid)
	assert.ErrorContains(t, err, "max_bodies must be at least")
}

func TestConnectionsBeyondTheBoundAreForOperatorsAlone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *service, p *pipes) {
		get := func(path string) (net.Conn, *bufio.Reader) {
			return s.send(p, "GET "+path+" HTTP/1.1\r\nHost: pipe\r\n\r\n")
		}
		first, answer := get("/api/v1/languages")
		assert.Equal(t, http.StatusOK, receive(t, answer).StatusCode)

		for path, status := range map[string]int{
			"/healthz": 200, "/readyz": 200, "/metrics": 200, "/api/v1/languages": 503, "/docs": 503, "/nowhere": 503,
		} {
			conn, answer := get(path)
			r := receive(t, answer)
			assert.Equal(t, status, r.StatusCode, path)
			assert.True(t, r.Close, path)
			if status == http.StatusServiceUnavailable {
				assert.Equal(t, "too_many_connections", problemIn(t, r, status).Code)
				assert.Equal(t, "5", r.Header.Get("Retry-After"))
			}
			_, err := answer.ReadByte()
			assert.ErrorIs(t, err, io.EOF, path)
			require.NoError(t, conn.Close())
		}

		spare := make([]net.Conn, spareConnections)
		for i := range spare {
			var err error
			spare[i], err = p.dial(t.Context(), "", "")
			require.NoError(t, err)
		}
		far, err := p.dial(t.Context(), "", "")
		require.NoError(t, err)
		_, err = far.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF, "it is closed unheard")
		for _, conn := range append(spare, far, first) {
			require.NoError(t, conn.Close())
		}
		synctest.Wait()
		conn, answer := get("/api/v1/languages")
		assert.Equal(t, http.StatusOK, receive(t, answer).StatusCode, "who left makes room")
		require.NoError(t, conn.Close())
	}, func(s *setup) { s.MaxConnections = 1 })
}

func TestConnectionsBeyondTheBoundDoNotReachWhatIsBehindAllowHosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		h, err := AllowHosts(nil, page)
		require.NoError(t, err)
		srv := &http.Server{Handler: h}
		LimitConnections(srv, 1)
		p := newPipes()
		go func() { _ = srv.Serve(p) }()
		s := &service{t: t}
		get := func() (net.Conn, reply) {
			conn, answer := s.send(p, "GET / HTTP/1.1\r\nHost: pipe\r\n\r\n")
			return conn, receive(t, answer)
		}
		first, r := get()
		assert.Equal(t, http.StatusNoContent, r.StatusCode)
		second, r := get()
		assert.Equal(t, "too_many_connections", problemIn(t, r, http.StatusServiceUnavailable).Code)
		assert.True(t, r.Close)
		require.NoError(t, first.Close())
		require.NoError(t, second.Close())
		require.NoError(t, srv.Shutdown(t.Context()))
	})
}

func TestAReaderOnTheNetworkThatStopsReadingIsCutOffAndResumes(t *testing.T) {
	t.Parallel()
	s := assemble(t, idle, func(s *setup) { s.WriteTimeout = 200 * time.Millisecond })
	srv := httptest.NewUnstartedServer(s.api)
	srv.Config = NewServer("", s.api)
	closed := make(chan struct{}, 100)
	counted, noted := srv.Config.ConnContext, srv.Config.ConnState
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		assert.NoError(t, c.(*net.TCPConn).SetWriteBuffer(4<<10))
		return counted(ctx, c)
	}
	srv.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if noted(c, state); state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	s.url, s.http = srv.URL, srv.Client()
	id := s.submit(hello)

	// The system takes little for a reader that does not read.
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}
	transport := &http.Transport{DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	r := openSSE(t, &http.Client{Transport: transport}, s.url+"/api/v1/tasks/"+id+"/stream", "")
	_, ok := r.next()
	require.True(t, ok)
	s.publish(id, running(1))
	const events, size = 64, 32 << 10
	for i := range int64(events) {
		s.publish(id, stdout(i*size, strings.Repeat("x", size)))
	}
	s.publish(id, end())
	<-closed
	assert.EqualValues(t, 1, s.scrape()["taskrunner_http_streams_dropped_total{reason=slow}"])
	assert.Zero(t, s.api.readers.Load())

	// What had arrived is read now, up to where the connection was cut. On a busy
	// machine that may happen once more.
	all := complete(r)
	assert.Less(t, len(all), events)
	for lastID := r.lastID; len(all) == 0 || all[len(all)-1].name != "end"; {
		if len(all) > 0 {
			lastID = all[len(all)-1].id
		}
		all = append(all, complete(s.stream(id, lastID))...)
	}
	assert.Len(t, output(t, "stdout", all), events*size, "each byte once")
}

// complete returns the events of a stream that arrived whole before it was cut.
func complete(r *sseReader) (events []sseEvent) {
	var e sseEvent
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return events
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				events = append(events, e)
			}
			e = sseEvent{}
		}
	}
}
