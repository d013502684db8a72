package testenv

import (
	"bufio"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProxyStall(t *testing.T) {
	const upgraded = "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n"
	for name, c := range map[string]struct {
		says string // what the engine says
		want string // what arrives of it while there is a stall
	}{
		"a stream is held back after the answer": {upgraded + "output", upgraded},
		"other answers arrive":                   {"HTTP/1.1 200 OK\r\n\r\nbody", "HTTP/1.1 200 OK\r\n\r\nbody"},
		"also those that end early":              {"HTTP/1.1 101", "HTTP/1.1 101"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, conn, engine := pipes()
				go p.serve(p.admit(nil, conn.far))
				p.Stall()
				arrived := &gathered{}
				go func() { _, _ = io.Copy(arrived, conn.near) }()
				go func() {
					_, _ = io.WriteString(engine.near, c.says)
					_ = engine.near.Close()
				}()
				synctest.Wait()
				assert.Equal(t, c.want, string(*arrived))
				p.Resume()
				synctest.Wait()
				assert.Equal(t, c.says, string(*arrived))
				_ = conn.near.Close()
			})
		})
	}

	t.Run("what the client says goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, conn, engine := pipes()
			go p.serve(p.admit(nil, conn.far))
			p.Stall()
			go func() { _, _ = io.WriteString(engine.near, upgraded) }()
			answer := bufio.NewReader(conn.near)
			for range 3 {
				_, err := answer.ReadString('\n')
				require.NoError(t, err)
			}
			go func() { _, _ = io.WriteString(conn.near, "input\n") }()
			line, err := bufio.NewReader(engine.near).ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "input\n", line)
			p.Cut()
		})
	})

	t.Run("a stalled stream can be cut", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, conn, engine := pipes()
			served := make(chan struct{})
			go func() {
				defer close(served)
				p.serve(p.admit(nil, conn.far))
			}()
			p.Stall()
			go func() { _, _ = io.WriteString(engine.near, upgraded+"output") }()
			go func() { _, _ = io.Copy(io.Discard, conn.near) }()
			synctest.Wait()
			p.Cut()
			<-served
			_, err := engine.near.Write([]byte("more"))
			assert.ErrorIs(t, err, io.ErrClosedPipe)
		})
	})
}

// ends are both ends of a connection: the test's and the proxy's.
type ends struct{ near, far net.Conn }

// pipes returns a proxy with a connection to a client and one to an engine.
func pipes() (p *FaultyProxy, conn, engine ends) {
	conn.near, conn.far = net.Pipe()
	engine.near, engine.far = net.Pipe()
	return &FaultyProxy{proxy{
		dial:  func() (net.Conn, error) { return engine.far, nil },
		relay: relayEngine,
		links: map[*link]struct{}{},
	}}, conn, engine
}

// gathered keeps what is written to it.
type gathered []byte

func (g *gathered) Write(b []byte) (int, error) {
	*g = append(*g, b...)
	return len(b), nil
}

func TestProxy(t *testing.T) {
	direct := Docker(t)
	bash := Languages(t, direct).Bash
	p := Proxy(t, direct.DaemonHost())
	cli, ctx := p.Client(t), t.Context()
	id := create(t, cli, bash.Image, "cat")
	attached, err := cli.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true})
	require.NoError(t, err)
	defer attached.Close()
	require.NoError(t, cli.ContainerStart(ctx, id, container.StartOptions{}))
	reader, writer := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(writer, io.Discard, attached.Reader)
		_ = writer.CloseWithError(err)
	}()
	output := bufio.NewReader(reader)
	echo := func(t *testing.T, line string) {
		t.Helper()
		_, err := io.WriteString(attached.Conn, line)
		require.NoError(t, err)
		got, err := output.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, line, got)
	}

	t.Run("a stream goes through", func(t *testing.T) { echo(t, "one\n") })
	t.Run("other calls are answered while it is stalled, and it goes on afterwards", func(t *testing.T) {
		p.Stall()
		_, err := cli.ContainerInspect(ctx, id)
		require.NoError(t, err)
		p.Resume()
		echo(t, "two\n")
	})
	t.Run("nobody new can connect when it refuses, and the stream goes on", func(t *testing.T) {
		p.Refuse()
		_, err := p.Client(t).Ping(ctx)
		assert.True(t, client.IsErrConnectionFailed(err), "%v", err)
		echo(t, "three\n")
	})
	t.Run("a stream that is cut ends", func(t *testing.T) {
		p.Cut()
		_, err := output.ReadString('\n')
		assert.Error(t, err)
	})
	t.Run("clients connect again when it accepts", func(t *testing.T) {
		p.Accept(t)
		_, err := cli.ContainerInspect(ctx, id)
		assert.NoError(t, err)
	})
	t.Run("the end of the input arrives as such", func(t *testing.T) {
		id := create(t, cli, bash.Image, "cat")
		attached, err := cli.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true})
		require.NoError(t, err)
		defer attached.Close()
		require.NoError(t, cli.ContainerStart(ctx, id, container.StartOptions{}))
		_, err = io.WriteString(attached.Conn, "last")
		require.NoError(t, err)
		require.NoError(t, attached.CloseWrite())
		all, err := io.ReadAll(attached.Reader)
		require.NoError(t, err)
		assert.Contains(t, string(all), "last")
	})
	t.Run("an engine that is not there ends the connection", func(t *testing.T) {
		nowhere := Proxy(t, "unix://"+t.TempDir()+"/none.sock")
		_, err := nowhere.Client(t).Ping(ctx)
		assert.Error(t, err)
	})
}
