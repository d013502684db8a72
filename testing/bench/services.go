package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// stack is a backend with all that it needs, each a process of its own.
type stack struct {
	redis *redisServer
	addr  string // of the backend
	log   *tail  // the backend's
	stops []func()
}

// startStack starts servers and a backend on them, which is built unless it is named.
func startStack(ctx context.Context, backend string) (_ *stack, err error) {
	s := &stack{}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.redis, err = startRedis(ctx, "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"); err != nil {
		return nil, err
	}
	s.stops = append(s.stops, s.redis.stop)
	env, err := s.startServers(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-backend-")
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, func() { os.RemoveAll(dir) })
	if backend == "" {
		backend = filepath.Join(dir, "backend")
		// In the module of the product, with its versions of everything.
		build := exec.CommandContext(ctx, "go", "build", "-C", "../..", "-o", backend, "./apps/backend")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the backend: %w\n%s", err, out)
		}
	}
	if s.addr, err = freeAddr(ctx); err != nil {
		return nil, err
	}
	env = append(env, "TASKRUNNER_API_ADDR="+s.addr, "REDIS_URL=redis://"+s.redis.addr+"/0",
		"TASKRUNNER_MAX_READERS=1000000", "TASKRUNNER_QUEUE_DEPTH=10000000", "TASKRUNNER_DRAIN_TIMEOUT=5s")
	p, err := startProcess(ctx, "the backend", env, func(ctx context.Context) error {
		_, err := get(ctx, "http://"+s.addr+"/readyz")
		return err
	}, backend)
	if err != nil {
		return nil, err
	}
	s.stops, s.log = append(s.stops, p.stop), p.log
	return s, nil
}

// startServers starts MongoDB and MinIO, unless the environment names such servers as it
// does for tests, and returns the backend's settings of them.
func (s *stack) startServers(ctx context.Context) ([]string, error) {
	name := "bench-" + rand.Text()
	mongo := os.Getenv("TASKRUNNER_TEST_MONGO_URI")
	if mongo == "" {
		addr, err := s.startContainer(ctx, "ferretdb", nil, func(addr string) []string {
			return []string{
				"--listen-addr=" + addr, "--handler=sqlite", "--sqlite-url=file:/data/?_pragma=synchronous(off)", "--state-dir=/data",
				"--telemetry=disable", "--debug-addr=-", "--log-level=WARN",
			}
		})
		if err != nil {
			return nil, err
		}
		mongo = "mongodb://" + addr + "/"
	}
	endpoint := os.Getenv("TASKRUNNER_TEST_MINIO_ENDPOINT")
	access := cmp.Or(os.Getenv("TASKRUNNER_TEST_MINIO_ACCESS_KEY"), "minioadmin")
	secret := cmp.Or(os.Getenv("TASKRUNNER_TEST_MINIO_SECRET_KEY"), "minioadmin")
	if endpoint == "" {
		console, err := freeAddr(ctx)
		if err != nil {
			return nil, err
		}
		access, secret = "bench", rand.Text()
		endpoint, err = s.startContainer(ctx, "minio", []string{"MINIO_ROOT_USER=" + access, "MINIO_ROOT_PASSWORD=" + secret}, func(addr string) []string {
			return []string{"server", "--address", addr, "--console-address", console, "/data"}
		})
		if err != nil {
			return nil, err
		}
	}
	return []string{
		"MONGO_URI=" + mongo, "MONGO_DB_NAME=" + name, "MINIO_ENDPOINT=http://" + endpoint, "MINIO_BUCKET=" + strings.ToLower(name),
		"MINIO_ACCESS_KEY=" + access, "MINIO_SECRET_KEY=" + secret,
	}, nil
}

// startContainer starts a server of one of the images that tests use, and returns its
// address. It has the network of the machine and listens on loopback, as those of tests.
func (s *stack) startContainer(ctx context.Context, kind string, env []string, command func(addr string) []string) (string, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return "", err
	}
	image := cmp.Or(os.Getenv("TASKRUNNER_IMAGE_"+strings.ToUpper(kind)), "taskrunner-test/"+kind)
	args := []string{"run", "--rm", "--pull=never", "--network=host", "--user=0:0", "--volume=/data"}
	for _, e := range env {
		key, _, _ := strings.Cut(e, "=")
		args = append(args, "--env="+key) // the value is docker's own, so that no list of processes shows it
	}
	args = append(append(args, image), command(addr)...)
	p, err := startProcess(ctx, image+" (make images makes it)", env, func(ctx context.Context) error { return connects(ctx, addr) }, "docker", args...)
	if err != nil {
		return "", err
	}
	s.stops = append(s.stops, p.stop)
	return addr, nil
}

func (s *stack) stop() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
}

// connects says whether anybody listens at addr.
func connects(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}
