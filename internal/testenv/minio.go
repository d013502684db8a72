package testenv

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// MinIOServer is a server of S3's protocol.
type MinIOServer struct {
	*Server // nil if the test does not own it

	Endpoint             string // host and port
	AccessKey, SecretKey string
	TLS                  *tls.Config // nil without TLS
}

// MinIO returns a server that tests share, the one that TASKRUNNER_TEST_MINIO_ENDPOINT
// names, with TASKRUNNER_TEST_MINIO_ACCESS_KEY and TASKRUNNER_TEST_MINIO_SECRET_KEY, or
// else one in a container. Use buckets or prefixes of your own; see Unique.
func MinIO(t testing.TB) *MinIOServer {
	t.Helper()
	endpoint := os.Getenv("TASKRUNNER_TEST_MINIO_ENDPOINT")
	if endpoint == "" {
		return sharedMinIO.get(t)
	}
	s := &MinIOServer{
		Endpoint:  endpoint,
		AccessKey: cmp.Or(os.Getenv("TASKRUNNER_TEST_MINIO_ACCESS_KEY"), "minioadmin"), // MinIO's own defaults
		SecretKey: cmp.Or(os.Getenv("TASKRUNNER_TEST_MINIO_SECRET_KEY"), "minioadmin"),
	}
	if _, err := s.Client(t).ListBuckets(t.Context()); err != nil {
		t.Fatalf("asking the S3 server that TASKRUNNER_TEST_MINIO_ENDPOINT names: %v", err)
	}
	return s
}

// MinIOOptions say how a MinIO server of one's own is.
type MinIOOptions struct {
	Secure bool // TLS; there is a password in any case
}

// OwnMinIO starts a MinIO server.
func OwnMinIO(t testing.TB, o MinIOOptions) *MinIOServer {
	t.Helper()
	place, cert := newPlace(t), newCertificate(t, o.Secure)
	s := &MinIOServer{Endpoint: place.addr, AccessKey: "test", SecretKey: rand.Text(), TLS: cert.config()}
	s.Server = run(t, spec{
		kind:    "minio",
		place:   place,
		command: []string{"server", "--address", place.addr, "--console-address", newPlace(t).addr, "--certs-dir", certDir, dataDir},
		env: map[string]string{
			"MINIO_ROOT_USER": s.AccessKey, "MINIO_ROOT_PASSWORD": s.SecretKey,
			"MINIO_DOMAIN": "localhost", // so that bucket.localhost is the bucket
		},
		cert: cert,
		ping: s.knowsKeys,
	})
	return s
}

// knowsKeys returns nil once the server tells keys that are good from others. For a moment
// after its start it knows its own alone, and of any other says that it is not ready.
func (s *MinIOServer) knowsKeys(ctx context.Context) error {
	transport := s.transport()
	defer transport.CloseIdleConnections()
	ask := func(s MinIOServer) error {
		c, err := s.client(&minio.Options{Transport: transport, MaxRetries: 1})
		if err != nil {
			return err
		}
		_, err = c.ListBuckets(ctx)
		return err
	}
	if err := ask(*s); err != nil {
		return err
	}
	stranger := *s
	stranger.AccessKey = "nobody"
	if err := ask(stranger); minio.ToErrorResponse(err).Code != minio.InvalidAccessKeyID {
		return fmt.Errorf("asking with an access key that is not there: %w", err)
	}
	return nil
}

// Client returns a client whose connections are closed at the end of the test.
func (s *MinIOServer) Client(t testing.TB) *minio.Client {
	t.Helper()
	transport := s.transport()
	t.Cleanup(transport.CloseIdleConnections)
	c, err := s.client(&minio.Options{Transport: transport})
	if err != nil {
		t.Fatalf("making a client of MinIO: %v", err)
	}
	return c
}

func (s *MinIOServer) transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = s.TLS.Clone()
	return t
}

func (s *MinIOServer) client(o *minio.Options) (*minio.Client, error) {
	o.Creds, o.Secure = credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), s.TLS != nil
	return minio.New(s.Endpoint, o)
}
