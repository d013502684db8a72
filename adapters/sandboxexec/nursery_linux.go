//go:build amd64 || arm64

package sandboxexec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where things are inside every sandbox.
const (
	supervisorPath = "/supervisor"
	// writableDir is the one place that a program can write to: a tmpfs of its
	// own with the folders below, so that Limits.Disk is one limit for all.
	writableDir = "/sandbox"
	workDir     = writableDir + "/work"
	tmpDir      = writableDir + "/tmp"
	shmDir      = writableDir + "/shm"
)

// hostTrees are what a sandbox sees of the host when no root file system is
// configured: programs and their libraries, nothing that is anybody's data.
var hostTrees = []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// ownTrees are made by newNursery and never taken from a root file system.
var ownTrees = []string{"dev", "proc", "sys", "run", "tmp", "sandbox", "supervisor"}

// hostEtcFiles are copied from the host: what the dynamic linker and the clock
// need. hostEtcTrees are bound.
var (
	hostEtcFiles = []string{"ld.so.cache", "localtime"}
	hostEtcTrees = []string{"alternatives"}
)

// ownEtc is the rest of /etc when no root file system is configured. It names
// the one user there is, and nobody of the host.
var ownEtc = map[string]string{
	"passwd":        "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nsandbox:x:65534:65534:sandbox:" + workDir + ":/bin/sh\n",
	"group":         "root:x:0:\nsandbox:x:65534:\n",
	"hosts":         "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}

// devices are the nodes of /dev: name and minor number; the major one is 1.
var devices = map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}

// A nursery is a mount namespace whose root is the read-only file system of a
// sandbox, and nothing else. Every sandbox begins with a copy of it, so that the
// mounts are made once, and neither the host's mounts nor a pivot_root has to be
// dealt with for each task.
type nursery struct {
	ns *os.File
}

// newNursery builds the file system from rootfs, which is "/" for the host's own
// programs, with supervisor as the program that a sandbox starts with.
func newNursery(rootfs string, supervisor []byte) (*nursery, error) {
	// The folder is only the place to mount on; inside the namespace it is left
	// behind by pivot_root, outside it stays empty.
	root, err := os.MkdirTemp("", "taskrunner-root-")
	if err != nil {
		return nil, fmt.Errorf("making a folder to mount on: %w", err)
	}
	defer os.Remove(root)

	var ns *os.File
	onThrowawayThread(func() { ns, err = buildRoot(root, rootfs, supervisor) })
	if err != nil {
		return nil, fmt.Errorf("building the sandbox's file system from %s: %w", rootfs, err)
	}
	return &nursery{ns: ns}, nil
}

// onThrowawayThread runs f on a thread that ends with it, so that f may move the
// thread to other namespaces.
func onThrowawayThread(f func()) {
	done := make(chan struct{})
	go func() {
		// As it is never unlocked, the runtime ends the thread with this goroutine.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread cannot end and is what /proc/self shows; while this
			// goroutine holds it, f gets another one.
			onThrowawayThread(f)
			runtime.UnlockOSThread()
		} else {
			f()
		}
		close(done)
	}()
	<-done
}

func (n *nursery) Close() error { return n.ns.Close() }

// buildRoot moves the calling thread into a new mount namespace, makes the file
// system there and returns a handle of the namespace.
func buildRoot(root, rootfs string, supervisor []byte) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("entering a new mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("making mounts private: %w", err)
	}
	// Resolved here, since /proc is gone behind pivot_root.
	thread, err := unix.Open("/proc/thread-self", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /proc/thread-self: %w", err)
	}
	defer unix.Close(thread)

	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID, "mode=0755,size=16m,nr_inodes=4096"); err != nil {
		return nil, fmt.Errorf("mounting the root: %w", err)
	}
	if err := fillReadOnly(root, rootfs, supervisor); err != nil {
		return nil, err
	}
	if err := unix.Chdir(root); err != nil {
		return nil, err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return nil, fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return nil, fmt.Errorf("leaving the host's root: %w", err)
	}
	ns, err := unix.Openat(thread, "ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the mount namespace: %w", err)
	}
	return os.NewFile(uintptr(ns), "nursery"), nil
}

// fillReadOnly fills the root and makes it read-only. Until then this process
// starts no other one, which would hold a file that is being written open.
func fillReadOnly(root, rootfs string, supervisor []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := fillRoot(root, rootfs, supervisor); err != nil {
		return err
	}
	if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID, ""); err != nil {
		return fmt.Errorf("making the root read-only: %w", err)
	}
	return nil
}

func fillRoot(root, rootfs string, supervisor []byte) error {
	in := func(elem ...string) string { return filepath.Join(append([]string{root}, elem...)...) }
	for _, dir := range []string{"dev", "proc", "sys", "run", "var", writableDir} {
		if err := os.MkdirAll(in(dir), 0o755); err != nil {
			return err
		}
	}
	links := map[string]string{
		"tmp": tmpDir, "dev/shm": shmDir, "dev/fd": "/proc/self/fd",
		"dev/stdin": "/proc/self/fd/0", "dev/stdout": "/proc/self/fd/1", "dev/stderr": "/proc/self/fd/2",
	}
	for name, target := range links {
		if err := os.Symlink(target, in(name)); err != nil {
			return err
		}
	}
	for name, minor := range devices {
		if err := makeDevice(in("dev", name), name, minor); err != nil {
			return err
		}
	}
	if err := os.WriteFile(in(supervisorPath), supervisor, 0o555); err != nil {
		return err
	}
	if rootfs == "/" {
		return fillFromHost(in)
	}
	return fillFromRootfs(in, rootfs)
}

func fillFromHost(in func(...string) string) error {
	for _, name := range hostTrees {
		if err := mirror("/"+name, in(name)); err != nil {
			return err
		}
	}
	if err := os.Symlink(tmpDir, in("var", "tmp")); err != nil {
		return err
	}
	if err := os.Mkdir(in("etc"), 0o755); err != nil {
		return err
	}
	for name, text := range ownEtc {
		if err := os.WriteFile(in("etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, name := range hostEtcFiles {
		content, err := os.ReadFile("/etc/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(in("etc", name), content, 0o644)
		}
		if err != nil {
			return err
		}
	}
	for _, name := range hostEtcTrees {
		if err := mirror("/etc/"+name, in("etc", name)); err != nil {
			return err
		}
	}
	return nil
}

func fillFromRootfs(in func(...string) string, rootfs string) error {
	entries, err := os.ReadDir(rootfs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains(ownTrees, e.Name()) {
			continue
		}
		if e.Name() == "var" {
			os.Remove(in("var"))
		}
		if err := mirror(filepath.Join(rootfs, e.Name()), in(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// mirror makes target show source: a link as the same link, a folder as a
// read-only bind without devices and set-user-id, nothing where there is nothing.
func mirror(source, target string) error {
	info, err := os.Lstat(source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return os.Symlink(link, target)
	case !info.IsDir():
		return nil
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s: %w", source, err)
	}
	const flags = unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
	if err := unix.Mount("", target, "", flags, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", source, err)
	}
	return nil
}

// makeDevice makes the node, or binds the host's where nodes may not be made (in
// a container that lacks the right).
func makeDevice(target, name string, minor uint32) error {
	err := unix.Mknod(target, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor)))
	if err == nil {
		return os.Chmod(target, 0o666)
	}
	if err := os.WriteFile(target, nil, 0o666); err != nil {
		return err
	}
	if err := unix.Mount("/dev/"+name, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding /dev/%s: %w", name, err)
	}
	return nil
}
