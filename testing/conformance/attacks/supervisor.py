"""Reads, changes and imitates process 1, which watches over this program."""

import ctypes
import os
import struct

from probe import call, probe

READ = ["mem", "environ", "maps", "smaps", "pagemap", "auxv", "stack", "syscall", "personality",
        "task/1/mem", "task/1/environ", "task/1/maps"]
WRITE = ["mem", "oom_score_adj", "coredump_filter", "clear_refs", "comm", "uid_map", "gid_map", "setgroups",
         "task/1/mem"]
# Anybody may open these, and only their process may change them.
CHANGE = {"timerslack_ns": b"50000", "attr/current": b"unconfined"}
LIST = ["fd", "fdinfo", "map_files", "ns", "task/1/fd"]
LINK = ["exe", "cwd", "root", "ns/mnt", "ns/pid", "fd/0", "fd/1", "fd/2"]

RLIMIT_CPU, RLIMIT_NOFILE, RLIMIT_AS = 0, 7, 9


def read(path):
    with open(path, "rb") as f:
        return "OK" if f.read(1) else "EMPTY"


def write(path):
    os.close(os.open(path, os.O_WRONLY))


def change(path, value):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, value)


def look(path):
    return "OK" if os.listdir(path) else "EMPTY"


def limit(resource):
    call("prlimit64", 1, resource, ctypes.create_string_buffer(struct.pack("=QQ", 1, 1), 16), 0)


for name in READ:
    probe("read:" + name, read, "/proc/1/" + name)
for name in WRITE:
    probe("write:" + name, write, "/proc/1/" + name)
for name, value in CHANGE.items():
    probe("change:" + name, change, "/proc/1/" + name, value)
for name in LIST:
    probe("list:" + name, look, "/proc/1/" + name)
for name in LINK:
    probe("link:" + name, lambda: bool(os.readlink("/proc/1/" + name)))
for name in "fd/0", "fd/1", "fd/2":
    probe("write:" + name, write, "/proc/1/" + name)
probe("enter-root", lambda: os.chdir("/proc/1/root"))
probe("enter-cwd", lambda: os.chdir("/proc/1/cwd"))
# The same user may set another process's limits, and a supervisor without memory,
# files or CPU time is no supervisor.
probe("limit-memory", limit, RLIMIT_AS)
probe("limit-files", limit, RLIMIT_NOFILE)
probe("limit-cpu", limit, RLIMIT_CPU)
os._exit(7)
