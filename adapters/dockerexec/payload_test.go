package dockerexec

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"

	"github.com/task-runner/task-runner/internal/runner"
	"github.com/task-runner/task-runner/internal/seccomp"
)

// entry is one of a tar; without content, a folder.
type entry struct {
	name string
	mode int64
	text string
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.text)), Typeflag: tar.TypeReg}
		if e.text == "" {
			h.Typeflag = tar.TypeDir
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := w.Write([]byte(e.text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func smallPayload(t testing.TB) *payload {
	t.Helper()
	p, err := newPayload(payloadFile{"a", 0o755, []byte("first")}, payloadFile{"b", 0o644, []byte("second")})
	require.NoError(t, err)
	return p
}

func TestAVolumeIsIntactOnlyWithExactlyThePayload(t *testing.T) {
	t.Parallel()
	folder := entry{name: ".taskrunner/", mode: 0o755}
	first, second := entry{".taskrunner/a", 0o755, "first"}, entry{".taskrunner/b", 0o644, "second"}
	for _, c := range []struct {
		name    string
		entries []entry
		want    state
	}{
		{"the payload", []entry{folder, first, second}, stateIntact},
		{"the payload in another order", []entry{folder, second, first}, stateIntact},
		{"nothing but the folder", []entry{folder}, stateEmpty},
		{"nothing in a folder with another mode", []entry{{name: ".taskrunner/", mode: 0o700}}, stateEmpty},
		{"nothing at all", nil, stateEmpty},
		{"one file is missing", []entry{folder, first}, stateOther},
		{"one file more", []entry{folder, first, second, {".taskrunner/c", 0o644, "x"}}, stateOther},
		{"a file twice", []entry{folder, first, second, second}, stateOther},
		{"a folder more", []entry{folder, first, second, {name: ".taskrunner/c/", mode: 0o755}}, stateOther},
		{"a folder in a file's place", []entry{folder, {name: ".taskrunner/a", mode: 0o755}, second}, stateOther},
		{"other bytes", []entry{folder, first, {".taskrunner/b", 0o644, "sec0nd"}}, stateOther},
		{"fewer bytes", []entry{folder, first, {".taskrunner/b", 0o644, "secon"}}, stateOther},
		{"more bytes", []entry{folder, first, {".taskrunner/b", 0o644, "second "}}, stateOther},
		{"a program that others may write", []entry{folder, {".taskrunner/a", 0o757, "first"}, second}, stateOther},
		{"a program with the user's rights", []entry{folder, {".taskrunner/a", 0o4755, "first"}, second}, stateOther},
		{"a program that is none", []entry{folder, {".taskrunner/a", 0o644, "first"}, second}, stateOther},
		{"a folder that others cannot enter", []entry{{name: ".taskrunner/", mode: 0o700}, first, second}, stateOther},
		{"the files elsewhere", []entry{folder, {"elsewhere/a", 0o755, "first"}, second}, stateOther},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := smallPayload(t).compare(bytes.NewReader(pack(t, c.entries...)))
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestATarThatBreaksOffSaysNothingAboutAVolume(t *testing.T) {
	t.Parallel()
	whole := pack(t, entry{name: ".taskrunner/", mode: 0o755}, entry{".taskrunner/a", 0o755, "first"}, entry{".taskrunner/b", 0o644, "second"})
	for _, n := range []int{1, 511, 512, 515, 1024, 1026, 2048, 2050} {
		r := io.MultiReader(bytes.NewReader(whole[:n]), brokenReader{})
		_, err := smallPayload(t).compare(r)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "after %d bytes", n)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// encoded lays a filter out as the kernel does.
func encoded(program []bpf.RawInstruction) (b []byte) {
	for _, i := range program {
		b = append(b, byte(i.Op), byte(i.Op>>8), i.Jt, i.Jf, byte(i.K), byte(i.K>>8), byte(i.K>>16), byte(i.K>>24))
	}
	return b
}

func TestThePayloadIsWhatContainersNeed(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, arch := range []string{"amd64", "arm64"} {
		p, err := runnerPayload(arch)
		require.NoError(t, err)
		supervisor, err := runner.Binary(arch)
		require.NoError(t, err)
		all, err := seccomp.Filter(arch)
		require.NoError(t, err)
		unixOnly, err := seccomp.FilterUnixOnly(arch)
		require.NoError(t, err)
		want := []payloadFile{
			{"filter", 0o644, encoded(all)},
			{"filter-unix", 0o644, encoded(unixOnly)},
			{"passwd", 0o644, passwd()},
			{"supervisor", 0o755, supervisor},
		}
		require.Len(t, p.files, len(want))
		for i, f := range p.files {
			assert.Equal(t, want[i].name, f.name)
			assert.Equal(t, want[i].mode, f.mode, f.name)
			assert.True(t, bytes.Equal(want[i].content, f.content), f.name)
		}
		assert.Regexp(t, "^taskrunner-runner-[0-9a-f]{12}$", p.volume)
		names[p.volume] = true

		again, err := runnerPayload(arch)
		require.NoError(t, err)
		assert.Equal(t, p.volume, again.volume, "it is named by what it holds")
	}
	assert.Len(t, names, 2, "each architecture has its own")
	current, err := currentVolumes()
	require.NoError(t, err)
	assert.Equal(t, names, current)

	_, err = deliver(t.Context(), nil, "mips")
	assert.ErrorContains(t, err, `putting the supervisor into the engine: no supervisor for the architecture "mips"`)
}

// Whatever a volume holds: it is intact only if a second, plain look finds the
// payload in it.
func FuzzCompare(f *testing.F) {
	folder := entry{name: ".taskrunner/", mode: 0o755}
	f.Add(pack(f, folder, entry{".taskrunner/a", 0o755, "first"}, entry{".taskrunner/b", 0o644, "second"}))
	f.Add(pack(f, folder, entry{".taskrunner/a", 0o755, "first"}))
	f.Add(pack(f, folder))
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		got, err := smallPayload(t).compare(bytes.NewReader(archive))
		if err != nil || got != stateIntact {
			return
		}
		found := map[string]string{}
		r := tar.NewReader(bytes.NewReader(archive))
		for h, err := r.Next(); err == nil; h, err = r.Next() {
			if h.Typeflag == tar.TypeReg {
				content, err := io.ReadAll(r)
				require.NoError(t, err)
				found[h.FileInfo().Name()] = string(content)
			}
		}
		assert.Equal(t, map[string]string{"a": "first", "b": "second"}, found, slices.Collect(maps.Keys(found)))
	})
}
