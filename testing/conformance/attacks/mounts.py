"""Changes what is mounted where, by the old calls and the new ones."""

import ctypes
import os

from probe import call, probe

AT_FDCWD = -100
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC = 1, 32, 4096, 8192, 16384


def mount(source, target, kind, flags, options=b""):
    call("mount", source, target, kind, flags, options)


def setattr_():
    attributes = (ctypes.c_uint64 * 4)(0, MS_RDONLY, 0, 0)  # clears read-only
    call("mount_setattr", AT_FDCWD, b"/", 0, attributes, ctypes.sizeof(attributes))


os.mkdir("here")
probe("tmpfs", mount, b"tmpfs", b"here", b"tmpfs", 0)
probe("proc", mount, b"proc", b"here", b"proc", 0)
probe("sysfs", mount, b"sysfs", b"here", b"sysfs", 0)
probe("cgroup", mount, b"cgroup", b"here", b"cgroup", 0, b"memory")
probe("cgroup2", mount, b"cgroup2", b"here", b"cgroup2", 0)
probe("overlay", mount, b"overlay", b"here", b"overlay", 0, b"lowerdir=/usr:/tmp")
probe("bind", mount, b"/", b"here", b"", MS_BIND | MS_REC)
probe("remount-root", mount, b"", b"/", b"", MS_REMOUNT | MS_BIND)
probe("remount-usr", mount, b"", b"/usr", b"", MS_REMOUNT | MS_BIND)
probe("move", mount, b"/proc", b"here", b"", MS_MOVE)
probe("umount-proc", call, "umount2", b"/proc", 2)
probe("umount-usr", call, "umount2", b"/usr", 2)
probe("pivot_root", call, "pivot_root", b".", b".")
probe("chroot", call, "chroot", b".")
probe("chroot-first", call, "chroot", b"/proc/1/root")
probe("fsopen", call, "fsopen", b"tmpfs", 0)
probe("fsconfig", call, "fsconfig", -1, 6, 0, 0, 0)
probe("fsmount", call, "fsmount", -1, 0, 0)
probe("fspick", call, "fspick", AT_FDCWD, b"/", 0)
probe("open_tree", call, "open_tree", AT_FDCWD, b"/", 1)
probe("move_mount", call, "move_mount", AT_FDCWD, b"/usr", AT_FDCWD, b"here", 0)
probe("mount_setattr", setattr_)
