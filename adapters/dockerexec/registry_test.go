package dockerexec

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
)

// registry is a registry of images on a loopback address, which an engine on this
// machine takes for an insecure one and asks without TLS.
type registry struct {
	host string
	// serve, if set, answers a request for a manifest or a blob instead of the
	// registry, if it returns true. It is set before the first request.
	serve func(w http.ResponseWriter, r *http.Request, content []byte) bool

	mu       sync.Mutex
	contents map[string][]byte // by path
	kinds    map[string]string
	asked    []string // "GET /v2/..."
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{contents: map[string][]byte{}, kinds: map[string]string{}}
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.CloseClientConnections() // some engines wait for an answer that nobody wants any more
		server.Close()
	})
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked = append(r.asked, req.Method+" "+req.URL.Path)
	content, ok := r.contents[req.URL.Path]
	kind := r.kinds[req.URL.Path]
	r.mu.Unlock()
	if req.URL.Path == "/v2/" {
		return
	}
	if r.serve != nil && r.serve(w, req, content) {
		return
	}
	w.Header().Set("Content-Type", kind)
	if !ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`))
		return
	}
	w.Header().Set("Docker-Content-Digest", digestOf(content))
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	if req.Method != http.MethodHead {
		_, _ = w.Write(content)
	}
}

// requests returns how many requests there were whose method and path begin like
// this.
func (r *registry) requests(prefix string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.asked {
		if strings.HasPrefix(a, prefix) {
			n++
		}
	}
	return n
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// object is JSON.
type object = map[string]any

// push puts an image with one layer of some size into the registry and returns the
// reference of it. The content is random, so that no engine has it. The engine's
// copy is removed at the end of the test.
func (r *registry) push(t *testing.T, arch string, config object, layerSize int) string {
	t.Helper()
	data := make([]byte, layerSize)
	_, _ = rand.Read(data)
	var plain, packed bytes.Buffer
	tw := tar.NewWriter(&plain)
	require.NoError(t, tw.WriteHeader(&tar.Header{Name: "data", Mode: 0o644, Size: int64(len(data))}))
	_, err := tw.Write(data)
	require.NoError(t, err)
	require.NoError(t, tw.Close())
	zw := gzip.NewWriter(&packed)
	_, err = zw.Write(plain.Bytes())
	require.NoError(t, err)
	require.NoError(t, zw.Close())

	name := fmt.Sprintf("taskrunner-test/pulled-%x", data[:4])
	describe := func(kind string, content []byte) object {
		r.add("/v2/"+name+"/blobs/"+digestOf(content), "application/octet-stream", content)
		return object{"mediaType": kind, "size": len(content), "digest": digestOf(content)}
	}
	manifest := encode(t, object{
		"schemaVersion": 2,
		"mediaType":     manifestKind,
		"config": describe("application/vnd.docker.container.image.v1+json", encode(t, object{
			"architecture": arch, "os": "linux", "config": config,
			"rootfs": object{"type": "layers", "diff_ids": []string{digestOf(plain.Bytes())}},
		})),
		"layers": []object{describe("application/vnd.docker.image.rootfs.diff.tar.gzip", packed.Bytes())},
	})
	r.add("/v2/"+name+"/manifests/1", manifestKind, manifest)
	r.add("/v2/"+name+"/manifests/"+digestOf(manifest), manifestKind, manifest)
	ref := r.host + "/" + name + ":1"
	cli := testenv.Docker(t)
	t.Cleanup(func() {
		_, _ = cli.ImageRemove(context.WithoutCancel(t.Context()), ref, image.RemoveOptions{Force: true}) // often was never there
	})
	return ref
}

const manifestKind = "application/vnd.docker.distribution.manifest.v2+json"

func (r *registry) add(path, kind string, content []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.contents[path], r.kinds[path] = content, kind
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}
