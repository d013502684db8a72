package mongostore

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/ports"
)

// lossy makes connections that can lose an answer: the server did what it was told, and
// the connection ends instead of saying so.
type lossy struct {
	net.Dialer
	command atomic.Pointer[string]
	lost    atomic.Int32
}

// lose loses the answer of the next command that has these bytes.
func (l *lossy) lose(command string) { l.command.Store(&command) }

func (l *lossy) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := l.Dialer.DialContext(ctx, network, address)
	return &lossyConn{Conn: c, of: l}, err
}

type lossyConn struct {
	net.Conn
	of   *lossy
	lose atomic.Bool
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if command := c.of.command.Load(); command != nil && bytes.Contains(b, []byte(*command)) && c.of.command.CompareAndSwap(command, nil) {
		c.lose.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.lose.Load() {
		c.of.lost.Add(1)
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func TestAnswersThatAreLost(t *testing.T) {
	t.Parallel()
	l := &lossy{}
	// As FerretDB or a single server: the driver does not try again.
	s := newStoreThrough(t, func(o *options.ClientOptions) { o.SetDialer(l).SetRetryWrites(false).SetRetryReads(false) })
	losing := func(t *testing.T, command string, do func() error) error {
		l.lost.Store(0)
		l.lose(command)
		err := do()
		require.EqualValues(t, 1, l.lost.Load(), "no answer was lost")
		return err
	}
	for name, command := range map[string]string{
		"of the insert of the task": "insert\x00\x06\x00\x00\x00tasks",
		"of the insert of the key":  "insert\x00\x11\x00\x00\x00idempotency_keys",
		"that the task is visible":  "$unset",
	} {
		t.Run("create does not miss the answer "+name, func(t *testing.T) {
			task := keyed(ports.TaskID(command[len(command)-5:]))
			task.Spec.IdempotencyKey = name
			var got ports.Task
			require.NoError(t, losing(t, command, func() (err error) { got, err = s.Create(t.Context(), task); return err }))
			stored, err := s.Get(t.Context(), task.ID)
			require.NoError(t, err)
			assert.Equal(t, stored.Version, got.Version)
		})
	}
	t.Run("update knows its own write again", func(t *testing.T) {
		task, err := s.Create(t.Context(), keyed("updated"))
		require.NoError(t, err)
		task.Status = ports.StatusRunning
		require.NoError(t, losing(t, "$set", func() error { _, err := s.Update(t.Context(), task); return err }))
		got, err := s.Get(t.Context(), task.ID)
		require.NoError(t, err)
		assert.EqualValues(t, 2, got.Version)
		_, err = s.Update(t.Context(), task)
		require.ErrorIs(t, err, ports.ErrConflict, "the same once more is another write")
		require.NoError(t, s.Delete(t.Context(), task.ID, 2))
	})
	t.Run("delete says that it does not know", func(t *testing.T) {
		task, err := s.Create(t.Context(), keyed("deleted"))
		require.NoError(t, err)
		err = losing(t, "delete\x00\x06\x00\x00\x00tasks", func() error { return s.Delete(t.Context(), task.ID, 1) })
		require.Error(t, err)
		require.NotErrorIs(t, err, ports.ErrNotFound)
		require.NotErrorIs(t, err, ports.ErrConflict)
		_, err = s.Create(t.Context(), keyed("after"))
		require.NoError(t, err, "the key is taken over")
	})
}

// A server that stops answering costs nobody more than their context.
func TestServerThatFallsSilent(t *testing.T) {
	t.Parallel()
	for command, call := range map[string]func(context.Context, *Store, ports.Task) error{
		"find": func(ctx context.Context, s *Store, task ports.Task) error { _, err := s.Get(ctx, task.ID); return err },
		"insert": func(ctx context.Context, s *Store, _ ports.Task) error {
			_, err := s.Create(ctx, keyed("a"))
			return err
		},
		"update": func(ctx context.Context, s *Store, task ports.Task) error { _, err := s.Update(ctx, task); return err },
		"delete": func(ctx context.Context, s *Store, task ports.Task) error {
			return s.Delete(ctx, task.ID, task.Version)
		},
		"getMore": func(ctx context.Context, s *Store, _ ports.Task) error {
			_, err := s.List(ctx, ports.ListQuery{AnyOwner: true, Limit: ports.MaxPage})
			return err
		},
	} {
		t.Run("from a "+command+" on", func(t *testing.T) {
			d := &silent{}
			s := newStoreThrough(t, func(o *options.ClientOptions) { o.SetDialer(d) })
			many := make([]any, 102) // one more than the first answer to a list has
			for i := range many {
				task := keyed(ports.TaskID(strconv.Itoa(i)))
				task.Spec.IdempotencyKey = ""
				many[i] = newDocument(task)
			}
			_, err := s.tasks.InsertMany(t.Context(), many)
			require.NoError(t, err)
			task, err := s.Get(t.Context(), "0")
			require.NoError(t, err)

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			d.until.Store(&last{command + "\x00", cancel})
			require.ErrorIs(t, call(ctx, s, task), context.Canceled)
			assert.True(t, d.on.Load(), "nothing was swallowed")
			d.on.Store(false)
		})
	}
}

// silent makes connections that swallow what is said, from a command on. Connections are
// still made, and servers looked after, so that nothing else can end a call.
type silent struct {
	net.Dialer
	until atomic.Pointer[last]
	on    atomic.Bool
}

// last is the first command that is swallowed, and what is done then.
type last struct {
	command string
	then    func()
}

func (s *silent) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := s.Dialer.DialContext(ctx, network, address)
	return silentConn{c, s}, err
}

type silentConn struct {
	net.Conn
	of *silent
}

func (c silentConn) Write(b []byte) (int, error) {
	if l := c.of.until.Load(); l != nil && bytes.Contains(b, []byte(l.command)) && c.of.until.CompareAndSwap(l, nil) {
		c.of.on.Store(true)
		l.then()
	}
	if c.of.on.Load() && !bytes.Contains(b, []byte("helloOk\x00")) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
