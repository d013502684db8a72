package dockerexec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheDiskLimitIsDividedAndNeverExceeded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ disk, files, shm int64 }{
		"64 MiB":                         {64 << 20, 56 << 20, 8 << 20},
		"a limit of no whole pages":      {64<<20 + 4095, 56 << 20, 8 << 20},
		"one whose eighth is not whole":  {9 * 4096, 8 * 4096, 4096},
		"the least that there can be":    {2 * 4096, 4096, 4096},
		"a byte less than that":          {2*4096 - 1, 0, 4096},
		"one page":                       {4096, 0, 4096},
		"one byte":                       {1, 0, 4096},
		"nothing":                        {0, 0, 4096},
		"the most that is not mistyped":  {1 << 50, 7 << 47, 1 << 47},
		"less than nothing, if it comes": {-1 << 40, 0, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.files, filesRoom(c.disk), "files")
			assert.Equal(t, c.shm, shmRoom(c.disk), "shared memory")
			if filesRoom(c.disk) > 0 {
				assert.LessOrEqual(t, filesRoom(c.disk)+shmRoom(c.disk), c.disk)
			}
		})
	}
}

func TestWhatIsMountedIsMountedOnce(t *testing.T) {
	t.Parallel()
	b := &blueprint{kind: kind{disk: 16 << 20}, covers: []string{"/data/", "//twice", "/twice/.", "/tmp/", "/dev/shm/", "/tmp/within"}}
	all := b.tmpfs()
	var covered, writable []string
	for folder, options := range all {
		switch {
		case strings.HasPrefix(options, "ro,"):
			covered = append(covered, folder)
		case strings.HasPrefix(options, "rw,"):
			writable = append(writable, folder)
		}
	}
	assert.ElementsMatch(t, []string{"/dev/pts", "/dev/mqueue", "/data", "/twice", "/tmp/within"}, covered)
	assert.ElementsMatch(t, []string{"/tmp", "/dev/shm"}, writable)
	assert.Equal(t, "rw,nosuid,nodev,noexec,mode=1777,size=14680064,nr_inodes=3584", all["/tmp"])
	assert.Equal(t, "rw,nosuid,nodev,noexec,mode=1777,size=2097152,nr_inodes=1024", all["/dev/shm"])
	b.executable = true
	assert.Contains(t, b.tmpfs()["/tmp"], ",exec,")
}
