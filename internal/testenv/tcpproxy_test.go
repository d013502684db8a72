package testenv

import (
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTCPProxy(t *testing.T) {
	p := TCPProxy(t, echoServer(t))
	dial := func(t *testing.T) net.Conn {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	echo := func(t *testing.T, conn net.Conn, said string) {
		t.Helper()
		_, err := io.WriteString(conn, said)
		require.NoError(t, err)
		got := make([]byte, len(said))
		_, err = io.ReadFull(conn, got)
		require.NoError(t, err)
		assert.Equal(t, said, string(got))
	}

	conn := dial(t)
	t.Run("what both sides say goes through", func(t *testing.T) { echo(t, conn, "one") })
	t.Run("the end of what a client says arrives as such", func(t *testing.T) {
		conn := dial(t)
		_, err := io.WriteString(conn, "last")
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		all, err := io.ReadAll(conn)
		require.NoError(t, err)
		assert.Equal(t, "last", string(all))
	})
	t.Run("nobody new can connect when it refuses, and connections go on", func(t *testing.T) {
		p.Refuse()
		_, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
		require.Error(t, err)
		echo(t, conn, "two")
	})
	t.Run("clients connect at the same address when it accepts again", func(t *testing.T) {
		p.Accept(t)
		echo(t, dial(t), "three")
	})
	t.Run("what is said on new connections and old ones while it is frozen arrives after the thaw", func(t *testing.T) {
		p.Freeze()
		late := dial(t)
		for _, c := range []net.Conn{conn, late} {
			_, err := io.WriteString(c, "four")
			require.NoError(t, err)
		}
		p.Thaw()
		for _, c := range []net.Conn{conn, late} {
			got := make([]byte, len("four"))
			_, err := io.ReadFull(c, got)
			require.NoError(t, err)
			assert.Equal(t, "four", string(got))
		}
	})
	t.Run("connections that are cut end, also frozen ones", func(t *testing.T) {
		p.Freeze()
		p.Cut()
		_, err := conn.Read(make([]byte, 1))
		assert.Error(t, err)
		p.Thaw()
		echo(t, dial(t), "five")
	})
}

func TestTCPProxyFreeze(t *testing.T) {
	for name, c := range map[string]struct {
		speaks, hears func(conn, server ends) net.Conn
	}{
		"what the client says": {
			func(conn, _ ends) net.Conn { return conn.near },
			func(_, server ends) net.Conn { return server.near },
		},
		"what the server says": {
			func(_, server ends) net.Conn { return server.near },
			func(conn, _ ends) net.Conn { return conn.near },
		},
	} {
		t.Run(name+" does not arrive while it is frozen, and neither does the end", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, conn, server := pipes()
				p.relay = relayBoth
				go p.serve(p.admit(nil, conn.far))
				p.stall()
				heard, ended := &gathered{}, false
				go func() {
					_, _ = io.Copy(heard, c.hears(conn, server))
					ended = true
				}()
				go func() {
					_, _ = io.WriteString(c.speaks(conn, server), "hello")
					_ = c.speaks(conn, server).Close()
				}()
				synctest.Wait()
				assert.Empty(t, *heard)
				assert.False(t, ended)
				p.resume()
				synctest.Wait()
				assert.Equal(t, "hello", string(*heard))
				assert.True(t, ended)
			})
		})
	}
}

func TestTCPProxyCutWhileItConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, conn, server := pipes()
		p.relay = relayBoth
		connected := make(chan struct{})
		p.dial = func() (net.Conn, error) {
			<-connected
			return server.far, nil
		}
		go p.serve(p.admit(nil, conn.far))
		synctest.Wait()
		p.Cut()
		_, err := conn.near.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "the client need not wait for the server")
		close(connected)
		_, err = server.near.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		synctest.Wait()
		assert.Empty(t, p.links)
	})
}

// echoServer returns the address of a server that says what it is told.
func echoServer(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}
