package conformance

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

var logUnsignedURLChecks = []logCheck{
	{"is unsupported and says so", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		r.write(key, []byte("content"))
		url, err := r.SignedURL(r.ctx, key, time.Minute)
		requireSentinel(t, err, errors.ErrUnsupported)
		assert.Empty(t, url)
	}},
}

var logSignedURLChecks = []logCheck{
	{"lets anybody read the log", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		for _, id := range oddIDs() {
			key := ports.LogKey{Task: id, Attempt: 1, Name: "artifacts/a b/é?#%.txt"}
			r.write(key, []byte("content of "+id))
			url, err := r.SignedURL(r.ctx, key, time.Minute)
			require.NoError(t, err)
			status, body := r.fetch(url)
			require.Equal(t, http.StatusOK, status, "%q", id)
			require.Equal(t, "content of "+string(id), body)
		}
	}},
	{"lets nobody read the log once its time is over", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		key := newLogKey()
		r.write(key, []byte("content"))
		url, err := r.SignedURL(r.ctx, key, time.Second)
		require.NoError(t, err)
		for r.ctx.Err() == nil {
			if status, _ := r.fetch(url); status != http.StatusOK {
				return
			}
		}
		require.FailNow(t, "the URL never ended")
	}},
	{"needs a log", func(t *testing.T, h LogSinkHarness) {
		r := newLogRig(t, h)
		_, err := r.SignedURL(r.ctx, newLogKey(), time.Minute)
		requireSentinel(t, err, ports.ErrNotFound)
	}},
}

// fetch gets a URL with no credentials.
func (r *logRig) fetch(url string) (status int, body string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, url, nil)
	require.NoError(r.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return res.StatusCode, string(b)
}
