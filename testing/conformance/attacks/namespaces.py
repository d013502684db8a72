"""Makes and enters namespaces."""

import ctypes
import os

from probe import call, probe

NAMESPACES = {
    "time": 0x80,
    "mnt": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
SIGCHLD = 17


def clone(flags):
    if call("clone", flags | SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


def clone3(flags):
    args = (ctypes.c_uint64 * 8)(flags, 0, 0, 0, SIGCHLD)
    if call("clone3", args, ctypes.sizeof(args)) == 0:
        os._exit(0)


def enter_own(name):
    call("setns", os.open("/proc/self/ns/" + name, os.O_RDONLY), 0)


def enter_first(name):
    call("setns", os.open("/proc/1/ns/" + name, os.O_RDONLY), 0)


def enter_by_pidfd():
    call("setns", call("pidfd_open", 1, 0), NAMESPACES["mnt"])


for name, flag in NAMESPACES.items():
    probe("unshare-" + name, call, "unshare", flag)
    if name != "time":  # clone takes that bit for a part of the signal
        probe("clone-" + name, clone, flag)
    probe("clone3-" + name, clone3, flag)
    probe("setns-own-" + name, enter_own, name)
    probe("setns-first-" + name, enter_first, name)
probe("unshare-user-mnt", call, "unshare", NAMESPACES["user"] | NAMESPACES["mnt"])
probe("clone-user-high-bits", clone, NAMESPACES["user"] | 1 << 40)
probe("setns-pidfd", enter_by_pidfd)
