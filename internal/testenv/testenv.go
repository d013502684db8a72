// Package testenv gives tests what they need around them:
//
//   - a Docker engine, images with interpreters, and an engine of their own that they
//     may kill;
//   - servers of Redis, MongoDB's protocol and MinIO: one that tests share, or their own
//     in containers, which they may kill, freeze and start again, which may demand TLS and
//     a password, and whose clock may be wrong;
//   - a browser without a window, which tests share;
//   - connections to any of these that fail when they say so.
//
// A shared server is the one that the environment names (TASKRUNNER_TEST_REDIS_URL and
// its like), or else one in a container. The images of containers are made by .ci/images,
// or named by the environment (TASKRUNNER_IMAGE_REDIS and its like); none is pulled. All
// listen on loopback alone, on the network of the machine, so that the engine has to be
// this machine's.
//
// What a machine does not have skips the test that asks for it, and fails it where
// TASKRUNNER_REQUIRE_SERVICES=1 says that nothing may be skipped. Everything is taken
// down at the end of the test; containers of a test that was killed are removed by the
// next one that needs any. The package is for tests alone.
package testenv

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/client"
)

// patience bounds the waits for what normally takes seconds at most; it matters
// where something is broken.
const patience = time.Minute

// Docker returns a client of the engine that the environment names (DOCKER_HOST and
// its like, or else this machine's), which has answered. It is closed at the end of
// the test.
func Docker(t testing.TB) *client.Client {
	t.Helper()
	cli := newClient(t, client.FromEnv)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := cli.Ping(ctx); err != nil {
		missing(t, "no Docker engine answers: install and start one (on Debian: docker.io), or set DOCKER_HOST: %v", err)
	}
	return cli
}

// newClient returns a client that is closed at the end of the test.
func newClient(t testing.TB, opts ...client.Opt) *client.Client {
	t.Helper()
	cli, err := client.NewClientWithOpts(append(opts, client.WithAPIVersionNegotiation())...)
	if err != nil {
		t.Fatalf("making a client of the engine: %v", err)
	}
	t.Cleanup(func() { _ = cli.Close() })
	return cli
}

// socketDir returns a folder that is removed at the end of the test.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "testenv") //nolint:usetesting // a socket's path is short, the test's own folder's may not be
	if err != nil {
		t.Fatalf("making a folder for a socket: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the folder of a socket: %v", err)
		}
	})
	return dir
}

// Unique returns a short name of letters, digits and hyphens that nobody else uses, for
// the keys, databases and buckets of a test on a server that it shares.
func Unique(t testing.TB) string {
	t.Helper()
	return "test-" + strings.ToLower(rand.Text())
}

// missing ends a test that needs what this machine does not have.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("TASKRUNNER_REQUIRE_SERVICES") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
