package cgroup

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The files in testdata are kernels' own, of groups in which a process was killed for
// want of memory; those of v2 were read inside of a container, on Linux 6.12.
var (
	recordedV1 = Counters{
		CPU:        new(160765318 * time.Nanosecond),
		Memory:     new(int64(499712)),
		PeakMemory: new(int64(29999104)),
		OOMKills:   new(int64(1)),
	}
	recordedV2 = Counters{
		CPU:        new(7802777 * time.Microsecond),
		Memory:     new(int64(3366912)),
		PeakMemory: new(int64(67108864)),
		OOMKills:   new(int64(1)),
	}
)

func TestAReaderReadsTheFilesOfVersion1(t *testing.T) {
	t.Parallel()
	r := OpenV1("testdata/v1", "testdata/v1")
	defer r.Close()
	assert.Equal(t, recordedV1, r.Read())
	assert.Equal(t, Counters{CPU: recordedV1.CPU, Memory: recordedV1.Memory}, r.Usage())
}

func TestAReaderReadsTheFilesOfVersion2(t *testing.T) {
	t.Parallel()
	r := OpenV2("testdata/v2")
	defer r.Close()
	assert.Equal(t, recordedV2, r.Read())
}

func TestWhatIsMissingIsUnknown(t *testing.T) {
	t.Parallel()
	old := t.TempDir() // a kernel before 5.19 has no memory.peak
	for _, name := range []string{"cpu.stat", "memory.current", "memory.events"} {
		copyFile(t, "testdata/v2/"+name, filepath.Join(old, name))
	}
	r := OpenV2(old)
	defer r.Close()
	want := recordedV2
	want.PeakMemory = nil
	assert.Equal(t, want, r.Read())

	half := OpenV1("", "testdata/v1")
	defer half.Close()
	want = recordedV1
	want.CPU = nil
	assert.Equal(t, want, half.Read())

	none := OpenV2("")
	defer none.Close()
	assert.Equal(t, Counters{}, none.Read())
}

func TestAReaderSeesEveryChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	current := filepath.Join(dir, "memory.current")
	require.NoError(t, os.WriteFile(current, []byte("1000\n"), 0o600))
	r := OpenV2(dir)
	defer r.Close()
	assert.Equal(t, new(int64(1000)), r.Read().Memory)
	require.NoError(t, os.WriteFile(current, []byte("2\n"), 0o600))
	assert.Equal(t, new(int64(2)), r.Read().Memory)
	require.NoError(t, os.WriteFile(current, []byte("garbage\n"), 0o600))
	assert.Nil(t, r.Read().Memory)
}

func TestAClosedReaderKnowsNothing(t *testing.T) {
	t.Parallel()
	r := OpenV1("testdata/v1", "testdata/v1")
	r.Close()
	r.Close()
	assert.Equal(t, Counters{}, r.Read())
}

func TestFind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		membership, mounts string
		files              map[string]string // folder -> folder of testdata, or "" for a lone file
		want               Counters
	}{
		"finds version 2": {
			v2Container, v2ContainerMounts,
			map[string]string{"/sys/fs/cgroup": "v2"},
			recordedV2,
		},
		"finds version 1": {
			v1Container, v1ContainerMounts,
			map[string]string{"/sys/fs/cgroup/cpu,cpuacct": "v1", "/sys/fs/cgroup/memory": "v1"},
			recordedV1,
		},
		"takes what version 1 lacks from version 2": {
			"4:memory:/\n0::/\n", hybridMounts,
			map[string]string{"/sys/fs/cgroup/memory": "v1", "/sys/fs/cgroup/unified": "v2"},
			Counters{CPU: recordedV2.CPU, Memory: recordedV1.Memory, PeakMemory: recordedV1.PeakMemory, OOMKills: recordedV1.OOMKills},
		},
		"does not take the whole machine for a group of version 1": {
			v1PrivateContainer, v1PrivateMounts,
			map[string]string{"/sys/fs/cgroup/cpuacct": "v1 root", "/sys/fs/cgroup/memory": "v1 root"},
			Counters{},
		},
		"does not take the whole machine for a group of version 2": {
			v2Container, v2ContainerMounts,
			map[string]string{"/sys/fs/cgroup": "v2 root"},
			Counters{},
		},
		"finds nothing where nothing is": {v2Container, v2ContainerMounts, nil, Counters{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write := func(path, text string) {
				path = filepath.Join(root, path)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			}
			write("/proc/self/cgroup", c.membership)
			write("/proc/self/mountinfo", c.mounts)
			for folder, kind := range c.files {
				require.NoError(t, os.MkdirAll(filepath.Join(root, folder), 0o755))
				require.NoError(t, os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join("testdata", kind[:2]))))
				switch kind {
				case "v1 root":
					write(folder+"/release_agent", "\n")
				case "v2 root":
					require.NoError(t, os.Remove(filepath.Join(root, folder, "cgroup.events")))
				}
			}
			r := Find(root)
			defer r.Close()
			assert.Equal(t, c.want, r.Read())
		})
	}
}

func TestFindWorksOnThisMachine(t *testing.T) {
	t.Parallel()
	r := Find("/")
	defer r.Close()
	c := r.Read()
	if c.CPU != nil {
		assert.Positive(t, *c.CPU)
	}
	if c.Memory != nil && c.PeakMemory != nil {
		assert.LessOrEqual(t, *c.Memory, *c.PeakMemory+1<<20)
	}
}

// A sample may be taken a thousand times in a task, in a process that counts its
// pages.
func BenchmarkUsage(b *testing.B) {
	r := OpenV1("testdata/v1", "testdata/v1")
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Usage()
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, text, 0o600))
}
