"""Reads and changes other processes: its own child, which the kernel would allow,
and the supervisor."""

import ctypes
import os

from probe import call, child, probe

TRACEME, ATTACH, SEIZE = 0, 16, 0x4206
KCMP_FILE = 0


class IOVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


# A child has the same memory at the same place.
secret = ctypes.create_string_buffer(b"secret")
here = ctypes.create_string_buffer(16)
LOCAL = IOVec(ctypes.addressof(here), 6)
REMOTE = IOVec(ctypes.addressof(secret), 6)


def take_descriptor(pid):
    call("pidfd_getfd", call("pidfd_open", pid, 0), 0, 0)


mine = child()
probe("traceme", call, "ptrace", TRACEME, 0, 0, 0)
for who, pid in ("child", mine), ("first", 1):
    probe("attach-" + who, call, "ptrace", ATTACH, pid, 0, 0)
    probe("seize-" + who, call, "ptrace", SEIZE, pid, 0, 0)
    probe("readv-" + who, call, "process_vm_readv", pid, LOCAL, 1, REMOTE, 1, 0)
    probe("writev-" + who, call, "process_vm_writev", pid, LOCAL, 1, REMOTE, 1, 0)
    probe("getfd-" + who, take_descriptor, pid)
probe("kcmp-first", call, "kcmp", os.getpid(), 1, KCMP_FILE, 0, 0)
