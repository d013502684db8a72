//go:build linux || darwin

package dockerexec

import "golang.org/x/sys/unix"

// freeBytes returns how much can be written to the file system of dir.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
