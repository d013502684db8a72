package testenv

import (
	"cmp"
	"crypto/tls"
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
	missing(t, "no container with MinIO")
	return nil
}

// Client returns a client whose connections are closed at the end of the test.
func (s *MinIOServer) Client(t testing.TB) *minio.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = s.TLS.Clone()
	t.Cleanup(transport.CloseIdleConnections)
	c, err := minio.New(s.Endpoint, &minio.Options{
		Creds:     credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Secure:    s.TLS != nil,
		Transport: transport,
	})
	if err != nil {
		t.Fatalf("making a client of MinIO: %v", err)
	}
	return c
}
