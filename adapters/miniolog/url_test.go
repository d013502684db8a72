package miniolog_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// Browsers reach the store by another name and port than workers do.
func TestSignedURLsAreForThePublicEndpoint(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	public := strings.Replace(g.server.URL, "127.0.0.1", "localhost", 1)
	s := newSink(t, client(t), miniolog.Config{PublicURL: public})
	for name, want := range map[string]struct{ contentType, disposition string }{
		ports.LogStdout:             {"text/plain; charset=utf-8", `inline; filename=task-stdout.txt`},
		ports.LogStderr:             {"text/plain; charset=utf-8", `inline; filename=task-stderr.txt`},
		"artifacts/site/index.html": {"application/octet-stream", `attachment; filename=index.html`},
		"artifacts/é \"x\"":         {"application/octet-stream", `attachment; filename*=utf-8''%C3%A9%20%22x%22`},
	} {
		key := ports.LogKey{Task: "task", Attempt: 1, Name: name}
		w, err := s.Create(t.Context(), key)
		require.NoError(t, err)
		write(t, w, []byte("<script>alert(1)</script>"))
		require.NoError(t, w.Close())
		signed, err := s.SignedURL(t.Context(), key, time.Minute)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(signed, public+"/"), signed)

		status, header, body := get(t, http.DefaultClient, signed)
		require.Equal(t, http.StatusOK, status)
		assert.Equal(t, "<script>alert(1)</script>", body)
		assert.Equal(t, want.contentType, header.Get("Content-Type"))
		assert.Equal(t, want.disposition, header.Get("Content-Disposition"))

		tampered := signed + "&response-content-type=text/html"
		status, _, _ = get(t, http.DefaultClient, tampered)
		assert.Equal(t, http.StatusForbidden, status)
	}
	assert.Equal(t, 8, g.requests(), "of the fetches alone")
}

// A store may want the bucket in the host's name, as many do that are no MinIO.
func TestSignedURLsHaveTheBucketWhereTheClientHasIt(t *testing.T) {
	t.Parallel()
	server := testenv.OwnMinIO(t, testenv.MinIOOptions{})
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Endpoint) // whatever the name
	}}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := minio.New("localhost", &minio.Options{
		Creds:     credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""),
		Transport: transport, BucketLookup: minio.BucketLookupDNS,
	})
	require.NoError(t, err)
	s := newSink(t, client, miniolog.Config{PublicURL: "http://localhost:81"})
	w := create(t, s)
	write(t, w, []byte("text"))
	require.NoError(t, w.Close())
	signed, err := s.SignedURL(t.Context(), key, time.Minute)
	require.NoError(t, err)
	require.Contains(t, signed, "http://"+bucket+".localhost:81/"+s.Prefix())
	status, _, body := get(t, &http.Client{Transport: transport}, signed)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "text", body)
}

func get(t *testing.T, client *http.Client, url string) (status int, header http.Header, body string) {
	t.Helper()
	res, err := client.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, res.Header, string(b)
}

func TestSignedURLLasts(t *testing.T) {
	t.Parallel()
	s := newSink(t, client(t), miniolog.Config{})
	require.NoError(t, create(t, s).Close())
	for ttl, want := range map[time.Duration]string{
		time.Second:        "1",
		time.Second + 1:    "2",
		time.Hour:          "3600",
		7 * 24 * time.Hour: "604800",
	} {
		signed, err := s.SignedURL(t.Context(), key, ttl)
		require.NoError(t, err)
		u, err := url.Parse(signed)
		require.NoError(t, err)
		assert.Equal(t, want, u.Query().Get("X-Amz-Expires"), ttl)
	}
	for _, ttl := range []time.Duration{-time.Hour, 0, time.Second - 1, 7*24*time.Hour + 1} {
		_, err := s.SignedURL(t.Context(), key, ttl)
		bad, ok := errors.AsType[*ports.FieldError](err)
		require.True(t, ok, ttl)
		assert.Equal(t, "ttl", bad.Field)
	}
}

func TestAnOpenLogHasNoSignedURL(t *testing.T) {
	t.Parallel()
	s := newSink(t, client(t), miniolog.Config{})
	w := create(t, s)
	_, err := s.SignedURL(t.Context(), key, time.Minute)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NotErrorIs(t, err, ports.ErrNotFound)
	require.NoError(t, w.Close())
	_, err = s.SignedURL(t.Context(), key, time.Minute)
	require.NoError(t, err)
}
