package dockerexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// patience bounds the waits for an engine and a registry on this machine.
const patience = time.Minute

// openImages returns images of the real engine, which is on this machine.
func openImages(t *testing.T, cfg Config) *images {
	t.Helper()
	i := newImages(testenv.Docker(t), cfg, runtime.GOARCH)
	t.Cleanup(i.close)
	return i
}

// within returns a context that ends where something hangs.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestAnImageIsPulledAndItsProgressIsTold(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	reg := newRegistry(t)
	moved := make(chan struct{})
	// The second half of the layer comes when the first one was reported.
	reg.serve = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if len(content) < size {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:size/2])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-moved:
		case <-r.Context().Done():
		}
		_, _ = w.Write(content[size/2:])
		return true
	}
	ref := reg.push(t, runtime.GOARCH, object{
		"Env":     []string{"LANG=C.UTF-8", "PATH=/first", "PATH=/opt/bin:/bin"},
		"Volumes": object{"/var/b": object{}, "/var/a": object{}},
	}, size)
	var mu sync.Mutex
	var told []PullProgress
	i := openImages(t, Config{Progress: func(p PullProgress) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, p)
		if p.Received > 0 {
			select {
			case <-moved:
			default:
				close(moved)
			}
		}
	}})
	now := time.Now()
	i.now = func() time.Time { now = now.Add(progressEvery); return now } // each message is reported

	_, ok, err := i.present(within(t), ref)
	require.NoError(t, err)
	assert.False(t, ok)
	info, err := i.get(within(t), ref)
	require.NoError(t, err)
	assert.Regexp(t, "^sha256:[0-9a-f]{64}$", info.ID)
	assert.Equal(t, imageInfo{ID: info.ID, Path: "/opt/bin:/bin", Volumes: []string{"/var/a", "/var/b"}}, info)
	again, ok, err := i.present(within(t), ref)
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, info, again)

	mu.Lock()
	defer mu.Unlock()
	end := told[len(told)-1]
	assert.NoError(t, end.Err)
	assert.Greater(t, end.Total, int64(size))
	assert.Equal(t, PullProgress{Image: ref, Received: end.Total, Total: end.Total, Done: true}, end)
	half := false
	for _, p := range told[:len(told)-1] {
		assert.False(t, p.Done)
		half = half || p.Received > 0 && p.Received < p.Total
	}
	assert.True(t, half, "it was told while it lasted: %v", told)
}

func TestAPolicySaysWhenTheRegistryIsAsked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		policy  PullPolicy
		there   bool
		asks    bool
		wantErr string
	}{
		{"never, for one that is there", PullNever, true, false, ""},
		{"never, for one that is missing", PullNever, false, false, "--docker-pull=never"},
		{"missing, for one that is there", PullMissing, true, false, ""},
		{"missing, for one that is missing", PullMissing, false, true, ""},
		{"always, for one that is there", PullAlways, true, true, ""},
		{"always, for one that is missing", PullAlways, false, true, ""},
		{"missing, if it says nothing", "", false, true, ""},
		{"not, if it says nothing and the image is there", "", true, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			reg := newRegistry(t)
			ref := reg.push(t, runtime.GOARCH, nil, 100)
			if tc.there {
				_, err := openImages(t, Config{}).get(within(t), ref)
				require.NoError(t, err)
			}
			before := reg.requests("")
			i := openImages(t, Config{Pull: tc.policy})
			info, err := i.get(within(t), ref)
			asked := reg.requests("") - before
			assert.Equal(t, tc.asks, asked > 0, "%d requests", asked)
			if tc.wantErr != "" {
				assert.ErrorContains(t, err, tc.wantErr)
				assert.ErrorContains(t, err, "docker pull "+ref)
				return
			}
			require.NoError(t, err)
			assert.Regexp(t, "^sha256:", info.ID)

			// What was found is kept, until it is said to have gone.
			before = reg.requests("")
			same, err := i.get(within(t), ref)
			require.NoError(t, err)
			assert.Equal(t, info, same)
			assert.Equal(t, before, reg.requests(""))
			_, err = i.cli.ImageRemove(within(t), ref, image.RemoveOptions{})
			require.NoError(t, err)
			i.forget(ref)
			_, err = i.get(within(t), ref)
			if tc.policy == PullNever {
				assert.ErrorContains(t, err, "--docker-pull=never")
				return
			}
			require.NoError(t, err)
			assert.Greater(t, reg.requests(""), before)
		})
	}
}

func TestAPullThatFailsSaysWhyAndHowToMendIt(t *testing.T) {
	t.Parallel()
	always := func(t *testing.T, _ *registry, ref string) string {
		t.Helper()
		_, err := openImages(t, Config{}).get(within(t), ref)
		require.NoError(t, err)
		return ref
	}
	isLayer := func(content []byte) bool { return len(content) > 64<<10 }
	for _, tc := range []struct {
		name    string
		arch    string
		policy  PullPolicy
		prepare func(t *testing.T, reg *registry, ref string) string
		serve   func() func(w http.ResponseWriter, r *http.Request, content []byte) bool
		want    []string
	}{
		{name: "the tag is unknown",
			prepare: func(_ *testing.T, _ *registry, ref string) string { return strings.TrimSuffix(ref, "1") + "other" },
			want:    []string{"pulling the image", "manifest unknown", "--docker-pull=missing", "docker pull 127.0.0.1"}},
		{name: "the registry wants a login",
			serve: func() func(w http.ResponseWriter, r *http.Request, content []byte) bool {
				return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
					w.WriteHeader(http.StatusUnauthorized)
					_, _ = w.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`))
					return true
				}
			}, want: []string{"pulling the image", "authentication required|unauthorized|access denied", "docker pull 127.0.0.1"}},
		{name: "the registry has had enough",
			serve: func() func(w http.ResponseWriter, r *http.Request, content []byte) bool {
				return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
					w.WriteHeader(http.StatusTooManyRequests)
					_, _ = w.Write([]byte(`{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}`))
					return true
				}
			}, want: []string{"pulling the image", "pull rate limit"}},
		{name: "nobody is there",
			prepare: func(_ *testing.T, _ *registry, ref string) string {
				_, path, _ := strings.Cut(ref, "/")
				return "127.0.0.1:1/" + path
			}, want: []string{"pulling the image", "connection refused"}},
		{name: "a layer is not what it should be",
			serve: func() func(w http.ResponseWriter, r *http.Request, content []byte) bool {
				return func(w http.ResponseWriter, _ *http.Request, content []byte) bool {
					if !isLayer(content) {
						return false
					}
					_, _ = w.Write(append([]byte("x"), content[1:]...))
					return true
				}
			}, want: []string{"pulling the image", "verification failed|did not match|invalid|digest"}},
		{name: "a layer breaks off, and is gone when the engine asks for the rest",
			serve: func() func(w http.ResponseWriter, r *http.Request, content []byte) bool {
				var once sync.Once
				return func(w http.ResponseWriter, _ *http.Request, content []byte) bool {
					if !isLayer(content) {
						return false
					}
					first := false
					once.Do(func() { first = true })
					if !first {
						w.WriteHeader(http.StatusNotFound)
						_, _ = w.Write([]byte(`{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}`))
						return true
					}
					w.Header().Set("Content-Length", fmt.Sprint(len(content)))
					_, _ = w.Write(content[:len(content)/2])
					panic(http.ErrAbortHandler)
				}
			}, want: []string{"pulling the image", "blob unknown|unknown blob|not found|EOF"}},
		{name: "it is always asked, and has lost the image that the engine still has", policy: PullAlways,
			prepare: func(t *testing.T, reg *registry, ref string) string {
				t.Helper()
				always(t, reg, ref)
				reg.mu.Lock()
				defer reg.mu.Unlock()
				clear(reg.contents)
				return ref
			}, want: []string{"--docker-pull=always", "manifest unknown", "--docker-pull=missing"}},
		{name: "it is for other processors", arch: "mips64le",
			want: []string{"is for linux/mips64le and cannot run here", "--platform=linux/" + runtime.GOARCH}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			reg := newRegistry(t)
			if tc.serve != nil {
				reg.serve = tc.serve()
			}
			arch := runtime.GOARCH
			if tc.arch != "" {
				arch = tc.arch
			}
			ref := reg.push(t, arch, nil, 128<<10)
			if tc.prepare != nil {
				ref = tc.prepare(t, reg, ref)
			}
			var mu sync.Mutex
			var ends []PullProgress
			i := openImages(t, Config{Pull: tc.policy, Progress: func(p PullProgress) {
				mu.Lock()
				defer mu.Unlock()
				if p.Done {
					ends = append(ends, p)
				}
			}})
			_, err := i.get(within(t), ref)
			require.Error(t, err)
			for _, want := range tc.want {
				assert.Regexp(t, want, err.Error())
			}
			assert.NotErrorIs(t, err, ports.ErrInvalid, "another attempt may succeed")
			mu.Lock()
			defer mu.Unlock()
			if assert.Len(t, ends, 1, "the end is told once") {
				assert.Equal(t, err, ends[0].Err)
			}
		})
	}
}

func TestAGetEndsWithItsContextWhenTheRegistryHangs(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t)
	hanging := make(chan struct{}, 100)
	reg.serve = func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		hanging <- struct{}{}
		<-r.Context().Done()
		return true
	}
	ref := reg.push(t, runtime.GOARCH, nil, 100)
	i := openImages(t, Config{})
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	go func() {
		<-hanging
		cancel()
	}()
	_, err := i.get(ctx, ref)
	assert.ErrorIs(t, err, context.Canceled)
	i.close() // waits for the pull, which has ended
}

func TestTheEngineStopsToFetchWhatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	reg := newRegistry(t)
	begun, hungUp := make(chan struct{}, 100), make(chan struct{}, 100)
	// Half of the layer comes at once and the rest in drops, more than a minute long:
	// an engine may look up only when it gets something.
	reg.serve = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if len(content) < size {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:size/2])
		begun <- struct{}{}
		drops := time.NewTicker(10 * time.Millisecond)
		defer drops.Stop()
		for drop := range slices.Chunk(content[size/2:], 64) {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				hungUp <- struct{}{}
				return true
			case <-drops.C:
				_, _ = w.Write(drop)
			}
		}
		return true
	}
	ref := reg.push(t, runtime.GOARCH, nil, size)
	i := openImages(t, Config{})
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	go func() {
		<-begun
		cancel()
	}()
	_, err := i.get(ctx, ref)
	assert.ErrorIs(t, err, context.Canceled)
	select {
	case <-hungUp:
	case <-within(t).Done():
		t.Error("the engine still fetches the layer")
	}
}

func TestThoseWhoWantOneImageShareOnePull(t *testing.T) {
	t.Parallel()
	reg := newRegistry(t)
	open := make(chan struct{})
	reg.serve = func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		select {
		case <-open:
		case <-r.Context().Done():
		}
		return false
	}
	ref := reg.push(t, runtime.GOARCH, nil, 100)
	i := openImages(t, Config{Pull: PullAlways})
	type answer struct {
		info imageInfo
		err  error
	}
	ask := func(ctx context.Context) <-chan answer {
		c := make(chan answer, 1)
		go func() {
			info, err := i.get(ctx, ref)
			c <- answer{info, err}
		}()
		return c
	}
	ctx, cancel := context.WithCancel(within(t))
	first, second, third := ask(ctx), ask(within(t)), ask(within(t))
	require.Eventually(t, func() bool {
		i.mu.Lock()
		defer i.mu.Unlock()
		l := i.lookups[ref]
		return l != nil && l.waiters == 3
	}, patience, time.Millisecond)
	cancel()
	assert.ErrorIs(t, (<-first).err, context.Canceled, "who leaves need not wait")
	close(open)
	a, b := <-second, <-third
	require.NoError(t, a.err)
	require.NoError(t, b.err)
	assert.Equal(t, a.info, b.info)
	_, path, _ := strings.Cut(ref, "/")
	path = strings.TrimSuffix(path, ":1")
	assert.Equal(t, 1, reg.requests("GET /v2/"+path+"/blobs/"+a.info.ID), "the image's configuration was fetched once")
	assert.Equal(t, 1, reg.requests("HEAD /v2/"+path+"/manifests/1")+reg.requests("GET /v2/"+path+"/manifests/1"))
}

// fakeEngine has images and pulls as it is told.
type fakeEngine struct {
	client.APIClient

	mu      sync.Mutex
	images  map[string]image.InspectResponse // by full name
	pulls   int
	inspect error
	pull    func(ctx context.Context, name string) (io.ReadCloser, error)
}

func (e *fakeEngine) ImageInspect(ctx context.Context, name string, _ ...client.ImageInspectOption) (image.InspectResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := cmpErr(ctx.Err(), e.inspect); err != nil {
		return image.InspectResponse{}, err
	}
	found, ok := e.images[name]
	if !ok {
		return found, fmt.Errorf("no such image %s: %w", name, cerrdefs.ErrNotFound)
	}
	return found, nil
}

func (e *fakeEngine) ImagePull(ctx context.Context, name string, _ image.PullOptions) (io.ReadCloser, error) {
	e.mu.Lock()
	e.pulls++
	e.mu.Unlock()
	return e.pull(ctx, name)
}

func (e *fakeEngine) put(name string, found image.InspectResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images[name] = found
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// slowPull takes a minute of the test's clock, and has the image then.
func (e *fakeEngine) slowPull(ctx context.Context, name string) (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		for range 60 {
			select {
			case <-ctx.Done():
				w.CloseWithError(ctx.Err())
				return
			case <-time.After(time.Second):
			}
			_, _ = io.WriteString(w, `{"status":"Downloading","id":"l","progressDetail":{"current":1,"total":60}}`+"\n")
		}
		e.put(name, image.InspectResponse{ID: "sha256:pulled"})
		_ = w.Close()
	}()
	return r, nil
}

const fullName = "docker.io/library/python:3"

func newFake() *fakeEngine {
	e := &fakeEngine{images: map[string]image.InspectResponse{}}
	e.pull = e.slowPull
	return e
}

func TestAPullOutlivesWhoBeganIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newFake()
		i := newImages(e, Config{}, "amd64")
		defer i.close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		go func() {
			_, err := i.get(ctx, "python:3")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		}()
		synctest.Wait()
		info, err := i.get(t.Context(), fullName)
		require.NoError(t, err)
		assert.Equal(t, imageInfo{ID: "sha256:pulled"}, info)
		assert.Equal(t, 1, e.pulls)
	})
}

func TestWhoComesAfterThePullWasEndedBeginsAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newFake()
		ends := make(chan error, 2)
		i := newImages(e, Config{Progress: func(p PullProgress) {
			if p.Done {
				ends <- p.Err
			}
		}}, "amd64")
		defer i.close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := i.get(ctx, "python:3")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = i.get(t.Context(), "python:3")
		require.NoError(t, err)
		assert.Equal(t, 2, e.pulls)
		assert.ErrorIs(t, <-ends, context.Canceled)
		assert.NoError(t, <-ends)
	})
}

func TestCloseEndsPullsAndWaitsForThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newFake()
		i := newImages(e, Config{}, "amd64")
		result := make(chan error, 1)
		go func() {
			_, err := i.get(t.Context(), "python:3")
			result <- err
		}()
		synctest.Wait()
		before := time.Now()
		i.close()
		assert.Equal(t, before, time.Now())
		assert.ErrorIs(t, <-result, ports.ErrClosed)
		_, err := i.get(t.Context(), "python:3")
		assert.ErrorIs(t, err, ports.ErrClosed)
		i.close()
	})
}

func TestWhatWasForgottenWhileItWasSoughtIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newFake()
		i := newImages(e, Config{Pull: PullAlways}, "amd64")
		defer i.close()
		first := make(chan error, 1)
		go func() {
			_, err := i.get(t.Context(), "python:3")
			first <- err
		}()
		synctest.Wait()
		i.forget("python:3")
		i.forget("no reference of anything")
		_, err := i.get(t.Context(), "python:3")
		require.NoError(t, err)
		require.NoError(t, <-first, "who waited gets what was found")
		assert.Equal(t, 2, e.pulls)
		_, err = i.get(t.Context(), "python:3")
		require.NoError(t, err)
		assert.Equal(t, 2, e.pulls, "the second one is kept")
	})
}

func TestProgressIsToldAFewTimesASecondAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newFake()
		e.pull = func(_ context.Context, name string) (io.ReadCloser, error) {
			r, w := io.Pipe()
			go func() {
				for k := range 2_000 {
					time.Sleep(time.Millisecond)
					_, _ = fmt.Fprintf(w, `{"status":"Downloading","id":"l","progressDetail":{"current":%d,"total":2000}}`+"\n", k+1)
				}
				e.put(name, image.InspectResponse{ID: "sha256:pulled"})
				_ = w.Close()
			}()
			return r, nil
		}
		var told []PullProgress
		i := newImages(e, Config{Progress: func(p PullProgress) { told = append(told, p) }}, "amd64")
		defer i.close()
		_, err := i.get(t.Context(), "python:3")
		require.NoError(t, err)
		assert.Equal(t, PullProgress{Image: "python:3"}, told[0], "that it begins")
		assert.Equal(t, PullProgress{Image: "python:3", Received: 300, Total: 2_000}, told[1])
		assert.Len(t, told, 1+2_000/300+1)
		assert.Equal(t, PullProgress{Image: "python:3", Received: 2_000, Total: 2_000, Done: true}, told[len(told)-1])
	})
}

func TestAnEngineThatDoesNotKeepItsWordIsFoundOut(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tc := range []struct {
		name  string
		setUp func(e *fakeEngine)
		want  string
	}{
		{"it has nothing after a pull without an error", func(e *fakeEngine) {
			e.pull = func(context.Context, string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }
		}, "does not have it"},
		{"it fails when it is asked for the image", func(e *fakeEngine) { e.inspect = broken }, `looking at the image "python:3": broken`},
		{"it refuses to pull", func(e *fakeEngine) {
			e.pull = func(context.Context, string) (io.ReadCloser, error) { return nil, broken }
		}, "broken"},
		{"its image is of another system", func(e *fakeEngine) {
			e.images[fullName] = image.InspectResponse{Os: "windows", Architecture: "amd64"}
		}, "is for windows/amd64"},
		{"its image is of processors that the kernel would run", func(e *fakeEngine) {
			e.images[fullName] = image.InspectResponse{Os: "linux", Architecture: "386"}
		}, "is for linux/386"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := newFake()
			tc.setUp(e)
			i := newImages(e, Config{}, "amd64")
			defer i.close()
			for range 2 { // a failure is not kept, and does not change
				_, err := i.get(t.Context(), "python:3")
				assert.ErrorContains(t, err, tc.want)
			}
			// Now it is mended.
			e.put(fullName, image.InspectResponse{ID: "sha256:good"})
			e.inspect = nil
			info, err := i.get(t.Context(), "python:3")
			require.NoError(t, err)
			assert.Equal(t, "sha256:good", info.ID)
		})
	}
}

func TestWhatAnImageDoesNotSayIsEmpty(t *testing.T) {
	t.Parallel()
	e := newFake()
	i := newImages(e, Config{Pull: PullNever}, "arm64")
	defer i.close()
	for _, config := range []*dockerspec.DockerOCIImageConfig{nil, {}, {ImageConfig: ocispec.ImageConfig{Env: []string{"PATHS=/x", "PATH"}}}} {
		e.put(fullName, image.InspectResponse{ID: "sha256:x", Config: config})
		info, ok, err := i.present(t.Context(), "python:3")
		require.NoError(t, err)
		assert.True(t, ok)
		assert.Equal(t, "sha256:x", info.ID)
		assert.Empty(t, info.Path)
		assert.Empty(t, info.Volumes)
	}
}

func TestAReferenceThatIsNotAllowedReachesNoEngine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, ref, want string }{
		{"nothing", "", "language names no image"},
		{"no reference", "Py thon", "is not a reference of an image"},
		{"an ID", strings.TrimPrefix(someDigest, "sha256:"), "is not a reference of an image"},
		{"another image", "node:22", `language names the image "node:22", which is not among the allowed images (--docker-allowed-images)`},
		{"an ID that looks like a tag", someDigest, "not among the allowed images"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			i := newImages(nil, Config{AllowedImages: []string{"python:*"}}, "amd64")
			defer i.close()
			_, err := i.get(t.Context(), tc.ref)
			assert.ErrorIs(t, err, ports.ErrInvalid)
			assert.ErrorContains(t, err, tc.want)
			_, _, err = i.present(t.Context(), tc.ref)
			assert.ErrorIs(t, err, ports.ErrInvalid)
		})
	}
}

func TestPatternsThatWereNotCheckedAreNotIgnored(t *testing.T) {
	t.Parallel()
	assert.Panics(t, func() { newImages(nil, Config{AllowedImages: []string{""}}, "amd64") })
}
