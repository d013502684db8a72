//go:build linux

package main

import (
	"strings"
	"syscall"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// makeWorkDir makes the folder dir, if there is nothing of that name; its parent is
// there.
func makeWorkDir(dir string) error {
	if err := syscall.Mkdir(dir, 0o700); err != nil && err != syscall.EEXIST {
		return &problem{dir, err}
	}
	return nil
}

// writeFiles creates the files below dir with the folders that they need. It
// follows no link and replaces no file: the paths come from whoever sent the task.
func writeFiles(dir string, files []frame.File) error {
	if len(files) == 0 {
		return nil
	}
	// Modes are meant as they are given.
	mask := syscall.Umask(0)
	defer syscall.Umask(mask)
	root, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return &problem{dir, err}
	}
	defer syscall.Close(root)
	for i := range files {
		if err := writeFile(root, &files[i]); err != nil {
			return &problem{files[i].Path, err}
		}
	}
	return nil
}

func writeFile(root int, f *frame.File) error {
	if !frame.ValidPath(f.Path) {
		return syscall.EINVAL
	}
	dir, name := root, f.Path
	for {
		folder, rest, nested := strings.Cut(name, "/")
		if !nested {
			break
		}
		next, err := openFolder(dir, folder)
		if dir != root {
			_ = syscall.Close(dir)
		}
		if err != nil {
			return err
		}
		dir, name = next, rest
	}
	if dir != root {
		defer syscall.Close(dir)
	}
	const flags = syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	fd, err := syscall.Openat(dir, name, flags, f.Mode)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return writeAll(fd, f.Content)
}

// openFolder opens the folder name in dir, and makes it first if need be.
func openFolder(dir int, name string) (int, error) {
	if err := syscall.Mkdirat(dir, name, 0o755); err != nil && err != syscall.EEXIST {
		return -1, err
	}
	return syscall.Openat(dir, name, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
}
