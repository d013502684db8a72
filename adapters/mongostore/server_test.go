package mongostore

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/internal/testenv"
)

func TestServersThatAreRefused(t *testing.T) {
	t.Parallel()
	good := hello{WireVersion: 21, Primary: true, MaxDocument: 16 << 20}
	require.NoError(t, good.check())
	for says, change := range map[string]func(*hello){
		"MongoDB 4.4.2 or later": func(h *hello) { h.WireVersion = 8 },
		"directConnection":       func(h *hello) { h.Primary = false },
		"too little":             func(h *hello) { h.MaxDocument = 0 },
	} {
		h := good
		change(&h)
		assert.ErrorContains(t, h.check(), says)
	}
}

func TestNewWithoutAServer(t *testing.T) {
	t.Parallel()
	o := options.Client().ApplyURI("mongodb://user:secret@127.0.0.1:1/").SetServerSelectionTimeout(50 * time.Millisecond)
	_, err := New(t.Context(), connect(t, o).Database("db"))
	require.ErrorContains(t, err, `opening database "db": no server that takes writes was found; check hosts, tls and replicaSet`)
	assert.NotContains(t, err.Error(), "secret")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = New(ctx, connect(t, o).Database("db"))
	require.ErrorIs(t, err, context.Canceled)
}

func TestServerWithTLSAndPassword(t *testing.T) {
	t.Parallel()
	server := testenv.OwnMongo(t, testenv.MongoOptions{Secure: true})
	secured := func(uri string) *options.ClientOptions {
		return options.Client().ApplyURI(uri).SetTLSConfig(server.TLS.Clone())
	}
	s, err := New(t.Context(), connect(t, secured(server.URI)).Database("db"))
	require.NoError(t, err)
	_, err = s.Create(t.Context(), fullTask())
	require.NoError(t, err)

	wrong, err := url.Parse(server.URI)
	require.NoError(t, err)
	wrong.User = url.UserPassword(wrong.User.Username(), "a-wrong-one")
	_, err = New(t.Context(), connect(t, secured(wrong.String())).Database("db"))
	require.ErrorContains(t, err, "check user, password and authSource of the URI")
	assert.NotContains(t, err.Error(), "a-wrong-one")
}

func TestServerThatDiesAndComesBack(t *testing.T) {
	t.Parallel()
	server := testenv.OwnMongo(t, testenv.MongoOptions{})
	o := options.Client().ApplyURI(server.URI).SetServerSelectionTimeout(time.Hour)
	s, err := New(t.Context(), connect(t, o).Database("db"))
	require.NoError(t, err)
	task, err := s.Create(t.Context(), fullTask())
	require.NoError(t, err)

	server.Kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = s.Update(ctx, task)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	server.Start(t)

	got, err := s.Get(t.Context(), task.ID)
	require.NoError(t, err)
	assert.Equal(t, task, got)
	_, err = s.Update(t.Context(), got)
	require.NoError(t, err)
}
