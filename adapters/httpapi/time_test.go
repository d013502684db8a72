package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipes is a listener and a dialer over in-memory connections, whose time is
// that of a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble runs a test over a server whose time is the bubble's.
func bubble(t *testing.T, test func(t *testing.T, s *service, p *pipes), changes ...func(*setup)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := assemble(t, append(changes, idle)...)
		p := newPipes()
		srv := NewServer("", s.api)
		go func() { _ = srv.Serve(p) }()
		transport := &http.Transport{DialContext: p.dial}
		s.url, s.http = "http://pipe", &http.Client{Transport: transport}
		test(t, s, p)
		transport.CloseIdleConnections()
		require.NoError(t, srv.Shutdown(t.Context()))
	})
}

// stall opens a stream that nobody reads beyond its first event, and returns the
// connection and that event's id.
func (s *service) stall(p *pipes, id string) (net.Conn, string) {
	s.t.Helper()
	conn, err := p.dial(s.t.Context(), "", "")
	require.NoError(s.t, err)
	_, err = io.WriteString(conn, "GET /api/v1/tasks/"+id+"/stream HTTP/1.1\r\nHost: pipe\r\n\r\n")
	require.NoError(s.t, err)
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		require.NoError(s.t, err)
		if lastID, ok := strings.CutPrefix(line, "id: "); ok {
			synctest.Wait()
			return conn, strings.TrimSpace(lastID)
		}
	}
}

func TestASilentStreamHasAHeartbeatEvery15Seconds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *service, _ *pipes) {
		id := s.submit(hello)
		r := s.stream(id, "")
		_, ok := r.next()
		require.True(t, ok)
		// The bubble's time passes only while all wait, so that these are exact.
		time.AfterFunc(4*heartbeat+time.Second, func() { s.publish(id, end()) })
		assert.Len(t, r.rest(), 1)
		assert.Equal(t, []string{"heartbeat", "heartbeat", "heartbeat", "heartbeat"}, r.comments)
	})
}

func TestAReaderThatDoesNotReadIsCutOffAndMayResume(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *service, p *pipes) {
		id := s.submit(hello)
		conn, lastID := s.stall(p, id)
		require.EqualValues(t, 1, s.api.readers.Load())
		s.publish(id, running(1), stdout(0, strings.Repeat("x", 100_000)))
		time.Sleep(s.api.cfg.WriteTimeout - time.Second)
		assert.EqualValues(t, 1, s.api.readers.Load(), "it has this long")
		time.Sleep(2 * time.Second)
		assert.Zero(t, s.api.readers.Load(), "it holds nothing up")
		require.NoError(t, conn.Close())

		r := s.stream(id, lastID)
		s.publish(id, end())
		assert.Len(t, output(t, "stdout", r.rest()), 100_000)
	})
}

func TestAReaderThatGoesAwayIsForgottenAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *service, _ *pipes) {
		r := s.stream(s.submit(hello), "")
		_, ok := r.next()
		require.True(t, ok)
		r.close()
		synctest.Wait()
		assert.Zero(t, s.api.readers.Load())
	})
}

func TestABodyThatDoesNotComeIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"a submission":            {"POST /api/v1/tasks HTTP/1.1\r\nContent-Type: application/json", http.StatusRequestTimeout},
		"one that is refused":     {"POST /api/v1/tasks HTTP/1.1\r\nContent-Type: text/plain", http.StatusUnsupportedMediaType},
		"where none belongs":      {"GET /healthz HTTP/1.1", http.StatusOK},
		"where there is no route": {"GET / HTTP/1.1", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, s *service, p *pipes) {
				conn, err := p.dial(t.Context(), "", "")
				require.NoError(t, err)
				_, err = io.WriteString(conn, c.request+"\r\nHost: pipe\r\nContent-Length: 99\r\n\r\n{")
				require.NoError(t, err)
				begin := time.Now()
				lines := bufio.NewReader(conn)
				res, err := http.ReadResponse(lines, nil)
				require.NoError(t, err)
				assert.Equal(t, c.status, res.StatusCode)
				assert.LessOrEqual(t, time.Since(begin), bodyTimeout)
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				_, err = lines.ReadByte()
				assert.ErrorIs(t, err, io.EOF, "the connection is closed")
				require.NoError(t, conn.Close())
			})
		})
	}
}

func TestTheTimeForABodyDoesNotEndWhatFollowsIt(t *testing.T) {
	t.Parallel()
	const wait = 2 * bodyTimeout
	bubble(t, func(t *testing.T, s *service, _ *pipes) {
		begin := time.Now()
		r := s.do(http.MethodPost, "/api/v1/tasks?wait="+wait.String(), hello)
		id := decode[Task](t, r, http.StatusAccepted).TaskID
		assert.Equal(t, wait, time.Since(begin))

		time.AfterFunc(wait, func() { s.publish(id, end()) })
		r = s.do(http.MethodGet, "/api/v1/tasks/"+id+"/stream", "a body that nobody asked for")
		assert.Contains(t, r.body, "event: end")
	}, func(s *setup) { s.MaxWait = wait })
}

func TestShutdownEndsStreams(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *service, _ *pipes) {
		id := s.submit(hello)
		for range 3 {
			_, ok := s.stream(id, "").next()
			require.True(t, ok)
		}
		// bubble's Shutdown would wait for ever for streams that go on.
	})
}
