"""Writes where the system is, and to the kernel's switches."""

import os
import sys

from probe import probe

FOLDERS = ["/", "/etc", "/dev", "/proc", "/proc/sys", "/proc/self", "/sys", "/sys/kernel", "/usr", "/usr/bin", "/usr/lib",
           "/bin", "/lib", "/root", "/home", "/boot", "/opt", "/srv", "/mnt", "/var", "/var/lib", "/var/log", "/run", "/run/lock"]
SWITCHES = ["kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/ns_last_pid", "kernel/randomize_va_space",
            "kernel/yama/ptrace_scope", "kernel/sysrq", "vm/overcommit_memory", "vm/drop_caches", "fs/suid_dumpable",
            "fs/binfmt_misc/register", "net/ipv4/ip_forward", "user/max_user_namespaces", "kernel/shmmax"]
SYSTEM = ["/etc/passwd", "/etc/hosts", "/etc/ld.so.cache", "/bin/sh", os.path.realpath(sys.executable)]


def create(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def write(path):
    os.close(os.open(path, os.O_WRONLY))


for folder in FOLDERS:
    probe("create:" + folder, create, os.path.join(folder, "made-by-a-task"))
    probe("mkdir:" + folder, os.mkdir, os.path.join(folder, "made-by-a-task.d"))
for name in SWITCHES:
    probe("switch:" + name, write, "/proc/sys/" + name)
for path in SYSTEM:
    name = os.path.basename(path)
    probe("write:" + name, write, path)
    probe("chmod:" + name, os.chmod, path, 0o777)
    probe("chown:" + name, os.chown, path, os.getuid(), -1)
    probe("unlink:" + name, os.unlink, path)
    probe("rename:" + name, os.rename, path, path + ".old")
    probe("utime:" + name, os.utime, path)
    probe("truncate:" + name, os.truncate, path, 0)
    probe("xattr:" + name, lambda: os.setxattr(path, "user.x", b"x"))
probe("create:preload", create, "/etc/ld.so.preload")
probe("rename:etc", os.rename, "/etc", "/etc.old")
