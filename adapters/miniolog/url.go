package miniolog

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"path"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/task-runner/task-runner/ports"
)

// The bounds that S3 sets for how long a signed URL is good.
const (
	minTTL = time.Second
	maxTTL = 7 * 24 * time.Hour
)

// SignedURL implements ports.LogSink, for a ttl of 1 second to 7 days in whole seconds,
// rounded up. The URL ends sooner if the credentials it is signed with do. An open log
// is several objects, so that its URL is errors.ErrUnsupported until it is complete.
func (s *LogSink) SignedURL(ctx context.Context, key ports.LogKey, ttl time.Duration) (string, error) {
	if err := key.Validate(); err != nil {
		return "", err
	}
	if ttl < minTTL || ttl > maxTTL {
		return "", ports.Invalid("ttl", "must be from %v to %v", minTTL, maxTTL)
	}
	url, err := s.sign(ctx, key, ttl)
	if err != nil {
		return "", logError("signing a URL for", key, err)
	}
	return url, nil
}

func (s *LogSink) sign(ctx context.Context, key ports.LogKey, ttl time.Duration) (string, error) {
	h, err := s.stat(ctx, key)
	if err != nil {
		return "", err
	}
	if !h.Complete {
		return "", fmt.Errorf("the log is still open: %w", errors.ErrUnsupported)
	}
	ttl = (ttl + time.Second - 1).Truncate(time.Second)
	u, err := s.public.PresignedGetObject(ctx, s.cfg.Bucket, s.headKey(key), ttl, nil)
	if err != nil {
		return "", cause(ctx, err)
	}
	return u.String(), nil
}

// contentType is what a browser takes a log for. Nobody trusts what is in it: as plain
// text it is shown and never run in the store's origin, which keeps other people's logs.
// What an artifact is nobody knows.
func contentType(name string) string {
	if name == ports.LogStdout || name == ports.LogStderr {
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// contentDisposition has streams shown, and artifacts, which could be pages with
// scripts, saved.
func contentDisposition(key ports.LogKey) string {
	if key.Name == ports.LogStdout || key.Name == ports.LogStderr {
		return mime.FormatMediaType("inline", map[string]string{"filename": segment(string(key.Task)) + "-" + key.Name + ".txt"})
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(key.Name)})
}

// publicClient returns the client that signs URLs for browsers. It never connects to
// anything, since it knows its region.
func publicClient(ctx context.Context, client *minio.Client, cfg Config) (*minio.Client, error) {
	host, secure, err := cfg.endpoint()
	if err != nil || host == "" {
		return client, err
	}
	region, err := client.GetBucketLocation(ctx, cfg.Bucket)
	if err != nil {
		return nil, refused(ctx, "asking for the bucket's region", "s3:GetBucketLocation, or give the client a region", err)
	}
	// A store that wants a bucket in the host's name wants it there under any name. A client
	// does not say what it was told of that, but shows it in what it signs.
	const object = "object"
	sample, err := client.PresignedGetObject(ctx, cfg.Bucket, object, minTTL, nil)
	if err != nil {
		return nil, fmt.Errorf("signing a URL for PublicURL, which takes an access key: %w", err)
	}
	lookup := minio.BucketLookupAuto
	if sample.Path == "/"+object {
		lookup = minio.BucketLookupDNS
	}
	return minio.New(host, &minio.Options{Creds: credentials.New(borrowed{client}), Secure: secure, Region: region, BucketLookup: lookup})
}

// borrowed are the credentials of another client, as that renews them.
type borrowed struct{ client *minio.Client }

// Retrieve implements credentials.Provider.
func (b borrowed) Retrieve() (credentials.Value, error) { return b.client.GetCreds() }

// RetrieveWithCredContext implements credentials.Provider.
func (b borrowed) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return b.client.GetCreds()
}

// IsExpired implements credentials.Provider: the owner is asked every time.
func (b borrowed) IsExpired() bool { return true }
