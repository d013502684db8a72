package runner_test

import (
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/runner"
)

func TestTheBinariesAreStaticProgramsOfTheirArchitecture(t *testing.T) {
	t.Parallel()
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			code, err := runner.Binary(arch)
			require.NoError(t, err)
			assert.Less(t, len(code), 2<<20, "it stays small")
			f, err := elf.NewFile(bytes.NewReader(code))
			require.NoError(t, err)
			assert.Equal(t, machine, f.Machine)
			assert.Equal(t, elf.ET_EXEC, f.Type)
			libraries, err := f.ImportedLibraries()
			require.NoError(t, err)
			assert.Empty(t, libraries)

			info, err := buildinfo.Read(bytes.NewReader(code))
			require.NoError(t, err)
			assert.Empty(t, info.Deps, "it is made of this module and Go alone")
		})
	}
}

func TestThereIsNoBinaryForOtherArchitectures(t *testing.T) {
	t.Parallel()
	_, err := runner.Binary("mips")
	assert.ErrorContains(t, err, `"mips"`)
}

// The binaries cannot fall behind their sources: the digest of these is compared
// whatever the Go version, and the binaries themselves with the version that they
// were built with.
func TestTheBinariesAreBuiltFromTheirSources(t *testing.T) {
	t.Parallel()
	const advice = "the supervisor has changed: run go generate ./internal/runner"
	dir := t.TempDir()
	output, err := exec.Command("go", "run", "./gen", "-o", dir).CombinedOutput()
	require.NoError(t, err, "%s", output)

	want, err := os.ReadFile(filepath.Join(dir, "supervisor.sum"))
	require.NoError(t, err)
	got, err := os.ReadFile("supervisor.sum")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), advice)

	for _, arch := range []string{"amd64", "arm64"} {
		code, err := runner.Binary(arch)
		require.NoError(t, err)
		info, err := buildinfo.Read(bytes.NewReader(code))
		require.NoError(t, err)
		if info.GoVersion != runtime.Version() {
			t.Logf("the binary for %s is of %s and this is %s: compared the sources alone", arch, info.GoVersion, runtime.Version())
			continue
		}
		if !bytes.Equal(unpack(t, filepath.Join(dir, "supervisor_linux_"+arch+".gz")), code) {
			t.Errorf("%s: for %s", advice, arch)
		}
	}
}

func unpack(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	r, err := gzip.NewReader(f)
	require.NoError(t, err)
	code, err := io.ReadAll(r)
	require.NoError(t, err)
	return code
}
