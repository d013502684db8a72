package miniolog_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClient returns a client of the test's store.
func newClient(t testing.TB) *minio.Client {
	t.Helper()
	endpoint := os.Getenv("TASKRUNNER_TEST_MINIO_ENDPOINT")
	if endpoint == "" {
		t.Skip("TASKRUNNER_TEST_MINIO_ENDPOINT names no store")
	}
	transport, err := minio.DefaultTransport(false)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	c, err := minio.New(endpoint, &minio.Options{Transport: transport,
		Creds: credentials.NewStaticV4(os.Getenv("TASKRUNNER_TEST_MINIO_ACCESS_KEY"), os.Getenv("TASKRUNNER_TEST_MINIO_SECRET_KEY"), "")})
	require.NoError(t, err)
	return c
}
