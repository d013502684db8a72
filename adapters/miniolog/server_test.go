package miniolog_test

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/internal/testenv"
)

// Everything over TLS, where bodies are not signed piece by piece.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := testenv.OwnMinIO(t, testenv.MinIOOptions{Secure: true})
	s := newSink(t, server.Client(t), miniolog.Config{PublicURL: "https://" + server.Endpoint})
	w := create(t, s)
	write(t, w, content(3*buffer+10))
	require.NoError(t, w.Close())
	requireLog(t, s, content(3*buffer+10))
	signed, err := s.SignedURL(t.Context(), key, time.Minute)
	require.NoError(t, err)
	require.Contains(t, signed, "https://"+server.Endpoint+"/")

	// Who does not know the certificate does not talk to the server.
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	stranger, err := minio.New(server.Endpoint, &minio.Options{
		Creds:     credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""),
		Transport: transport, Secure: true,
	})
	require.NoError(t, err)
	_, err = miniolog.New(t.Context(), stranger, miniolog.Config{Bucket: bucket})
	require.ErrorContains(t, err, "certificate")
	require.NotContains(t, err.Error(), server.SecretKey)
}

// A store that is killed in the middle of a task costs its logs nothing.
func TestAServerIsKilled(t *testing.T) {
	t.Parallel()
	server := testenv.OwnMinIO(t, testenv.MinIOOptions{})
	s := newSink(t, server.Client(t), miniolog.Config{})
	all := content(4 * buffer)
	w := create(t, s)
	write(t, w, all[:buffer+1])
	server.Kill(t)
	n, err := w.Write(all[buffer+1:])
	require.Error(t, err)
	require.Equal(t, buffer-1, n)
	server.Start(t)
	write(t, w, all[buffer+1+n:])
	server.Kill(t)
	require.Error(t, w.Close())
	server.Start(t)
	got, complete := read(t, s)
	require.False(t, complete)
	require.Equal(t, string(all[:3*buffer]), got)
	require.NoError(t, w.Close())
	requireLog(t, s, all)
}

// A server that stands still holds nobody for longer than their context.
func TestAServerIsFrozen(t *testing.T) {
	t.Parallel()
	server := testenv.OwnMinIO(t, testenv.MinIOOptions{})
	s := newSink(t, server.Client(t), miniolog.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	frozen := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		if frozen {
			cancel()
		}
	}})
	w, err := s.Create(ctx, key)
	require.NoError(t, err)
	write(t, w, content(buffer))
	server.Pause(t)
	frozen = true
	n, err := w.Write(content(1))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)
	server.Resume(t)
	got, complete := read(t, s)
	require.False(t, complete)
	require.Empty(t, got)
}
