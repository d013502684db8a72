package miniolog_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

func TestConfigIsChecked(t *testing.T) {
	nowhere, err := minio.New("127.0.0.1:1", &minio.Options{})
	require.NoError(t, err)
	for what, c := range map[string]struct {
		cfg   miniolog.Config
		field string
	}{
		"no bucket":                       {miniolog.Config{}, "bucket"},
		"a prefix that ends in a name":    {miniolog.Config{Prefix: "logs"}, "prefix"},
		"a prefix from the root":          {miniolog.Config{Prefix: "/logs/"}, "prefix"},
		"a prefix that is the root":       {miniolog.Config{Prefix: "/"}, "prefix"},
		"a prefix that leads up":          {miniolog.Config{Prefix: "../"}, "prefix"},
		"a prefix that is too long":       {miniolog.Config{Prefix: strings.Repeat("x", 300) + "/"}, "prefix"},
		"logs that expire in the past":    {miniolog.Config{Expire: -1}, "expire"},
		"a flush in the past":             {miniolog.Config{FlushEvery: -1}, "flush_every"},
		"a buffer of nothing":             {miniolog.Config{Buffer: 1}, "buffer"},
		"a buffer of everything":          {miniolog.Config{Buffer: 1 << 30}, "buffer"},
		"a public URL that is a host":     {miniolog.Config{PublicURL: "logs.example.com:9000"}, "public_url"},
		"a public URL of another kind":    {miniolog.Config{PublicURL: "ftp://logs.example.com"}, "public_url"},
		"a public URL with a folder":      {miniolog.Config{PublicURL: "https://example.com/logs"}, "public_url"},
		"a public URL with a password":    {miniolog.Config{PublicURL: "https://user:secret@example.com"}, "public_url"},
		"a public URL that cannot be one": {miniolog.Config{PublicURL: "https://user:secret@exa mple.com"}, "public_url"},
	} {
		t.Run(what, func(t *testing.T) {
			if c.field != "bucket" {
				c.cfg.Bucket = bucket
			}
			_, err := miniolog.New(t.Context(), nowhere, c.cfg)
			bad, ok := errors.AsType[*ports.FieldError](err)
			require.True(t, ok, "%v is no *ports.FieldError", err)
			assert.Equal(t, c.field, bad.Field)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestAStoreThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	newSink(t, client(t), miniolog.Config{}) // makes the bucket
	deny := func(match func(r *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			return match(r) && answer(w, r, http.StatusForbidden, minio.AccessDenied)
		}
	}
	asks := func(r *http.Request, method, query string) bool {
		return r.Method == method && r.URL.Query().Has(query)
	}
	for what, c := range map[string]struct {
		rule func(w http.ResponseWriter, r *http.Request) bool
		want string
	}{
		"that shows no bucket": {deny(func(r *http.Request) bool { return r.Method == http.MethodHead && !isProbe(r) }), "s3:ListBucket"},
		"that makes no bucket": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				return answer(w, r, http.StatusNotFound, minio.NoSuchBucket)
			}
			return r.Method == http.MethodPut && answer(w, r, http.StatusForbidden, minio.AccessDenied)
		}, "s3:CreateBucket"},
		"that does not say whether it keeps versions": {deny(func(r *http.Request) bool { return asks(r, "GET", "versioning") }), "s3:GetBucketVersioning"},
		"that does not show its rules":                {deny(func(r *http.Request) bool { return asks(r, "GET", "lifecycle") }), "s3:GetLifecycleConfiguration"},
		"that takes no rules":                         {deny(func(r *http.Request) bool { return asks(r, "PUT", "lifecycle") }), "s3:PutLifecycleConfiguration"},
		"that takes no objects":                       {deny(func(r *http.Request) bool { return r.Method == http.MethodPut && isProbe(r) }), "s3:PutObject"},
		"that shows no objects":                       {deny(func(r *http.Request) bool { return r.Method == http.MethodHead && isProbe(r) }), "s3:GetObject"},
		"that lists no objects":                       {deny(func(r *http.Request) bool { return asks(r, "GET", "list-type") }), "s3:ListBucket"},
		"that removes no objects":                     {deny(func(r *http.Request) bool { return r.Method == http.MethodPost }), "s3:DeleteObject"},
		"that overwrites what is there": {func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("If-None-Match") != "" && answer(w, r, http.StatusOK, "")
		}, "If-None-Match"},
		"that overwrites what has changed": {func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("If-Match") != "" && answer(w, r, http.StatusOK, "")
		}, "If-Match"},
		"that fails": {func(w http.ResponseWriter, r *http.Request) bool {
			return answer(w, r, http.StatusInternalServerError, minio.InternalError)
		}, "looking for the bucket"},
		"that hangs up": {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, "does not answer; check the endpoint"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			client := g.client(t, 1)
			_, err := client.GetBucketLocation(t.Context(), bucket) // known from now on
			require.NoError(t, err)
			g.set(c.rule)
			name := testenv.Unique(t)
			_, err = miniolog.New(t.Context(), client, miniolog.Config{Bucket: bucket, Prefix: name + "/", Expire: time.Hour})
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, bucket)
		})
	}
}

func isProbe(r *http.Request) bool { return strings.Contains(r.URL.Path, "/probe/") }

func TestAClientThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	s := store(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	for what, c := range map[string]struct {
		endpoint, access, secret string
		secure                   bool
		want                     string
	}{
		"with a wrong secret key":     {s.Endpoint, s.AccessKey, "wrong-and-secret", false, "check the access key and the secret key"},
		"with a wrong access key":     {s.Endpoint, "wrong", "wrong-and-secret", false, "check the access key and the secret key"},
		"without keys":                {s.Endpoint, "", "", false, "check the access key and the secret key"},
		"with a wrong address":        {"127.0.0.1:1", s.AccessKey, "wrong-and-secret", false, "127.0.0.1:1: looking for the bucket: the store does not answer"},
		"with TLS to a store without": {s.Endpoint, s.AccessKey, "wrong-and-secret", true, "whether it speaks TLS"},
	} {
		t.Run(what, func(t *testing.T) {
			client, err := minio.New(c.endpoint, &minio.Options{
				Creds:  credentials.NewStaticV4(c.access, c.secret, ""),
				Secure: c.secure, MaxRetries: 1, Transport: transport,
			})
			require.NoError(t, err)
			_, err = miniolog.New(t.Context(), client, miniolog.Config{Bucket: bucket})
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "wrong-and-secret")
		})
	}
}

func TestNewEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := miniolog.New(ctx, client(t), miniolog.Config{Bucket: bucket})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTheBucketIsMade(t *testing.T) {
	t.Parallel()
	client := client(t)
	name := testenv.Unique(t)
	for range 2 {
		_, err := miniolog.New(t.Context(), client, miniolog.Config{Bucket: name})
		require.NoError(t, err)
	}
	exists, err := client.BucketExists(t.Context(), name)
	require.NoError(t, err)
	require.True(t, exists)
	require.NoError(t, client.RemoveBucket(t.Context(), name), "the probe left something")
}

func TestWhatIsForgottenExpires(t *testing.T) {
	t.Parallel()
	client := client(t)
	name := testenv.Unique(t)
	require.NoError(t, client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}))
	t.Cleanup(func() { assert.NoError(t, client.RemoveBucket(context.Background(), name)) })
	require.NoError(t, client.SetBucketLifecycle(t.Context(), name, rulesOfOthers()))
	const day = 24 * time.Hour
	for _, c := range []struct {
		prefix string
		expire time.Duration
		want   map[string]int
	}{
		{"", 0, map[string]int{"others/": 3}},
		{"", 30 * day, map[string]int{"others/": 3, "tasks/": 30}},
		{"", 30 * day, map[string]int{"others/": 3, "tasks/": 30}},
		{"", 30*day + 1, map[string]int{"others/": 3, "tasks/": 31}},
		{"a/", 1, map[string]int{"others/": 3, "tasks/": 31, "a/tasks/": 1}},
		{"", 0, map[string]int{"others/": 3, "tasks/": 31, "a/tasks/": 1}},
	} {
		_, err := miniolog.New(t.Context(), client, miniolog.Config{Bucket: name, Prefix: c.prefix, Expire: c.expire})
		require.NoError(t, err)
		require.Equal(t, c.want, expirations(t, client, name))
	}
}

// rulesOfOthers returns the rules of a bucket that others use too.
func rulesOfOthers() *lifecycle.Configuration {
	c := lifecycle.NewConfiguration()
	c.Rules = []lifecycle.Rule{{
		ID: "others", Status: "Enabled",
		RuleFilter: lifecycle.Filter{Prefix: "others/"}, Expiration: lifecycle.Expiration{Days: 3},
	}}
	return c
}

// expirations returns after how many days what has a prefix expires.
func expirations(t *testing.T, client *minio.Client, bucket string) map[string]int {
	t.Helper()
	rules, err := client.GetBucketLifecycle(t.Context(), bucket)
	require.NoError(t, err)
	days := map[string]int{}
	for _, r := range rules.Rules {
		require.Equal(t, "Enabled", r.Status)
		days[r.RuleFilter.Prefix] = int(r.Expiration.Days)
	}
	return days
}

// Rules are read and written back as a whole, by others that start at the same time too.
func TestARuleThatAnotherProcessUndoes(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	client := g.client(t, 1)
	name := testenv.Unique(t)
	require.NoError(t, client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}))
	t.Cleanup(func() { assert.NoError(t, client.RemoveBucket(context.Background(), name)) })
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !r.URL.Query().Has("lifecycle") {
			return false
		}
		g.set(nil)
		g.pass.ServeHTTP(httptest.NewRecorder(), r)
		assert.NoError(t, client.SetBucketLifecycle(t.Context(), name, rulesOfOthers()))
		w.WriteHeader(http.StatusOK)
		return true
	})
	_, err := miniolog.New(t.Context(), client, miniolog.Config{Bucket: name, Expire: time.Hour})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"others/": 3, "tasks/": 1}, expirations(t, client, name))
}

// What is no log is not taken for one, nor overwritten.
func TestObjectsOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	client := client(t)
	s := newSink(t, client, miniolog.Config{})
	object := s.Prefix() + "tasks/task/1/logs/stdout"
	_, err := client.PutObject(t.Context(), bucket, object, strings.NewReader("other"), 5, minio.PutObjectOptions{})
	require.NoError(t, err)
	_, err = s.Create(t.Context(), key)
	require.ErrorIs(t, err, ports.ErrExists)
	_, _, err = s.Open(t.Context(), key, 0, -1)
	require.ErrorContains(t, err, "no log")
	require.NotErrorIs(t, err, ports.ErrNotFound)
	r, err := client.GetObject(t.Context(), bucket, object, minio.GetObjectOptions{})
	require.NoError(t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "other", string(got))
}
